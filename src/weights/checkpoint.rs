//! A checkpoint: the tensors of one or several safetensors files, by name, read when they are asked for.

use std::collections::BTreeMap;

use super::safetensors::{PREFIX, header_len, parse_header, tensor};
use super::shard::Shard;
use super::{DType, HostTensor, map_le};
use crate::{Error, Result};

/// The tensors of a model, by name, read when they are asked for.
///
/// Only the headers are kept in memory when it was opened from files.
pub struct Checkpoint {
    shards: Vec<Shard>,
    entries: BTreeMap<String, Entry>,
}

/// Where a tensor lies.
struct Entry {
    shard: usize,
    dtype: String,
    shape: Vec<usize>,
    /// First byte in the file, and number of bytes.
    start: u64,
    len: u64,
}

impl Checkpoint {
    /// A checkpoint from the bytes of one safetensors file.
    ///
    /// # Errors
    /// [`Error::Weights`] when the bytes are not a valid file.
    pub fn from_bytes(bytes: Vec<u8>) -> Result<Self> {
        Self::from_shards([("safetensors bytes".to_owned(), bytes)])
    }

    /// A checkpoint from several files, each with the name that messages shall use for it.
    ///
    /// # Errors
    /// [`Error::Weights`] when one of them is not a valid file, [`Error::Tensor`] when two have a tensor of the same
    /// name.
    pub fn from_shards(shards: impl IntoIterator<Item = (String, Vec<u8>)>) -> Result<Self> {
        let shards = shards.into_iter().map(|(name, bytes)| Shard::from_bytes(name, bytes));
        Self::new(shards.collect())
    }

    /// The tensors of all `shards`.
    pub(super) fn new(shards: Vec<Shard>) -> Result<Self> {
        let mut entries = BTreeMap::new();
        for (index, shard) in shards.iter().enumerate() {
            for (name, entry) in read_entries(shard, index)? {
                if entries.contains_key(&name) {
                    return Err(tensor(&name, format!("comes once more in {}; keep one of them", shard.name)));
                }
                entries.insert(name, entry);
            }
        }
        Ok(Self { shards, entries })
    }

