//! How far rounding may carry a result: a number that knows the variance of its own error.
//!
//! Run through a reference, each step adds the rounding of f32 and what WGSL (section 15.7.4, "Floating point accuracy")
//! allows its builtin functions, and first-order propagation carries the errors of the operands along. Errors are taken
//! as independent, so their squares add up: bounds that add the errors themselves would exceed what happens in a sum of
//! a thousand terms thirtyfold, and would let a dropped term pass.

use std::ops::{Add, Div, Mul, Neg, Sub};

use crate::reference::Float;

/// A result may be off by so many standard deviations of [`Slack`], whose roundings are worst cases already.
pub(super) const SIGMAS: f64 = 4.0;
/// Half an ulp of 1 in f32: the greatest relative error of a rounding.
const ROUNDING: f64 = 1.0 / (1 << 24) as f64;
const ULP: f64 = 2.0 * ROUNDING;

/// A value and the variance of its error.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Slack {
    pub value: f64,
    variance: f64,
}

impl Slack {
    /// The most that a result may be off.
    pub fn allowed(self) -> f64 {
        SIGMAS * self.variance.sqrt()
    }

    /// A result that was rounded once, with operands of that variance. GPUs may flush what is below f32's normal range.
    fn rounded(value: f64, variance: f64) -> Self {
        let flushed = if value.abs() < f64::from(f32::MIN_POSITIVE) { value.abs() } else { 0.0 };
        let rounding = (value * ROUNDING).abs().max(flushed);
        Self { value, variance: variance + rounding * rounding }
    }

    /// A builtin function's result, off by at most `error` besides its rounding.
    fn builtin(value: f64, variance: f64, error: f64) -> Self {
        let error = error / SIGMAS;
        Self::rounded(value, variance + error * error)
    }
}

impl PartialEq for Slack {
    fn eq(&self, other: &Self) -> bool {
        self.value == other.value
    }
}

impl PartialOrd for Slack {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        self.value.partial_cmp(&other.value)
    }
}

impl Add for Slack {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        Self::rounded(self.value + other.value, self.variance + other.variance)
    }
}

impl Sub for Slack {
    type Output = Self;
    fn sub(self, other: Self) -> Self {
        self + -other
    }
}

impl Mul for Slack {
    type Output = Self;
    fn mul(self, other: Self) -> Self {
        let (a, b) = (self.value, other.value);
        Self::rounded(a * b, b * b * self.variance + a * a * other.variance + self.variance * other.variance)
    }
}

impl Div for Slack {
    type Output = Self;
    fn div(self, other: Self) -> Self {
        let value = self.value / other.value;
        let variance = (self.variance + value * value * other.variance) / (other.value * other.value);
        Self::builtin(value, variance, 2.5 * ULP * value.abs())
    }
}

impl Neg for Slack {
    type Output = Self;
    fn neg(self) -> Self {
        Self { value: -self.value, ..self }
    }
}

impl Float for Slack {
    fn of(x: f64) -> Self {
        // Data are f32 and exact; a constant that is not has been rounded.
        if f64::from(x as f32) == x { Self { value: x, variance: 0.0 } } else { Self::rounded(x, 0.0) }
    }

    fn exp(self) -> Self {
        // What overflows in f32 only ever is a divisor.
        let value = self.value.min(80.0).exp();
        Self::builtin(value, value * value * self.variance, (3.0 + 2.0 * self.value.abs().min(80.0)) * ULP * value)
    }

    fn ln(self) -> Self {
        let value = self.value.ln();
        let near_one = if (0.5..=2.0).contains(&self.value) { 1.0 / f64::from(1 << 21) } else { 0.0 };
        Self::builtin(value, self.variance / (self.value * self.value), near_one.max(3.0 * ULP * value.abs()))
    }

    fn tanh(self) -> Self {
        let value = self.value.tanh();
        let slope = 1.0 - value * value;
        Self::builtin(value, slope * slope * self.variance, 1e-5)
    }

    fn sqrt(self) -> Self {
        let value = self.value.sqrt();
        let variance = if value == 0.0 { self.variance.sqrt() } else { self.variance / (4.0 * self.value) };
        // Inherited from 1 / inverseSqrt(x).
        Self::builtin(value, variance, 4.5 * ULP * value)
    }

    fn erf(self) -> Self {
        let value = crate::reference::Float::erf(self.value);
        let slope = 2.0 / std::f64::consts::PI.sqrt() * (-self.value * self.value).exp();
        // Ours, not WGSL's: see parts/activation.wgsl.
        Self::builtin(value, slope * slope * self.variance, 2.5e-7)
    }

    fn is_nan(self) -> bool {
        self.value.is_nan()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sum_of_a_thousand_terms_allows_rounding_but_not_a_dropped_term() {
        let mut exact = 0.0f64;
        let mut single = 0.0f32;
        let mut slack = Slack::zero();
        for i in 0..1000 {
            let x = (i as f32 * 0.7).sin();
            (exact, single, slack) = (exact + f64::from(x), single + x, slack + Slack::of(x.into()));
        }
        let error = (f64::from(single) - exact).abs();
        assert!(error <= slack.allowed() && slack.allowed() < 1e-3, "{error:e} of {:e}", slack.allowed());
    }

    #[test]
    fn exact_data_has_no_error_and_overflow_stays_finite() {
        assert_eq!(Slack::of(0.5).allowed(), 0.0);
        let silu = Slack::of(-1e4) / (Slack::of(1.0) + Slack::of(1e4).exp());
        assert!(silu.allowed().is_finite() && silu.allowed() < 1e-20);
    }
}
