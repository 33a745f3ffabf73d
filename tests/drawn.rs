//! Shapes, places and options beyond the list of cases, drawn at random and judged as `verify` judges.
//!
//! The draws are the same on every machine and every run. `WGFORMER_DRAWS` asks for more rounds than the two that an
//! everyday run takes; a round draws an op's options once, since each costs compiling, and several shapes with them.

mod common;

use common::Random;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use wgformer::blocking::block_on;
use wgformer::kernel::{
    Argmax, Attention, Batch, Embed, Gate, Keys, Layout, Matmul, Norm, Op, Pool, Qkv, Similarity, Softmax, Topk, View,
};
use wgformer::model::arch::Activation::{self, Gelu, GeluTanh, None as Plain, Relu, Silu, Tanh};
use wgformer::model::arch::PoolMode;
use wgformer::verify::cases::Case;
use wgformer::verify::verify_cases;
use wgformer::weights::DType::{self, BF16, F16, F32};
use wgformer::{Step, kernel};

/// Shapes drawn for each choice of options.
const SHAPES: usize = 6;

/// Where an argument lies: elements before it, elements between its rows, and whether both are whole quads.
type Place = (usize, usize, bool);

fn places() -> impl Strategy<Value = Vec<Place>> {
    vec((0..150usize, 0..7usize, any::<bool>()), 9)
}

/// Sizes of any kind, and whole quads, which have kernels of their own.
fn size(most: usize) -> impl Strategy<Value = usize> {
    prop_oneof![1..=most, (1..=most / 4).prop_map(|n| 4 * n)]
}

/// Numbers of ordinary size, and far from it.
fn spread() -> impl Strategy<Value = f32> {
    prop_oneof![3 => Just(1.0f32), 1 => (-12..4i32).prop_map(|e| 10f32.powi(e))]
}

fn dtype() -> impl Strategy<Value = DType> {
    prop_oneof![Just(F32), Just(F16), Just(BF16)]
}

fn activation() -> impl Strategy<Value = Activation> {
    prop_oneof![Just(Plain), Just(Relu), Just(Gelu), Just(GeluTanh), Just(Silu), Just(Tanh)]
}

/// Lengths of sequences, some of them empty.
fn lengths() -> impl Strategy<Value = Vec<usize>> {
    vec(prop_oneof![0..3usize, 0..90usize], 1..6)
}

fn matrix(rows: usize, cols: usize) -> View {
    View::dense(rows, cols, F32)
}

fn placed(mut case: Case, places: &[Place]) -> Case {
    let mut next = places.iter().cycle();
    case.op = case.op.map(&mut |view| {
        let &(offset, gap, quads) = next.next().expect("a cycle");
        let (offset, stride) = match quads {
            true => (offset / 4 * 4, view.cols.next_multiple_of(4) + gap / 4 * 4),
            false => (offset, view.cols + gap),
        };
        View { offset, stride, ..*view }
    });
    case.name = format!("{:?}", case.op);
    case
}

fn holds(op: &'static str, draws: impl Strategy<Value = Vec<Case>>) {
    assert!(kernel::ALL.contains(&op));
    let rounds = std::env::var("WGFORMER_DRAWS").map_or(2, |n| n.parse().expect("WGFORMER_DRAWS is a number"));
    let config = Config { cases: rounds, max_shrink_iters: 30, failure_persistence: None, ..Config::default() };
    let mut runner = TestRunner::new_with_rng(config, TestRng::deterministic_rng(RngAlgorithm::ChaCha));
    let gpu = common::context();
    let result = runner.run(&draws, |cases| {
        let report = block_on(&gpu, verify_cases(&gpu, vec![(op, cases)], &mut |_| {})).expect("the device runs");
        prop_assert!(report.passed(), "{report}");
        Ok(())
    });
    if let Err(failure) = result {
        panic!("{failure}");
    }
}

