//! The files of a model folder that say how its text becomes ids.

use std::collections::BTreeMap;
#[cfg(not(target_arch = "wasm32"))]
use std::path::Path;

use super::config::{Config, config_error};
#[cfg(not(target_arch = "wasm32"))]
use crate::Error;
use crate::Result;

/// Small ones, which are read wherever they are.
pub(crate) const SETTINGS: [&str; 5] =
    ["config.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json", "chat_template.jinja"];
/// What `tokenizer.json` replaces.
pub(crate) const OLD: [&str; 9] = [
    "vocab.txt",
    "vocab.json",
    "merges.txt",
    "source.spm",
    "target.spm",
    "target_vocab.json",
    "spiece.model",
    "sentencepiece.bpe.model",
    "tokenizer.model",
];
/// Far more than any of them needs.
#[cfg(not(target_arch = "wasm32"))]
const MAX_BYTES: u64 = 256 << 20;

/// Files by name. `crate::text::Tokenizer` (feature `text`) is made of them.
#[derive(Clone, Debug, Default)]
pub struct TokenizerFiles(BTreeMap<String, Vec<u8>>);

impl TokenizerFiles {
    /// The files that a tokenizer may need, of a folder. Where there is a `tokenizer.json`, older forms are not read.
    ///
    /// # Errors
    /// [`Error::Io`] when one cannot be read, [`Error::Config`] when one is no regular file or absurdly large.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn read(dir: impl AsRef<Path>) -> Result<Self> {
        let dir = dir.as_ref();
        let mut this = Self::default();
        let old = if dir.join("tokenizer.json").is_file() { &["tokenizer.json"][..] } else { &OLD };
        for name in SETTINGS.iter().chain(old) {
            let path = dir.join(name);
            let Ok(meta) = std::fs::metadata(&path) else { continue };
            // Opening a pipe would wait for ever.
            if !meta.is_file() || meta.len() > MAX_BYTES {
                let why = format!("is not a regular file of at most {MAX_BYTES} bytes");
                return Err(config_error(&path.display().to_string(), why));
            }
            this.insert(*name, std::fs::read(&path).map_err(|e| Error::io(&path, e))?);
        }
        Ok(this)
    }

    /// Adds a file, or replaces it.
    pub fn insert(&mut self, name: impl Into<String>, bytes: Vec<u8>) {
        self.0.insert(name.into(), bytes);
    }

    /// A file's bytes.
    pub fn get(&self, name: &str) -> Option<&[u8]> {
        self.0.get(name).map(Vec::as_slice)
    }

    /// A file's text.
    ///
    /// # Errors
    /// [`crate::Error::Config`] when it is not UTF-8.
    pub fn text(&self, name: &str) -> Result<Option<&str>> {
        let text = |bytes| std::str::from_utf8(bytes).map_err(|_| config_error(name, "is not UTF-8; fetch it again"));
        self.get(name).map(text).transpose()
    }

    /// A JSON object; an empty one where the file is missing.
    ///
    /// # Errors
    /// [`crate::Error::Config`] when it is not a JSON object.
    pub fn config(&self, name: &str) -> Result<Config> {
        Config::parse(name, self.text(name)?.unwrap_or("{}"))
    }
}
