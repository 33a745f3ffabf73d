//! The best of each row's elements, and the row's log-sum-exp.

use std::cmp::Ordering;

use super::{Float, Piece, Place, Tensor};
use crate::kernel::Topk;

pub(super) fn run<F: Float>(op: &Topk<Place>, rows: usize, tensors: &[Tensor<F>]) -> Vec<Piece<F>> {
    let one = |row| {
        let x = op.x.row(tensors, row);
        let best = &descending(x)[..op.values.view.cols];
        let words = Tensor::Words(best.iter().map(|&j| j as u32).collect());
        let ids = Piece { tensor: op.ids.tensor, start: op.ids.start(row), values: words };
        let lse = op.lse.map(|lse| lse.piece(row, 0, vec![log_sum_exp(x, F::of(op.scale.into()))]));
        [Some(op.values.piece(row, 0, best.iter().map(|&j| x[j]).collect())), Some(ids), lse]
    };
    (0..rows).flat_map(one).flatten().collect()
}

/// All columns: those of NaNs, then by value, equals in their order.
fn descending<F: Float>(x: &[F]) -> Vec<usize> {
    let mut columns: Vec<usize> = (0..x.len()).collect();
    columns.sort_by(|&a, &b| match (x[a].is_nan(), x[b].is_nan()) {
        (false, false) => x[b].partial_cmp(&x[a]).unwrap_or(Ordering::Equal),
        (a, b) => b.cmp(&a),
    });
    columns
}

fn log_sum_exp<F: Float>(x: &[F], scale: F) -> F {
    let scaled: Vec<F> = x.iter().map(|&v| scale * v).collect();
    let top = scaled.iter().copied().fold(scaled[0], F::max);
    top + scaled.iter().fold(F::zero(), |sum, &v| sum + (v - top).exp()).ln()
}
