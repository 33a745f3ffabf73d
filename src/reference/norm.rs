//! Layer norm and RMS norm.

use super::{Float, Piece, Place, Tensor, parallel};
use crate::kernel::Norm;

pub(super) fn run<F: Float>(op: &Norm<Place>, rows: usize, tensors: &[Tensor<F>]) -> Vec<Piece<F>> {
    let both = parallel(rows, |row| {
        let mut x = op.x.row(tensors, row).to_vec();
        if let Some(residual) = &op.residual {
            x = x.iter().zip(residual.row(tensors, row)).map(|(&a, &b)| a + b).collect();
        }
        let mut y = match op.rms {
            true => rms_norm(&x, op.eps),
            false => layer_norm(&x, op.eps),
        };
        if let Some(weight) = &op.weight {
            y = y.iter().zip(weight.row(tensors, 0)).map(|(&a, &b)| a * b).collect();
        }
        if let Some(bias) = &op.bias {
            y = y.iter().zip(bias.row(tensors, 0)).map(|(&a, &b)| a + b).collect();
        }
        [Some(op.y.piece(row, 0, y)), op.sum.map(|sum| sum.piece(row, 0, x))]
    });
    both.into_iter().flatten().flatten().collect()
}

fn mean<F: Float>(values: impl Iterator<Item = F>, count: usize) -> F {
    values.fold(F::zero(), |sum, v| sum + v) / F::of(count as f64)
}

fn layer_norm<F: Float>(x: &[F], eps: f32) -> Vec<F> {
    let middle = mean(x.iter().copied(), x.len());
    let variance = mean(x.iter().map(|&v| (v - middle) * (v - middle)), x.len());
    let length = (variance + F::of(eps.into())).sqrt();
    x.iter().map(|&v| (v - middle) / length).collect()
}

/// x divided by its root mean square.
pub(super) fn rms_norm<F: Float>(x: &[F], eps: f32) -> Vec<F> {
    let square = mean(x.iter().map(|&v| v * v), x.len());
    let length = (square + F::of(eps.into())).sqrt();
    x.iter().map(|&v| v / length).collect()
}
