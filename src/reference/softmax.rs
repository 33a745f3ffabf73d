//! Softmax over rows.

use super::{Float, Piece, Place, Tensor, parallel};
use crate::kernel::Softmax;

pub(super) fn run<F: Float>(op: &Softmax<Place>, rows: usize, tensors: &[Tensor<F>]) -> Vec<Piece<F>> {
    parallel(rows, |row| {
        let x = op.x.row(tensors, row);
        let mut count = x.len();
        if let Some(lengths) = &op.lengths {
            count = count.min(lengths.word(tensors, row) as usize);
        }
        if let Some(causal) = op.causal {
            count = count.min(x.len() - causal as usize + row % causal as usize + 1);
        }
        let scale = F::of(op.scale.into());
        let mut y = softmax(&x[..count].iter().map(|&v| scale * v).collect::<Vec<_>>());
        y.resize(x.len(), F::zero());
        op.y.piece(row, 0, y)
    })
}

/// Softmax of some scores.
pub(super) fn softmax<F: Float>(scores: &[F]) -> Vec<F> {
    let Some(top) = scores.iter().copied().reduce(F::max) else { return Vec::new() };
    let powers: Vec<F> = scores.iter().map(|&s| (s - top).exp()).collect();
    let sum = powers.iter().fold(F::zero(), |sum, &p| sum + p);
    powers.iter().map(|&p| p / sum).collect()
}
