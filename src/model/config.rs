//! `config.json` and its like: JSON objects read with getters that know what is sane.
//!
//! A value is checked when it is read, so that whatever is computed from an [`super::arch::Arch`] cannot overflow, allocate absurdly
//! or divide by zero.

mod rope;

use std::fmt::Display;
use std::ops::RangeInclusive;
#[cfg(not(target_arch = "wasm32"))]
use std::path::Path;

use serde_json::{Map, Value};

use super::arch::{Activation, Head};
use crate::weights::Checkpoint;
use crate::{Error, Result};

/// Sane bounds, shared by the families.
pub(super) mod bounds {
    use std::ops::RangeInclusive;

    pub const LAYERS: RangeInclusive<usize> = 1..=1024;
    pub const WIDTH: RangeInclusive<usize> = 1..=65536;
    pub const HEADS: RangeInclusive<usize> = 1..=1024;
    pub const HEAD_DIM: RangeInclusive<usize> = 1..=256;
    pub const FFN: RangeInclusive<usize> = 1..=1 << 20;
    pub const VOCAB: RangeInclusive<usize> = 1..=4 << 20;
    pub const POSITIONS: RangeInclusive<usize> = 1..=16 << 20;
    pub const TYPES: RangeInclusive<usize> = 1..=65536;
    pub const BUCKETS: RangeInclusive<usize> = 4..=1 << 12;
    pub const EPS: RangeInclusive<f64> = 0.0..=1.0;
}

/// Names of activations in `config.json`, and what they are.
const ACTIVATIONS: [(&str, Activation); 10] = [
    ("gelu", Activation::Gelu),
    ("gelu_accurate", Activation::GeluTanh),
    ("gelu_fast", Activation::GeluTanh),
    ("gelu_new", Activation::GeluTanh),
    ("gelu_python", Activation::Gelu),
    ("gelu_pytorch_tanh", Activation::GeluTanh),
    ("relu", Activation::Relu),
    ("silu", Activation::Silu),
    ("swish", Activation::Silu),
    ("tanh", Activation::Tanh),
];

/// The head's table, in all families with a decoder that have one.
pub(super) const HEAD: &str = "lm_head.weight";

/// Far more than any configuration needs.
#[cfg(not(target_arch = "wasm32"))]
const MAX_BYTES: u64 = 16 << 20;

/// A JSON object, and the file it came from for the messages.
#[derive(Clone, Debug)]
pub struct Config {
    file: String,
    values: Map<String, Value>,
}

