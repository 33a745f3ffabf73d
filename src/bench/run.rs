//! Runs the items: checked once, then timed in submissions of several replays each.

use std::time::Instant;

use super::items::{self, Item, Job};
use super::{Ceilings, ceilings, check};
use crate::graph::{Plan, Session, Weights};
use crate::verify::zoo;
use crate::weights::{DType, HostTensor};
use crate::{Context, Error, Result};

/// One measurement.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Row {
    /// Kind, element type, shape: `matmul/f32/128x1536x384` is m, n, k.
    pub name: String,
    /// Milliseconds of one replay on the device, the median of all submissions; none for a ceiling.
    pub ms: Option<f64>,
    /// The least of them.
    pub min: Option<f64>,
    /// The greatest less the least, as a part of the median.
    pub spread: Option<f64>,
    /// 10^9 operations a second; a multiply-add is two.
    pub gflops: Option<f64>,
    /// 10^9 bytes a second, for what memory limits.
    pub gbps: Option<f64>,
    /// Part of the ceiling of this run that it reaches: of reading where it has `gbps`, else of multiply-adds.
    pub share: Option<f64>,
    /// The adapter's name.
    pub adapter: String,
    /// Its driver and the driver's version.
    pub driver: String,
}

/// A submission should take so many seconds, an item all in all so many.
const SUBMISSION: f64 = 0.05;
const TOTAL: f64 = 1.0;
/// Submissions of an item, at least.
const LEAST: usize = 5;
/// Replays in one submission, at most.
const MOST: usize = 2000;

/// Measures the ceilings, then every item whose name contains `filter`; each row is told to `on` as soon as it is known.
///
/// Weights and inputs are random, packed and planned as in production; only the device's time counts, not that of
/// recording. Native only: it reads a clock and blocks.
///
/// # Errors
/// [`Error::Wrong`] for a wrong result, which is never timed; [`Error::Input`] for a filter that matches nothing.
pub async fn bench(gpu: &Context, filter: Option<&str>, on: &mut dyn FnMut(&Row)) -> Result<Vec<Row>> {
    let wanted = |name: &str| filter.is_none_or(|part| name.contains(part));
    let items: Vec<Item> = items::all().into_iter().filter(|item| wanted(&item.name())).collect();
    let names = ["ceiling/fma", "ceiling/copy", "ceiling/read"];
    if items.is_empty() && !names.into_iter().any(wanted) {
        return Err(Error::input("filter", "no item's name contains it"));
    }
    let best = ceilings(gpu).await?;
    let blank = blank(gpu);
    let rates = [(Some(best.fma_gflops), None), (None, Some(best.copy_gbps)), (None, Some(best.read_gbps))];
    let mut rows = Vec::new();
    for (name, (gflops, gbps)) in names.into_iter().zip(rates).filter(|(name, _)| wanted(name)) {
        rows.push(Row { name: name.into(), gflops, gbps, ..blank.clone() });
    }
    rows.iter().for_each(&mut *on);
    for item in items {
        let row = measure(gpu, &item, &best, &blank).await?;
        on(&row);
        rows.push(row);
    }
    Ok(rows)
}

fn blank(gpu: &Context) -> Row {
    let info = gpu.device().adapter_info();
    Row {
        name: String::new(),
        ms: None,
        min: None,
        spread: None,
        gflops: None,
        gbps: None,
        share: None,
        adapter: info.name,
        driver: format!("{} {}", info.driver, info.driver_info).trim().into(),
    }
}

async fn measure(gpu: &Context, item: &Item, best: &Ceilings, blank: &Row) -> Result<Row> {
    let job = item.job();
    let source = |name: &str, shape: [usize; 2]| weight(name, shape, item.dtype());
    let plan = Plan::compile(gpu.caps(), &job.graph, job.role, job.capacity)?;
    let weights = Weights::load(gpu, &[&plan], &source).await?;
    let mut session = Session::new(gpu, &weights, [plan]).await?;
    for (name, values) in &job.inputs {
        gpu.queue().write_buffer(buffer(&session, name)?, 0, bytemuck::cast_slice(values));
    }
    let mut encoder = gpu.device().create_command_encoder(&Default::default());
    session.record(&mut encoder, job.role, &job.step)?;
    let later = gpu.read_later(&mut encoder, buffer(&session, job.output)?, 0, 4 * job.len as u64);
    gpu.queue().submit([encoder.finish()]);
    check::check(item, &job, &later.floats(gpu).await?, &source)?;
    let mut times = times(gpu, &mut session, &job)?;
    times.sort_by(f64::total_cmp);
    let (least, median) = (times[0], times[times.len() / 2]);
    Ok(Row {
        name: item.name(),
        ms: Some(1e3 * median),
        min: Some(1e3 * least),
        spread: Some((times[times.len() - 1] - least) / median),
        gflops: Some(item.flops() / median * 1e-9),
        gbps: item.bytes().map(|bytes| bytes / median * 1e-9),
        share: Some(item.share(median, best)),
        ..blank.clone()
    })
}

fn weight(name: &str, shape: [usize; 2], dtype: DType) -> Result<HostTensor> {
    let tensor = zoo::weight(name, shape)?;
    match dtype {
        DType::F16 => {
            let halves = tensor.to_f32().into_iter().flat_map(|v| half::f16::from_f32(v).to_le_bytes());
            HostTensor::new(dtype, shape.into(), halves.collect())
        }
        _ => Ok(tensor),
    }
}

fn buffer<'a>(session: &'a Session, name: &str) -> Result<&'a wgpu::Buffer> {
    let missing = || Error::Unsupported { what: name.into(), why: "the session has no such buffer".into() };
    session.buffer(name).ok_or_else(missing)
}

/// Seconds of one replay by each submission. Finding how many replays a submission needs warms the device up.
fn times(gpu: &Context, session: &mut Session, job: &Job) -> Result<Vec<f64>> {
    let (mut replays, mut taken) = (1, submission(gpu, session, job, 1)?);
    while taken < SUBMISSION && replays < MOST {
        // No more than tenfold at once: the first are slow.
        let wanted = (replays as f64 * 1.1 * SUBMISSION / taken.max(1e-6)).ceil() as usize;
        replays = wanted.clamp(replays + 1, 10 * replays).min(MOST);
        taken = submission(gpu, session, job, replays)?;
    }
    let count = ((TOTAL / taken) as usize).clamp(LEAST, 50);
    (0..count).map(|_| Ok(submission(gpu, session, job, replays)? / replays as f64)).collect()
}

fn submission(gpu: &Context, session: &mut Session, job: &Job, replays: usize) -> Result<f64> {
    let mut encoder = gpu.device().create_command_encoder(&Default::default());
    let mut cursor = session.begin(&mut encoder, job.role, &job.step)?;
    for _ in 0..replays {
        cursor.rewind();
        cursor.record(&mut encoder, usize::MAX)?;
    }
    let commands = encoder.finish();
    let start = Instant::now();
    gpu.queue().submit([commands]);
    let waited = gpu.device().poll(wgpu::PollType::wait_indefinitely());
    waited.map_err(|e| Error::DeviceLost(e.to_string()))?;
    Ok(start.elapsed().as_secs_f64())
}
