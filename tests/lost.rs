//! A device that is lost: typed errors from whatever was going on, no panic, no wait without end; and the model, loaded
//! again on a new device, answers as before. And devices that have too little.

mod common;

use std::ops::ControlFlow;

use common::{bits, block_on};
use wgformer::generate::Settings;
use wgformer::kernel::Softmax;
use wgformer::model::arch::PoolMode;
use wgformer::model::forward::{Outputs, Sizes};
use wgformer::model::{Blueprint, Model, Padded};
use wgformer::verify::verify_ops;
use wgformer::{Capacity, Caps, Context, Error, Plan, Role, Session, Slice, Step};

const IDS: [u32; 5] = [2, 57, 13, 99, 41];

fn model(gpu: &Context) -> wgformer::Result<Model> {
    block_on(Model::build(gpu, Blueprint::open("tests/golden/bert-tiny").expect("a blueprint")))
}

fn vector(model: &Model) -> wgformer::Result<Vec<f32>> {
    block_on(model.embed_ids(&[IDS.to_vec()])).map(|mut vectors| vectors.remove(0))
}

fn session(model: &Model) -> wgformer::Result<Session> {
    let outputs = Outputs { hidden: true, ..Outputs::default() };
    let plan = model.plan(Role::Full, outputs, Capacity::packed(8, 1)).expect("a plan");
    block_on(model.session([plan]))
}

fn encoder(gpu: &Context) -> wgpu::CommandEncoder {
    gpu.device().create_command_encoder(&wgpu::CommandEncoderDescriptor::default())
}

fn step() -> Step {
    Step::packed(&[IDS.len()]).with_ids(IDS.to_vec())
}

fn lost<T: std::fmt::Debug>(what: &str, result: wgformer::Result<T>) {
    match result {
        Err(error @ Error::DeviceLost(_)) => assert!(error.to_string().contains("make a new device"), "{error}"),
        other => panic!("{what}: {other:?}"),
    }
}

#[test]
fn every_path_tells_of_a_lost_device() {
    let gpu = common::context();
    let built = model(&gpu).expect("a model");
    let before = vector(&built).expect("a vector");
    let mut kept = session(&built).expect("a session");
    // Staged once, so that the second step finds memory that is mapped already.
    let mut first = encoder(&gpu);
    kept.record(&mut first, Role::Full, &step()).expect("recorded");
    gpu.queue().submit([first.finish()]);
    let buffer = gpu.device().create_buffer(&wgpu::BufferDescriptor {
        label: None,
        size: 64,
        usage: wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_SRC,
        mapped_at_creation: false,
    });
    let (mut open, mut read) = (encoder(&gpu), encoder(&gpu));
    let pending = gpu.read_later(&mut read, &buffer, 0, 64);

    gpu.device().destroy();

    lost("record", kept.record(&mut open, Role::Full, &step()));
    lost("begin", kept.begin(&mut encoder(&gpu), Role::Full, &step()));
    let op = Softmax::new(Slice::new(&buffer, 1, 4), Slice::new(kept.buffer("hidden").expect("hidden"), 1, 4));
    lost("an op", gpu.record(&mut open, &op));
    let later = gpu.read_later(&mut open, &buffer, 0, 64);
    gpu.queue().submit([open.finish(), read.finish()]);
    lost("a download", block_on(later.bytes(&gpu)));
    lost("a download from before", block_on(pending.floats(&gpu)));
    lost("embed_ids", vector(&built));
    let batch = Padded { batch: 1, len: 2, ids: vec![1, 2], ..Padded::default() };
    lost("encode", block_on(built.encode(&batch, true)));
    lost("warm_up", block_on(built.warm_up(&mut |_, _| {})));
    lost("a session", session(&built));
    lost("a model", model(&gpu));
    lost("verify", block_on(verify_ops(&gpu, Some("softmax"), &mut |_| {})));

    let again = vector(&model(&common::context()).expect("a new model")).expect("a vector");
    assert_eq!(bits(&again), bits(&before));
}

