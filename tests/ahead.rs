//! With helpers, a session's kernels have their machine code before they first run; where it is already, no device is opened.

mod common;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use common::{Random, block_on};
use wgformer::model::forward::{Choice, Outputs, Sizes, graph};
use wgformer::weights::{DType, HostTensor};
use wgformer::{Capacity, Context, Plan, Role, Session, Step, Weights};

const KEYS: usize = 40;

fn plans(gpu: &Context) -> Vec<Plan> {
    let arch = common::decoder(1, KEYS);
    let outputs = Outputs { choice: Choice::Top { k: 3, scale: 1.0 }, ..Outputs::default() };
    let plan = |(role, tokens)| {
        let graph = graph(&arch, role, outputs, Sizes { slots: KEYS }, &|_| DType::F32);
        let capacity = Capacity { tokens, sequences: 1, memory: 0, keys: KEYS };
        Plan::compile(gpu.caps(), &graph, role, capacity).expect("a plan")
    };
    [(Role::Prefill, 20), (Role::Decode, 1)].map(plan).into()
}

fn source(name: &str, [rows, cols]: [usize; 2]) -> wgformer::Result<HostTensor> {
    let mut random = Random(name.len() as u64);
    let values: Vec<f32> = (0..rows * cols).map(|_| random.unit() * 0.6).collect();
    HostTensor::from_f32([rows, cols], &values)
}

/// A session on a device of its own, of which helpers are counted.
fn session(adapter: &wgpu::Adapter, opened: &Arc<AtomicUsize>) -> (Context, Session) {
    let (required_features, required_limits) = wgformer::wanted(adapter);
    let descriptor = wgpu::DeviceDescriptor { required_features, required_limits, ..Default::default() };
    let open = {
        let adapter = adapter.clone();
        move || block_on(adapter.request_device(&descriptor)).expect("a device")
    };
    let (device, queue) = open();
    let gpu = Context::new(&device, &queue).expect("a context");
    let opened = opened.clone();
    gpu.set_helpers(move || {
        opened.fetch_add(1, Ordering::Relaxed);
        Some(open())
    });
    let plans = plans(&gpu);
    let weights = block_on(Weights::load(&gpu, &plans.iter().collect::<Vec<_>>(), &source)).expect("weights");
    let session = block_on(Session::new(&gpu, &weights, plans)).expect("a session");
    (gpu, session)
}

/// Bytes of code below a folder, when no more are written. A file `index` has its size from the start.
fn bytes_below(folder: &Path) -> u64 {
    fn sum(folder: &Path) -> u64 {
        let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
        let size = |entry: std::fs::DirEntry| match entry.metadata() {
            Ok(meta) if meta.is_dir() => sum(&entry.path()),
            Ok(meta) if entry.file_name() != "index" => meta.len(),
            _ => 0,
        };
        entries.map(size).sum()
    }
    let mut bytes = sum(folder);
    loop {
        std::thread::sleep(Duration::from_millis(300));
        if std::mem::replace(&mut bytes, sum(folder)) == bytes {
            return bytes;
        }
    }
}

#[test]
fn code_is_there_before_the_first_run() {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("ahead-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder");
    // SAFETY: this test is alone in its program, and the driver is not loaded yet.
    unsafe { std::env::set_var("MESA_SHADER_CACHE_DIR", &folder) };
    let adapter = common::adapter();
    let threads = std::thread::available_parallelism().map_or(1, |n| n.get()).min(4);
    let helpers = if adapter.get_info().name.contains("llvmpipe") { threads - 1 } else { 0 };

    let opened = Arc::new(AtomicUsize::new(0));
    let (gpu, mut first) = session(&adapter, &opened);
    assert_eq!(opened.load(Ordering::Relaxed), helpers, "helpers where code is generated late");
    let generated = bytes_below(&folder);
    assert_eq!(generated > 0, helpers > 0);

    let mut prompt = Step::default();
    prompt.push_cached(20, &(0..20).collect::<Vec<_>>());
    let mut next = Step::default();
    next.push_cached(1, &(0..21).collect::<Vec<_>>());
    let next = next.with_ids(vec![5]);
    let mut encoder = gpu.device().create_command_encoder(&Default::default());
    first.record(&mut encoder, Role::Prefill, &prompt.with_ids(vec![7; 20])).expect("recorded");
    first.record(&mut encoder, Role::Decode, &next).expect("recorded");
    gpu.queue().submit([encoder.finish()]);
    gpu.device().poll(wgpu::PollType::wait_indefinitely()).expect("run");
    if helpers > 0 {
        assert_eq!(bytes_below(&folder), generated, "the first run generated code");
    }

    session(&adapter, &opened);
    assert_eq!(opened.load(Ordering::Relaxed), helpers, "helpers where code is there");
    std::fs::remove_dir_all(&folder).expect("removed");
}
