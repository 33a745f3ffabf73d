use super::{Case, MANY, Random, matrix, pairwise};
use crate::graph::step::Step;
use crate::kernel::{Qkv, View};

const TOKENS: usize = 9;
const SLOTS: usize = 14;

pub(super) fn cases() -> Vec<Case> {
    let mut cases: Vec<_> = options().collect();
    for d in [1, 2, 3, 59, 64, 65, 97, 111, 256] {
        cases.push(case(format!("heads of {d}"), with_all(2, 1, d, d / 2 * 2)));
    }
    for size in [1e4, 1e-20] {
        cases.push(case(format!("x around {size:e}"), with_all(2, 1, 64, 64)).around("x", 0.0, size));
    }
    cases.push(case("a NaN".into(), with_all(2, 1, 64, 32)).special("x", 3, 63, f32::NAN));
    // As many elements a row as workgroups have invocations, and one more.
    for (heads, d) in [(2, 32), (1, 43)] {
        cases.push(case(format!("{heads} heads of {d}, plain"), qkv(TOKENS, SLOTS, heads, 1, d)));
    }
    // A group for a row, or for each of its five heads: an odd number in all; a group too many would write a query.
    for (name, tokens, normed) in [("many rows", MANY, false), ("many heads", 13_201, true)] {
        let mut step = Step::packed(&[tokens]);
        step.slots = Random::new(name).shuffle(tokens);
        let q_norm = normed.then(|| matrix(1, 3));
        cases.push(Case::new(name, Qkv { q_norm, ..qkv(tokens + 1, tokens, 3, 1, 3) }, step).large());
    }
    cases
}

fn qkv(tokens: usize, slots: usize, heads: usize, kv_heads: usize, head_dim: usize) -> Qkv<View> {
    Qkv {
        x: matrix(tokens, (heads + 2 * kv_heads) * head_dim),
        q_norm: None,
        k_norm: None,
        rope: None,
        q: matrix(tokens, heads * head_dim),
        cache: matrix(slots, 2 * kv_heads * head_dim),
        heads,
        kv_heads,
        head_dim,
        eps: 1e-6,
        interleaved: false,
    }
}

fn with_all(heads: usize, kv_heads: usize, d: usize, rotary: usize) -> Qkv<View> {
    let norm = Some(matrix(1, d));
    let rope = (rotary > 0).then(|| matrix(6, rotary));
    Qkv { q_norm: norm, k_norm: norm, rope, ..qkv(TOKENS, SLOTS, heads, kv_heads, d) }
}

fn options() -> impl Iterator<Item = Case> {
    pairwise(&[2, 2, 3, 2, 3]).into_iter().map(|row| {
        let (heads, kv_heads) = [(4, 4), (4, 2), (3, 1)][row[4]];
        let d = 38;
        let rope = [None, Some(matrix(6, d)), Some(matrix(6, 10))][row[2]];
        let norm = |on: usize| (on == 1).then(|| matrix(1, d));
        let interleaved = row[3] == 1;
        let op = Qkv {
            q_norm: norm(row[0]),
            k_norm: norm(row[1]),
            rope,
            interleaved,
            ..qkv(TOKENS, SLOTS, heads, kv_heads, d)
        };
        let rotary = rope.map_or(0, |v| v.cols);
        let name = format!(
            "q norm {} k norm {} rotary {rotary} interleaved {interleaved} heads {heads}/{kv_heads}",
            row[0], row[1]
        );
        case(name, op).odd()
    })
}

/// Nine tokens of two sequences, some positions beyond the table, slots in no order.
fn case(name: String, op: Qkv<View>) -> Case {
    let mut step = Step::packed(&[3]);
    step.push(&[0, 2, 5, 6, u32::MAX, 1]);
    step.slots = Random::new("slots").shuffle(SLOTS)[..TOKENS].to_vec();
    Case::new(name, op, step)
}
