//! The one list of cases for each op: tests, `verify` and benches all take theirs from here.
//!
//! A case is an op over views, a step, and data that depend on nothing but the case's name. Each op's file covers the
//! sizes where kernels go wrong ([`SIZES`]), more rows than a grid has columns, special values, awkward places in
//! buffers, and its options by pairs: any two options meet in some case, with far fewer cases than all combinations.

mod argmax;
mod attention;
mod embed;
mod gate;
mod matmul;
mod norm;
mod pool;
mod qkv;
mod softmax;
mod topk;

use crate::graph::step::Step;
use crate::kernel::{Access, Op, View};
use crate::weights::DType;

/// Sizes around vectors, subgroups, workgroups and tiles, and odd ones.
pub const SIZES: [usize; 9] = [1, 2, 3, 59, 64, 65, 97, 111, 1025];
/// More rows than workgroups fit into one dimension of a grid; an odd number, so that a grid of two has a group too many.
pub const MANY: usize = 65_601;
/// Rows of views that such a group must leave alone.
const ROOM: usize = MANY + 1;

/// An op, a step, and data.
#[derive(Clone, Debug)]
pub struct Case {
    /// What is special about it; unique within its op.
    pub name: String,
    /// The op, over views into a buffer for each argument.
    pub op: Op<View>,
    /// Sequences, positions, slots.
    pub step: Step,
    /// So many workgroups that software adapters run it with one kernel of each body, and trusted modules only.
    pub large: bool,
    fills: Vec<(&'static str, Fill)>,
    specials: Vec<(&'static str, usize, usize, f32)>,
}

/// What an argument holds.
#[derive(Clone, Debug)]
enum Fill {
    /// Bell-shaped numbers around a mean.
    Around { mean: f32, deviation: f32 },
    /// These integers, over and over, row by row.
    Words(Vec<u32>),
}

impl Case {
    /// A case whose numbers are around 0 with deviation 1, and whose integers are 0.
    pub fn new(name: impl Into<String>, op: impl Into<Op<View>>, step: Step) -> Self {
        Self { name: name.into(), op: op.into(), step, large: false, fills: Vec::new(), specials: Vec::new() }
    }

    /// Over rows that know no sequences: as many as the first argument has.
    pub fn rows(name: impl Into<String>, op: impl Into<Op<View>>) -> Self {
        let op = op.into();
        let rows = op.args().first().map_or(0, |arg| arg.handle.rows);
        Self::new(name, op, Step::rows(rows))
    }

    /// [`MANY`] rows of an op that has [`ROOM`].
    fn many(op: impl Into<Op<View>>) -> Self {
        Self::new("many rows", op, Step::rows(MANY)).large()
    }

    /// Numbers of an argument lie around `mean`.
    pub fn around(mut self, argument: &'static str, mean: f32, deviation: f32) -> Self {
        self.fills.push((argument, Fill::Around { mean, deviation }));
        self
    }

    /// Integers of an argument, repeated as needed.
    pub fn words(mut self, argument: &'static str, words: &[u32]) -> Self {
        self.fills.push((argument, Fill::Words(words.to_vec())));
        self
    }

    /// One element of an argument.
    pub fn special(mut self, argument: &'static str, row: usize, col: usize, value: f32) -> Self {
        self.specials.push((argument, row, col, value));
        self
    }

    /// The same with arguments at odd offsets, some of them beyond 256 bytes, and with gaps between their rows.
    pub fn odd(mut self) -> Self {
        let mut at = 0;
        self.op = self.op.map(&mut |view| {
            at += 1;
            View { offset: view.offset + 45 * at + 2, stride: view.stride + at, ..*view }
        });
        self
    }

    /// Marked as large.
    fn large(mut self) -> Self {
        self.large = true;
        self
    }

    /// The bytes of an argument's buffer from the buffer's start to the end of the last row, in its type.
    pub fn bytes(&self, argument: &str) -> Vec<u8> {
        let Some(arg) = self.op.args().into_iter().find(|a| a.name == argument) else { return Vec::new() };
        let view = *arg.handle;
        let elements = view.end() + self.op.beyond(argument);
        let fill = self.fills.iter().rev().find(|(name, _)| *name == argument).map(|(_, fill)| fill);
        if view.dtype == DType::U32 {
            return bytemuck::cast_slice(&words(&view, elements, fill)).to_vec();
        }
        let (mean, deviation) = match fill {
            Some(Fill::Around { mean, deviation }) => (*mean, *deviation),
            _ => (0.0, 1.0),
        };
        let mut random = Random::new(&format!("{}/{}/{argument}", self.op.name(), self.name));
        let mut values: Vec<f32> = (0..elements).map(|_| random.bell() * deviation + mean).collect();
        for (_, row, col, value) in self.specials.iter().filter(|(name, ..)| *name == argument) {
            values[view.offset + row * view.stride + col] = *value;
        }
        narrow(&values, view.dtype)
    }

    /// The names of the arguments that are written.
    pub fn outputs(&self) -> Vec<&'static str> {
        self.op.args().iter().filter(|a| a.access == Access::Write).map(|a| a.name).collect()
    }
}

fn words(view: &View, elements: usize, fill: Option<&Fill>) -> Vec<u32> {
    // Whoever reads between the rows reads nonsense.
    let mut out = vec![0xdead_beef; elements];
    for row in 0..view.rows {
        out[view.offset + row * view.stride] = match fill {
            Some(Fill::Words(words)) => words[row % words.len()],
            _ => 0,
        };
    }
    out
}

fn narrow(values: &[f32], dtype: DType) -> Vec<u8> {
    let mut bytes: Vec<u8> = match dtype {
        DType::F16 => values.iter().flat_map(|&v| half::f16::from_f32(v).to_le_bytes()).collect(),
        DType::BF16 => values.iter().flat_map(|&v| half::bf16::from_f32(v).to_le_bytes()).collect(),
        DType::F32 | DType::U32 => values.iter().flat_map(|v| v.to_le_bytes()).collect(),
    };
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes
}

/// The cases of an op of [`crate::kernel::ALL`].
pub fn of(op: &str) -> Vec<Case> {
    match op {
        "matmul" => matmul::cases(),
        "softmax" => softmax::cases(),
        "norm" => norm::cases(),
        "attention" => attention::cases(),
        "embed" => embed::cases(),
        "gate" => gate::cases(),
        "qkv" => qkv::cases(),
        "pool" => pool::cases(),
        "argmax" => argmax::cases(),
        "topk" => topk::cases(),
        _ => Vec::new(),
    }
}

/// The same numbers on every machine (splitmix64).
pub(crate) struct Random(u64);

impl Random {
    /// Seeded by a name (FNV-1a).
    pub fn new(name: &str) -> Self {
        Self(name.bytes().fold(0xcbf2_9ce4_8422_2325, |h, b| (h ^ u64::from(b)).wrapping_mul(0x100_0000_01b3)))
    }

    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Nearly normal, deviation 1: four 16-bit numbers added.
    pub fn bell(&mut self) -> f32 {
        let bits = self.next();
        let sum: f32 = (0..4).map(|i| ((bits >> (16 * i)) & 0xffff) as f32 / 65536.0 - 0.5).sum();
        sum * 3.0f32.sqrt()
    }

