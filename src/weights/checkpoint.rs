//! A checkpoint: the tensors of one or several safetensors files, by name, read when they are asked for.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};

#[cfg(not(target_arch = "wasm32"))]
use std::{
    fs::File,
    io::{Read, Seek, SeekFrom},
    path::{Component, Path},
};

use super::safetensors::{PREFIX, damaged, header_len, parse_header, tensor};
use super::{DType, HostTensor, map_le};
use crate::{Error, Result};

#[cfg(not(target_arch = "wasm32"))]
const SINGLE: &str = "model.safetensors";
#[cfg(not(target_arch = "wasm32"))]
const INDEX: &str = "model.safetensors.index.json";
/// An index has a line for each tensor: far below this.
#[cfg(not(target_arch = "wasm32"))]
const MAX_INDEX: u64 = 100_000_000;

/// The tensors of a model, by name, read when they are asked for.
///
/// Only the headers are kept in memory when it was opened from files. It remembers which tensors were taken, so that
/// the rest can be reported: a tensor that nobody wants is a sign of a misread architecture.
pub struct Checkpoint {
    shards: Vec<Shard>,
    entries: BTreeMap<String, Entry>,
    taken: Mutex<BTreeSet<String>>,
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

/// One safetensors file.
struct Shard {
    name: String,
    store: Store,
}

enum Store {
    Bytes(Vec<u8>),
    #[cfg(not(target_arch = "wasm32"))]
    File {
        /// Reading moves the file's cursor, hence the lock.
        file: Mutex<File>,
        len: u64,
    },
}

impl Shard {
    fn len(&self) -> u64 {
        match &self.store {
            Store::Bytes(bytes) => bytes.len() as u64,
            #[cfg(not(target_arch = "wasm32"))]
            Store::File { len, .. } => *len,
        }
    }

    /// `len` bytes from `start`; the caller has checked that the file has them.
    fn read(&self, start: u64, len: u64) -> Result<Vec<u8>> {
        let short = || damaged(&self.name, format!("there are no {len} bytes at byte {start}"));
        let size = usize::try_from(len).map_err(|_| short())?;
        let mut out = Vec::new();
        out.try_reserve_exact(size).map_err(|_| Error::Weights {
            file: self.name.clone(),
            why: format!("there is no memory for a tensor of {len} bytes; use a smaller model"),
        })?;
        match &self.store {
            Store::Bytes(bytes) => {
                let start = usize::try_from(start).map_err(|_| short())?;
                let part = bytes.get(start..).and_then(|rest| rest.get(..size)).ok_or_else(short)?;
                out.extend_from_slice(part);
            }
            #[cfg(not(target_arch = "wasm32"))]
            Store::File { file, .. } => {
                out.resize(size, 0);
                let mut file = file.lock().unwrap_or_else(PoisonError::into_inner);
                let read = file.seek(SeekFrom::Start(start)).and_then(|_| file.read_exact(&mut out));
                read.map_err(|e| Error::io(&self.name, e))?;
            }
        }
        Ok(out)
    }
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
        let shards = shards.into_iter().map(|(name, bytes)| Shard { name, store: Store::Bytes(bytes) });
        Self::from_stores(shards.collect())
    }

