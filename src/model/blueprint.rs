//! What a model folder says: the architecture, and where each tensor of its graph comes from.

use std::collections::HashMap;
#[cfg(not(target_arch = "wasm32"))]
use std::path::Path;

use super::arch::{Arch, Position};
use super::config::{self, Config};
use super::forward::{Outputs, Sizes, graph};
use super::names::{self, Source};
use super::rope_table;
use super::sentence::SentenceConfig;
use super::tokenizer_files::{OLD, SETTINGS, TokenizerFiles};
use crate::graph::{Graph, Kind, Rows};
use crate::kernel::Role;
use crate::weights::{Checkpoint, DType, HostTensor};
use crate::{Error, Result};

/// An architecture with its checkpoint: everything that is needed to build a model on some device.
#[derive(Debug)]
pub struct Blueprint {
    arch: Arch,
    sentence: SentenceConfig,
    checkpoint: Checkpoint,
    sources: HashMap<String, Source>,
    tokenizer: TokenizerFiles,
    #[cfg(feature = "text")]
    text: std::sync::OnceLock<crate::text::Tokenizer>,
}

/// A model folder's files, for where there are no folders.
#[derive(Debug, Default)]
pub struct Files {
    /// `config.json`, and of a sentence-transformers folder `modules.json`, `1_Pooling/config.json` and so on, by path.
    pub texts: HashMap<String, String>,
    /// `model.safetensors`, or its shards, by name.
    pub weights: Vec<(String, Vec<u8>)>,
    /// `tokenizer.json`.
    pub tokenizer: Option<Vec<u8>>,
    /// SentencePiece models by name: `source.spm`, `target.spm`, `spiece.model` and so on.
    pub sentencepiece: Vec<(String, Vec<u8>)>,
}

impl Blueprint {
    /// Reads a Hugging Face folder, a sentence-transformers folder included. No weights are read yet.
    ///
    /// # Errors
    /// [`Error::Config`], [`Error::Weights`], [`Error::Tensor`] (missing, misshapen or unused), [`Error::Io`],
    /// [`Error::Unsupported`].
    #[cfg(not(target_arch = "wasm32"))]
    pub fn open(dir: impl AsRef<Path>) -> Result<Self> {
        let dir = dir.as_ref();
        if !dir.is_dir() {
            let why = "is not a folder; --model wants one with config.json and model.safetensors";
            return Err(Error::Config { file: dir.display().to_string(), why: why.into() });
        }
        let sentence = SentenceConfig::read(dir)?;
        let inner = dir.join(&sentence.transformer);
        let config = Config::read(&inner)?;
        let checkpoint = Checkpoint::open(&inner)?;
        let tokenizer = TokenizerFiles::read(&inner)?;
        Self::build(&config, checkpoint, sentence, tokenizer)
    }

    /// As [`Self::open`], from bytes.
    pub fn from_files(files: Files) -> Result<Self> {
        let text = |path: &std::path::Path| Ok(files.texts.get(&path.to_string_lossy().replace('\\', "/")).cloned());
        let sentence = SentenceConfig::from_files(&text)?;
        let path = sentence.transformer.join("config.json");
        let missing = || Error::Config { file: "config.json".into(), why: "is not among the files".into() };
        let config = Config::parse("config.json", &text(&path)?.ok_or_else(missing)?)?;
        let mut tokenizer = TokenizerFiles::default();
        for name in SETTINGS.iter().chain(&OLD) {
            if let Some(text) = text(&sentence.transformer.join(name))? {
                tokenizer.insert(*name, text.into_bytes());
            }
        }
        files.sentencepiece.into_iter().for_each(|(name, bytes)| tokenizer.insert(name, bytes));
        files.tokenizer.into_iter().for_each(|json| tokenizer.insert("tokenizer.json", json));
        Self::build(&config, Checkpoint::from_shards(files.weights)?, sentence, tokenizer)
    }

    fn build(
        config: &Config,
        checkpoint: Checkpoint,
        sentence: SentenceConfig,
        tokenizer: TokenizerFiles,
    ) -> Result<Self> {
        let arch = config::arch(config, &checkpoint)?;
        let sources = names::names(&arch, &checkpoint).into_iter().collect();
        let this = Self {
            arch,
            sentence,
            checkpoint,
            sources,
            tokenizer,
            #[cfg(feature = "text")]
            text: std::sync::OnceLock::new(),
        };
        this.check()?;
        Ok(this)
    }

