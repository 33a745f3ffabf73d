//! The arithmetic that references are generic over.

use std::ops::{Add, Div, Mul, Neg, Sub};

/// A number that a reference computes with: f64 is the truth, f32 the yardstick.
pub trait Float:
    Copy
    + Send
    + Sync
    + PartialOrd
    + Add<Output = Self>
    + Sub<Output = Self>
    + Mul<Output = Self>
    + Div<Output = Self>
    + Neg<Output = Self>
    + 'static
{
    /// The nearest number to `x`.
    fn of(x: f64) -> Self;
    /// e to the power of this.
    fn exp(self) -> Self;
    /// The natural logarithm.
    fn ln(self) -> Self;
    /// Hyperbolic tangent.
    fn tanh(self) -> Self;
    /// Square root.
    fn sqrt(self) -> Self;
    /// The error function.
    fn erf(self) -> Self;
    /// Whether it is not a number.
    fn is_nan(self) -> bool;

    /// Zero.
    fn zero() -> Self {
        Self::of(0.0)
    }

    /// The greater of two; a NaN if either is one.
    fn max(self, other: Self) -> Self {
        if self.is_nan() || self > other { self } else { other }
    }
}

impl Float for f64 {
    fn of(x: f64) -> Self {
        x
    }

    fn exp(self) -> Self {
        f64::exp(self)
    }

    fn ln(self) -> Self {
        f64::ln(self)
    }

    fn tanh(self) -> Self {
        f64::tanh(self)
    }

    fn sqrt(self) -> Self {
        f64::sqrt(self)
    }

    fn erf(self) -> Self {
        erf(self)
    }

    fn is_nan(self) -> bool {
        f64::is_nan(self)
    }
}

impl Float for f32 {
    fn of(x: f64) -> Self {
        x as f32
    }

    fn exp(self) -> Self {
        f32::exp(self)
    }

    fn ln(self) -> Self {
        f32::ln(self)
    }

    fn tanh(self) -> Self {
        f32::tanh(self)
    }

    fn sqrt(self) -> Self {
        f32::sqrt(self)
    }

    fn erf(self) -> Self {
        erf(self.into()) as f32
    }

    fn is_nan(self) -> bool {
        f32::is_nan(self)
    }
}

/// The error function to f64 rounding (Abramowitz and Stegun 7.1.6 and 7.1.14).
pub(crate) fn erf(x: f64) -> f64 {
    let root_pi = std::f64::consts::PI.sqrt();
    let a = x.abs();
    if a < 3.0 {
        // 2 / sqrt(pi) exp(-x^2) sum of 2^n x^(2n + 1) / (1 3 5 .. (2n + 1)): all terms have one sign, nothing cancels.
        let (mut term, mut sum) = (x, x);
        for n in 1..100 {
            term = term * 2.0 * x * x / f64::from(2 * n + 1);
            // A term that is too small to count is followed by smaller ones.
            if sum + term == sum {
                break;
            }
            sum += term;
        }
        return 2.0 / root_pi * (-x * x).exp() * sum;
    }
    if a > 6.0 {
        // Nearer to 1 than f64 can tell. A NaN fails both comparisons and stays one.
        return x.signum();
    }
    // erfc(a) = exp(-a^2) / sqrt(pi) / (a + (1/2) / (a + (2/2) / (a + (3/2) / (a + ..)))), from the inside out.
    let inner = (1..80).rev().fold(a, |tail, n| a + f64::from(n) / 2.0 / tail);
    x.signum() * (1.0 - (-a * a).exp() / root_pi / inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[allow(clippy::excessive_precision)] // as the tables print them
    fn erf_is_what_the_tables_say() {
        // Abramowitz and Stegun's table 7.1, with more digits.
        let table = [
            (0.0, 0.0),
            (1e-9, 1.128379167095512574e-9),
            (0.5, 0.520499877813046538),
            (1.0, 0.842700792949714869),
            (2.0, 0.995322265018952734),
            (2.9999, 0.9999778955735178),
            (3.0, 0.999977909503001415),
            (3.5, 0.999999256901627658),
            (5.0, 0.999999999998462540),
            (7.0, 1.0),
        ];
        for (x, want) in table {
            assert!((erf(x) - want).abs() <= 4e-16, "erf({x}) = {:e}", erf(x));
            assert_eq!(erf(-x), -erf(x));
        }
        assert!(erf(f64::NAN).is_nan());
    }

    #[test]
    fn max_keeps_a_nan() {
        assert!(Float::max(f64::NAN, 1.0).is_nan() && Float::max(1.0, f64::NAN).is_nan());
        assert_eq!(Float::max(2.0, 1.0), 2.0);
    }
}
