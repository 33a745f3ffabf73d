//! The naive oracle: what each op means, row by row, too simple to be wrong.
//!
//! A file per op, with the op's name; generic over f64 (the truth) and f32 (the yardstick that kernels are measured
//! with). A graph interpreted on the CPU runs through here, too. Rows are independent, so threads share them.

mod activation;
mod argmax;
mod attention;
mod embed;
mod float;
mod gate;
mod matmul;
mod norm;
mod pool;
mod qkv;
mod softmax;
mod topk;

pub use float::Float;

use crate::graph::step::{Domain, Step};
use crate::kernel::{Op, View};
use crate::weights::DType;

/// A host tensor; views say how matrices lie in it.
#[derive(Clone, Debug, PartialEq)]
pub enum Tensor<F> {
    /// Numbers.
    Floats(Vec<F>),
    /// Integers: ids, lengths.
    Words(Vec<u32>),
}

impl<F: Float> Tensor<F> {
    /// From a buffer's bytes; f16 and bf16 are widened exactly. A last odd byte is ignored.
    pub fn from_bytes(bytes: &[u8], dtype: DType) -> Self {
        let words = || bytes.chunks_exact(4).map(|b| u32::from_le_bytes([b[0], b[1], b[2], b[3]]));
        let halves = || bytes.chunks_exact(2).map(|b| u16::from_le_bytes([b[0], b[1]]));
        match dtype {
            DType::F32 => Self::Floats(words().map(|w| F::of(f32::from_bits(w).into())).collect()),
            DType::F16 => Self::Floats(halves().map(|h| F::of(half::f16::from_bits(h).to_f64())).collect()),
            DType::BF16 => Self::Floats(halves().map(|h| F::of(half::bf16::from_bits(h).to_f64())).collect()),
            DType::U32 => Self::Words(words().collect()),
        }
    }

    /// Elements.
    pub fn len(&self) -> usize {
        match self {
            Self::Floats(values) => values.len(),
            Self::Words(values) => values.len(),
        }
    }

    /// No elements.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Its numbers; none where it holds integers.
    pub fn floats(&self) -> &[F] {
        match self {
            Self::Floats(values) => values,
            Self::Words(_) => &[],
        }
    }

    /// Its integers; none where it holds numbers.
    pub fn words(&self) -> &[u32] {
        match self {
            Self::Floats(_) => &[],
            Self::Words(values) => values,
        }
    }
}

/// A matrix in one of several tensors.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Place {
    /// Which tensor.
    pub tensor: usize,
    /// The matrix in it.
    pub view: View,
}

impl Place {
    fn start(&self, row: usize) -> usize {
        self.view.offset + row * self.view.stride
    }

    fn row<'a, F: Float>(&self, tensors: &'a [Tensor<F>], row: usize) -> &'a [F] {
        &tensors[self.tensor].floats()[self.start(row)..][..self.view.cols]
    }

    fn word<F: Float>(&self, tensors: &[Tensor<F>], row: usize) -> u32 {
        tensors[self.tensor].words()[self.start(row)]
    }

    /// Values to be written from column `col` of a row.
    fn piece<F>(&self, row: usize, col: usize, values: Vec<F>) -> Piece<F> {
        Piece { tensor: self.tensor, start: self.start(row) + col, values: Tensor::Floats(values) }
    }
}

/// Neighbouring elements that an op writes.
struct Piece<F> {
    tensor: usize,
    start: usize,
    values: Tensor<F>,
}

/// Computes an op over the step's rows, as its kernels do: elements that it does not write keep their values.
///
/// `domain` says what the op's rows are. The op must have passed [`Op::check`], its tensors must hold their views.
pub fn run<F: Float>(op: &Op<Place>, step: &Step, domain: Domain, tensors: &mut [Tensor<F>]) {
    let counts = step.counts(&[]);
    let rows = counts.rows(domain) as usize;
    let pieces = match op {
        Op::Matmul(op) => matmul::run(op, rows, tensors),
        Op::Softmax(op) => softmax::run(op, rows, tensors),
        Op::Norm(op) => norm::run(op, rows, tensors),
        Op::Attention(op) => attention::run(op, step, tensors),
        Op::Embed(op) => embed::run(op, step, rows, tensors),
        Op::Gate(op) => gate::run(op, rows, tensors),
        Op::Qkv(op) => qkv::run(op, step, rows, tensors),
        Op::Pool(op) => pool::run(op, step, tensors),
        Op::Argmax(op) => argmax::run(op, rows, tensors),
        Op::Topk(op) => topk::run(op, rows, tensors),
    };
    for piece in pieces {
        match (&mut tensors[piece.tensor], piece.values) {
            (Tensor::Floats(to), Tensor::Floats(from)) => to[piece.start..][..from.len()].copy_from_slice(&from),
            (Tensor::Words(to), Tensor::Words(from)) => to[piece.start..][..from.len()].copy_from_slice(&from),
            _ => {}
        }
    }
}

/// `make(0) .. make(count - 1)`, in order, by as many threads as there are cores.
fn parallel<T: Send>(count: usize, make: impl Fn(usize) -> T + Sync) -> Vec<T> {
    #[cfg(target_arch = "wasm32")]
    let threads = 1;
    #[cfg(not(target_arch = "wasm32"))]
    let threads = std::thread::available_parallelism().map_or(1, |n| n.get()).min(count / 2);
    if threads <= 1 {
        return (0..count).map(make).collect();
    }
    let make = &make;
    std::thread::scope(|scope| {
        let part = count.div_ceil(threads);
        let workers: Vec<_> = (0..threads)
            .map(|t| scope.spawn(move || (t * part..count.min((t + 1) * part)).map(make).collect::<Vec<_>>()))
            .collect();
        let parts = workers.into_iter().map(|w| w.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
        parts.flatten().collect()
    })
}

/// An entry of one of a step's lists, where an empty list means zeros.
fn entry(list: &[u32], at: usize) -> u32 {
    list.get(at).copied().unwrap_or(0)
}
