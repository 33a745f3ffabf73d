//! What models share and leave alone: pipelines, the caller's buffers, the caller's bytes.

mod common;

use common::{bits, block_on};
use wgformer::kernel::Matmul;
use wgformer::model::forward::{Outputs, Sizes};
use wgformer::model::{Blueprint, Files, Model};
use wgformer::{Capacity, Context, Plan, Role, Slice, Step};

const DIR: &str = "tests/golden/bert-tiny";
// More rows than those for which small weights have a tile of their own.
const TEXTS: [&[u32]; 3] = [
    &[2, 57, 13, 99, 41, 8, 3],
    &[2, 3],
    &[2, 90, 90, 17, 61, 7, 7, 25, 44, 90, 90, 17, 61, 7, 7, 25, 44, 90, 90, 17, 61, 7, 7, 25, 44, 3],
];

/// The same folder's files as bytes.
fn files() -> Files {
    let read = |name: &str| std::fs::read(format!("{DIR}/{name}")).expect(name);
    let config = String::from_utf8(read("config.json")).expect("UTF-8");
    Files {
        texts: [("config.json".to_owned(), config)].into(),
        weights: vec![("model.safetensors".into(), read("model.safetensors"))],
        ..Files::default()
    }
}

fn vectors(model: &Model) -> Vec<Vec<u32>> {
    let texts = TEXTS.map(<[u32]>::to_vec);
    block_on(model.embed_ids(&texts)).expect("vectors").iter().map(|v| bits(v)).collect()
}

#[test]
fn a_second_model_of_the_same_kernels_compiles_nothing() {
    let gpu = common::context();
    let folder = block_on(Model::load(&gpu, DIR)).expect("a model");
    let want = vectors(&folder);
    let compiled = gpu.pipelines();
    assert!(compiled > 5, "{compiled}");
    // A plan that is ready before any weights are read.
    let blueprint = Blueprint::open(DIR).expect("a blueprint");
    let graph = blueprint.graph(Role::Full, blueprint.embedding(), Sizes::default());
    let plan = Plan::compile(gpu.caps(), &graph, Role::Full, Capacity::packed(1, 1)).expect("a plan");
    let other = Context::new(gpu.device(), gpu.queue()).expect("a context");
    other.prepare([&plan]).expect("compiled");
    assert_eq!(other.pipelines(), compiled);
    // From bytes, on a clone of the context; other lengths, other capacities.
    let bytes = block_on(Model::from_bytes(&gpu.clone(), files())).expect("a model");
    assert_eq!(vectors(&bytes), want);
    block_on(bytes.embed_ids(&vec![vec![5; 40]; 20])).expect("vectors");
    // The same architecture with fewer layers.
    let blueprint = Blueprint::open(DIR).expect("a blueprint");
    let mut arch = blueprint.arch().clone();
    arch.encoder.as_mut().expect("an encoder").layers = 1;
    let shallow = block_on(Model::build(&gpu, blueprint.with_arch(arch).expect("a blueprint"))).expect("a model");
    assert_ne!(vectors(&shallow), want);
    assert_eq!(gpu.pipelines(), compiled);
}

/// Ids come from a buffer of the caller's; the vectors stay on the GPU, where an op of the caller's takes them up.
#[test]
fn ids_and_vectors_need_not_leave_the_gpu() {
    let gpu = common::context();
    let model = block_on(Model::load(&gpu, DIR)).expect("a model");
    let want = vectors(&model);
    let (count, width) = (TEXTS.len(), want[0].len());
    let plan = model.plan(Role::Full, model.blueprint().embedding(), Capacity::packed(48, 4));
    let mut session = block_on(model.session([plan.expect("a plan")])).expect("a session");

    let ids = TEXTS.concat();
    let usage = wgpu::BufferUsages::COPY_SRC | wgpu::BufferUsages::COPY_DST | wgpu::BufferUsages::STORAGE;
    let buffer = |size| {
        gpu.device().create_buffer(&wgpu::BufferDescriptor { label: None, size, usage, mapped_at_creation: false })
    };
    let (callers, products) = (buffer(4 * ids.len() as u64), buffer(4 * (count * count) as u64));
    gpu.queue().write_buffer(&callers, 0, bytemuck::cast_slice(&ids));
    let mut encoder = gpu.device().create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
    encoder.copy_buffer_to_buffer(&callers, 0, session.buffer("ids").expect("ids"), 0, callers.size());
    session.record(&mut encoder, Role::Full, &Step::packed(&TEXTS.map(<[u32]>::len))).expect("recorded");
    let vectors = session.buffer("embedding").expect("the vectors");
    let x = Slice::new(vectors, count, width);
    gpu.record(&mut encoder, &Matmul::new(x, x, Slice::new(&products, count, count))).expect("recorded");
    let products = gpu.read_later(&mut encoder, &products, 0, products.size());
    let vectors = gpu.read_later(&mut encoder, vectors, 0, 4 * (count * width) as u64);
    gpu.queue().submit([encoder.finish()]);

    let vectors = block_on(vectors.floats(&gpu)).expect("vectors");
    assert_eq!(bits(&vectors), want.concat());
    for (i, got) in block_on(products.floats(&gpu)).expect("products").into_iter().enumerate() {
        let [a, b] = [i / count, i % count].map(|row| &vectors[row * width..][..width]);
        let product: f64 = a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum();
        assert!((f64::from(got) - product).abs() < 1e-4 * product.abs().max(1.0), "{i}: {got}, expected {product}");
    }
}

/// An id that is in no vocabulary, put into the buffer by whomever, reads the last row and nothing beyond.
#[test]
fn ids_on_the_gpu_are_clamped() {
    let gpu: Context = common::context();
    let model = block_on(Model::load(&gpu, DIR)).expect("a model");
    let outputs = Outputs { hidden: true, ..Outputs::default() };
    let plan = model.plan(Role::Full, outputs, Capacity::packed(8, 1)).expect("a plan");
    let mut session = block_on(model.session([plan])).expect("a session");
    let mut run = |ids: [u32; 4]| {
        gpu.queue().write_buffer(session.buffer("ids").expect("ids"), 0, bytemuck::cast_slice(&ids));
        let mut encoder = gpu.device().create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
        session.record(&mut encoder, Role::Full, &Step::packed(&[4])).expect("recorded");
        let hidden = session.buffer("hidden").expect("hidden");
        let later = gpu.read_later(&mut encoder, hidden, 0, 4 * 4 * 60);
        gpu.queue().submit([encoder.finish()]);
        bits(&block_on(later.floats(&gpu)).expect("floats"))
    };
    let last = model.blueprint().arch().vocab as u32 - 1;
    let want = run([2, last, last, 3]);
    assert_eq!(run([2, u32::MAX, 1 << 31, 3]), want);
    assert_ne!(run([2, last - 1, last, 3]), want);
}
