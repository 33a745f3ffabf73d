//! The safetensors format: 8 bytes with the header's length, a JSON header, then the elements of all tensors.
//!
//! Read by the format's own rules, of which the important ones are: names are unique, and the tensors cover the data
//! exactly, without gaps or overlaps. A file is as hostile as its origin, so that nothing is allocated on the
//! word of a length that has not been compared with the size of the file.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, Visitor};

use super::byte_len;
use crate::{Error, Result};

/// Bytes before the header: its length.
pub(super) const PREFIX: u64 = 8;
/// The format's own bound.
const MAX_HEADER: u64 = 100_000_000;
/// The one name in a header that is no tensor.
const METADATA: &str = "__metadata__";

/// One tensor as the header describes it.
#[derive(serde::Deserialize, serde::Serialize)]
pub(super) struct Info {
    /// The format's name of the type: `F32`, `I64` ..
    pub dtype: String,
    pub shape: Vec<usize>,
    /// First byte and the byte after the last, counted from the end of the header.
    #[serde(rename = "data_offsets")]
    pub range: (u64, u64),
}

/// The header, tensors in the file's order. Read by hand since a map would silently keep one of two equal names.
struct Header(Vec<(String, Info)>);

impl<'de> Deserialize<'de> for Header {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        deserializer.deserialize_map(HeaderVisitor)
    }
}

struct HeaderVisitor;

impl<'de> Visitor<'de> for HeaderVisitor {
    type Value = Header;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of tensors")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> std::result::Result<Header, A::Error> {
        let mut seen = BTreeSet::new();
        let mut tensors = Vec::new();
        while let Some(name) = map.next_key::<String>()? {
            if !seen.insert(name.clone()) {
                return Err(A::Error::custom(format!("{name:?} comes twice")));
            }
            if name == METADATA {
                map.next_value::<BTreeMap<String, String>>()?;
            } else {
                tensors.push((name, map.next_value()?));
            }
        }
        Ok(Header(tensors))
    }
}

/// The length of the header from the file's first bytes, checked against `file_len`.
///
/// # Errors
/// [`Error::Weights`] when the file is too short, or the header is empty, too long, or longer than the file.
pub(super) fn header_len(file: &str, prefix: &[u8], file_len: u64) -> Result<u64> {
    let Ok(prefix) = <[u8; 8]>::try_from(prefix) else {
        return Err(damaged(file, format!("{file_len} bytes are too few for a safetensors file")));
    };
    match u64::from_le_bytes(prefix) {
        0 => Err(damaged(file, "the header is empty")),
        len if len > MAX_HEADER => {
            Err(damaged(file, format!("a header of {len} bytes is beyond the format's {MAX_HEADER}")))
        }
        // The sum cannot overflow: `len` is bounded above.
        len if PREFIX + len > file_len => {
            let why = format!("a header of {len} bytes does not fit into a file of {file_len}");
            Err(damaged(file, why))
        }
        len => Ok(len),
    }
}

/// The tensors of a `header`, checked against each other and against the `data_len` bytes that follow it.
///
/// # Errors
/// [`Error::Weights`] for all that the format forbids. Types that are not known are left to whoever asks for them.
pub(super) fn parse_header(file: &str, header: &[u8], data_len: u64) -> Result<Vec<(String, Info)>> {
    let Header(mut tensors) =
        serde_json::from_slice(header).map_err(|e| damaged(file, format!("the header cannot be read: {e}")))?;
    tensors.sort_by_key(|(_, info)| info.range);
    let mut end = 0;
    for (name, info) in &tensors {
        check(info, end).map_err(|why| damaged(file, format!("tensor {name:?}: {why}")))?;
        end = info.range.1;
    }
    if end != data_len {
        return Err(damaged(file, format!("the tensors have {end} bytes, the file has {data_len} for them")));
    }
    Ok(tensors)
}

/// Checks one tensor, which has to begin where the one before it ended.
fn check(info: &Info, previous: u64) -> std::result::Result<(), String> {
    let (start, end) = info.range;
    if end < start {
        return Err(format!("it ends at byte {end}, before it begins at {start}"));
    }
    if start != previous {
        let what = if start < previous { "overlaps the tensor before it" } else { "leaves a hole before it" };
        return Err(format!("it {what}: it begins at byte {start}, not {previous}"));
    }
    let size = match element_size(&info.dtype) {
        Some(size) => size,
        None => return Ok(()),
    };
    match byte_len(&info.shape, size) {
        Some(len) if len == end - start => Ok(()),
        Some(len) => Err(format!("{} {:?} is {len} bytes, it has {}", info.dtype, info.shape, end - start)),
        None => Err(format!("shape {:?} overflows", info.shape)),
    }
}

