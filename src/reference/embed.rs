//! Ids to rows.

use super::{Float, Piece, Place, Tensor, entry};
use crate::graph::step::Step;
use crate::kernel::Embed;

pub(super) fn run<F: Float>(op: &Embed<Place>, step: &Step, rows: usize, tensors: &[Tensor<F>]) -> Vec<Piece<F>> {
    (0..rows).filter_map(|row| one(op, step, row, tensors)).collect()
}

/// One row, unless another shard holds its id. What is beyond a table counts as its last row.
fn one<F: Float>(op: &Embed<Place>, step: &Step, row: usize, tensors: &[Tensor<F>]) -> Option<Piece<F>> {
    let id = (op.ids.word(tensors, row) as usize).min(op.vocab - 1).checked_sub(op.base)?;
    if id >= op.word.view.rows {
        return None;
    }
    let scale = F::of(op.scale.into());
    let mut y: Vec<F> = op.word.row(tensors, id).iter().map(|&w| scale * w).collect();
    for (table, list) in [(&op.position, &step.positions), (&op.kind, &step.types)] {
        let Some(table) = table else { continue };
        let at = (entry(list, row) as usize).min(table.view.rows - 1);
        y.iter_mut().zip(table.row(tensors, at)).for_each(|(y, &t)| *y = *y + t);
    }
    Some(op.y.piece(row, 0, y))
}
