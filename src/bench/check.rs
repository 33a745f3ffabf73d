//! A result is judged before it is timed, with the comparator of `verify`.

use super::items::Item;
use super::job::{Job, Pass};
use super::shapes::Shape;
use crate::graph::State;
use crate::graph::step::Step;
use crate::kernel::{Keys, Op, View};
use crate::reference::{Float, Tensor};
use crate::verify::cases::Case;
use crate::verify::compare::{Expected, Got, Outcome};
use crate::verify::runs::Runs;
use crate::verify::slack::Slack;
use crate::weights::HostTensor;
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

/// A model's job whose answer the reference knows, and where that answer is.
pub(super) struct Judged {
    /// Small enough for the reference.
    pub job: Job,
    /// The persistent tensor that it leaves.
    pub output: &'static str,
    /// Elements of the timed session's own tensor before this answer; `None` where the job has to run for itself.
    pub own: Option<usize>,
}

impl Judged {
    /// Of an encoder, the last sequence alone; of a decoder, one layer of each stack.
    pub fn of(shape: Shape, pass: Pass) -> Self {
        let short = |output| Self { job: Job::pass(shape, 1, pass, 0), output, own: None };
        match pass {
            Pass::Encoder { .. } | Pass::Mixed { .. } => {
                let lengths = pass.lengths();
                let last = lengths.len() - 1;
                let job = Job::pass(shape, usize::MAX, Pass::Encoder { batch: 1, len: lengths[last] }, last);
                let width = shape.arch(0).encoder.map_or(0, |stack| stack.width);
                let before = lengths[..last].iter().sum::<usize>() * width;
                Self { job, output: "hidden", own: Some(before) }
            }
            Pass::Prefill { .. } if shape.arch(0).encoder.is_some() => short("decoder.0.cross.memory"),
            Pass::Prefill { .. } | Pass::Decode { .. } => short("logits"),
        }
    }

    /// What it should leave.
    pub fn expected(&self) -> Result<Expected> {
        Ok(Expected::new(self.run()?, &self.run::<f32>()?, &self.run::<Slack>()?))
    }

    fn run<F: Float>(&self) -> Result<Vec<F>> {
        let mut state = State::<F>::new();
        let weight = |name: &str, [rows, cols]: [usize; 2]| match self.job.shape {
            Some(shape) => shape.weight(name, [rows, cols]),
            None => HostTensor::from_f32([rows, cols], &vec![0.0; rows * cols]),
        };
        for stage in &self.job.stages {
            state.run(&stage.graph, &stage.step, &weight)?;
        }
        Ok(state.get(self.output).map_or_else(Vec::new, |tensor: &Tensor<F>| tensor.floats().to_vec()))
    }

    /// Judges its elements, as they came back.
    ///
    /// # Errors
    /// [`Error::Wrong`] names the first wrong element.
    pub fn judge(&self, item: &Item, expected: &Expected, bytes: &[u8]) -> Result<()> {
        let got: Vec<u32> = bytemuck::pod_collect_to_vec(bytes);
        let got: Vec<Got> = got.iter().map(|&bits| Got::float(bits)).collect();
        wrong(item, self.output, expected.judge(&got, true))
    }
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
            (op.x, op.y, op.residual) = (thin(&op.x), thin(&op.y), op.residual.as_ref().map(thin));
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::Matmul;
    use crate::weights::DType;

    #[test]
    fn some_rows_of_a_large_matmul_are_judged_with_their_residuals() {
        let matrix = |rows, cols| View::dense(rows, cols, DType::F32);
        let y = matrix(1024, 1024);
        let op = Matmul { residual: Some(y), ..Matmul::new(y, y, y) };
        let Op::Matmul(some) = sample(&Case::rows("large", op)).op else { panic!("another op") };
        assert_eq!((some.y.rows, some.y.stride), (1024_usize.div_ceil(EVERY), 1024 * EVERY));
        assert_eq!((some.x, some.residual), (some.y, Some(some.y)));
    }
}
