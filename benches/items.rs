//! `cargo bench`: what `wgformer bench` measures, under criterion. On lavapipe, with a filter:
//! `VK_ICD_FILENAMES=/usr/share/vulkan/icd.d/lvp_icd.x86_64.json cargo bench -- matmul`.

#[path = "../tests/common/mod.rs"]
mod common;

use std::time::Duration;

use criterion::{Criterion, criterion_group, criterion_main};
use wgformer::bench::{Ready, items};

/// Replays in one submission, at most.
const REPLAYS: u64 = 1000;

fn time(ready: &mut Ready, count: u64) -> Duration {
    let parts = (0..count.div_ceil(REPLAYS)).map(|part| REPLAYS.min(count - part * REPLAYS));
    parts.map(|replays| ready.time(replays as usize).expect("the device runs")).sum()
}

fn bench(criterion: &mut Criterion) {
    let gpu = common::context();
    for item in items() {
        // Made when criterion's filter has let it pass.
        let mut ready = None;
        criterion.bench_function(item.name(), |bencher| {
            let ready = ready.get_or_insert_with(|| common::block_on(item.prepare(&gpu)).expect("the right result"));
            bencher.iter_custom(|count| time(ready, count));
        });
    }
}

criterion_group! {
    name = all;
    config = Criterion::default()
        .sample_size(10)
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(1));
    targets = bench
}
criterion_main!(all);
