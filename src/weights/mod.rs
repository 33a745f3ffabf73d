//! Weights on the host: tensors as bytes, and the checkpoints they come from.
//!
//! Nothing here touches the GPU. A [`Checkpoint`] reads a tensor only when it is asked for, so that a process which
//! uploads tensor by tensor never holds the whole model in memory.

mod checkpoint;
#[cfg(not(target_arch = "wasm32"))]
pub(crate) mod folder;
#[cfg(test)]
mod mutations;
mod safetensors;
mod shard;
#[cfg(test)]
mod tests;

use std::fmt;

use crate::{Error, Result};

pub use checkpoint::Checkpoint;
pub use safetensors::{Values, write_safetensors};

/// How the elements of a tensor are stored, little-endian.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub enum DType {
    /// IEEE single precision.
    #[default]
    F32,
    /// IEEE half precision.
    F16,
    /// The upper half of an `F32`.
    BF16,
    /// Unsigned 32-bit integers: ids, packed weights.
    U32,
}

impl DType {
    /// Bytes of one element.
    pub const fn size(self) -> usize {
        match self {
            Self::F32 | Self::U32 => 4,
            Self::F16 | Self::BF16 => 2,
        }
    }
}

impl fmt::Display for DType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::F32 => "f32",
            Self::F16 => "f16",
            Self::BF16 => "bf16",
            Self::U32 => "u32",
        })
    }
}

/// A tensor on the host: row-major, little-endian, `bytes().len() == product of shape * dtype.size()`.
#[derive(Clone, PartialEq, Eq)]
pub struct HostTensor {
    /// How the elements are stored.
    pub dtype: DType,
    /// Sizes, outermost first; empty for a scalar.
    pub shape: Vec<usize>,
    bytes: Vec<u8>,
}

impl HostTensor {
    /// A tensor of `shape` from its little-endian `bytes`.
    ///
    /// # Errors
    /// [`Error::Shape`] when `bytes` are not as many as `shape` and `dtype` say.
    pub fn new(dtype: DType, shape: Vec<usize>, bytes: Vec<u8>) -> Result<Self> {
        if byte_len(&shape, dtype.size()) == Some(bytes.len() as u64) {
            return Ok(Self { dtype, shape, bytes });
        }
        Err(Error::Shape {
            op: "tensor",
            what: "bytes",
            expected: format!("as many as {dtype} {shape:?} has"),
            got: format!("{} bytes", bytes.len()),
        })
    }

    /// An f32 tensor of `shape`.
    ///
    /// # Errors
    /// [`Error::Shape`] when `values` are not as many as `shape` says.
    pub fn from_f32(shape: impl Into<Vec<usize>>, values: &[f32]) -> Result<Self> {
        let bytes = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        Self::new(DType::F32, shape.into(), bytes)
    }

    /// Number of elements.
    pub fn len(&self) -> usize {
        self.bytes.len() / self.dtype.size()
    }

    /// Whether there are no elements.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// The elements, little-endian, as they are stored and as they can be uploaded.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The elements as [`Self::bytes`] has them, without a copy.
    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    /// The elements as f32: exact for `F32`, `F16` and `BF16`, rounded to the nearest for `U32` above 2^24.
    pub fn to_f32(&self) -> Vec<f32> {
        let half = |b: [u8; 2]| half::f16::from_le_bytes(b).to_f32();
        let bhalf = |b: [u8; 2]| half::bf16::from_le_bytes(b).to_f32();
        match self.dtype {
            DType::F32 => map_le(&self.bytes, f32::from_le_bytes),
            DType::F16 => map_le(&self.bytes, half),
            DType::BF16 => map_le(&self.bytes, bhalf),
            DType::U32 => map_le(&self.bytes, |b| u32::from_le_bytes(b) as f32),
        }
    }
}

impl fmt::Debug for HostTensor {
    /// Type and shape only: the elements would flood any message.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "HostTensor({} {:?})", self.dtype, self.shape)
    }
}

/// Applies `f` to each little-endian element of `N` bytes; a rest shorter than `N` is left out.
fn map_le<const N: usize, T>(bytes: &[u8], f: impl Fn([u8; N]) -> T) -> Vec<T> {
    let chunks = bytes.chunks_exact(N);
    chunks.filter_map(|chunk| chunk.try_into().ok()).map(f).collect()
}

/// Bytes of a tensor of `shape` with `size` bytes an element; `None` when that does not fit.
fn byte_len(shape: &[usize], size: usize) -> Option<u64> {
    let sizes = shape.iter().map(|&n| n as u64);
    sizes.chain([size as u64]).try_fold(1u64, u64::checked_mul)
}
