//! Runs the items: judged once, then timed in submissions of several replays each.

use super::items::{Item, items};
use super::{Ceilings, Ready, ceilings, cost};
use crate::graph::step::Step;
use crate::kernel::{Op, View};
use crate::{Context, Error, Result};

/// One measurement.
///
/// Rates, shares and ratios are of the least times: what other processes take from a machine only adds to a time, and
/// the ceilings are of least times, too.
#[derive(Clone, Debug, Default, PartialEq, serde::Serialize, serde::Deserialize)]
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
    /// Part of the ceiling of this run that it reaches: of reading or copying where it has `gbps`, else of multiply-adds.
    pub share: Option<f64>,
    /// Of a decoder's step: tokens a second for one text, the host's part included.
    pub tokens: Option<f64>,
    /// Of a decoder's step: bytes that it must move, weights and caches included.
    pub bytes: Option<f64>,
    /// Of a decoder's step: milliseconds of the host's part, to record and submit it and to bring the choice back.
    pub host: Option<f64>,
    /// Of a decoder's step for one sequence: milliseconds of its matmuls, each measured alone.
    pub matvecs: Option<f64>,
    /// How many times as fast as the simplest body, `plain/` and its name, it was in this run.
    pub plain: Option<f64>,
    /// The adapter's name.
    pub adapter: String,
    /// Its driver and the driver's version.
    pub driver: String,
}

/// A submission should take so many seconds (an empty one takes 5e-5), an item all in all so many.
const SUBMISSION: f64 = 0.01;
const TOTAL: f64 = 1.0;
/// Seconds of work by which a GPU that was idle comes back to its clock.
const WAKING: f64 = 0.6;
/// Submissions of an item, at most; one that takes long comes once.
const MOST: usize = 100;
/// Replays in one submission, at most.
const REPLAYS: usize = 2000;
/// Steps by which the host's part is measured.
const HOST: usize = 20;
/// Replays of a model that is split by op.
const SPLITS: usize = 9;

/// Measures the ceilings, then every item whose name contains `filter`; each row is told to `on` as soon as it is known.
///
/// With `split`, a model's row is followed by one for each of its ops, `NAME/OP`, from [`crate::Session::profile`].
/// Only the device's time counts, not that of recording. It blocks while the device works.
///
/// # Errors
/// [`Error::Wrong`] for a wrong result, which is never timed; [`Error::Input`] for a filter that matches nothing.
pub async fn bench(gpu: &Context, filter: Option<&str>, split: bool, on: &mut dyn FnMut(&Row)) -> Result<Vec<Row>> {
    let wanted = |name: &str| filter.is_none_or(|part| name.contains(part));
    let items: Vec<Item> = items().into_iter().filter(|item| wanted(item.name())).collect();
    let names = ["ceiling/fma", "ceiling/copy", "ceiling/read"];
    if items.is_empty() && !names.into_iter().any(wanted) {
        return Err(Error::input("filter", format!("no item's name contains {:?}", filter.unwrap_or(""))));
    }
    let mut bench = Bench { ceilings: ceilings(gpu)?, blank: blank(gpu), rows: Vec::new(), on };
    let Ceilings { fma_gflops, copy_gbps, read_gbps } = bench.ceilings;
    for (name, gflops, gbps) in
        [(names[0], Some(fma_gflops), None), (names[1], None, Some(copy_gbps)), (names[2], None, Some(read_gbps))]
    {
        bench.row(Row { name: name.into(), gflops, gbps, ..bench.blank.clone() });
    }
    for item in items {
        bench.measure(gpu, &item, split).await?;
    }
    Ok(bench.rows)
}

fn blank(gpu: &Context) -> Row {
    let info = gpu.device().adapter_info();
    let driver = format!("{} {}", info.driver, info.driver_info).trim().into();
    Row { adapter: info.name, driver, ..Row::default() }
}

struct Bench<'a> {
    ceilings: Ceilings,
    blank: Row,
    rows: Vec<Row>,
    on: &'a mut dyn FnMut(&Row),
}

