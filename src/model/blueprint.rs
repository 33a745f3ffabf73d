//! What a model folder says: the architecture, and where each tensor of its graph comes from.

use std::collections::{HashMap, HashSet};
#[cfg(not(target_arch = "wasm32"))]
use std::path::Path;

use super::arch::{Arch, Position, Stack};
use super::config::Config;
use super::family::Family;
use super::forward::{Outputs, Sizes, graph};
use super::labels::Labels;
use super::names::{self, Source};
use super::sentence::SentenceConfig;
use super::tables;
use super::tokenizer_files::{OLD, SETTINGS, TokenizerFiles};
use crate::generate::Settings;
use crate::graph::{Graph, Kind, Rows};
use crate::kernel::Role;
use crate::weights::{Checkpoint, DType, HostTensor};
use crate::{Error, Result};

/// An architecture with its checkpoint: everything that is needed to build a model on some device.
#[derive(Debug)]
pub struct Blueprint {
    family: &'static Family,
    arch: Arch,
    sentence: SentenceConfig,
    labels: Labels,
    generation: Settings,
    checkpoint: Checkpoint,
    sources: HashMap<String, Source>,
    tokenizer: TokenizerFiles,
    #[cfg(feature = "text")]
    text: std::sync::OnceLock<crate::text::Tokenizer>,
}

