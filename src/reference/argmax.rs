//! The column of each row's greatest element.

use super::{Float, Piece, Place, Tensor};
use crate::kernel::Argmax;

pub(super) fn run<F: Float>(op: &Argmax<Place>, rows: usize, tensors: &[Tensor<F>]) -> Vec<Piece<F>> {
    let one = |row| {
        let id = greatest(op.x.row(tensors, row)) as u32;
        Piece { tensor: op.ids.tensor, start: op.ids.start(row), values: Tensor::Words(vec![id]) }
    };
    (0..rows).map(one).collect()
}

/// The first NaN, or else the first of the greatest.
fn greatest<F: Float>(x: &[F]) -> usize {
    let mut best = 0;
    for (j, &value) in x.iter().enumerate() {
        if !x[best].is_nan() && (value.is_nan() || value > x[best]) {
            best = j;
        }
    }
    best
}
