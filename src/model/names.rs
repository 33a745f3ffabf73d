//! From the names of the graph to the tensors of a checkpoint.

use super::arch::Head;
use super::config::HEAD;
use crate::weights::{Checkpoint, DType, HostTensor};
use crate::{Error, Result};

/// Where a tensor of the graph comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// One tensor of the checkpoint.
    One(String),
    /// Several, one below the other (biases: one after the other), each with its share of the rows.
    Rows(Vec<(String, usize)>),
    /// One that is stored [in, out] (GPT-2's `Conv1D`).
    Transposed(String),
}

impl Source {
    /// The checkpoint's names, in order.
    pub fn parts(&self) -> impl Iterator<Item = &str> {
        let (one, several): (Option<&String>, &[(String, usize)]) = match self {
            Self::One(name) | Self::Transposed(name) => (Some(name), &[]),
            Self::Rows(parts) => (None, parts),
        };
        one.into_iter().chain(several.iter().map(|(name, _)| name)).map(String::as_str)
    }

    /// Each part with the shape it must have in the checkpoint for a result of this shape; `None` when the shares do not
    /// divide it.
    fn shapes(&self, [rows, cols]: [usize; 2]) -> Vec<(&str, Option<[usize; 2]>)> {
        match self {
            Self::One(name) => vec![(name, Some([rows, cols]))],
            Self::Transposed(name) => vec![(name, Some([cols, rows]))],
            Self::Rows(parts) => {
                let whole = parts.iter().map(|&(_, share)| share).sum();
                let split = |n: usize, share: usize| Some(n * share / whole).filter(|_| n.is_multiple_of(whole));
                // A bias is one row, its parts stand side by side.
                let shape = |share| match rows {
                    1 => Some([1, split(cols, share)?]),
                    _ => Some([split(rows, share)?, cols]),
                };
                parts.iter().map(|(name, share)| (name.as_str(), shape(*share))).collect()
            }
        }
    }
}

/// Collects the names of a family.
pub(super) struct Names<'a> {
    checkpoint: &'a Checkpoint,
    /// Stands before each of the checkpoint's names.
    prefix: &'a str,
    /// The name of each tensor that the graph needs, and where it comes from.
    pub list: Vec<(String, Source)>,
    /// Tensors of the checkpoint that must be, bit by bit, what another is.
    pub copies: Vec<(String, String)>,
}

impl<'a> Names<'a> {
    pub fn new(checkpoint: &'a Checkpoint, prefix: &'a str) -> Self {
        Self { checkpoint, prefix, list: Vec::new(), copies: Vec::new() }
    }

    /// A weight without a bias.
    pub fn table(&mut self, to: &str, from: &str) {
        self.linear(to, from, false);
    }

    /// A weight that becomes something else here.
    pub fn table_as(&mut self, to: &str, from: &str) {
        self.push(to, Source::One(self.spelled(from, "weight")));
    }

    /// A weight and a bias.
    pub fn module(&mut self, to: &str, from: &str) {
        self.linear(to, from, true);
    }

    /// A weight, and a bias if there is one.
    pub fn linear(&mut self, to: &str, from: &str, bias: bool) {
        for &part in parts(bias) {
            self.push(format!("{to}.{part}"), Source::One(self.spelled(from, part)));
        }
    }

    /// A weight that is stored [in, out], and a bias.
    pub fn transposed(&mut self, to: &str, from: &str) {
        self.push(format!("{to}.weight"), Source::Transposed(self.spelled(from, "weight")));
        self.push(format!("{to}.bias"), Source::One(self.spelled(from, "bias")));
    }

    /// A weight, and a bias if there is one, each the rows of several with their shares.
    pub fn rows<S: AsRef<str>>(&mut self, to: &str, from: &[(S, usize)], bias: bool) {
        for &part in parts(bias) {
            let rows = from.iter().map(|(from, share)| (self.spelled(from.as_ref(), part), *share));
            self.push(format!("{to}.{part}"), Source::Rows(rows.collect()));
        }
    }

    /// As [`Self::rows`], of modules of one size: `from` has a `*` where their names differ.
    pub fn fused(&mut self, to: &str, from: &str, parts: &[&str], bias: bool) {
        let parts: Vec<_> = parts.iter().map(|part| (from.replace('*', part), 1)).collect();
        self.rows(to, &parts, bias);
    }

    /// Any tensor, by its full name in the checkpoint.
    pub fn push(&mut self, to: impl Into<String>, source: Source) {
        self.list.push((to.into(), source));
    }

    /// What a checkpoint may hold under several full names: the first it has counts, the others must be the same.
    pub fn first_of(&mut self, to: &str, all: &[String]) {
        let mut there = all.iter().filter(|name| self.checkpoint.contains(name));
        let first = there.next().or(all.first()).cloned().unwrap_or_default();
        self.copies.extend(there.map(|copy| (copy.clone(), first.clone())));
        self.push(to, Source::One(first));
    }