impl Bench<'_> {
    fn row(&mut self, row: Row) {
        (self.on)(&row);
        self.rows.push(row);
    }

    async fn measure(&mut self, gpu: &Context, item: &Item, split: bool) -> Result<()> {
        let mut ready = item.prepare(gpu).await?;
        let mut times = times(&mut ready)?;
        times.sort_by(f64::total_cmp);
        let (least, median) = (times[0], times[times.len() / 2]);
        let job = item.job();
        let mut row = self.rated(item.name(), least, &job.ops().collect::<Vec<_>>(), &job.last().step);
        (row.ms, row.spread) = (Some(1e3 * median), Some((times[times.len() - 1] - least) / median));
        let plain = format!("plain/{}", item.name());
        let plain = self.rows.iter().find(|row| row.name == plain).and_then(|row| row.min);
        row.plain = plain.map(|plain| plain / (1e3 * least));
        if item.is_token() {
            let host = host(&mut ready).await?;
            (row.host, row.tokens) = (Some(1e3 * host), Some(1.0 / (least + host)));
            row.bytes = row.gbps.map(|gbps| 1e9 * gbps * least);
            row.matvecs = matvecs(gpu, item).await?;
        }
        self.row(row);
        match ready.session() {
            Some((session, job)) if split && job.last().graph.ops().len() > 1 => {
                let (role, step) = (job.last().role, &job.last().step);
                let ops: Vec<_> =
                    session.plan(role).iter().flat_map(|plan| &plan.nodes).map(|node| node.op.clone()).collect();
                let profile = session.profile(role, step, SPLITS).await?;
                for (part, op) in profile.iter().zip(ops) {
                    let name = format!("{}/{}", item.name(), part.name);
                    let row = self.rated(&name, part.least * 1e-3, &[op], step);
                    self.row(Row { ms: Some(part.ms), ..row });
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// A row with the rates of some ops that took so many seconds.
    fn rated(&self, name: &str, seconds: f64, ops: &[Op<View>], step: &Step) -> Row {
        let rate = |amount: f64| amount / seconds * 1e-9;
        let flops: f64 = ops.iter().map(|op| cost::flops(op, step)).sum();
        let bytes = ops.iter().map(cost::bytes).reduce(|a, b| Some((a?.0 + b?.0, a?.1 + b?.1))).flatten();
        let share = match bytes {
            Some(bytes) => rate(bytes.0) / cost::memory_ceiling(bytes, &self.ceilings),
            None => rate(flops) / self.ceilings.fma_gflops,
        };
        Row {
            name: name.into(),
            min: Some(1e3 * seconds),
            gflops: (flops > 0.0).then(|| rate(flops)),
            gbps: bytes.map(|bytes| rate(bytes.0)),
            share: Some(share),
            ..self.blank.clone()
        }
    }
}

/// Seconds of the host's part of a step, at least.
async fn host(ready: &mut Ready) -> Result<f64> {
    let mut least = f64::INFINITY;
    for _ in 0..HOST {
        least = least.min(ready.host().await?.as_secs_f64());
    }
    Ok(least)
}

/// Milliseconds of a step's matmuls, each alone; none where it is not asked for.
async fn matvecs(gpu: &Context, item: &Item) -> Result<Option<f64>> {
    let mut all = None;
    for (matvec, count) in item.matvecs() {
        let least = times(&mut matvec.prepare(gpu).await?)?.into_iter().fold(f64::INFINITY, f64::min);
        all = Some(all.unwrap_or(0.0) + 1e3 * least * count as f64);
    }
    Ok(all)
}

/// Seconds of one replay by each submission. Finding how many replays a submission needs warms the device up; the
/// submission that is long enough counts.
pub(super) fn times(ready: &mut Ready) -> Result<Vec<f64>> {
    let (mut replays, mut taken) = (1, ready.time(1)?.as_secs_f64());
    while taken < SUBMISSION && replays < REPLAYS {
        // No more than tenfold at once: the first are slow.
        let wanted = (replays as f64 * 1.1 * SUBMISSION / taken.max(1e-6)).ceil() as usize;
        replays = wanted.clamp(replays + 1, 10 * replays).min(REPLAYS);
        taken = ready.time(replays)?.as_secs_f64();
    }
    let waking = if ready.is_software() { 0.0 } else { WAKING };
    let mut awake = 0.0;
    while awake < waking {
        taken = ready.time(replays)?.as_secs_f64();
        awake += taken;
    }
    let mut times = vec![taken / replays as f64];
    for _ in 0..(((TOTAL - waking) / taken) as usize).min(MOST) {
        times.push(ready.time(replays)?.as_secs_f64() / replays as f64);
    }
    Ok(times)
}