#[test]
fn matmul() {
    let options = (activation(), dtype(), any::<[bool; 3]>());
    holds(
        "matmul",
        options.prop_flat_map(|(act, dtype, [kn, bias, residual])| {
            let shape = (prop_oneof![1..=9usize, size(70)], size(150), size(200), 1..=3usize, spread(), places());
            let draw = move |(m, n, k, count, spread, places): (usize, usize, usize, usize, f32, Vec<Place>)| {
                let w = if kn { View::dense(k, n, dtype) } else { View::dense(n, k, dtype) };
                let bias = bias.then(|| matrix(1, n));
                let residual = residual.then(|| matrix(m, n));
                let layout = if kn { Layout::Kn } else { Layout::Nk };
                let op = Matmul { bias, residual, act, layout, ..Matmul::new(matrix(m, k), w, matrix(m, n)) };
                let mut case = placed(Case::rows("", op), &places).around("x", 0.0, spread);
                if let Op::Matmul(op) = &mut case.op {
                    // Products lie one after the other; some share their weight.
                    let after = |v: &View| v.rows * v.stride + count;
                    let w = if count == 3 { 0 } else { after(&op.w) };
                    let alone = op.bias.is_some() || op.residual.is_some();
                    let count = if alone { 1 } else { count };
                    op.batch = Batch { count, x: after(&op.x), w, y: after(&op.y) };
                }
                case
            };
            vec(shape.prop_map(draw), SHAPES)
        }),
    );
}

#[test]
fn softmax() {
    holds(
        "softmax",
        any::<[bool; 2]>().prop_flat_map(|[lengths, causal]| {
            let shape = (0..90usize, size(400), any::<u32>(), -3f32..3.0, vec(0..450u32, 7), spread(), places());
            let draw =
                move |(rows, cols, group, scale, words, spread, places): (_, usize, u32, _, Vec<u32>, _, Vec<_>)| {
                    let lengths = lengths.then(|| View::dense(rows, 1, DType::U32));
                    let causal = causal.then(|| 1 + group % cols as u32);
                    let op = Softmax { lengths, causal, scale, ..Softmax::new(matrix(rows, cols), matrix(rows, cols)) };
                    placed(Case::rows("", op), &places).around("x", 0.0, spread).words("lengths", &words)
                };
            vec(shape.prop_map(draw), SHAPES)
        }),
    );
}

#[test]
fn norm() {
    holds(
        "norm",
        any::<[bool; 5]>().prop_flat_map(|[rms, residual, weight, bias, sum]| {
            let shape = (0..90usize, size(500), -12..-2i32, -5f32..5.0, spread(), places());
            let draw = move |(rows, cols, eps, mean, spread, places): (usize, usize, i32, f32, f32, Vec<Place>)| {
                let has = |on: bool, rows| on.then(|| matrix(rows, cols));
                let op = Norm {
                    rms,
                    residual: has(residual, rows),
                    weight: has(weight, 1),
                    bias: has(bias, 1),
                    sum: has(sum, rows),
                    ..Norm::new(matrix(rows, cols), matrix(rows, cols), 10f32.powi(eps))
                };
                placed(Case::rows("", op), &places).around("x", mean * spread, spread)
            };
            vec(shape.prop_map(draw), SHAPES)
        }),
    );
}

/// Sequences with holes in their positions, with memories of other lengths or in a cache of slots.
fn step(keys: Keys, lengths: &[usize], seed: u64) -> (Step, usize) {
    let mut random = Random(seed);
    let (mut step, mut slots) = (Step::default(), 0);
    match keys {
        Keys::Own => {
            for &length in lengths {
                let hole = 1 + random.below(5) as u32;
                step.push(&(0..length as u32).map(|i| i + i / hole).collect::<Vec<_>>());
            }
            slots = step.tokens() as usize;
        }
        Keys::Memory => {
            let memory: Vec<usize> = lengths.iter().map(|_| random.below(90)).collect();
            step = Step::packed(lengths).with_memory(&memory);
            slots = step.memory() as usize;
        }
        Keys::Table => {
            for &length in lengths {
                let cached = length + random.below(60);
                let turn = random.below(cached.max(1));
                step.push_cached(
                    length,
                    &(0..cached).map(|i| (slots + (i + turn) % cached) as u32).collect::<Vec<_>>(),
                );
                slots += cached;
            }
        }
    }
    (step, slots.max(1))
}

