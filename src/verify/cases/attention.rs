use super::{Case, Random, matrix, pairwise};
use crate::graph::step::Step;
use crate::kernel::Similarity::{Cosine, Dot};
use crate::kernel::{Attention, Keys, Similarity, View};

pub(super) fn cases() -> Vec<Case> {
    let mut cases: Vec<_> = options().collect();
    for d in [1, 2, 3, 59, 64] {
        cases.push(case(format!("heads of {d}"), Keys::Own, 2, 2, d));
    }
    for (d, similarity) in [(65, Dot), (97, Cosine), (111, Dot), (128, Dot)] {
        // Large for compilers: a software adapter's takes a second for each of these.
        let case = case(format!("heads of {d}, {similarity:?}"), Keys::Own, 2, 1, d).large();
        cases.push(with(case, |op| compare_by(op, similarity)));
    }
    for length in [1, 2, 3, 59, 64, 65, 97, 111] {
        cases.push(of_length(length));
    }
    let step = Step::packed(&[65]).with_memory(&[1025]);
    cases.push(Case::new("1025 keys", op(&step, Keys::Memory, 1, 1, 8), step));
    // Mesa's software driver ends all loops of an invocation after 65,535 turns: a turn for each quad would be too many.
    let step = Step::packed(&[2]).with_memory(&[1200]);
    cases.push(Case::new("1200 keys of 256", op(&step, Keys::Memory, 1, 1, 256), step).large());
    cases.extend(masks());
    cases.extend(specials());
    cases.extend(long());
    // An odd number of groups; one too many would write between the rows.
    let step = Step::packed(&[1; 21_901]);
    cases.push(Case::new("many rows", op(&step, Keys::Own, 3, 3, 3), step).large().odd());
    cases
}

/// Masks and biases as untapped dot products have them. Pairs alone let causal meet cosine or a tap each time, so that
/// fast kernels, which take neither, would meet no causal mask in aligned rows.
fn masks() -> impl Iterator<Item = Case> {
    let options = [(Keys::Own, None, 1), (Keys::Own, Some(2), 0), (Keys::Table, None, 0), (Keys::Table, Some(40), 1)];
    options.into_iter().map(|(keys, window, bias)| {
        let name = format!("{keys:?} rows of quads, causal true window {window:?} bias {bias}");
        with(case(name, keys, 4, 2, 16), |op| {
            (op.causal, op.window, op.bias) = (true, window, [None, Some(matrix(4, 15))][bias]);
        })
    })
}

/// More keys than a block of `attention_row` has, with the options of cases above, whose kernels are compiled already.
fn long() -> [Case; 3] {
    let step = Step::packed(&[300]);
    let tapped = Case::new("a tap of 300 tokens", op(&step, Keys::Own, 2, 2, 13), step);
    let tapped = with(tapped, |op| {
        (op.window, op.bias) = (Some(40), Some(matrix(2, 15)));
        (op.y, op.weights) = (None, Some(matrix(300, 2 * 300)));
    });
    let mut step = Step::default();
    step.push_cached(2, &Random::new("long table").shuffle(300));
    let cached = Case::new("a cache of 300 keys", op(&step, Keys::Table, 4, 2, 16), step);
    let cached = with(cached, |op| {
        (op.k.rows, op.v.rows) = (300, 300);
        (op.causal, op.window, op.bias) = (true, Some(40), Some(matrix(4, 15)));
    });
    let step = Step::packed(&[2]).with_memory(&[300]);
    let cosine = Case::new("cosine of 300 keys", op(&step, Keys::Memory, 2, 2, 15), step);
    let cosine = with(cosine, |op| {
        compare_by(op, Cosine);
        op.window = Some(500);
    });
    [tapped.odd(), cached, cosine]
}

