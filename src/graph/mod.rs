//! Level 2: ops as data over tensors; compiled once for a role, replayed by a session, interpreted by the CPU.

mod interpret;
mod mirrors;
pub(crate) mod plan;
mod pool;
mod profile;
mod report;
mod session;
pub mod step;
mod weights;

pub use interpret::State;
pub use plan::{Capacity, Plan};
pub use profile::OpTime;
pub use report::Report;
pub use session::{Cursor, Session};
pub use step::{Domain, Span, Step};
pub use weights::{Source, Weights};

use crate::kernel::{Op, View};
use crate::weights::DType;
use crate::{Error, Result};

/// How many rows a tensor has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Rows {
    /// As many as the step says.
    Of(Domain),
    /// Always so many.
    Fixed(usize),
}

impl Rows {
    /// A row for each token.
    pub const TOKENS: Self = Self::Of(Domain::Tokens);
    /// A row for each sequence.
    pub const SEQUENCES: Self = Self::Of(Domain::Sequences);
    /// A row for each token of the memory.
    pub const MEMORY: Self = Self::Of(Domain::Memory);
}

/// Who owns a tensor, and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Loaded once, shared by all sessions.
    Weight,
    /// A session's own buffer, kept from step to step and shared by its plans by name: the ids, the KV cache, and what
    /// the host reads: vectors, logits, taps.
    Persistent,
    /// Needed within one replay only; shares memory with others.
    Transient,
}

/// A tensor's name, shape and kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TensorInfo {
    /// Weights and persistent tensors are known by it.
    pub name: String,
    /// Weight, persistent or transient.
    pub kind: Kind,
    /// Rows.
    pub rows: Rows,
    /// Columns.
    pub cols: usize,
    /// Element type.
    pub dtype: DType,
}

/// Some neighbouring columns of a graph's tensor, from some row on: usually all of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Tensor {
    id: usize,
    row: usize,
    first: usize,
    cols: usize,
}

impl Tensor {
    /// Its index among the graph's tensors.
    pub fn id(&self) -> usize {
        self.id
    }

    /// Its columns.
    pub fn cols(&self) -> usize {
        self.cols
    }

    /// Without its first `rows` rows.
    pub fn below(self, rows: usize) -> Self {
        Self { row: self.row + rows, ..self }
    }

    /// `cols` of its columns from `first`.
    pub fn columns(self, first: usize, cols: usize) -> Self {
        Self { first: self.first + first, cols, ..self }
    }
}

/// Ops over tensors, in the order in which they run.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Graph {
    tensors: Vec<TensorInfo>,
    ops: Vec<(String, Op<Tensor>)>,
}

impl Graph {
    /// An empty graph.
    pub fn new() -> Self {
        Self::default()
    }

    /// A tensor; a weight or persistent tensor of the same name is the same tensor.
    pub fn tensor(&mut self, kind: Kind, name: impl Into<String>, rows: Rows, cols: usize, dtype: DType) -> Tensor {
        let info = TensorInfo { name: name.into(), kind, rows, cols, dtype };
        let known = match kind {
            Kind::Transient => None,
            _ => self.tensors.iter().position(|t| *t == info),
        };
        let id = known.unwrap_or_else(|| {
            self.tensors.push(info);
            self.tensors.len() - 1
        });
        Tensor { id, row: 0, first: 0, cols }
    }

    /// A weight matrix `[rows, cols]`.
    pub fn weight(&mut self, name: impl Into<String>, rows: usize, cols: usize, dtype: DType) -> Tensor {
        self.tensor(Kind::Weight, name, Rows::Fixed(rows), cols, dtype)
    }

    /// A persistent f32 tensor.
    pub fn persistent(&mut self, name: impl Into<String>, rows: Rows, cols: usize) -> Tensor {
        self.tensor(Kind::Persistent, name, rows, cols, DType::F32)
    }

    /// The ids of the step's tokens: the persistent tensor `ids`.
    pub fn ids(&mut self) -> Tensor {
        self.tensor(Kind::Persistent, "ids", Rows::TOKENS, 1, DType::U32)
    }

    /// A transient f32 tensor.
    pub fn transient(&mut self, name: impl Into<String>, rows: Rows, cols: usize) -> Tensor {
        self.tensor(Kind::Transient, name, rows, cols, DType::F32)
    }

    /// Makes a transient tensor persistent under a name, so that it can be read after the replay.
    pub fn keep(&mut self, tensor: Tensor, name: impl Into<String>) {
        let info = &mut self.tensors[tensor.id];
        (info.kind, info.name) = (Kind::Persistent, name.into());
    }

    /// Appends an op; `name` says where it stands in the model.
    pub fn push(&mut self, name: impl Into<String>, op: impl Into<Op<Tensor>>) {
        self.ops.push((name.into(), op.into()));
    }

    /// Refuses arguments that are of another graph, or reach beyond their tensor: kernels do not check.
    pub(crate) fn check(&self, op: &Op<Tensor>, capacity: &Capacity) -> Result<()> {
        for arg in op.args() {
            let Tensor { id, row, first, cols } = *arg.handle;
            let known = self.tensors.get(id).map(|info| (capacity.rows(info.rows), info.cols));
            if known.is_some_and(|(rows, width)| row <= rows && first.checked_add(cols).is_some_and(|end| end <= width))
            {
                continue;
            }
            let (expected, got) = match known {
                Some((rows, width)) => {
                    (format!("a part of [{rows}, {width}]"), format!("columns {first}.. ({cols}) below row {row}"))
                }
                None => ("a tensor of this graph".into(), "another graph's".into()),
            };
            return Err(Error::Shape { op: op.name(), what: arg.name, expected, got });
        }
        Ok(())
    }

    /// Where a tensor's elements lie in its buffer when a session has this capacity.
    pub(crate) fn view(&self, tensor: &Tensor, capacity: &Capacity) -> View {
        let info = &self.tensors[tensor.id];
        let rows = capacity.rows(info.rows).saturating_sub(tensor.row);
        let offset = tensor.row * info.cols + tensor.first;
        View { rows, cols: tensor.cols, offset, stride: info.cols, dtype: info.dtype }
    }

    /// The tensors.
    pub fn tensors(&self) -> &[TensorInfo] {
        &self.tensors
    }

    /// The ops with their names.
    pub fn ops(&self) -> &[(String, Op<Tensor>)] {
        &self.ops
    }
}