#[test]
fn attention() {
    let keys = prop_oneof![Just(Keys::Own), Just(Keys::Memory), Just(Keys::Table)];
    let alike = prop_oneof![3 => Just(Similarity::Dot), 1 => Just(Similarity::Cosine)];
    let options = (keys, alike, any::<[bool; 4]>(), 0..3usize);
    holds(
        "attention",
        options.prop_flat_map(|(keys, similarity, [causal, window, bias, tapped], bucket)| {
            // Widths of one bucket have one kernel.
            let head_dim = [1..=16usize, 17..=32, 49..=64][bucket].clone();
            let shape = (lengths(), head_dim, 1..=3usize, 1..=3usize, any::<u64>(), spread(), places());
            let draw = move |(lengths, d, group, kv_heads, seed, spread, places): (Vec<_>, _, _, _, u64, _, Vec<_>)| {
                let (step, rows) = step(keys, &lengths, seed);
                let (heads, tokens) = (group * kv_heads, step.tokens() as usize);
                let (q, kv) = (matrix(tokens, heads * d), matrix(rows, kv_heads * d));
                let reach = 1 + (seed % 40) as usize;
                let mut op = Attention {
                    kv_heads,
                    keys,
                    similarity,
                    causal,
                    window: window.then_some((seed >> 8) as u32 % 70),
                    bias: bias.then(|| matrix(heads, 2 * reach + 1)),
                    ..Attention::new(q, kv, kv, q, heads, d)
                };
                if tapped {
                    (op.y, op.weights) = (None, Some(matrix(tokens, heads * (reach + 5))));
                }
                placed(Case::new("", op, step), &places).around("q", 0.0, spread)
            };
            vec(shape.prop_map(draw), SHAPES)
        }),
    );
}

#[test]
fn embed() {
    let table = || prop::option::of(dtype());
    holds(
        "embed",
        (dtype(), table(), table()).prop_flat_map(|(word, position, kind)| {
            let ids = vec(prop_oneof![3 => 0..60u32, 1 => any::<u32>()], 1..90);
            let shape = (ids, 1..60usize, size(300), any::<[usize; 2]>(), 0..40usize, -9f32..9.0, places());
            let draw =
                move |(ids, vocab, cols, part, rows, scale, places): (Vec<u32>, _, _, [usize; 2], _, _, Vec<_>)| {
                    let base = part[0] % vocab;
                    let held = 1 + part[1] % (vocab - base);
                    let op = Embed {
                        ids: View::dense(ids.len(), 1, DType::U32),
                        word: View::dense(held, cols, word),
                        position: position.map(|dtype| View::dense(1 + rows, cols, dtype)),
                        kind: kind.map(|dtype| View::dense(1 + rows % 3, cols, dtype)),
                        y: matrix(ids.len(), cols),
                        scale,
                        vocab,
                        base,
                        layout: Layout::Nk,
                    };
                    let mut step = Step::packed(&[ids.len() / 2, ids.len() - ids.len() / 2]);
                    step.types = ids.iter().map(|id| id % 5).collect();
                    placed(Case::new("", op, step), &places).words("ids", &ids)
                };
            vec(shape.prop_map(draw), SHAPES)
        }),
    );
}

#[test]
fn gate() {
    holds(
        "gate",
        activation().prop_flat_map(|act| {
            let shape = (0..90usize, size(600), -3f32..3.0, spread(), places());
            let draw = move |(rows, cols, mean, spread, places): (usize, usize, f32, f32, Vec<Place>)| {
                let op = Gate { x: matrix(rows, 2 * cols), y: matrix(rows, cols), act };
                placed(Case::rows("", op), &places).around("x", mean, spread)
            };
            vec(shape.prop_map(draw), SHAPES)
        }),
    );
}

