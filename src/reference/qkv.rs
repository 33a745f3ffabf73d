//! What happens to queries, keys and values between their matmul and attention.

use super::norm::rms_norm;
use super::{Float, Piece, Place, Tensor, entry};
use crate::graph::step::Step;
use crate::kernel::Qkv;

pub(super) fn run<F: Float>(op: &Qkv<Place>, step: &Step, rows: usize, tensors: &[Tensor<F>]) -> Vec<Piece<F>> {
    let heads = op.heads + 2 * op.kv_heads;
    (0..rows)
        .flat_map(|row| (0..heads).map(move |h| (row, h)))
        .map(|(row, h)| head(op, step, row, h, tensors))
        .collect()
}

/// One head of a token: queries go to `q`, keys and values to the token's slot.
fn head<F: Float>(op: &Qkv<Place>, step: &Step, row: usize, h: usize, tensors: &[Tensor<F>]) -> Piece<F> {
    let d = op.head_dim;
    let (is_query, is_value) = (h < op.heads, h >= op.heads + op.kv_heads);
    let mut x = op.x.row(tensors, row)[h * d..][..d].to_vec();
    let norm = if is_query { &op.q_norm } else { &op.k_norm };
    if let (Some(weight), false) = (norm, is_value) {
        x = rms_norm(&x, op.eps).iter().zip(weight.row(tensors, 0)).map(|(&x, &w)| x * w).collect();
    }
    if let (Some(rope), false) = (&op.rope, is_value) {
        let position = (entry(&step.positions, row) as usize).min(rope.view.rows - 1);
        rotate(&mut x, rope.row(tensors, position), op.interleaved);
    }
    if is_query {
        return op.q.piece(row, h * d, x);
    }
    // Without slots, a token's key lies in its own row.
    let slot = step.slots.get(row).map_or(row, |&slot| slot as usize).min(op.cache.view.rows - 1);
    op.cache.piece(slot, (h - op.heads) * d, x)
}

/// Turns pairs of x by the angles whose cosines and then sines are given; elements past them stay.
fn rotate<F: Float>(x: &mut [F], angles: &[F], interleaved: bool) {
    let (cos, sin) = angles.split_at(angles.len() / 2);
    for i in 0..cos.len() {
        let (a, b) = if interleaved { (2 * i, 2 * i + 1) } else { (i, i + cos.len()) };
        (x[a], x[b]) = (x[a] * cos[i] - x[b] * sin[i], x[b] * cos[i] + x[a] * sin[i]);
    }
}