    /// Opens a model folder with `model.safetensors`, or with `model.safetensors.index.json` and the shards it names,
    /// or one safetensors file of any name. Tensors are read later, so the files must stay as they are.
    ///
    /// # Errors
    /// [`Error::Io`] when a file cannot be read, [`Error::Weights`] when there is none or it is damaged, and
    /// [`Error::Tensor`] when the index and the shards disagree.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let single = if path.is_dir() { path.join(SINGLE) } else { path.to_owned() };
        if single.exists() {
            return Self::from_stores(vec![open_shard(&single)?]);
        }
        let index = path.join(INDEX);
        if !index.exists() {
            return Err(no_weights(path));
        }
        let weight_map = read_index(&index)?;
        let files: BTreeSet<_> = weight_map.values().collect();
        let shards: Result<_> = files.into_iter().map(|file| open_shard(&path.join(file))).collect();
        let checkpoint = Self::from_stores(shards?)?;
        checkpoint.check_index(&weight_map)?;
        Ok(checkpoint)
    }

    /// Every tensor has to be in the file that the index names.
    #[cfg(not(target_arch = "wasm32"))]
    fn check_index(&self, weight_map: &BTreeMap<String, String>) -> Result<()> {
        for (name, file) in weight_map {
            let shard = self.entries.get(name).map(|entry| &self.shards[entry.shard].name);
            if !shard.is_some_and(|shard| Path::new(shard).ends_with(file)) {
                let why = format!("{INDEX} says it is in {file}, it is not there; fetch both again");
                return Err(tensor(name, why));
            }
        }
        Ok(())
    }

    fn from_stores(shards: Vec<Shard>) -> Result<Self> {
        let mut entries = BTreeMap::new();
        for (index, shard) in shards.iter().enumerate() {
            for (name, entry) in read_entries(shard, index)? {
                if entries.contains_key(&name) {
                    return Err(tensor(&name, format!("comes once more in {}; keep one of them", shard.name)));
                }
                entries.insert(name, entry);
            }
        }
        Ok(Self { shards, entries, taken: Mutex::default() })
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

    /// Reads a tensor of floats: `F32`, `F16` and `BF16` as they are, `F64` rounded to `F32`.
    ///
    /// # Errors
    /// [`Error::Tensor`] when it is missing or has another type, [`Error::Io`] when the file cannot be read.
    pub fn get(&self, name: &str) -> Result<HostTensor> {
        let entry = self.entry(name)?;
        let dtype = match entry.dtype.as_str() {
            "F32" | "F64" => DType::F32,
            "F16" => DType::F16,
            "BF16" => DType::BF16,
            other => return Err(wrong_type(name, other, "F32, F16, BF16 or F64")),
        };
        let bytes = self.take(name, entry)?;
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
        let bytes = self.take(name, entry)?;
        Ok((entry.shape.clone(), map_le(&bytes, i64::from_le_bytes)))
    }

    /// The names of the tensors that were never read and that are not `known` to be of no use, sorted.
    pub fn unused(&self, known: &impl Fn(&str) -> bool) -> Vec<String> {
        let taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let left = self.entries.keys().filter(|name| !taken.contains(*name) && !known(name));
        left.cloned().collect()
    }

    fn take(&self, name: &str, entry: &Entry) -> Result<Vec<u8>> {
        let bytes = self.shards[entry.shard].read(entry.start, entry.len)?;
        self.taken.lock().unwrap_or_else(PoisonError::into_inner).insert(name.to_owned());
        Ok(bytes)
    }

    fn entry(&self, name: &str) -> Result<&Entry> {
        self.entries.get(name).ok_or_else(|| tensor(name, self.missing(name)))
    }

    /// Says that `name` is missing, with the names that look most like it.
    fn missing(&self, name: &str) -> String {
        let mut near: Vec<_> = self.names().map(|other| (common(name, other), other)).collect();
        near.sort_by_key(|&(common, _)| std::cmp::Reverse(common));
        // Less than half in common is no help.
        let near = near.iter().filter(|(common, _)| common * 2 >= name.len()).take(3);
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

#[cfg(not(target_arch = "wasm32"))]
fn open_shard(path: &Path) -> Result<Shard> {
    let name = path.display().to_string();
    let meta = std::fs::metadata(path).map_err(|e| Error::io(path, e))?;
    // Opening a pipe would wait for ever.
    if !meta.is_file() {
        return Err(Error::Weights { file: name, why: "is not a regular file; give a safetensors file".into() });
    }
    let file = File::open(path).map_err(|e| Error::io(path, e))?;
    Ok(Shard { name, store: Store::File { file: Mutex::new(file), len: meta.len() } })
}

/// The index's map from tensors to files, the files checked to be plain names in the same folder.
#[cfg(not(target_arch = "wasm32"))]
fn read_index(path: &Path) -> Result<BTreeMap<String, String>> {
    #[derive(serde::Deserialize)]
    struct Index {
        weight_map: BTreeMap<String, String>,
    }
    let name = path.display().to_string();
    let mut text = Vec::new();
    let file = File::open(path).map_err(|e| Error::io(path, e))?;
    file.take(MAX_INDEX).read_to_end(&mut text).map_err(|e| Error::io(path, e))?;
    let index: Index = serde_json::from_slice(&text).map_err(|e| damaged(&name, format!("it cannot be read: {e}")))?;
    for file in index.weight_map.values() {
        check_shard_name(file).map_err(|why| Error::Weights { file: name.clone(), why })?;
        if !path.with_file_name(file).exists() {
            let why = format!("it names {file:?}, which is not there; fetch all parts of the model");
            return Err(Error::Weights { file: name, why });
        }
    }
    Ok(index.weight_map)
}

/// A shard is a file beside the index: anything else could read files that are not the model's.
#[cfg(not(target_arch = "wasm32"))]
fn check_shard_name(file: &str) -> std::result::Result<(), String> {
    let mut parts = Path::new(file).components();
    let plain = matches!((parts.next(), parts.next()), (Some(Component::Normal(_)), None));
    // Separators of other systems, and drives, are not parts of a name either.
    if plain && !file.contains(['/', '\\', ':']) {
        return Ok(());
    }
    Err(format!("it names {file:?}, which is not a plain file name; shards must lie beside the index"))
}

#[cfg(not(target_arch = "wasm32"))]
fn no_weights(path: &Path) -> Error {
    let why = if !path.exists() {
        "there is no such folder or file".to_owned()
    } else if path.join("pytorch_model.bin").exists() {
        format!(
            "there is only pytorch_model.bin; convert it to {SINGLE} with `save_pretrained(.., safe_serialization=True)`"
        )
    } else {
        format!("there is neither {SINGLE} nor {INDEX}; give a folder that has one")
    };
    Error::Weights { file: path.display().to_string(), why }
}
