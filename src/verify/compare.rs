//! The comparator: whether a kernel's output is right, element by element.
//!
//! Truth is the reference in f64. An element may be off by twice what the same code in f32 (the yardstick) is off at that
//! element, plus what [`Slack`] derives. Each element is judged by its own error: a greatest or mean error of a row or
//! tensor would hide a small element behind a large one. The yardstick alone is not enough, since by luck it may be
//! exact where another order of summation is not.

use serde::Serialize;

use super::slack::Slack;

/// What an output buffer holds before an op runs: a NaN, so that whoever reads it too early spreads it, and a signalling one,
/// so that whoever computes with it does not leave the same bits there.
pub(super) const POISON: u32 = 0x7fa5_a5a5;
/// What the truth holds where the op must write nothing: guard words, gaps between rows, rows of other shards.
pub(super) const UNTOUCHED: u64 = 0x7ffc_a5a5_a5a5_a5a5;

/// What an output must be.
#[derive(Clone, Debug, Default)]
pub(crate) struct Expected {
    truth: Vec<f64>,
    allowed: Vec<f64>,
}

/// An element that was judged.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Element {
    /// Its index in the buffer, guard words not counted.
    pub index: usize,
    /// What the kernel wrote.
    pub got: f64,
    /// What it should have written.
    pub expected: f64,
    /// Their distance.
    pub error: f64,
    /// The greatest distance that is right.
    pub allowed: f64,
}

impl Element {
    fn ratio(&self) -> f64 {
        if self.error == 0.0 { 0.0 } else { self.error / self.allowed }
    }

    /// The one that is nearer to being wrong, or more wrong.
    pub(super) fn worse(a: Option<Self>, b: Option<Self>) -> Option<Self> {
        match (a, b) {
            (Some(a), Some(b)) => Some(if b.ratio() > a.ratio() { b } else { a }),
            (a, b) => a.or(b),
        }
    }
}

/// What is wrong with an output.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub enum Fault {
    /// An element is wrong.
    Value,
    /// An element was not written.
    Missing,
    /// An element was written that the op must leave alone.
    Stray,
    /// The output has the wrong length: expected and got are counts.
    Length,
}

/// The outcome of a comparison.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Outcome {
    /// The element nearest to its allowance.
    pub worst: Option<Element>,
    /// The first that is wrong.
    pub failure: Option<(Fault, Element)>,
}

impl Expected {
    /// From the three runs of the reference.
    pub fn new(truth: Vec<f64>, yardstick: &[f32], slack: &[Slack]) -> Self {
        let one = |((&truth, &yard), slack): ((&f64, &f32), &Slack)| {
            let off = (f64::from(yard) - truth).abs();
            // Where f32 overflows there is no yardstick; where there is no number nothing but that is right.
            let off = if off.is_finite() { off } else { 0.0 };
            let allowed = 2.0 * off + slack.allowed();
            if allowed.is_finite() { allowed } else { 0.0 }
        };
        let allowed = truth.iter().zip(yardstick).zip(slack).map(one).collect();
        Self { truth, allowed }
    }

    /// The rounding allowance alone: what the yardstick itself is judged by.
    pub fn without_yardstick(truth: Vec<f64>, slack: &[Slack]) -> Self {
        let yardstick: Vec<f32> = vec![f32::NAN; truth.len()];
        Self::new(truth, &yardstick, slack)
    }

    /// Integers, which must be exact.
    pub fn exact(truth: Vec<f64>) -> Self {
        let allowed = vec![0.0; truth.len()];
        Self { truth, allowed }
    }

    /// What is right.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn truth(&self) -> impl Iterator<Item = f64> {
        self.truth.iter().copied()
    }

    /// Judges what was written. `nan` says whether this adapter keeps a NaN; where it does not, anything may stand there.
    pub fn judge(&self, got: &[Got], nan: bool) -> Outcome {
        let mut outcome = Outcome::default();
        if got.len() != self.truth.len() {
            let (got, expected) = (got.len() as f64, self.truth.len() as f64);
            let counts = Element { index: 0, got, expected, error: (got - expected).abs(), allowed: 0.0 };
            outcome.failure = Some((Fault::Length, counts));
            return outcome;
        }
        for (index, ((&expected, &allowed), got)) in self.truth.iter().zip(&self.allowed).zip(got).enumerate() {
            let fault = fault(expected, allowed, got, nan);
            let error = (got.value - expected).abs();
            let element = Element { index, got: got.value, expected, error, allowed };
            if expected.is_finite() && fault.is_none() {
                outcome.worst = Element::worse(outcome.worst, Some(element));
            }
            outcome.failure = outcome.failure.or(fault.map(|fault| (fault, element)));
        }
        outcome
    }
}

/// An element as it was read back.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Got {
    pub value: f64,
    pub bits: u32,
}

impl Got {
    pub fn float(bits: u32) -> Self {
        Self { value: f32::from_bits(bits).into(), bits }
    }

    pub fn word(bits: u32) -> Self {
        Self { value: bits.into(), bits }
    }
}

