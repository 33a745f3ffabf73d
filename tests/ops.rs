//! Every op, with every kernel that the adapter at hand can run, and three whole models, against the reference.

mod common;

use wgformer::kernel::{Attention, Layout, Matmul, Op};
use wgformer::verify::{Share, verify_share};
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

/// Software adapters have a kernel for each of these numbers of rows.
#[test]
fn how_many_rows_there_are_changes_none() {
    const N: usize = 70;
    const K: usize = 101;
    let gpu = common::context();
    if gpu.caps().lanes().is_err() {
        return; // Nothing is packed here, and no kernel depends on the rows.
    }
    let mut random = common::Random(2);
    let [x, w] = [20 * K, N * K].map(|len| (0..len).map(|_| random.unit()).collect::<Vec<f32>>());
    let weight = gpu.pack_weight(N, K, DType::F32, Layout::Nk, bytemuck::cast_slice(&w)).expect("a weight");
    let x = upload(&gpu, &x);
    let rows = |m: usize| {
        let y = upload(&gpu, &vec![f32::NAN; m * N]);
        let op = Matmul::new(Slice::new(&x, m, K), weight.slice(), Slice::new(&y, m, N));
        let op = Op::from(Matmul { layout: Layout::Packed, ..op });
        let mut encoder = gpu.device().create_command_encoder(&Default::default());
        gpu.record(&mut encoder, &op).expect("a sound op");
        let download = gpu.read_later(&mut encoder, &y, 0, y.size());
        gpu.queue().submit([encoder.finish()]);
        common::bits(&common::block_on(download.floats(&gpu)).expect("the device runs"))
    };
    let all = rows(20);
    for m in [1, 3, 7, 16] {
        assert_eq!(rows(m), all[..m * N], "{m} rows");
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
