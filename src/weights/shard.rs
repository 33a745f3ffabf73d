//! One safetensors file, in memory or on disk.

#[cfg(not(target_arch = "wasm32"))]
use std::{
    fs::File,
    io::{Read, Seek, SeekFrom},
    path::Path,
    sync::{Mutex, PoisonError},
};

use super::safetensors::damaged;
use crate::{Error, Result};

/// One safetensors file.
pub(super) struct Shard {
    /// How messages call it: its path.
    pub name: String,
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
    pub fn from_bytes(name: String, bytes: Vec<u8>) -> Self {
        let store = Store::Bytes(bytes);
        Self { name, store }
    }

    /// Opens a file, which is read later.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn open(path: &Path) -> Result<Self> {
        let name = path.display().to_string();
        let meta = std::fs::metadata(path).map_err(|e| Error::io(path, e))?;
        // Opening a pipe would wait for ever.
        if !meta.is_file() {
            return Err(Error::Weights { file: name, why: "is not a regular file; give a safetensors file".into() });
        }
        let file = File::open(path).map_err(|e| Error::io(path, e))?;
        Ok(Self { name, store: Store::File { file: Mutex::new(file), len: meta.len() } })
    }

    /// Bytes of the whole file.
    pub fn len(&self) -> u64 {
        match &self.store {
            Store::Bytes(bytes) => bytes.len() as u64,
            #[cfg(not(target_arch = "wasm32"))]
            Store::File { len, .. } => *len,
        }
    }

    /// `len` bytes from `start`; the caller has checked that the file has them.
    pub fn read(&self, start: u64, len: u64) -> Result<Vec<u8>> {
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