    /// The same checkpoint read as another architecture: how tests see that a misread one shows.
    pub fn with_arch(mut self, arch: Arch) -> Result<Self> {
        self.arch = arch;
        self.sources = names::names(&self.arch, &self.checkpoint).into_iter().collect();
        Ok(self)
    }

    /// The architecture.
    pub fn arch(&self) -> &Arch {
        &self.arch
    }

    /// Pooling, normalisation and length, where the folder is a sentence-transformers one.
    pub fn sentence(&self) -> &SentenceConfig {
        &self.sentence
    }

    /// The files that say how text becomes ids, those that there are.
    pub fn tokenizer_files(&self) -> &TokenizerFiles {
        &self.tokenizer
    }

    /// The tokenizer, parsed once.
    ///
    /// # Errors
    /// As [`crate::text::Tokenizer::of`].
    #[cfg(feature = "text")]
    pub fn text_tokenizer(&self) -> Result<&crate::text::Tokenizer> {
        if let Some(made) = self.text.get() {
            return Ok(made);
        }
        let made = crate::text::Tokenizer::of(self)?;
        Ok(self.text.get_or_init(|| made))
    }

    /// The graph of a role.
    pub fn graph(&self, role: Role, outputs: Outputs, sizes: Sizes) -> Graph {
        graph(&self.arch, role, outputs, sizes, &|name| self.dtype(name))
    }

    /// Matrices keep the checkpoint's type, if all their parts have one and the same.
    fn dtype(&self, name: &str) -> DType {
        let parts = self.sources.get(name).map_or(&[] as &[String], Source::parts);
        let mut types = parts.iter().map(|part| self.checkpoint.dtype(part).unwrap_or_default());
        let first = types.next().unwrap_or_default();
        if types.all(|t| t == first) { first } else { DType::F32 }
    }

    /// A tensor of the graph: gathered from the checkpoint, or computed. Vectors are widened to f32.
    pub fn tensor(&self, name: &str, shape: [usize; 2]) -> Result<HostTensor> {
        if let Some(table) = self.computed(name, shape) {
            return table;
        }
        let tensor = names::gather(&self.checkpoint, self.source(name)?, shape)?;
        if shape[0] == 1 && tensor.dtype != DType::F32 && self.is_vector(name) {
            return HostTensor::from_f32(shape, &tensor.to_f32());
        }
        Ok(tensor)
    }

    fn is_vector(&self, name: &str) -> bool {
        name.ends_with(".bias") || name.ends_with("norm.weight")
    }

    fn computed(&self, name: &str, [rows, cols]: [usize; 2]) -> Option<Result<HostTensor>> {
        let stack = match name {
            "encoder.rope" => self.arch.encoder.as_ref()?,
            "decoder.rope" => self.arch.decoder.as_ref()?,
            _ => return None,
        };
        match stack.position {
            Position::Rope { theta, .. } => Some(HostTensor::from_f32([rows, cols], &rope_table(theta, rows, cols))),
            Position::Learned { .. } => None,
        }
    }

    fn source(&self, name: &str) -> Result<&Source> {
        let why = || "the architecture needs it, but its family names no tensor for it".into();
        self.sources.get(name).ok_or_else(|| Error::Tensor { name: name.into(), why: why() })
    }

    /// Every tensor the graph needs is there in the right shape, and every tensor there is needed: a misread
    /// architecture shows here.
    fn check(&self) -> Result<()> {
        let roles: &[Role] = if self.arch.decoder.is_some() { &[Role::Full, Role::Prefill] } else { &[Role::Full] };
        let outputs = Outputs { hidden: true, pooler: true, ..Outputs::default() };
        for role in roles {
            for info in self.graph(*role, outputs, Sizes { slots: 1 }).tensors() {
                let (Kind::Weight, Rows::Fixed(rows)) = (info.kind, info.rows) else { continue };
                if self.computed(&info.name, [1, 2]).is_none() {
                    names::check(&self.checkpoint, self.source(&info.name)?, [rows, info.cols])?;
                }
            }
        }
        match names::stray(&self.checkpoint, self.sources.values()) {
            None => Ok(()),
            Some(name) => {
                let why = "is in the checkpoint, but config.json describes a model without it; is it of another model?";
                Err(Error::Tensor { name: name.into(), why: why.into() })
            }
        }
    }
}