#[test]
fn qkv() {
    holds(
        "qkv",
        any::<[bool; 4]>().prop_flat_map(|[q_norm, k_norm, rope, interleaved]| {
            let shape = (lengths(), size(256), 1..=3usize, 1..=2usize, any::<u64>(), spread(), places());
            let draw = move |(lengths, d, group, kv_heads, seed, spread, places): (Vec<_>, _, _, _, u64, _, Vec<_>)| {
                let (step, slots) = step(Keys::Table, &lengths, seed);
                let (heads, tokens) = (group * kv_heads, step.tokens() as usize);
                let rotary = (seed as usize % (d + 1)) / 2 * 2;
                let op = Qkv {
                    x: matrix(tokens, (heads + 2 * kv_heads) * d),
                    q_norm: q_norm.then(|| matrix(1, d)),
                    k_norm: k_norm.then(|| matrix(1, d)),
                    rope: (rope && rotary > 0).then(|| matrix(1 + (seed >> 20) as usize % 90, rotary)),
                    q: matrix(tokens, heads * d),
                    cache: matrix(slots, 2 * kv_heads * d),
                    heads,
                    kv_heads,
                    head_dim: d,
                    eps: 1e-5,
                    interleaved,
                };
                placed(Case::new("", op, step), &places).around("x", 0.0, spread)
            };
            vec(shape.prop_map(draw), SHAPES)
        }),
    );
}

#[test]
fn pool() {
    let mode = prop_oneof![Just(PoolMode::Mean), Just(PoolMode::Cls), Just(PoolMode::Max), Just(PoolMode::Last)];
    holds(
        "pool",
        (mode, any::<bool>()).prop_flat_map(|(mode, normalize)| {
            let draw = move |(lengths, cols, spread, places): (Vec<usize>, usize, f32, Vec<Place>)| {
                let (x, y) = (matrix(lengths.iter().sum(), cols), matrix(lengths.len(), cols));
                let op = Pool { x, y, mode, normalize };
                placed(Case::new("", op, Step::packed(&lengths)), &places).around("x", 0.0, spread)
            };
            vec((lengths(), size(500), spread(), places()).prop_map(draw), SHAPES)
        }),
    );
}

#[test]
fn argmax() {
    let special = prop_oneof![Just(f32::NAN), Just(f32::MAX), Just(9.0f32)];
    let shape = (1..90usize, size(900), any::<[usize; 4]>(), special, spread(), places());
    let draw = |(rows, cols, at, value, spread, places): (usize, usize, [usize; 4], f32, f32, Vec<Place>)| {
        let op = Argmax { x: matrix(rows, cols), ids: View::dense(rows, 1, DType::U32) };
        let case = placed(Case::rows("", op), &places).around("x", 0.0, spread);
        // The same value twice in a row, somewhere: the first counts.
        let row = at[0] % rows;
        case.special("x", row, at[1] % cols, value).special("x", row, at[2] % cols, value)
    };
    holds("argmax", vec(shape.prop_map(draw), SHAPES));
}

#[test]
fn topk() {
    holds(
        "topk",
        any::<bool>().prop_flat_map(|sum| {
            let shape = (1..40usize, size(2000), any::<usize>(), any::<[usize; 3]>(), 0.1f32..4.0, spread(), places());
            let draw =
                move |(rows, cols, k, at, scale, spread, places): (usize, usize, usize, [usize; 3], _, _, Vec<_>)| {
                    let k = 1 + k % cols.min(128);
                    let (values, ids) = (matrix(rows, k), View::dense(rows, k, DType::U32));
                    let op = Topk { x: matrix(rows, cols), values, ids, lse: sum.then(|| matrix(rows, 1)), scale };
                    let case = placed(Case::rows("", op), &places).around("x", 0.0, spread);
                    // The same value twice in a row, somewhere: the lower column comes first.
                    let row = at[0] % rows;
                    case.special("x", row, at[1] % cols, 9.0).special("x", row, at[2] % cols, 9.0)
                };
            vec(shape.prop_map(draw), SHAPES)
        }),
    );
}

#[test]
fn every_op_is_drawn() {
    let source = include_str!("drawn.rs");
    for op in kernel::ALL {
        assert!(source.contains(&format!("\"{op}\",")), "{op}");
    }
}
