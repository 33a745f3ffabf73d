//! What an op costs at least, whoever computes it.

use super::Ceilings;
use crate::graph::step::Step;
use crate::kernel::{Access, Attention, Keys, Op, Role, View};

/// Operations: a multiply-add of a matmul or of attention counts as two, nothing else counts.
pub(super) fn flops(op: &Op<View>, step: &Step) -> f64 {
    match op {
        Op::Matmul(op) => 2.0 * (op.batch.count * op.x.rows * op.y.cols) as f64 * op.x.cols as f64,
        Op::Attention(op) => 4.0 * (op.heads * op.head_dim) as f64 * pairs(op, step),
        _ => 0.0,
    }
}

/// Queries times the keys that they are compared with, masks aside.
fn pairs(op: &Attention<View>, step: &Step) -> f64 {
    let keys = |span: &crate::graph::Span| match op.keys {
        Keys::Own => span.len,
        Keys::Memory => span.memory_len,
        Keys::Table => span.keys,
    };
    step.spans.iter().map(|span| f64::from(span.len) * f64::from(keys(span))).sum()
}

/// What an op must move, in bytes, and how much of it is written; none for what is bound by multiply-adds.
pub(super) fn bytes(op: &Op<View>) -> Option<(f64, f64)> {
    let role = match op {
        Op::Matmul(op) => op.role,
        Op::Attention(op) => op.role,
        _ => Role::Decode,
    };
    if role != Role::Decode {
        return None;
    }
    let size = |view: &View| (view.rows * view.cols * view.dtype.size()) as f64;
    let args = op.args();
    let all = |access| args.iter().filter(|a| a.access == access).map(|a| size(a.handle)).sum::<f64>();
    let (mut read, mut written) = (all(Access::Read), all(Access::Write));
    // A row of each table for each token, however large the tables are.
    match op {
        Op::Embed(op) => {
            let tables = 1 + usize::from(op.position.is_some()) + usize::from(op.kind.is_some());
            read = (op.y.rows * (4 + tables * op.y.cols * op.word.dtype.size())) as f64;
        }
        Op::Qkv(op) => {
            let beyond = |table: &View| size(&View { rows: table.rows.saturating_sub(op.q.rows), ..*table });
            read -= op.rope.as_ref().map_or(0.0, beyond);
            written -= beyond(&op.cache);
        }
        _ => {}
    }
    Some((read + written, written))
}

/// The ceiling of what moves memory, in 10^9 bytes a second: reading for what writes next to nothing, else copying.
pub(super) fn memory_ceiling((all, written): (f64, f64), ceilings: &Ceilings) -> f64 {
    if written < all / 10.0 { ceilings.read_gbps } else { ceilings.copy_gbps }
}
