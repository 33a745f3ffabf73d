//! Activations.

use super::Float;
use crate::model::arch::Activation;

/// act(x).
pub(super) fn activate<F: Float>(act: Activation, x: F) -> F {
    let (half, one) = (F::of(0.5), F::of(1.0));
    match act {
        Activation::None => x,
        Activation::Relu => x.max(F::zero()),
        Activation::Gelu => half * x * (one + (x * F::of(std::f64::consts::FRAC_1_SQRT_2)).erf()),
        Activation::GeluTanh => {
            let root = F::of((2.0 / std::f64::consts::PI).sqrt());
            half * x * (one + (root * (x + F::of(0.044715) * x * x * x)).tanh())
        }
        Activation::Silu => x / (one + (-x).exp()),
        Activation::Tanh => x.tanh(),
    }
}