/// Magnitudes, NaNs, no keys: with such options that kernels compiled for other cases run them. A wide window hides nothing.
fn specials() -> Vec<Case> {
    const WIDE: Option<u32> = Some(500);
    let mut cases = Vec::new();
    for (similarity, name) in [(Dot, "dot"), (Cosine, "cosine")] {
        for size in [1e4, 1e-3, 1e-20, 0.0] {
            let case = case(format!("{name}, q and k around {size:e}"), Keys::Memory, 2, 2, 15);
            let case = with(case, |op| (op.similarity, op.window) = (similarity, WIDE));
            cases.push(case.around("q", 0.0, size).around("k", 0.0, size));
        }
    }
    // No bound from which a maximum may start is below them.
    let below = case("scores far below 0".into(), Keys::Own, 2, 2, 15);
    cases.push(below.around("q", 9.0, 1.0).around("k", -99.0, 9.0));
    cases.push(case("v around 1e4".into(), Keys::Own, 2, 2, 15).around("v", 0.0, 1e4));
    for argument in ["q", "k", "v"] {
        let case = case(format!("a NaN in {argument}"), Keys::Own, 2, 1, 15).special(argument, 5, 14, f32::NAN);
        cases.push(with(case, |op| (op.causal, op.window) = (true, WIDE)));
    }
    // Keys beside it are looked at together with it, by queries whose window it is in and by others.
    let hidden = case("a NaN in v out of the window".into(), Keys::Own, 2, 1, 16);
    let hidden = hidden.special("v", 27, 13, f32::NAN).special("v", 28, 14, f32::NAN);
    cases.push(with(hidden, |op| (op.causal, op.window) = (true, Some(2))));
    // Positions are so far apart that a window leaves each query its own key only; no keys at all in a memory.
    cases.push(with(case("a window of 0".into(), Keys::Own, 2, 2, 16), |op| (op.causal, op.window) = (true, Some(0))));
    let step = Step::packed(&[3, 1, 70]).with_memory(&[0, 0, 0]);
    let mut empty = op(&step, Keys::Own, 2, 2, 16);
    (empty.k.rows, empty.v.rows, empty.keys) = (1, 1, Keys::Memory);
    cases.push(Case::new("an empty memory", empty.clone(), step.clone()));
    let (weights, y, causal, window) = (Some(matrix(74, 2 * 5)), None, true, WIDE);
    cases.push(Case::new("an empty memory, tapped", Attention { weights, y, causal, window, ..empty }, step));
    // A tap that is narrower than the sequence shows its first keys.
    cases.push(with(case("a narrow tap".into(), Keys::Own, 2, 2, 16), |op| {
        (op.y, op.weights) = (None, Some(matrix(op.q.rows, 2 * 9)));
        (op.window, op.bias) = (WIDE, Some(matrix(2, 15)));
    }));
    cases
}

/// Every option, in pairs.
fn options() -> impl Iterator<Item = Case> {
    pairwise(&[3, 2, 2, 3, 2, 2, 3]).into_iter().map(|row| {
        let keys = [Keys::Own, Keys::Memory, Keys::Table][row[0]];
        let similarity = [Dot, Cosine][row[1]];
        let (heads, kv_heads) = [(2, 2), (4, 2), (3, 1)][row[6]];
        let (causal, window, tapped) = (row[2] == 1, [None, Some(2), Some(40)][row[3]], row[5] == 1);
        let bias = [None, Some(matrix(heads, 15))][row[4]];
        let name = format!(
            "{keys:?} {similarity:?} causal {causal} window {window:?} bias {} tapped {tapped} heads {heads}/{kv_heads}",
            row[4]
        );
        let case = case(name, keys, heads, kv_heads, 13);
        let most = case.step.spans.iter().map(|s| s.keys.max(s.memory_len)).max().unwrap_or(0) as usize;
        let case = with(case, |op| {
            compare_by(op, similarity);
            (op.causal, op.window, op.bias) = (causal, window, bias);
            if tapped {
                (op.y, op.weights) = (None, Some(matrix(op.q.rows, heads * (most + 2))));
            }
        });
        case.odd()
    })
}

/// Cosines are small: scaled, so that they tell keys apart.
fn compare_by(op: &mut Attention<View>, similarity: Similarity) {
    op.similarity = similarity;
    if similarity == Cosine {
        op.scale = 10.0;
    }
}

fn of_length(length: usize) -> Case {
    let step = Step::packed(&[1, length]);
    Case::new(format!("{length} tokens"), op(&step, Keys::Own, 1, 1, 16), step)
}

fn with(mut case: Case, change: impl FnOnce(&mut Attention<View>)) -> Case {
    if let crate::kernel::Op::Attention(op) = &mut case.op {
        change(op);
    }
    case
}

/// Sequences of one token, none, a few, and more than a tile; with holes in their positions; in a cache with others.
fn case(name: String, keys: Keys, heads: usize, kv_heads: usize, head_dim: usize) -> Case {
    let mut step = Step::default();
    match keys {
        Keys::Own => {
            let position = |i: u32| i + i / 3 * 5;
            for length in [1, 0, 7, 70] {
                step.push(&(0..length).map(position).collect::<Vec<_>>());
            }
        }
        Keys::Memory => step = Step::packed(&[1, 0, 7, 70, 3]).with_memory(&[5, 3, 66, 9, 0]),
        Keys::Table => {
            let mut slots = Random::new("table").shuffle(160);
            // The last row of the cache is among them.
            let last = slots.iter().position(|&slot| slot == 159).unwrap_or(50);
            slots.swap(50, last);
            step.push_cached(1, &slots[..1]);
            step.push_cached(7, &slots[1..30]);
            step.push_cached(1, &slots[30..101]);
            // Two beams of one sequence share its first keys.
            step.push_cached(3, &slots[101..110]);
            step.push_cached(2, &[&slots[101..107], &slots[110..112]].concat());
        }
    }
    Case::new(name, op(&step, keys, heads, kv_heads, head_dim), step)
}

fn op(step: &Step, keys: Keys, heads: usize, kv_heads: usize, head_dim: usize) -> Attention<View> {
    let tokens = step.tokens() as usize;
    let rows = match keys {
        Keys::Own => tokens,
        Keys::Memory => step.memory() as usize,
        Keys::Table => 160,
    };
    let (q, kv) = (matrix(tokens, heads * head_dim), matrix(rows, kv_heads * head_dim));
    Attention { kv_heads, keys, ..Attention::new(q, kv, kv, q, heads, head_dim) }
}