impl Config {
    /// Reads `config.json` of a model folder.
    ///
    /// # Errors
    /// [`Error::Config`] when it is missing, too large or not a JSON object; [`Error::Io`] when it cannot be read.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn read(dir: impl AsRef<Path>) -> Result<Self> {
        let path = dir.as_ref().join("config.json");
        let file = path.display().to_string();
        match read_text(&path)? {
            Some(text) => Self::parse(file, &text),
            None => Err(config_error(&file, "missing; give a folder that holds a model's config.json and weights")),
        }
    }

    /// Parses the JSON object `text`, which messages call `file`.
    ///
    /// # Errors
    /// [`Error::Config`] when it is not a JSON object.
    pub fn parse(file: impl Into<String>, text: &str) -> Result<Self> {
        let file = file.into();
        match parse_json(&file, text)? {
            Value::Object(values) => Ok(Self { file, values }),
            other => Err(config_error(&file, format!("is {}, expected an object", show(&other)))),
        }
    }

    /// What messages call it.
    pub(super) fn file(&self) -> &str {
        &self.file
    }

    /// The value of `key`; `None` when it is absent or null.
    pub fn get(&self, key: &str) -> Option<&Value> {
        self.values.get(key).filter(|value| !value.is_null())
    }

    /// Whether `key` is there, if only as null.
    pub(crate) fn mentions(&self, key: &str) -> bool {
        self.values.contains_key(key)
    }

    /// A whole number within `range`, or `default` where the key is absent.
    ///
    /// # Errors
    /// [`Error::Config`] when it is anything else.
    pub fn usize(&self, key: &str, default: usize, range: RangeInclusive<usize>) -> Result<usize> {
        self.opt_usize(key, range).map(|value| value.unwrap_or(default))
    }

    /// A whole number within `range`; `None` where the key is absent or null.
    ///
    /// # Errors
    /// [`Error::Config`] when it is anything else.
    pub fn opt_usize(&self, key: &str, range: RangeInclusive<usize>) -> Result<Option<usize>> {
        let Some(value) = self.get(key) else {
            return Ok(None);
        };
        let number = value.as_u64().and_then(|n| usize::try_from(n).ok());
        let number = number.filter(|n| range.contains(n));
        let what = || format!("a whole number from {} to {}", range.start(), range.end());
        number.map(Some).ok_or_else(|| self.wrong(key, value, what()))
    }

    /// A number within `range`, or `default` where the key is absent.
    ///
    /// # Errors
    /// [`Error::Config`] when it is anything else.
    pub fn f32(&self, key: &str, default: f32, range: RangeInclusive<f64>) -> Result<f32> {
        let Some(value) = self.get(key) else {
            return Ok(default);
        };
        // NaN is in no range.
        let number = value.as_f64().filter(|x| range.contains(x));
        let what = || format!("a number from {} to {}", range.start(), range.end());
        number.map(|x| x as f32).ok_or_else(|| self.wrong(key, value, what()))
    }

    /// `true` or `false`, or `default` where the key is absent.
    ///
    /// # Errors
    /// [`Error::Config`] when it is anything else.
    pub fn bool(&self, key: &str, default: bool) -> Result<bool> {
        let Some(value) = self.get(key) else {
            return Ok(default);
        };
        value.as_bool().ok_or_else(|| self.wrong(key, value, "true or false"))
    }

    /// A string; `None` where the key is absent.
    ///
    /// # Errors
    /// [`Error::Config`] when it is anything else.
    pub fn str(&self, key: &str) -> Result<Option<&str>> {
        let Some(value) = self.get(key) else {
            return Ok(None);
        };
        value.as_str().map(Some).ok_or_else(|| self.wrong(key, value, "a string"))
    }

    /// An activation by its name in Hugging Face files, or `default` where the key is absent.
    ///
    /// # Errors
    /// [`Error::Config`] with the known names when it is none of them.
    pub fn activation(&self, key: &str, default: Activation) -> Result<Activation> {
        match self.get(key) {
            None => Ok(default),
            Some(value) => self.activation_named(key, value),
        }
    }

    /// The activation that `value`, or a part of it, names.
    ///
    /// # Errors
    /// As [`Self::activation`].
    pub(super) fn activation_named(&self, key: &str, value: &Value) -> Result<Activation> {
        let known = ACTIVATIONS.iter().find(|(name, _)| value.as_str() == Some(name));
        let names = || format!("one of {}", ACTIVATIONS.map(|(name, _)| name).join(", "));
        known.map(|&(_, act)| act).ok_or_else(|| self.wrong(key, value, names()))
    }

    /// A token id below `vocab`: `None` where the key is null, `default` where it is absent.
    ///
    /// # Errors
    /// [`Error::Config`] when it is anything else.
    pub fn token(&self, key: &str, default: Option<u32>, vocab: usize) -> Result<Option<u32>> {
        if !self.values.contains_key(key) {
            return Ok(default);
        }
        let id = self.opt_usize(key, 0..=vocab.saturating_sub(1))?;
        Ok(id.and_then(|id| u32::try_from(id).ok()))
    }

    /// As [`Self::heads`], by the keys of Llama; `head_dim`, or its `default`, gives heads a width of their own.
    ///
    /// # Errors
    /// As [`Self::heads`].
    pub(super) fn own_heads(&self, default: Option<usize>) -> Result<(usize, usize, usize)> {
        const KEYS: [(&str, usize); 2] = [("hidden_size", 4096), ("num_attention_heads", 32)];
        let default = default.filter(|_| !self.is_null("head_dim"));
        let Some(head_dim) = self.opt_usize("head_dim", bounds::HEAD_DIM)?.or(default) else {
            return self.heads(KEYS[0], KEYS[1]);
        };
        let [width, heads] = KEYS;
        Ok((self.usize(width.0, width.1, bounds::WIDTH)?, self.usize(heads.0, heads.1, bounds::HEADS)?, head_dim))
    }

    /// Key and value heads, which divide the query heads.
    ///
    /// # Errors
    /// [`Error::Config`] when they do not.
    pub(super) fn kv_heads(&self, heads: usize, default: usize) -> Result<usize> {
        let key = "num_key_value_heads";
        let default = if self.is_null(key) { heads } else { default };
        let kv_heads = self.usize(key, default, bounds::HEADS)?;
        match heads.is_multiple_of(kv_heads) {
            true => Ok(kv_heads),
            false => {
                Err(config_error(&self.file, format!("{key} is {kv_heads}, expected a divisor of the {heads} heads")))
            }
        }
    }

    /// Whether `key` is there, and null.
    pub(super) fn is_null(&self, key: &str) -> bool {
        self.values.get(key).is_some_and(Value::is_null)
    }

    /// What each layer attends to; `None` where the key is absent.
    ///
    /// # Errors
    /// [`Error::Config`] when it is no list of that many known names.
    pub(super) fn layer_types(&self, layers: usize) -> Result<Option<Vec<String>>> {
        const KNOWN: [&str; 2] = ["full_attention", "sliding_attention"];
        let Some(value) = self.get("layer_types") else { return Ok(None) };
        let name = |value: &Value| KNOWN.into_iter().find(|name| value.as_str() == Some(name)).map(str::to_owned);
        let names: Option<Vec<_>> = value.as_array().and_then(|list| list.iter().map(name).collect());
        let expected = || format!("{layers} times {}", KNOWN.join(" or "));
        let names = names.filter(|names| names.len() == layers);
        names.map(Some).ok_or_else(|| self.wrong("layer_types", value, expected()))
    }

    /// Width, number of heads and width of one head, from the keys of the first two and their defaults.
    ///
    /// # Errors
    /// [`Error::Config`] when one is absurd or the heads do not divide the width.
    pub fn heads(&self, width: (&str, usize), heads: (&str, usize)) -> Result<(usize, usize, usize)> {
        let columns = self.usize(width.0, width.1, bounds::WIDTH)?;
        let count = self.usize(heads.0, heads.1, bounds::HEADS)?;
        let head_dim = columns / count;
        if columns % count != 0 || !bounds::HEAD_DIM.contains(&head_dim) {
            let (low, high) = bounds::HEAD_DIM.into_inner();
            let expected = format!("{} times a head's width of {low} to {high}", heads.0);
            let why = format!("{} is {columns} with {} of {count}, expected {expected}", width.0, heads.0);
            return Err(config_error(&self.file, why));
        }
        Ok((columns, count, head_dim))
    }

    /// An object within this one, which messages call by both names.
    ///
    /// # Errors
    /// [`Error::Config`] when it is anything else.
    pub fn object(&self, key: &str) -> Result<Option<Self>> {
        match self.get(key) {
            None => Ok(None),
            Some(Value::Object(values)) => {
                Ok(Some(Self { file: format!("{}, {key}", self.file), values: values.clone() }))
            }
            Some(other) => Err(self.wrong(key, other, "an object")),
        }
    }

    /// What turns hidden rows into logits: `head`, a table of its own, unless it is tied to `word`. A tied model whose
    /// checkpoint holds both, and they differ, has its own.
    ///
    /// # Errors
    /// [`Error::Io`] when they cannot be compared.
    pub(super) fn head(&self, checkpoint: &Checkpoint, [head, word]: [&str; 2], tied: bool) -> Result<Head> {
        let tied = self.bool("tie_word_embeddings", tied)?;
        let both = checkpoint.contains(head) && checkpoint.contains(word);
        Ok(match tied && (!both || checkpoint.same(head, word)?) {
            true => Head::Tied,
            false => Head::Untied,
        })
    }

    /// An [`Error::Unsupported`] unless `key` is `false` or absent.
    pub(super) fn refuse(&self, key: &str, why: &str) -> Result<()> {
        match self.bool(key, false)? {
            true => Err(self.unsupported(key, why)),
            false => Ok(()),
        }
    }

    /// An [`Error::Unsupported`] that names the file, the key and its value.
    pub(super) fn unsupported(&self, key: &str, why: impl Into<String>) -> Error {
        let value = show(self.values.get(key).unwrap_or(&Value::Null));
        Error::Unsupported { what: format!("{key} = {value} in {}", self.file), why: why.into() }
    }

    /// An [`Error::Config`] that names the key, what came and what would be right.
    pub(crate) fn wrong(&self, key: &str, value: &Value, expected: impl Display) -> Error {
        config_error(&self.file, format!("{key} is {}, expected {expected}", show(value)))
    }
}