/// Written so that a NaN on either side of a comparison fails.
fn fault(expected: f64, allowed: f64, got: &Got, nan: bool) -> Option<Fault> {
    if expected.to_bits() == UNTOUCHED {
        return (got.bits != POISON).then_some(Fault::Stray);
    }
    if got.bits == POISON {
        return Some(Fault::Missing);
    }
    let right = if expected.is_nan() {
        got.value.is_nan() || !nan
    } else if expected.is_infinite() {
        got.value == expected
    } else {
        got.value.is_finite() && (got.value - expected).abs() <= allowed
    };
    (!right).then_some(Fault::Value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reference::Float;

    fn judge(truth: &[f64], got: &[f32]) -> Outcome {
        // A yardstick with an error of 1e-7, and no more.
        let yardstick: Vec<f32> = truth.iter().map(|&t| t as f32).collect();
        let slack: Vec<Slack> = truth.iter().map(|&t| Slack::of(t) + Slack::of(t / 1e3)).collect();
        let got: Vec<Got> = got.iter().map(|v| Got::float(v.to_bits())).collect();
        Expected::new(truth.to_vec(), &yardstick, &slack).judge(&got, true)
    }

    fn fault_of(truth: &[f64], got: &[f32]) -> Option<(Fault, usize)> {
        judge(truth, got).failure.map(|(fault, element)| (fault, element.index))
    }

    #[test]
    fn what_is_right_passes() {
        assert_eq!(fault_of(&[1.0, -2.5, 0.0], &[1.0, -2.5, 0.0]), None);
        assert_eq!(fault_of(&[1.0], &[1.0 + f32::EPSILON]), None);
        assert_eq!(fault_of(&[f64::NAN], &[f32::NAN]), None);
        assert_eq!(fault_of(&[f64::INFINITY], &[f32::INFINITY]), None);
        assert_eq!(judge(&[1.0], &[1.0 + f32::EPSILON]).worst.map(|e| e.error), Some(f32::EPSILON.into()));
    }

    #[test]
    fn a_nan_fails() {
        assert_eq!(fault_of(&[1.0, 2.0], &[1.0, f32::NAN]), Some((Fault::Value, 1)));
        assert_eq!(fault_of(&[f64::NAN], &[1.0]), Some((Fault::Value, 0)));
    }

    #[test]
    fn an_infinity_fails() {
        assert_eq!(fault_of(&[1.0], &[f32::INFINITY]), Some((Fault::Value, 0)));
        assert_eq!(fault_of(&[f64::INFINITY], &[f32::NEG_INFINITY]), Some((Fault::Value, 0)));
        assert_eq!(fault_of(&[f64::INFINITY], &[f32::MAX]), Some((Fault::Value, 0)));
    }

    #[test]
    fn one_wrong_element_among_a_million_fails() {
        let truth: Vec<f64> = (0..1_000_000).map(|i| f64::from(i % 97) + 1.0).collect();
        let mut got: Vec<f32> = truth.iter().map(|&t| t as f32).collect();
        assert_eq!(fault_of(&truth, &got), None);
        got[777_777] *= 1.00001;
        assert_eq!(fault_of(&truth, &got), Some((Fault::Value, 777_777)));
    }

    #[test]
    fn a_zero_that_is_expected_must_be_one() {
        assert_eq!(fault_of(&[0.0], &[1e-30]), Some((Fault::Value, 0)));
        assert_eq!(fault_of(&[0.0], &[-0.0]), None);
        assert_eq!(fault_of(&[1.0], &[0.0]), Some((Fault::Value, 0)));
    }

    #[test]
    fn a_short_output_fails() {
        assert_eq!(fault_of(&[1.0, 2.0], &[1.0]), Some((Fault::Length, 0)));
        assert_eq!(fault_of(&[], &[1.0]), Some((Fault::Length, 0)));
    }

    #[test]
    fn what_is_not_written_or_written_astray_fails() {
        let poison = f32::from_bits(POISON);
        assert_eq!(fault_of(&[f64::NAN], &[poison]), Some((Fault::Missing, 0)));
        assert_eq!(fault_of(&[f64::from_bits(UNTOUCHED)], &[poison]), None);
        assert_eq!(fault_of(&[f64::from_bits(UNTOUCHED)], &[0.0]), Some((Fault::Stray, 0)));
        assert_eq!(fault_of(&[f64::from_bits(UNTOUCHED)], &[f32::NAN]), Some((Fault::Stray, 0)));
    }

    #[test]
    fn a_yardstick_that_fails_allows_nothing() {
        let got = [Got::float(2.0f32.to_bits())];
        let slack = [Slack::of(1.0)];
        for yard in [f32::NAN, f32::INFINITY] {
            assert!(Expected::new(vec![1.0], &[yard], &slack).judge(&got, true).failure.is_some());
        }
        let broken = [Slack::of(f64::NAN)];
        assert!(Expected::new(vec![1.0], &[1.0], &broken).judge(&got, true).failure.is_some());
    }
}
