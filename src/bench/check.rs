//! A result is judged before it is timed, with the comparator of `verify`.

use super::items::Item;
use super::minilm;
use crate::graph::State;
use crate::graph::step::Step;
use crate::kernel::{Keys, Op, View};
use crate::reference::{Float, Tensor};
use crate::verify::cases::Case;
use crate::verify::compare::{Expected, Got, Outcome};
use crate::verify::runs::Runs;
use crate::verify::slack::Slack;
use crate::{Error, Result};

/// Multiply-adds up to which a whole op goes through the reference; of larger ones, some rows do.
const SMALL: f64 = 3e8;
/// The distance of these rows: odd, so that they lie everywhere in a kernel's tiles.
const EVERY: usize = 61;

/// Judges what an op left in its outputs.
///
/// # Errors
/// [`Error::Wrong`] names the first wrong element.
pub(super) fn op(item: &Item, case: &Case, outputs: &[(&'static str, Vec<u8>)]) -> Result<()> {
    let runs = Runs::new(&sample(case));
    for (at, arg) in runs.outputs() {
        let Some((_, bytes)) = outputs.iter().find(|(name, _)| *name == arg.name) else { continue };
        wrong(item, arg.name, runs.judge_some(at, bytes))?;
    }
    Ok(())
}

/// Judges the rows that an encoder left for its last sequence, by the graph interpreted for that sequence alone.
pub(super) fn encoder(item: &Item, batch: usize, len: usize, hidden: &[u8]) -> Result<()> {
    let last = minilm::job(1, len);
    let step = Step::packed(&[len]).with_ids(minilm::ids(batch - 1, len).collect());
    fn run<F: Float>(job: &super::items::Job, step: &Step) -> Result<Vec<F>> {
        let mut state = State::<F>::new();
        state.run(&job.graph, step, &minilm::weight)?;
        Ok(state.get("hidden").map_or_else(Vec::new, |tensor: &Tensor<F>| tensor.floats().to_vec()))
    }
    let expected = Expected::new(run(&last, &step)?, &run::<f32>(&last, &step)?, &run::<Slack>(&last, &step)?);
    let got: Vec<u32> = bytemuck::pod_collect_to_vec(hidden);
    let rows = got.iter().skip((batch - 1) * len * minilm::WIDTH).map(|&bits| Got::float(bits));
    wrong(item, "hidden", expected.judge(&rows.collect::<Vec<_>>(), true))
}

fn wrong(item: &Item, argument: &str, outcome: Outcome) -> Result<()> {
    let Some((fault, e)) = outcome.failure else { return Ok(()) };
    let (index, got, expected, allowed) = (e.index, e.got, e.expected, e.allowed);
    let why = format!("{argument}[{index}] is {got}, expected {expected} give or take {allowed:.1e} ({fault:?})");
    Err(Error::Wrong { what: item.name().into(), why })
}

/// The case itself where it is small, or else some of its rows, over the same data.
fn sample(case: &Case) -> Case {
    let mut some = case.clone();
    if super::cost::flops(&case.op, &case.step) <= 2.0 * SMALL {
        return some;
    }
    let thin = |v: &View| View { rows: v.rows.div_ceil(EVERY), stride: v.stride * EVERY, ..*v };
    match &mut some.op {
        Op::Matmul(op) => {
            (op.x, op.y) = (thin(&op.x), thin(&op.y));
            some.step = Step::rows(op.x.rows);
        }
        // Queries of one sequence; all its keys become a memory, for which the op means the same without a mask.
        Op::Attention(op) if op.keys == Keys::Own && case.step.spans.len() == 1 && !op.causal => {
            (op.q, op.y) = (thin(&op.q), op.y.as_ref().map(thin));
            op.keys = Keys::Memory;
            some.step = Step::packed(&[op.q.rows]).with_memory(&[op.k.rows]);
        }
        _ => {}
    }
    some
}