/// In the middle of a generation, as it happens: and the next device continues as if nothing had been.
#[test]
fn a_decoder_loses_its_device_at_work() {
    let build =
        || block_on(Model::build(&common::context(), Blueprint::open("tests/golden/gpt2").expect("a blueprint")));
    let settings = Settings { max_new_tokens: Some(12), eos_token_id: Vec::new(), ..Settings::default() };
    let (prompts, built) = (vec![vec![7, 3]], build().expect("a model"));
    let before = block_on(built.generate_ids(&prompts, &settings)).expect("tokens");
    let mut tokens = 0;
    let mut each = |_, _| {
        tokens += 1;
        built.gpu().expect("a GPU").device().destroy();
        ControlFlow::Continue(())
    };
    lost("generation", block_on(built.generate_each(&[], &prompts, &settings, &mut each)));
    assert!((1..12).contains(&tokens), "{tokens}");
    let batch = Padded { batch: 1, len: 2, ids: vec![7, 3], ..Padded::default() };
    lost("forward", block_on(built.forward(None, &batch, false)));
    let again = block_on(build().expect("a new model").generate_ids(&prompts, &settings)).expect("tokens");
    assert_eq!(again[0].ids, before[0].ids);
}

/// What is kept of a lost device's kernels is what the driver still gives, without a word.
#[test]
fn a_pipeline_cache_of_a_lost_device() {
    let (device, queue) = common::device();
    // SAFETY: no bytes.
    let open = || unsafe { Context::with_pipeline_cache(&device, &queue, None) };
    let (gpu, _) = open().expect("a context");
    device.destroy();
    let _ = gpu.pipeline_cache_data();
    let (gpu, _) = open().expect("a context on a lost device, as `Context::new` makes it");
    lost("a model", model(&gpu));
}

#[test]
fn capacities_beyond_the_device_name_the_limit() {
    let blueprint = Blueprint::open("tests/golden/bert-tiny").expect("a blueprint");
    let outputs = Outputs { hidden: true, embedding: Some((PoolMode::Mean, true)), ..Outputs::default() };
    let graph = blueprint.graph(Role::Full, outputs, Sizes::default());
    let compile = |capacity| Plan::compile(&Caps::baseline(), &graph, Role::Full, capacity).map(drop);
    assert!(compile(Capacity::packed(1000, 10)).is_ok());
    let beyond = [1 << 20, 1 << 30, 1 << 40, usize::MAX / 2, usize::MAX];
    let capacities = beyond.into_iter().flat_map(|n| {
        [Capacity::packed(n, 1), Capacity::packed(1, n), Capacity { keys: n << 6, ..Capacity::packed(1, 1) }]
    });
    for capacity in capacities {
        match compile(capacity) {
            Err(error @ Error::Limit { limit: "max_storage_buffer_binding_size", need, have: 134_217_728, .. }) => {
                assert!(need > 134_217_728, "{error}");
                let text = error.to_string();
                assert!(text.contains("134217728") && text.contains("smaller batches"), "{text}");
            }
            other => panic!("{capacity:?}: {other:?}"),
        }
    }
}

/// A model asks the device at hand, before anything is made.
#[test]
fn a_model_is_asked_for_more_than_the_device_has() {
    let built = model(&common::context()).expect("a model");
    let outputs = Outputs { hidden: true, ..Outputs::default() };
    for tokens in [1 << 34, usize::MAX] {
        match built.plan(Role::Full, outputs, Capacity::packed(tokens, 1)) {
            Err(Error::Limit { need, have, .. }) => assert!(need > have),
            other => panic!("{tokens}: {:?}", other.map(|plan| plan.capacity())),
        }
    }
    vector(&built).expect("it still works");
}

#[test]
fn a_device_that_has_too_little_is_refused() {
    let descriptor =
        wgpu::DeviceDescriptor { required_limits: wgpu::Limits::downlevel_defaults(), ..Default::default() };
    let (device, queue) = block_on(common::adapter().request_device(&descriptor)).expect("a device");
    let error = Context::new(&device, &queue).expect_err("too little");
    let Error::Limit { limit, need, have, .. } = &error else { panic!("{error}") };
    assert_eq!((*limit, *need, *have), ("max_storage_buffers_per_shader_stage", 8, 4));
    assert!(error.to_string().contains("wgformer::wanted"), "{error}");
}
