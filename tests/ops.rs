//! Every op, with every kernel that the adapter at hand can run, and three whole models, against the reference.

mod common;

use wgformer::kernel::{Attention, Layout, Matmul, Op, Role};
use wgformer::verify::{Share, cases, verify_share};
use wgformer::weights::DType;
use wgformer::{Context, Slice};
use wgpu::util::DeviceExt;

#[test]
fn every_kernel_is_right() {
    let filter = std::env::var("WGFORMER_FILTER").ok();
    // A software adapter generates code in one thread for each device.
    let of = std::thread::available_parallelism().map_or(1, |n| n.get()).min(4);
    let share = |index| {
        let gpu = common::context();
        common::block_on(verify_share(&gpu, filter.as_deref(), Share { index, of }, &mut |_| {}))
    };
    let share = &share;
    let reports: Vec<_> = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..of).map(|index| scope.spawn(move || share(index))).collect();
        workers.into_iter().map(|worker| worker.join().expect("no panic").expect("the device runs")).collect()
    });
    let mut report = wgformer::verify::Report::default();
    reports.into_iter().for_each(|part| report.merge(part));
    eprintln!("{report}");
    assert!(report.passed());
    for op in &report.ops {
        assert_eq!(op.cases, cases::of(&op.op).len(), "{}: each case in one share", op.op);
    }
}

#[test]
fn the_reference_in_f32_stays_within_the_derived_rounding() {
    let report = wgformer::verify::verify_cpu(None, &mut |_| {}).expect("there are ops");
    eprintln!("{report}");
    assert!(report.passed());
}

fn upload(gpu: &Context, values: &[f32]) -> wgpu::Buffer {
    let usage = wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_SRC;
    let contents = bytemuck::cast_slice(values);
    gpu.device().create_buffer_init(&wgpu::util::BufferInitDescriptor { label: None, contents, usage })
}

fn attend<'a>(gpu: &Context, q: Slice<'a>, k: Slice<'a>, v: Slice<'a>) -> Vec<u32> {
    let out = upload(gpu, &[f32::NAN; TOKENS * WIDTH]);
    let op = Attention::new(q, k, v, Slice::new(&out, TOKENS, WIDTH), 2, WIDTH / 2);
    let mut encoder = gpu.device().create_command_encoder(&Default::default());
    gpu.record(&mut encoder, &Op::from(op)).expect("a sound op");
    let download = gpu.read_later(&mut encoder, &out, 0, out.size());
    gpu.queue().submit([encoder.finish()]);
    common::bits(&common::block_on(download.floats(gpu)).expect("the device runs"))
}

/// A product of the first rows, as bits.
fn product(
    gpu: &Context,
    x: &wgpu::Buffer,
    w: Slice<'_>,
    layout: Layout,
    role: Role,
    [m, n, k]: [usize; 3],
) -> Vec<u32> {
    let y = upload(gpu, &vec![f32::NAN; m * n]);
    let op = Matmul::new(Slice::new(x, m, k), w, Slice::new(&y, m, n));
    let mut encoder = gpu.device().create_command_encoder(&Default::default());
    gpu.record(&mut encoder, &Op::from(Matmul { layout, role, ..op })).expect("a sound op");
    let download = gpu.read_later(&mut encoder, &y, 0, y.size());
    gpu.queue().submit([encoder.finish()]);
    common::bits(&common::block_on(download.floats(gpu)).expect("the device runs"))
}

/// There is a kernel for each of these numbers of rows, over packed weights and over buffers, in quads and not.
#[test]
fn how_many_rows_there_are_changes_none() {
    let gpu = common::context();
    let mut random = common::Random(2);
    for (layout, role, rows, n, k) in [
        (Layout::Packed, Role::Full, [1, 3, 7, 16, 20], 70, 101),
        (Layout::Nk, Role::Full, [1, 16, 20, 60, 70], 3200, 52),
        (Layout::Nk, Role::Full, [1, 16, 20, 60, 70], 3200, 51),
        (Layout::Nk, Role::Decode, [1, 2, 4, 5, 9], 70, 516),
        (Layout::Nk, Role::Decode, [1, 2, 4, 5, 9], 2100, 51),
    ] {
        if layout == Layout::Packed && gpu.caps().lanes().is_err() {
            continue; // Nothing is packed here.
        }
        let [x, w] = [rows[4] * k, n * k].map(|len| (0..len).map(|_| random.unit()).collect::<Vec<f32>>());
        let (x, plain) = (upload(&gpu, &x), upload(&gpu, &w));
        let packed = (layout == Layout::Packed)
            .then(|| gpu.pack_weight(n, k, DType::F32, Layout::Nk, bytemuck::cast_slice(&w)).expect("a weight"));
        let w = packed.as_ref().map_or(Slice::new(&plain, n, k), |weight| weight.slice());
        let all = product(&gpu, &x, w, layout, role, [rows[4], n, k]);
        for m in rows {
            assert_eq!(product(&gpu, &x, w, layout, role, [m, n, k]), all[..m * n], "{role:?} {m}x{n}x{k}");
        }
    }
}

const TOKENS: usize = 37;
const WIDTH: usize = 32;

/// Inputs may lie in one buffer, side by side or far apart, or in three.
#[test]
fn where_inputs_lie_changes_nothing() {
    let gpu = common::context();
    let mut random = common::Random(1);
    let packed: Vec<f32> = (0..TOKENS * 3 * WIDTH).map(|_| random.unit()).collect();
    let part = |n: usize| -> Vec<f32> {
        packed.chunks_exact(3 * WIDTH).flat_map(|row| &row[n * WIDTH..][..WIDTH]).copied().collect()
    };
    let [q, k, v] = [0, 1, 2].map(|n| upload(&gpu, &part(n)));
    let apart = attend(&gpu, dense(&q, 0), dense(&k, 0), dense(&v, 0));

    let buffer = upload(&gpu, &packed);
    let within = |n: usize| dense(&buffer, n * WIDTH).stride(3 * WIDTH);
    assert_eq!(apart, attend(&gpu, within(0), within(1), within(2)), "side by side");

    let gap = vec![f32::NAN; 5000];
    let buffer = upload(&gpu, &[part(0), gap.clone(), part(1), gap, part(2)].concat());
    let after = |n: usize| dense(&buffer, n * (TOKENS * WIDTH + 5000));
    assert_eq!(apart, attend(&gpu, after(0), after(1), after(2)), "far apart");
}

fn dense(buffer: &wgpu::Buffer, offset: usize) -> Slice<'_> {
    Slice::new(buffer, TOKENS, WIDTH).offset(offset)
}
