//! Multi-head attention: softmax(similarity(q, k) + bias) . v over the keys that a query may see.

use super::softmax::softmax;
use super::{Float, Piece, Place, Tensor, entry, parallel};
use crate::graph::step::{Span, Step};
use crate::kernel::{Attention, Keys, Similarity};

pub(super) fn run<F: Float>(op: &Attention<Place>, step: &Step, tensors: &[Tensor<F>]) -> Vec<Piece<F>> {
    let queries: Vec<_> = step.spans.iter().flat_map(|span| (0..span.len as usize).map(move |i| (span, i))).collect();
    let heads = parallel(queries.len(), |at| {
        let (span, i) = queries[at];
        (0..op.heads).map(|h| head(op, step, span, i, h, tensors)).collect::<Vec<_>>()
    });
    heads.into_iter().flatten().flatten().collect()
}

/// One query row and head.
fn head<F: Float>(
    op: &Attention<Place>,
    step: &Step,
    span: &Span,
    i: usize,
    h: usize,
    tensors: &[Tensor<F>],
) -> Vec<Piece<F>> {
    let query = span.start as usize + i;
    let columns = |head: usize| head * op.head_dim..(head + 1) * op.head_dim;
    let q = &op.q.row(tensors, query)[columns(h)];
    let kv = columns(h / (op.heads / op.kv_heads));
    let keys: Vec<usize> = (0..key_count(op, span)).filter(|&j| allowed(op, step, span, i, j)).collect();
    let score = |&j: &usize| {
        let k = &op.k.row(tensors, key_row(op, step, span, j))[kv.clone()];
        similarity(op, q, k) + bias(op, step, span, h, i, j, tensors)
    };
    let weights = softmax(&keys.iter().map(score).collect::<Vec<_>>());
    let mut pieces = Vec::new();
    if let Some(out) = &op.weights {
        let most = out.view.cols / op.heads;
        let mut row = vec![F::zero(); most];
        keys.iter().zip(&weights).filter(|(j, _)| **j < most).for_each(|(&j, &w)| row[j] = w);
        pieces.push(out.piece(query, h * most, row));
    }
    if let Some(y) = &op.y {
        let mut row = vec![F::zero(); op.head_dim];
        for (&j, &weight) in keys.iter().zip(&weights) {
            let v = &op.v.row(tensors, key_row(op, step, span, j))[kv.clone()];
            row.iter_mut().zip(v).for_each(|(y, &v)| *y = *y + weight * v);
        }
        pieces.push(y.piece(query, h * op.head_dim, row));
    }
    pieces
}

fn dot<F: Float>(a: &[F], b: &[F]) -> F {
    a.iter().zip(b).fold(F::zero(), |sum, (&a, &b)| sum + a * b)
}

fn similarity<F: Float>(op: &Attention<Place>, q: &[F], k: &[F]) -> F {
    let product = F::of(op.scale.into()) * dot(q, k);
    let length = |x: &[F]| dot(x, x).sqrt().max(F::of(1e-8));
    match op.similarity {
        Similarity::Dot => product,
        Similarity::Cosine => product / (length(q) * length(k)),
    }
}

fn key_count(op: &Attention<Place>, span: &Span) -> usize {
    match op.keys {
        Keys::Own => span.len as usize,
        Keys::Memory => span.memory_len as usize,
        Keys::Table => span.keys as usize,
    }
}

/// Where key j lies; slots beyond the cache count as its last.
fn key_row(op: &Attention<Place>, step: &Step, span: &Span, j: usize) -> usize {
    match op.keys {
        Keys::Own => span.start as usize + j,
        Keys::Memory => span.memory_start as usize + j,
        Keys::Table => (entry(&step.table, span.table as usize + j) as usize).min(op.k.view.rows - 1),
    }
}

/// Positions of query i and key j, from which windows and biases count.
fn positions(op: &Attention<Place>, step: &Step, span: &Span, i: usize, j: usize) -> (i64, i64) {
    let original = |i: usize| i64::from(entry(&step.positions, span.start as usize + i));
    match op.keys {
        Keys::Own => (original(i), original(j)),
        Keys::Memory => (i as i64, j as i64),
        Keys::Table => (i64::from(span.keys - span.len) + i as i64, j as i64),
    }
}

fn allowed(op: &Attention<Place>, step: &Step, span: &Span, i: usize, j: usize) -> bool {
    // With the table, the step's queries are the last of the sequence's positions.
    let last = if op.keys == Keys::Table { (span.keys - span.len) as usize + i } else { i };
    let (query, key) = positions(op, step, span, i, j);
    (!op.causal || j <= last) && op.window.is_none_or(|window| (query - key).abs() <= i64::from(window))
}

fn bias<F: Float>(
    op: &Attention<Place>,
    step: &Step,
    span: &Span,
    h: usize,
    i: usize,
    j: usize,
    tensors: &[Tensor<F>],
) -> F {
    let Some(bias) = &op.bias else { return F::zero() };
    let (query, key) = positions(op, step, span, i, j);
    let reach = (bias.view.cols / 2) as i64;
    bias.row(tensors, h)[((key - query).clamp(-reach, reach) + reach) as usize]
}
