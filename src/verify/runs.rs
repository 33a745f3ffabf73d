//! A case through the reference: in f64, in f32, and in numbers that know their error.

use super::cases::Case;
use super::compare::{Expected, Got, POISON, UNTOUCHED};
use super::slack::Slack;
use crate::graph::step::Domain;
use crate::kernel::{Access, Arg, View};
use crate::reference::{self, Float, Place, Tensor};
use crate::weights::DType;

/// A case's op over tensors, an argument each, after the three runs of the reference.
pub(crate) struct Runs {
    pub args: Vec<Arg<View>>,
    pub bytes: Vec<Vec<u8>>,
    truth: Vec<Tensor<f64>>,
    yardstick: Vec<Tensor<f32>>,
    slack: Vec<Tensor<Slack>>,
}

impl Runs {
    pub fn new(case: &Case) -> Self {
        let args: Vec<Arg<View>> = case.op.args().iter().map(|a| arg_of(a)).collect();
        let bytes: Vec<Vec<u8>> = args
            .iter()
            .map(|arg| match arg.access {
                Access::Read => case.bytes(arg.name),
                Access::Write => vec![0; 4 * (arg.handle.end() + case.op.beyond(arg.name))],
            })
            .collect();
        let (truth, yardstick, slack) = (
            run(case, &args, &bytes, f64::from_bits(UNTOUCHED)),
            run(case, &args, &bytes, 0.0f32),
            run(case, &args, &bytes, Slack::zero()),
        );
        Self { args, bytes, truth, yardstick, slack }
    }

    pub fn outputs(&self) -> impl Iterator<Item = (usize, &Arg<View>)> {
        self.args.iter().enumerate().filter(|(_, a)| a.access == Access::Write)
    }

    /// What an output must be.
    pub fn expected(&self, at: usize) -> Expected {
        match &self.truth[at] {
            Tensor::Floats(truth) => Expected::new(truth.clone(), self.yardstick[at].floats(), self.slack[at].floats()),
            Tensor::Words(ids) => Expected::exact(ids.iter().map(|&id| untouched_word(id)).collect()),
        }
    }

    /// Judges the bytes of a buffer whose beginning a kernel wrote, where this case has only some of its rows: between
    /// and after them anything may stand.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn judge_some(&self, at: usize, bytes: &[u8]) -> super::compare::Outcome {
        let words = words(bytes, self.args[at].handle.dtype);
        let written = |(got, truth): (Got, f64)| if truth.to_bits() == UNTOUCHED { Got::word(POISON) } else { got };
        let expected = self.expected(at);
        expected.judge(&words.into_iter().zip(expected.truth()).map(written).collect::<Vec<_>>(), true)
    }

    /// The same without the yardstick's own error.
    pub fn lenient(&self, at: usize) -> Expected {
        match &self.truth[at] {
            Tensor::Floats(truth) => Expected::without_yardstick(truth.clone(), self.slack[at].floats()),
            Tensor::Words(_) => self.expected(at),
        }
    }

    /// The yardstick, as if a kernel had written it.
    pub fn yardstick_bits(&self, at: usize) -> Vec<Got> {
        let untouched = |expected: f64| expected.to_bits() == UNTOUCHED;
        match (&self.truth[at], &self.yardstick[at]) {
            (Tensor::Floats(truth), Tensor::Floats(yardstick)) => {
                let bits = |(t, y): (&f64, &f32)| Got::float(if untouched(*t) { POISON } else { y.to_bits() });
                truth.iter().zip(yardstick).map(bits).collect()
            }
            (_, other) => other.words().iter().map(|&word| Got::word(word)).collect(),
        }
    }
}

/// A buffer's elements as they were read back.
pub(super) fn words(bytes: &[u8], dtype: DType) -> Vec<Got> {
    let word = |b: &[u8]| u32::from_le_bytes([b[0], b[1], b[2], b[3]]);
    let got = |bits| if dtype == DType::U32 { Got::word(bits) } else { Got::float(bits) };
    bytes.chunks_exact(4).map(|b| got(word(b))).collect()
}

fn arg_of(arg: &Arg<&View>) -> Arg<View> {
    Arg { name: arg.name, access: arg.access, binding: arg.binding, handle: *arg.handle }
}

/// A word that the reference left as it was stands for one that a kernel must not write.
pub(super) fn untouched_word(word: u32) -> f64 {
    if word == POISON { f64::from_bits(UNTOUCHED) } else { word.into() }
}

fn run<F: Float>(case: &Case, args: &[Arg<View>], bytes: &[Vec<u8>], untouched: F) -> Vec<Tensor<F>> {
    let mut tensors: Vec<Tensor<F>> = args
        .iter()
        .zip(bytes)
        .map(|(arg, bytes)| match (arg.access, arg.handle.dtype) {
            (Access::Read, dtype) => Tensor::from_bytes(bytes, dtype),
            (Access::Write, DType::U32) => Tensor::Words(vec![POISON; bytes.len() / 4]),
            (Access::Write, _) => Tensor::Floats(vec![untouched; bytes.len() / 4]),
        })
        .collect();
    let mut next = 0..;
    let op = case.op.map(&mut |view| Place { tensor: next.next().unwrap_or(0), view: *view });
    reference::run(&op, &case.step, Domain::Tokens, &mut tensors);
    tensors
}