/// An [`Error::Config`].
pub(crate) fn config_error(file: &str, why: impl Into<String>) -> Error {
    Error::Config { file: file.to_owned(), why: why.into() }
}

/// Any JSON value.
pub(super) fn parse_json(file: &str, text: &str) -> Result<Value> {
    serde_json::from_str(text).map_err(|e| config_error(file, format!("is not valid JSON: {e}")))
}

/// A value as it stands in the file, cut short.
pub(super) fn show(value: &Value) -> String {
    let text = value.to_string();
    match text.char_indices().nth(60) {
        Some((end, _)) => format!("{}..", &text[..end]),
        None => text,
    }
}

/// A small text file; `None` when there is none.
#[cfg(not(target_arch = "wasm32"))]
pub(crate) fn read_text(path: &Path) -> Result<Option<String>> {
    use std::io::{ErrorKind, Read};
    let name = path.display().to_string();
    let meta = match std::fs::metadata(path) {
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(None),
        meta => meta.map_err(|e| Error::io(path, e))?,
    };
    // Opening a pipe would wait for ever.
    if !meta.is_file() || meta.len() > MAX_BYTES {
        return Err(config_error(&name, format!("is not a regular file of at most {MAX_BYTES} bytes")));
    }
    let mut text = Vec::new();
    let file = std::fs::File::open(path).map_err(|e| Error::io(path, e))?;
    file.take(MAX_BYTES).read_to_end(&mut text).map_err(|e| Error::io(path, e))?;
    let text = String::from_utf8(text).map_err(|_| config_error(&name, "is not UTF-8 text"))?;
    Ok(Some(text))
}
