//! An op's kernels against one another: whether the one that plans take is the fastest.

use super::items::Item;
use super::job::{Job, Pass};
use super::run::times;
use super::shapes::{BERT_BASE, MINILM, MODERNBERT, Shape};
use crate::gpu::Caps;
use crate::kernel::{Op, View};
use crate::verify::cases::Case;
use crate::{Context, Error, Result};

/// One op of a model, by the best kernel of each tier that the device can run.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct Contest {
    /// The model's shape and the op's name in its graph.
    pub name: String,
    /// Body and tier of each kernel and its least milliseconds; plans take the first.
    pub kernels: Vec<(String, f64)>,
}

impl Contest {
    /// How many times the fastest kernel's time the first one takes: 1 where it is the fastest.
    pub fn behind(&self) -> f64 {
        let fastest = self.kernels.iter().map(|(_, ms)| *ms).fold(f64::INFINITY, f64::min);
        self.kernels.first().map_or(1.0, |(_, ms)| ms / fastest)
    }
}

/// Which encoders' ops are compared, for one sequence of so many tokens.
const SHAPES: [Shape; 3] = [MINILM, BERT_BASE, MODERNBERT];
/// So many layers hold a layer of each kind.
const LAYERS: usize = 2;
const TOKENS: usize = 128;

/// Times the kernels of those ops whose name contains `filter`, each verified first; each contest is told to `on` as soon as
/// it is over. An op for which there is only one kernel is left out. It blocks while the device works.
///
/// # Errors
/// As [`super::bench()`].
pub async fn contests(gpu: &Context, filter: Option<&str>, on: &mut dyn FnMut(&Contest)) -> Result<Vec<Contest>> {
    let wanted = |case: &Case| filter.is_none_or(|part| case.name.contains(part));
    let cases: Vec<Case> = SHAPES.iter().flat_map(cases).filter(wanted).collect();
    if cases.is_empty() {
        return Err(Error::input("filter", format!("no op's name contains {:?}", filter.unwrap_or(""))));
    }
    let mut all = Vec::new();
    for case in cases {
        let mut kernels: Vec<(String, f64)> = Vec::new();
        for caps in tiers(gpu.caps()) {
            let item = Item::op(case.clone());
            let mut ready = item.prepare(&gpu.limited(caps)).await?;
            let label = ready.kernel();
            if kernels.iter().all(|(before, _)| *before != label) {
                let least = times(&mut ready)?.into_iter().fold(f64::INFINITY, f64::min);
                kernels.push((label, 1e3 * least));
            }
        }
        if kernels.len() > 1 {
            let contest = Contest { name: case.name, kernels };
            on(&contest);
            all.push(contest);
        }
    }
    Ok(all)
}

/// What the device can do, then ever less of it.
fn tiers(caps: &Caps) -> [Caps; 3] {
    let gpu = Caps { cpu: false, ..caps.clone() };
    [caps.clone(), gpu.clone(), Caps { subgroup: None, ..gpu }]
}

/// The ops of the first layers and of what comes before them, each shape once.
fn cases(shape: &Shape) -> Vec<Case> {
    let job = Job::pass(*shape, LAYERS, Pass::Encoder { batch: 1, len: TOKENS }, 0);
    let mut all: Vec<(String, Case)> = Vec::new();
    for ((name, _), op) in job.last().graph.ops().iter().zip(job.ops()) {
        let op = op.map(&mut |view| View::dense(view.rows, view.cols, view.dtype));
        let same = format!("{op:?}");
        if all.iter().any(|(other, _)| *other == same) {
            continue;
        }
        let mut case = Case::new(format!("{}/{name}", shape.name), op, job.last().step.clone());
        if let (Op::Embed(_), Some(ids)) = (&case.op, &job.last().step.ids) {
            case = case.words("ids", ids);
        }
        all.push((same, case));
    }
    all.into_iter().map(|(_, case)| case).collect()
}