    /// The names of all tensors, sorted.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.entries.keys().map(String::as_str)
    }

    /// Whether there is a tensor of this name.
    pub fn contains(&self, name: &str) -> bool {
        self.entries.contains_key(name)
    }

    /// The shape of a tensor, outermost first, without reading or taking it.
    ///
    /// # Errors
    /// [`Error::Tensor`] when it is missing.
    pub fn shape(&self, name: &str) -> Result<&[usize]> {
        self.entry(name).map(|entry| entry.shape.as_slice())
    }

    /// The type that [`Self::get`] gives a tensor.
    ///
    /// # Errors
    /// [`Error::Tensor`] when it is missing or is not of floats.
    pub fn dtype(&self, name: &str) -> Result<DType> {
        match self.entry(name)?.dtype.as_str() {
            "F32" | "F64" => Ok(DType::F32),
            "F16" => Ok(DType::F16),
            "BF16" => Ok(DType::BF16),
            other => Err(wrong_type(name, other, "F32, F16, BF16 or F64")),
        }
    }

    /// Reads a tensor of floats: `F32`, `F16` and `BF16` as they are, `F64` rounded to `F32`.
    ///
    /// # Errors
    /// [`Error::Tensor`] when it is missing or has another type, [`Error::Io`] when the file cannot be read.
    pub fn get(&self, name: &str) -> Result<HostTensor> {
        let entry = self.entry(name)?;
        let dtype = self.dtype(name)?;
        let bytes = self.read(entry)?;
        if entry.dtype == "F64" {
            let values = map_le(&bytes, |b| f64::from_le_bytes(b) as f32);
            return HostTensor::from_f32(entry.shape.clone(), &values);
        }
        HostTensor::new(dtype, entry.shape.clone(), bytes)
    }

    /// Reads a tensor of 64-bit integers: its shape and its elements.
    ///
    /// # Errors
    /// [`Error::Tensor`] when it is missing or has another type, [`Error::Io`] when the file cannot be read.
    pub fn get_i64(&self, name: &str) -> Result<(Vec<usize>, Vec<i64>)> {
        let entry = self.entry(name)?;
        if entry.dtype != "I64" {
            return Err(wrong_type(name, &entry.dtype, "I64"));
        }
        let bytes = self.read(entry)?;
        Ok((entry.shape.clone(), map_le(&bytes, i64::from_le_bytes)))
    }

    /// Whether two tensors have the same type, shape and bytes; they are read piece by piece.
    ///
    /// # Errors
    /// [`Error::Tensor`] when one is missing, [`Error::Io`] when a file cannot be read.
    pub fn same(&self, a: &str, b: &str) -> Result<bool> {
        const PIECE: u64 = 1 << 20;
        let (a, b) = (self.entry(a)?, self.entry(b)?);
        if (&a.dtype, &a.shape) != (&b.dtype, &b.shape) {
            return Ok(false);
        }
        for at in (0..a.len).step_by(PIECE as usize) {
            let piece = |e: &Entry| self.shards[e.shard].read(e.start + at, PIECE.min(e.len - at));
            if piece(a)? != piece(b)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn read(&self, entry: &Entry) -> Result<Vec<u8>> {
        self.shards[entry.shard].read(entry.start, entry.len)
    }

    /// The name of the file that has a tensor.
    #[cfg(not(target_arch = "wasm32"))]
    pub(super) fn file_of(&self, name: &str) -> Option<&str> {
        self.entries.get(name).map(|entry| self.shards[entry.shard].name.as_str())
    }

    fn entry(&self, name: &str) -> Result<&Entry> {
        self.entries.get(name).ok_or_else(|| tensor(name, self.missing(name)))
    }

    /// Says that `name` is missing, with the names that look most like it.
    fn missing(&self, name: &str) -> String {
        // Less than half in common is no help, and a hostile name can be endless.
        let close = |&(common, other): &(usize, &str)| common * 2 >= name.len() && other.len() < 256;
        let names = self.names().map(|other| (common(name, other), other));
        let mut near: Vec<_> = names.filter(close).collect();
        near.sort_by_key(|&(common, _)| std::cmp::Reverse(common));
        let near = near.iter().take(3);
        let near: Vec<_> = near.map(|(_, other)| format!("{other:?}")).collect();
        match near.is_empty() {
            true => format!("missing among {} tensors; is config.json of another model?", self.entries.len()),
            false => format!("missing; there is {}; is config.json of another model?", near.join(", ")),
        }
    }
}

impl std::fmt::Debug for Checkpoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Checkpoint({} tensors in {} files)", self.entries.len(), self.shards.len())
    }
}

/// How many bytes two names share at their beginnings and ends.
fn common(a: &str, b: &str) -> usize {
    let same = |(x, y): &(u8, u8)| x == y;
    let start = a.bytes().zip(b.bytes()).take_while(same).count();
    let end = a.bytes().rev().zip(b.bytes().rev()).take_while(same).count();
    (start + end).min(a.len()).min(b.len())
}

fn wrong_type(name: &str, got: &str, expected: &str) -> Error {
    tensor(name, format!("is stored as {got:?}, expected {expected}; convert it first"))
}

/// Reads and checks the header of `shard`, the `index`th.
fn read_entries(shard: &Shard, index: usize) -> Result<impl Iterator<Item = (String, Entry)>> {
    let prefix = shard.read(0, shard.len().min(PREFIX))?;
    let len = header_len(&shard.name, &prefix, shard.len())?;
    let data = PREFIX + len;
    let tensors = parse_header(&shard.name, &shard.read(PREFIX, len)?, shard.len() - data)?;
    Ok(tensors.into_iter().map(move |(name, info)| {
        let (start, end) = info.range;
        let (start, len) = (data + start, end - start);
        (name, Entry { shard: index, dtype: info.dtype, shape: info.shape, start, len })
    }))
}
