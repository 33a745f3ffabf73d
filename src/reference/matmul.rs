//! y = act(x . W^T + bias) + residual.

use super::activation::activate;
use super::{Float, Piece, Place, Tensor, parallel};
use crate::kernel::{Layout, Matmul};

pub(super) fn run<F: Float>(op: &Matmul<Place>, rows: usize, tensors: &[Tensor<F>]) -> Vec<Piece<F>> {
    parallel(rows * op.batch.count, |i| {
        let (batch, m) = (i / rows, i % rows);
        let values = (0..op.y.view.cols).map(|n| element(op, batch, m, n, tensors)).collect();
        let mut piece = op.y.piece(m, 0, values);
        piece.start += batch * op.batch.y;
        piece
    })
}

fn element<F: Float>(op: &Matmul<Place>, batch: usize, m: usize, n: usize, tensors: &[Tensor<F>]) -> F {
    let depth = op.x.view.cols;
    let x = &tensors[op.x.tensor].floats()[op.x.start(m) + batch * op.batch.x..][..depth];
    let w = &tensors[op.w.tensor].floats()[op.w.view.offset + batch * op.batch.w..];
    let stride = op.w.view.stride;
    let mut sum = F::zero();
    match op.layout {
        Layout::Kn => x.iter().enumerate().for_each(|(k, &a)| sum = sum + a * w[k * stride + n]),
        _ => x.iter().zip(&w[n * stride..][..depth]).for_each(|(&a, &b)| sum = sum + a * b),
    }
    if let Some(bias) = &op.bias {
        sum = sum + bias.row(tensors, 0)[n];
    }
    let y = activate(op.act, sum);
    match &op.residual {
        Some(residual) => y + residual.row(tensors, m)[n],
        None => y,
    }
}