    /// The numbers below `count`, shuffled.
    pub fn shuffle(&mut self, count: usize) -> Vec<u32> {
        let mut all: Vec<u32> = (0..count as u32).collect();
        (1..count).rev().for_each(|i| all.swap(i, (self.next() % (i as u64 + 1)) as usize));
        all
    }
}

/// Rows of option indices, such that any two options' values meet in some row.
fn pairwise(levels: &[usize]) -> Vec<Vec<usize>> {
    let mut missing: Vec<[usize; 4]> = Vec::new();
    for (a, &na) in levels.iter().enumerate() {
        for (b, &nb) in levels.iter().enumerate().skip(a + 1) {
            missing.extend((0..na * nb).map(|i| [a, i / nb, b, i % nb]));
        }
    }
    let mut rows = Vec::new();
    while let Some(&[a, x, b, y]) = missing.first() {
        let mut row: Vec<Option<usize>> = vec![None; levels.len()];
        (row[a], row[b]) = (Some(x), Some(y));
        for option in 0..levels.len() {
            if row[option].is_none() {
                // The value that meets most others for the first time.
                let meets = |value: usize| {
                    let new = |m: &&[usize; 4]| {
                        let fits =
                            |o: usize, v: usize| if o == option { v == value } else { row[o].is_none_or(|r| r == v) };
                        (m[0] == option || m[2] == option) && fits(m[0], m[1]) && fits(m[2], m[3])
                    };
                    missing.iter().filter(new).count()
                };
                row[option] = (0..levels[option]).max_by_key(|&v| (meets(v), levels[option] - v));
            }
        }
        let row: Vec<usize> = row.into_iter().map(|v| v.unwrap_or(0)).collect();
        missing.retain(|m| row[m[0]] != m[1] || row[m[2]] != m[3]);
        rows.push(row);
    }
    rows
}

/// A dense f32 matrix.
fn matrix(rows: usize, cols: usize) -> View {
    View::dense(rows, cols, DType::F32)
}

/// A dense matrix of ids or lengths.
fn column(rows: usize) -> View {
    View::dense(rows, 1, DType::U32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_all_meet_and_are_few() {
        let levels = [3, 2, 6, 2, 2, 4];
        let rows = pairwise(&levels);
        assert!(rows.len() <= 30, "{}", rows.len());
        for a in 0..levels.len() {
            for b in a + 1..levels.len() {
                for (x, y) in (0..levels[a]).flat_map(|x| (0..levels[b]).map(move |y| (x, y))) {
                    assert!(rows.iter().any(|r| r[a] == x && r[b] == y), "{a}={x} never meets {b}={y}");
                }
            }
        }
    }

    #[test]
    fn cases_are_valid_and_have_names_of_their_own() {
        for op in crate::kernel::ALL {
            let cases = of(op);
            assert!(!cases.is_empty(), "{op} has no cases");
            for (i, case) in cases.iter().enumerate() {
                assert_eq!(case.op.name(), *op);
                case.op.check().unwrap_or_else(|e| panic!("{op}/{}: {e}", case.name));
                assert!(cases[..i].iter().all(|c| c.name != case.name), "{op}/{} twice", case.name);
            }
        }
    }

    #[test]
    fn data_are_bell_shaped() {
        let mut random = Random::new("bell");
        let values: Vec<f32> = (0..10_000).map(|_| random.bell()).collect();
        let mean = values.iter().sum::<f32>() / 1e4;
        let square = values.iter().map(|v| v * v).sum::<f32>() / 1e4;
        assert!(mean.abs() < 0.03 && (square - 1.0).abs() < 0.05, "{mean} {square}");
    }
}
