//! One vector for each sequence.

use super::{Float, Piece, Place, Tensor};
use crate::graph::step::{Span, Step};
use crate::kernel::Pool;
use crate::model::arch::PoolMode;

pub(super) fn run<F: Float>(op: &Pool<Place>, step: &Step, tensors: &[Tensor<F>]) -> Vec<Piece<F>> {
    let one = |(sequence, span): (usize, &Span)| {
        let mut y: Vec<F> = (0..op.y.view.cols).map(|j| pooled(op, span, j, tensors)).collect();
        if op.normalize {
            let square = y.iter().fold(F::zero(), |sum, &v| sum + v * v);
            let length = square.sqrt().max(F::of(1e-12));
            y.iter_mut().for_each(|v| *v = *v / length);
        }
        op.y.piece(sequence, 0, y)
    };
    step.spans.iter().enumerate().map(one).collect()
}

/// Column j of a sequence's vector; an empty sequence has zeros.
fn pooled<F: Float>(op: &Pool<Place>, span: &Span, j: usize, tensors: &[Tensor<F>]) -> F {
    let mut column = (0..span.len as usize).map(|i| op.x.row(tensors, span.start as usize + i)[j]);
    let value = match op.mode {
        PoolMode::Mean if span.len > 0 => Some(column.fold(F::zero(), |sum, v| sum + v) / F::of(span.len.into())),
        PoolMode::Mean => None,
        PoolMode::Cls => column.next(),
        PoolMode::Max => column.reduce(F::max),
        PoolMode::Last => column.next_back(),
    };
    value.unwrap_or(F::zero())
}