/// Bytes of one element of a type that this crate knows by name, even when it cannot use it.
fn element_size(dtype: &str) -> Option<usize> {
    match dtype {
        "BOOL" | "U8" | "I8" => Some(1),
        "F16" | "BF16" | "I16" | "U16" => Some(2),
        "F32" | "I32" | "U32" => Some(4),
        "F64" | "I64" | "U64" | "C64" => Some(8),
        _ => None,
    }
}

/// A file that is not what it should be.
pub(super) fn damaged(file: &str, why: impl fmt::Display) -> Error {
    Error::Weights { file: file.to_owned(), why: format!("{why}; the file is damaged or incomplete, fetch it again") }
}

/// The elements of a tensor to write.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Values<'a> {
    /// Single precision.
    F32(&'a [f32]),
    /// 64-bit integers, as ids are stored.
    I64(&'a [i64]),
}

impl Values<'_> {
    fn dtype(&self) -> &'static str {
        match self {
            Self::F32(_) => "F32",
            Self::I64(_) => "I64",
        }
    }

    fn len(&self) -> usize {
        match self {
            Self::F32(values) => values.len(),
            Self::I64(values) => values.len(),
        }
    }

    fn size(&self) -> usize {
        match self {
            Self::F32(_) => 4,
            Self::I64(_) => 8,
        }
    }

    fn append(&self, to: &mut Vec<u8>) {
        match self {
            Self::F32(values) => values.iter().for_each(|value| to.extend(value.to_le_bytes())),
            Self::I64(values) => values.iter().for_each(|value| to.extend(value.to_le_bytes())),
        }
    }
}

/// A safetensors file of `(name, shape, values)`, the same bytes for the same tensors in any order: 8-byte
/// elements first, so that all are aligned, then by name.
///
/// # Errors
/// [`Error::Tensor`] when a name comes twice or is the format's own `__metadata__`, or when the values are not as many
/// as the shape says.
pub fn write_safetensors(tensors: &[(&str, &[usize], Values<'_>)]) -> Result<Vec<u8>> {
    let mut sorted: Vec<_> = tensors.iter().collect();
    sorted.sort_by_key(|(name, _, values)| (std::cmp::Reverse(values.size()), *name));
    let mut header = BTreeMap::new();
    let mut end = 0;
    for (name, shape, values) in &sorted {
        check_values(name, shape, values)?;
        let start = end;
        end += (values.len() * values.size()) as u64;
        let info = Info { dtype: values.dtype().to_owned(), shape: shape.to_vec(), range: (start, end) };
        if header.insert(*name, info).is_some() {
            return Err(tensor(name, "comes twice; give each tensor its own name"));
        }
    }
    let header = serde_json::to_string(&header).map_err(|e| tensor("of this file", e.to_string()))?;
    Ok(assemble(header, &sorted, end as usize))
}

/// The header's length, the header padded so that the elements are aligned, the elements.
fn assemble(mut header: String, tensors: &[&(&str, &[usize], Values<'_>)], data_len: usize) -> Vec<u8> {
    let len = header.len().next_multiple_of(8);
    header.extend(std::iter::repeat_n(' ', len - header.len()));
    let mut file = Vec::with_capacity(PREFIX as usize + len + data_len);
    file.extend((len as u64).to_le_bytes());
    file.extend(header.as_bytes());
    tensors.iter().for_each(|(_, _, values)| values.append(&mut file));
    file
}

fn check_values(name: &str, shape: &[usize], values: &Values<'_>) -> Result<()> {
    if name == METADATA {
        return Err(tensor(name, "the format keeps this name for itself; choose another"));
    }
    if byte_len(shape, 1) != Some(values.len() as u64) {
        return Err(tensor(name, format!("shape {shape:?} does not hold {} values", values.len())));
    }
    Ok(())
}

/// An [`Error::Tensor`].
pub(super) fn tensor(name: &str, why: impl Into<String>) -> Error {
    Error::Tensor { name: name.to_owned(), why: why.into() }
}