    /// One more full name of what has one: if the checkpoint has it, it must be the same.
    pub fn copy(&mut self, to: &str, copy: String) {
        let source = self.list.iter().find(|(name, _)| name == to).map(|(_, source)| source);
        let of = source.and_then(|source| source.parts().next()).map(str::to_owned);
        self.copies.extend(of.filter(|_| self.checkpoint.contains(&copy)).map(|of| (copy, of)));
    }

    /// From here on names have no prefix.
    pub fn at_root(&mut self) {
        self.prefix = "";
    }

    /// The word table, and the head's: one of its own, or another name of the words'.
    pub fn words_and_head(&mut self, head: Head, words: &[String]) {
        let mut all = words.to_vec();
        match head {
            Head::Untied => self.push("head.weight", Source::One(HEAD.into())),
            _ => all.push(HEAD.into()),
        }
        self.first_of("embed.word.weight", &all);
    }

    /// Whether the checkpoint has a module's weight.
    pub fn has(&self, module: &str) -> bool {
        self.checkpoint.contains(&self.spelled(module, "weight"))
    }

    /// Norms converted from TensorFlow long ago have kept its names: gamma and beta.
    fn spelled(&self, module: &str, part: &str) -> String {
        let old = if part == "weight" { "gamma" } else { "beta" };
        let [new, old] = [part, old].map(|part| format!("{}{module}.{part}", self.prefix));
        if self.checkpoint.contains(&old) { old } else { new }
    }
}

/// The prefix below which task classes save the model, where the checkpoint was saved by one.
pub(super) fn below(checkpoint: &Checkpoint, prefix: &'static str) -> &'static str {
    if checkpoint.names().any(|name| name.starts_with(prefix)) { prefix } else { "" }
}

fn parts(bias: bool) -> &'static [&'static str] {
    if bias { &["weight", "bias"] } else { &["weight"] }
}

/// Reads the tensors of `source` and joins them to `expected` rows and columns, the shape of the result. A bias is
/// `[1, n]`, and one-dimensional in the checkpoint. Parts of different types are widened to f32.
///
/// # Errors
/// [`Error::Tensor`] when one is missing, is not of floats, or has another shape; nothing is read before all shapes are
/// right. [`Error::Io`] when the file cannot be read.
pub fn gather(checkpoint: &Checkpoint, source: &Source, expected: [usize; 2]) -> Result<HostTensor> {
    check(checkpoint, source, expected)?;
    let tensors = source.parts().map(|name| checkpoint.get(name)).collect::<Result<Vec<_>>>()?;
    let shape = expected.to_vec();
    match tensors.first() {
        Some(first) if tensors.iter().all(|part| part.dtype == first.dtype) => {
            let dtype = first.dtype;
            let bytes = concat(tensors.into_iter().map(HostTensor::into_bytes));
            match source {
                Source::Transposed(_) => HostTensor::new(dtype, shape, transpose(&bytes, expected, dtype.size())),
                _ => HostTensor::new(dtype, shape, bytes),
            }
        }
        _ => {
            let widened = tensors.iter().map(|part| part.to_f32());
            let bytes = widened.map(|values| values.into_iter().flat_map(f32::to_le_bytes).collect());
            HostTensor::new(DType::F32, shape, concat(bytes))
        }
    }
}

/// The bytes of a matrix `[rows, cols]` out of those of `[cols, rows]`.
fn transpose(bytes: &[u8], [rows, cols]: [usize; 2], size: usize) -> Vec<u8> {
    let element = |row: usize, col: usize| &bytes[(col * rows + row) * size..][..size];
    let mut out = Vec::with_capacity(bytes.len());
    (0..rows).for_each(|row| (0..cols).for_each(|col| out.extend_from_slice(element(row, col))));
    out
}

/// Whether [`gather`] would find the tensors, and their shapes right; reads no elements.
///
/// # Errors
/// [`Error::Tensor`] for the first that is missing or misshapen.
pub fn check(checkpoint: &Checkpoint, source: &Source, expected: [usize; 2]) -> Result<()> {
    let mut parts = source.shapes(expected).into_iter();
    parts.try_for_each(|(name, expected)| check_shape(name, checkpoint.shape(name)?, expected))
}

fn check_shape(name: &str, got: &[usize], expected: Option<[usize; 2]>) -> Result<()> {
    let right = expected.is_some_and(|[rows, cols]| *got == [rows, cols] || (rows == 1 && *got == [cols]));
    if right {
        return Ok(());
    }
    let expected = match expected {
        Some([1, n]) => format!("[{n}]"),
        Some(shape) => format!("{shape:?}"),
        None => "parts that share the rows evenly".to_owned(),
    };
    let why = format!("expected shape {expected}, got {got:?}; is config.json of another model?");
    Err(Error::Tensor { name: name.to_owned(), why })
}

/// One part is passed on without a copy.
fn concat(mut parts: impl Iterator<Item = Vec<u8>>) -> Vec<u8> {
    let mut all = parts.next().unwrap_or_default();
    parts.for_each(|part| all.extend(part));
    all
}
