//! From the names of the graph to the tensors of a checkpoint.

use std::collections::HashSet;

use super::arch::Arch;
use super::bert;
use crate::weights::{Checkpoint, DType, HostTensor};
use crate::{Error, Result};

/// Where a tensor of the graph comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// One tensor of the checkpoint.
    One(String),
    /// Several of equal shape, one below the other (biases: one after the other).
    Rows(Vec<String>),
}

impl Source {
    /// The checkpoint's names, in order.
    pub fn parts(&self) -> &[String] {
        match self {
            Self::One(name) => std::slice::from_ref(name),
            Self::Rows(names) => names,
        }
    }
}

/// The name of each tensor that the graph of `arch` needs, and where it comes from. The checkpoint decides between
/// the spellings that a family has had; a tensor it lacks is reported by [`gather`].
pub fn names(arch: &Arch, checkpoint: &Checkpoint) -> Vec<(String, Source)> {
    // All families of this version are BERT.
    bert::names(arch, checkpoint)
}

/// Collects the names of a family.
pub(super) struct Names<'a> {
    checkpoint: &'a Checkpoint,
    /// Stands before each of the checkpoint's names.
    prefix: &'a str,
    pub list: Vec<(String, Source)>,
}

impl<'a> Names<'a> {
    pub fn new(checkpoint: &'a Checkpoint, prefix: &'a str) -> Self {
        let list = Vec::new();
        Self { checkpoint, prefix, list }
    }

    /// A weight without a bias.
    pub fn table(&mut self, to: &str, from: &str) {
        let source = Source::One(self.spelled(from, "weight"));
        self.list.push((format!("{to}.weight"), source));
    }

    /// A weight and a bias.
    pub fn module(&mut self, to: &str, from: &str) {
        for part in ["weight", "bias"] {
            let source = Source::One(self.spelled(from, part));
            self.list.push((format!("{to}.{part}"), source));
        }
    }

    /// A weight and a bias, each the rows of several.
    pub fn rows(&mut self, to: &str, from: &[String]) {
        for part in ["weight", "bias"] {
            let parts = from.iter().map(|from| self.spelled(from, part));
            let source = Source::Rows(parts.collect());
            self.list.push((format!("{to}.{part}"), source));
        }
    }

    /// Norms converted from TensorFlow long ago have kept its names: gamma and beta.
    fn spelled(&self, module: &str, part: &str) -> String {
        let old = if part == "weight" { "gamma" } else { "beta" };
        let [new, old] = [part, old].map(|part| format!("{}{module}.{part}", self.prefix));
        if self.checkpoint.contains(&old) { old } else { new }
    }
}

/// A tensor of the checkpoint that no source takes and that is not known to be of no use: a sign of a misread
/// architecture.
pub fn stray<'a>(checkpoint: &'a Checkpoint, sources: impl Iterator<Item = &'a Source>) -> Option<&'a str> {
    let named: HashSet<&str> = sources.flat_map(Source::parts).map(String::as_str).collect();
    checkpoint.names().find(|name| !named.contains(name) && !known_unused(name))
}

/// Whether a tensor that nobody took is known to be of no use: buffers, and heads of tasks that were not asked for.
pub fn known_unused(name: &str) -> bool {
    bert::known_unused(name)
}

/// Reads the tensors of `source` and joins them to `expected` rows and columns, the shape of the result. A bias is
/// `[1, n]`, and one-dimensional in the checkpoint. Parts of different types are widened to f32.
///
/// # Errors
/// [`Error::Tensor`] when one is missing, is not of floats, or has another shape; nothing is read before all shapes are
/// right. [`Error::Io`] when the file cannot be read.
pub fn gather(checkpoint: &Checkpoint, source: &Source, expected: [usize; 2]) -> Result<HostTensor> {
    check(checkpoint, source, expected)?;
    let parts = source.parts();
    let tensors = parts.iter().map(|name| checkpoint.get(name)).collect::<Result<Vec<_>>>()?;
    let shape = expected.to_vec();
    match tensors.first() {
        Some(first) if tensors.iter().all(|part| part.dtype == first.dtype) => {
            let dtype = first.dtype;
            HostTensor::new(dtype, shape, concat(tensors.into_iter().map(HostTensor::into_bytes)))
        }
        _ => {
            let widened = tensors.iter().map(|part| part.to_f32());
            let bytes = widened.map(|values| values.into_iter().flat_map(f32::to_le_bytes).collect());
            HostTensor::new(DType::F32, shape, concat(bytes))
        }
    }
}

/// Whether [`gather`] would find the tensors, and their shapes right; reads no elements.
///
/// # Errors
/// [`Error::Tensor`] for the first that is missing or misshapen.
pub fn check(checkpoint: &Checkpoint, source: &Source, expected: [usize; 2]) -> Result<()> {
    let parts = source.parts();
    parts.iter().try_for_each(|name| check_shape(name, checkpoint.shape(name)?, part_shape(expected, parts.len())))
}

/// The shape of each of `parts` equal parts; `None` when they cannot be equal.
fn part_shape([rows, cols]: [usize; 2], parts: usize) -> Option<[usize; 2]> {
    let split = |n: usize| n.checked_rem(parts).filter(|&rest| rest == 0).map(|_| n / parts);
    // A bias is one row, its parts stand side by side.
    if rows == 1 { Some([1, split(cols)?]) } else { Some([split(rows)?, cols]) }
}

fn check_shape(name: &str, got: &[usize], expected: Option<[usize; 2]>) -> Result<()> {
    let right = expected.is_some_and(|[rows, cols]| *got == [rows, cols] || (rows == 1 && *got == [cols]));
    if right {
        return Ok(());
    }
    let expected = match expected {
        Some([1, n]) => format!("[{n}]"),
        Some(shape) => format!("{shape:?}"),
        None => "parts of equal shape".to_owned(),
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