/// A model folder's files, for where there are no folders.
#[derive(Debug, Default)]
pub struct Files {
    /// `config.json`, `generation_config.json`, and of a sentence-transformers folder `modules.json`, `1_Pooling/config.json` and so on, by path.
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
            let why =
                "is not a folder; --model wants one with config.json and model.safetensors, or OWNER/MODEL on the hub";
            return Err(Error::Config { file: dir.display().to_string(), why: why.into() });
        }
        let sentence = SentenceConfig::read(dir)?;
        let inner = dir.join(&sentence.transformer);
        let config = Config::read(&inner)?;
        let checkpoint = Checkpoint::open(&inner)?;
        let tokenizer = TokenizerFiles::read(&inner)?;
        let generation = super::config::read_text(&inner.join("generation_config.json"))?;
        Self::build(&config, generation, checkpoint, sentence, tokenizer)
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
        let generation = text(&sentence.transformer.join("generation_config.json"))?;
        Self::build(&config, generation, Checkpoint::from_shards(files.weights)?, sentence, tokenizer)
    }

    /// Whether a `config.json` is of a family that can run, before there are weights.
    ///
    /// # Errors
    /// [`Error::Config`] when it is not.
    #[cfg(all(feature = "hub", not(target_arch = "wasm32")))]
    pub(crate) fn check_config(config: &Config) -> Result<()> {
        Family::of(config).map(drop)
    }

    fn build(
        config: &Config,
        generation: Option<String>,
        checkpoint: Checkpoint,
        sentence: SentenceConfig,
        tokenizer: TokenizerFiles,
    ) -> Result<Self> {
        let generation = generation.map(|text| Config::parse("generation_config.json", &text)).transpose()?;
        let family = Family::of(config)?;
        let arch = (family.arch)(config, &checkpoint)?;
        let sources = (family.names)(&arch, &checkpoint).list.into_iter().collect();
        let this = Self {
            family,
            labels: Labels::read(config, &arch, &sentence)?,
            arch,
            sentence,
            generation: Settings::read(generation.as_ref(), config)?,
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
        self.sources = (self.family.names)(&self.arch, &self.checkpoint).list.into_iter().collect();
        Ok(self)
    }

    /// The architecture.
    pub fn arch(&self) -> &Arch {
        &self.arch
    }

    /// How the folder says to generate.
    pub fn generation(&self) -> &Settings {
        &self.generation
    }

    /// Pooling, normalisation and length, where the folder is a sentence-transformers one.
    pub fn sentence(&self) -> &SentenceConfig {
        &self.sentence
    }

    /// What the labels of a classifier are called, and how its logits become scores.
    pub fn labels(&self) -> &Labels {
        &self.labels
    }

    /// The files that say how text becomes ids, those that there are.
    pub fn tokenizer_files(&self) -> &TokenizerFiles {
        &self.tokenizer
    }

    /// The tokenizer, parsed at the first call.
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
        let parts = self.sources.get(name).into_iter().flat_map(Source::parts);
        let mut types = parts.map(|part| self.checkpoint.dtype(part).unwrap_or_default());
        let first = types.next().unwrap_or_default();
        if types.all(|t| t == first) { first } else { DType::F32 }
    }

    /// A tensor of the graph: gathered from the checkpoint, or computed. Vectors are widened to f32.
    pub fn tensor(&self, name: &str, shape: [usize; 2]) -> Result<HostTensor> {
        let Some(stored) = self.stored(name, shape) else {
            return HostTensor::from_f32(shape, &self.computed(name, shape));
        };
        let tensor = names::gather(&self.checkpoint, self.source(name)?, stored)?;
        let stack = self.stack(name);
        if let (Some(buckets), true) = (stack.and_then(|s| s.buckets), name.ends_with(".buckets")) {
            let causal = name.starts_with("decoder");
            let table = tables::bucket_table(&tensor.to_f32(), shape[0], buckets, causal);
            return HostTensor::from_f32(shape, &table);
        }
        let position = stack.map(|s| s.position);
        if let (Some(Position::Learned { max, offset, pads: Some(_) }), true) = (position, is_table(name)) {
            return tables::pads_last(&tensor, max, offset);
        }
        if name == "head.norm.weight" {
            let scaled: Vec<f32> = tensor.to_f32().into_iter().map(|x| x * self.arch.head_scale).collect();
            return HostTensor::from_f32(shape, &scaled);
        }
        if shape[0] == 1 && tensor.dtype != DType::F32 && self.is_vector(name) {
            return HostTensor::from_f32(shape, &tensor.to_f32());
        }
        Ok(tensor)
    }

    fn is_vector(&self, name: &str) -> bool {
        name.ends_with(".bias") || name.ends_with("norm.weight")
    }

    /// The shape in the checkpoint of what becomes a tensor of this name and shape; `None` where it is computed from
    /// nothing.
    fn stored(&self, name: &str, shape: [usize; 2]) -> Option<[usize; 2]> {
        let stack = self.stack(name);
        match stack.map(|s| s.position) {
            _ if name.ends_with(".buckets") => stack?.buckets.map(|buckets| [buckets.count, shape[0]]),
            Some(Position::Rope { .. }) if name.ends_with(".rope") => None,
            Some(Position::Sinusoid { .. }) if is_table(name) && !self.sources.contains_key(name) => None,
            Some(Position::Learned { max, offset, pads: Some(_) }) if is_table(name) => Some([max + offset, shape[1]]),
            _ => Some(shape),
        }
    }

    /// The stack that a tensor belongs to.
    fn stack(&self, name: &str) -> Option<&Stack> {
        let decodes = name.starts_with("decoder") || self.arch.encoder.is_none();
        if decodes { self.arch.decoder.as_ref() } else { self.arch.encoder.as_ref() }
    }

    fn computed(&self, name: &str, [rows, cols]: [usize; 2]) -> Vec<f32> {
        let stack = self.stack(name);
        match stack.map(|s| s.position) {
            Some(Position::Rope { theta, scaling, .. }) => {
                let local = stack.and_then(|s| s.local_rope).filter(|_| name.ends_with(".local.rope"));
                let (theta, scaling) = local.unwrap_or((theta, scaling));
                tables::scaled_rope_table(theta, scaling, rows, cols)
            }
            Some(Position::Sinusoid { max, offset, closed, .. }) => {
                let mut table = tables::sinusoids(max, offset, cols, closed);
                // The row of tokens without a position.
                table.resize(rows * cols, 0.0);
                table
            }
            _ => vec![0.0; rows * cols],
        }
    }

    fn source(&self, name: &str) -> Result<&Source> {
        let why = || "the architecture needs it, but its family names no tensor for it".into();
        self.sources.get(name).ok_or_else(|| Error::Tensor { name: name.into(), why: why() })
    }

    /// Every tensor the graph needs is there in the right shape, and every tensor there is needed: a misread
    /// architecture shows here.
    fn check(&self) -> Result<()> {
        let outputs = Outputs::of_heads();
        for role in self.arch.roles() {
            for info in self.graph(*role, outputs, Sizes { slots: 1 }).tensors() {
                let (Kind::Weight, Rows::Fixed(rows)) = (info.kind, info.rows) else { continue };
                if let Some(stored) = self.stored(&info.name, [rows, info.cols]) {
                    names::check(&self.checkpoint, self.source(&info.name)?, stored)?;
                }
            }
        }
        self.check_unused()
    }

    /// What no source takes is a copy, or known to be of no use.
    fn check_unused(&self) -> Result<()> {
        let refuse = |name: &str, why: String| Err(Error::Tensor { name: name.into(), why });
        let copies = (self.family.names)(&self.arch, &self.checkpoint).copies;
        for (copy, of) in &copies {
            if !self.checkpoint.same(copy, of)? {
                return refuse(copy, format!("differs from {of}; this version shares one table between the two"));
            }
        }
        let copies = copies.iter().map(|(copy, _)| copy.as_str());
        let named: HashSet<&str> = self.sources.values().flat_map(Source::parts).chain(copies).collect();
        let stray = |name: &&str| !named.contains(name) && !(self.family.known_unused)(name);
        match self.checkpoint.names().find(stray) {
            None => Ok(()),
            Some(name) => refuse(
                name,
                "is in the checkpoint, but config.json describes a model without it; is it of another model?".into(),
            ),
        }
    }
}

/// Whether a tensor is a table of positions.
fn is_table(name: &str) -> bool {
    name.ends_with(".position.weight")
}
