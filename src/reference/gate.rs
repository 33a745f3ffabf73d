//! Gated activations.

use super::activation::activate;
use super::{Float, Piece, Place, Tensor};
use crate::kernel::Gate;

pub(super) fn run<F: Float>(op: &Gate<Place>, rows: usize, tensors: &[Tensor<F>]) -> Vec<Piece<F>> {
    let one = |row| {
        let (first, second) = op.x.row(tensors, row).split_at(op.y.view.cols);
        op.y.piece(row, 0, first.iter().zip(second).map(|(&a, &b)| activate(op.act, a) * b).collect())
    };
    (0..rows).map(one).collect()
}
