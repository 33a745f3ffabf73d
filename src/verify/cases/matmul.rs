use super::{Case, ROOM, SIZES, matrix, pairwise};
use crate::graph::step::Step;
use crate::kernel::{Batch, Layout, Matmul, Role, View};
use crate::model::arch::Activation::{Gelu, GeluTanh, None as Plain, Relu, Silu, Tanh};
use crate::weights::DType::{BF16, F16, F32};

pub(super) fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for (i, &m) in SIZES.iter().enumerate() {
        let (n, k) = (SIZES[8 - i], SIZES[(i + 4) % 9]);
        cases.push(Case::rows(format!("{m}x{n}x{k}"), plain(m, n, k)));
    }
    for (m, n, k) in [(1, 1, 1), (1, 1025, 65), (2, 3, 1025), (130, 66, 130)] {
        cases.push(Case::rows(format!("{m}x{n}x{k} at odd places"), plain(m, n, k)).odd());
    }
    // Rows of whole quads: of x and y, of x alone; in part also above, where N is 64 and K is not.
    for (m, n, k) in [(33, 68, 36), (5, 65, 64), (1, 132, 260)] {
        cases.push(Case::rows(format!("{m}x{n}x{k}"), plain(m, n, k)));
    }
    // Enough columns for higher tiles; in whole quads and not.
    for (m, n, k) in [(37, 1537, 65), (40, 1540, 36), (65, 3073, 35), (65, 3076, 36)] {
        cases.push(Case::rows(format!("{m}x{n}x{k}"), plain(m, n, k)).large());
    }
    let (m, n, k) = (33, 68, 36);
    let all = Matmul { bias: Some(matrix(1, n)), residual: Some(matrix(m, n)), act: Gelu, ..plain(m, n, k) };
    cases.push(Case::rows(format!("{m}x{n}x{k} with bias and residual"), all));
    // Rows that share what is read of w.
    for (dtype, m, n, k) in [(F16, 4, 68, 36), (F32, 5, 2049, 33), (BF16, 6, 67, 520)] {
        let w = View::dense(n, k, dtype);
        let op = Matmul { w, residual: Some(matrix(m, n)), role: Role::Decode, ..plain(m, n, k) };
        cases.push(Case::rows(format!("{m}x{n}x{k} {dtype}, decoding"), op));
    }
    cases.extend(options());
    cases.extend(batches());
    cases.push(Case::many(plain(ROOM, 2, 3)));
    cases.push(Case::new("fewer rows than there is room for", plain(40, 67, 33), Step::rows(19)).odd());
    let decoding = Matmul { role: Role::Decode, ..plain(9, 67, 33) };
    cases.push(Case::new("decoding fewer rows than there is room for", decoding, Step::rows(6)).odd());
    // So many columns that a packed weight has another stack of them.
    for k in [1, 32] {
        cases.push(Case::rows(format!("1x131100x{k}"), plain(1, 131_100, k)).large());
    }
    for size in [1e4, 1e-20] {
        cases.push(Case::rows(format!("x around {size:e}"), plain(3, 65, 97)).around("x", 0.0, size));
    }
    cases.push(Case::rows("both small", plain(3, 65, 97)).around("x", 0.0, 1e-20).around("w", 0.0, 1e-20));
    cases.push(Case::rows("a NaN in x", plain(5, 67, 33)).special("x", 1, 32, f32::NAN));
    cases.push(Case::rows("a NaN in w", plain(5, 67, 33)).special("w", 66, 0, f32::NAN));
    cases.push(Case::rows("no rows", plain(0, 5, 3)));
    cases
}

fn plain(m: usize, n: usize, k: usize) -> Matmul<View> {
    Matmul::new(matrix(m, k), matrix(n, k), matrix(m, n))
}

/// Activations, weight types, layouts, bias, residual, rows and whole quads, in pairs.
fn options() -> impl Iterator<Item = Case> {
    const ACTS: [crate::model::arch::Activation; 6] = [Plain, Relu, Gelu, GeluTanh, Silu, Tanh];
    pairwise(&[6, 3, 2, 2, 2, 3, 2]).into_iter().map(|row| {
        // With large weights few rows have a tile of their number.
        let (m, large) = [(1, true), (5, true), (35, false)][row[5]];
        let (n, k) = if large { [(1027, 131), (1028, 132)] } else { [(67, 33), (68, 36)] }[row[6]];
        let (act, dtype, kn) = (ACTS[row[0]], [F32, F16, BF16][row[1]], row[2] == 1);
        let w = if kn { View::dense(k, n, dtype) } else { View::dense(n, k, dtype) };
        let op = Matmul {
            w,
            bias: (row[3] == 1).then(|| matrix(1, n)),
            residual: (row[4] == 1).then(|| matrix(m, n)),
            act,
            layout: if kn { Layout::Kn } else { Layout::Nk },
            ..plain(m, n, k)
        };
        let name = format!("{act:?} {dtype} {:?} bias {} residual {} {m}x{n}x{k}", op.layout, row[3], row[4]);
        let case = Case::rows(name, op);
        if row[6] == 0 { case.odd() } else { case }
    })
}

fn batches() -> [Case; 5] {
    let (m, n, k) = (7, 66, 13);
    let batch = |x, w, y| Batch { count: 3, x, w, y };
    let scores = Matmul { batch: batch(m * k, n * k, m * n), ..plain(m, n, k) };
    let (tall, wide) = (64, 128);
    let whole = Matmul { batch: batch(tall * k, wide * k, tall * wide), ..plain(tall, wide, k) };
    let quads = Matmul { batch: batch(tall * 36, wide * 36, tall * wide), ..plain(tall, wide, 36) };
    let shared = Matmul { batch: batch(m * k, 0, m * n), ..plain(m, n, k) };
    // Heads side by side in a row, as attention without a fused kernel has them.
    let heads = Matmul {
        x: View { stride: 3 * k, ..matrix(m, k) },
        w: View { stride: 3 * n, ..matrix(k, n) },
        layout: Layout::Kn,
        batch: batch(k, n, m * n + 5),
        ..plain(m, n, k)
    };
    [
        Case::rows("three products", scores),
        Case::rows("three products of whole tiles", whole),
        Case::rows("three products of whole quads", quads),
        Case::rows("three products of one weight", shared),
        Case::rows("three products of interleaved heads", heads),
    ]
}
