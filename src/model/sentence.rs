//! Folders of sentence-transformers: how the encoder's token vectors become one vector of a text.
//!
//! `modules.json` lists modules, each with its own folder: a Transformer, a Pooling and maybe a Normalize. Names and
//! keys differ between versions of that library; all are read here. A folder without `modules.json` is a plain model,
//! which that library pools with the mean and does not normalise.

#[cfg(test)]
mod tests;

use std::path::{Component, Path, PathBuf};

use serde_json::Value;

use super::arch::{Arch, PoolMode};
use super::config::{Config, bounds, config_error, parse_json, show};
use crate::{Error, Result};

pub(crate) const MODULES: &str = "modules.json";
pub(crate) const ROOT: &str = "config_sentence_transformers.json";

/// The Transformer module's own file, under the names it has had.
pub(crate) const TRANSFORMER: [&str; 7] = [
    "sentence_bert_config.json",
    "sentence_roberta_config.json",
    "sentence_distilbert_config.json",
    "sentence_camembert_config.json",
    "sentence_albert_config.json",
    "sentence_xlm-roberta_config.json",
    "sentence_xlnet_config.json",
];

/// Pooling modes: today's name, the older key, and what it is here if anything.
const POOLING: [(&str, &str, Option<PoolMode>); 6] = [
    ("cls", "pooling_mode_cls_token", Some(PoolMode::Cls)),
    ("max", "pooling_mode_max_tokens", Some(PoolMode::Max)),
    ("mean", "pooling_mode_mean_tokens", Some(PoolMode::Mean)),
    ("mean_sqrt_len_tokens", "pooling_mode_mean_sqrt_len_tokens", None),
    ("weightedmean", "pooling_mode_weightedmean_tokens", None),
    ("lasttoken", "pooling_mode_lasttoken", Some(PoolMode::Last)),
];

/// How a folder turns a text into a vector.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct SentenceConfig {
    /// The encoder's folder below the model's; empty when they are one.
    pub transformer: PathBuf,
    /// How token vectors become one.
    pub pooling: PoolMode,
    /// Whether the vector is scaled to length 1.
    pub normalize: bool,
    /// Texts are cut to this many tokens, where the files say so. See [`Self::max_tokens`].
    pub max_length: Option<usize>,
    /// Whether texts are lower-cased before the tokenizer sees them.
    pub lower_case: bool,
    /// The function after a cross-encoder's logits, by its name in PyTorch.
    pub activation: Option<String>,
}

/// The folders of modules below the model's.
#[cfg(all(feature = "hub", not(target_arch = "wasm32")))]
#[derive(Debug, Default)]
pub(crate) struct Layout {
    /// The encoder's; empty when it is the model's own.
    pub transformer: PathBuf,
    /// The one that says how to pool.
    pub pooling: Option<PathBuf>,
}

/// Gives the text of a file by its path below the model's folder; `None` when there is none.
pub type ReadFile<'a> = &'a dyn Fn(&Path) -> Result<Option<String>>;

impl SentenceConfig {
    /// Reads a model folder.
    ///
    /// # Errors
    /// As [`Self::from_files`]; [`Error::Io`] when a file cannot be read.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn read(dir: impl AsRef<Path>) -> Result<Self> {
        let dir = dir.as_ref();
        Self::from_files(&|path| super::config::read_text(&dir.join(path)))
    }

    /// Reads a model "folder" from wherever `read` finds its files.
    ///
    /// # Errors
    /// [`Error::Config`] when a file is damaged, absurd, or names a path outside of the folder; [`Error::Unsupported`]
    /// for modules and pooling modes that this version cannot run.
    pub fn from_files(read: ReadFile<'_>) -> Result<Self> {
        let root = read_root(read)?;
        let mut this = match read(Path::new(MODULES))? {
            Some(text) => from_modules(read, &Module::list(&text)?, root.crosses)?,
            None => Self::default(),
        };
        this.read_transformer(read)?;
        this.activation = root.activation;
        Ok(this)
    }

    /// Where the folder's modules are.
    ///
    /// # Errors
    /// [`Error::Config`] when `modules.json` is damaged or names a path outside of the folder.
    #[cfg(all(feature = "hub", not(target_arch = "wasm32")))]
    pub(crate) fn layout(read: ReadFile<'_>) -> Result<Layout> {
        let Some(text) = read(Path::new(MODULES))? else { return Ok(Layout::default()) };
        let modules = Module::list(&text)?;
        let folder = |kind| modules.iter().find(|m| m.kind() == Some(kind)).map(|m| m.path.clone());
        Ok(Layout { transformer: folder("Transformer").unwrap_or_default(), pooling: folder("Pooling") })
    }

    /// How many tokens of a text the model sees: as many as the files say, at most as many as it has positions.
    pub fn max_tokens(&self, arch: &Arch) -> usize {
        let stack = arch.encoder.as_ref().or(arch.decoder.as_ref());
        let positions = stack.map_or(usize::MAX, |stack| stack.position.max());
        self.max_length.map_or(positions, |length| length.min(positions))
    }

    /// The length and case, which the Transformer module keeps; without it the tokenizer's length counts.
    fn read_transformer(&mut self, read: ReadFile<'_>) -> Result<()> {
        for name in TRANSFORMER {
            if let Some(config) = read_config(read, &self.transformer.join(name))? {
                self.max_length = config.opt_usize("max_seq_length", bounds::POSITIONS)?;
                self.lower_case = config.bool("do_lower_case", false)?;
                break;
            }
        }
        if self.max_length.is_none() {
            let tokenizer = read_config(read, &self.transformer.join("tokenizer_config.json"))?;
            // Tokenizers without a limit say 1e30, so what is no sane number is no limit.
            let limit = tokenizer.as_ref().and_then(|config| config.get("model_max_length")?.as_u64());
            self.max_length = limit.and_then(|n| usize::try_from(n).ok()).filter(|&n| n > 0);
        }
        Ok(())
    }
}

/// One line of `modules.json`.
struct Module {
    /// The class, when it is one of the library's own.
    class: String,
    path: PathBuf,
}

impl Module {
    fn list(text: &str) -> Result<Vec<Self>> {
        match parse_json(MODULES, text)? {
            Value::Array(modules) => modules.iter().map(Self::parse).collect(),
            other => Err(config_error(MODULES, format!("is {}, expected a list of modules", show(&other)))),
        }
    }

    fn parse(module: &Value) -> Result<Self> {
        let text = |key: &str| {
            let value = module.get(key).and_then(Value::as_str);
            value.ok_or_else(|| config_error(MODULES, format!("{} has no {key}, expected a string", show(module))))
        };
        let (class, path) = (text("type")?, Path::new(text("path")?));
        // A path that leaves the folder would read files that are not the model's.
        let inside = path.components().all(|part| matches!(part, Component::Normal(_) | Component::CurDir));
        if !inside || text("path")?.contains(['\\', ':']) {
            let why = format!("path {:?} leaves the model's folder, expected one below it", text("path")?);
            return Err(config_error(MODULES, why));
        }
        Ok(Self { class: class.to_owned(), path: path.to_owned() })
    }

    /// The last part of a class of the library itself; classes of others may do anything.
    fn kind(&self) -> Option<&str> {
        self.class.strip_prefix("sentence_transformers.")?.rsplit('.').next()
    }

    fn unsupported(&self) -> Error {
        Error::Unsupported {
            what: format!("module {:?} in {MODULES}", self.class),
            why: "only Transformer, Pooling and Normalize, in this order, are; use the encoder's folder by itself"
                .into(),
        }
    }
}

fn from_modules(read: ReadFile<'_>, modules: &[Module], crosses: bool) -> Result<SentenceConfig> {
    if let Some(other) =
        modules.iter().find(|module| !matches!(module.kind(), Some("Transformer" | "Pooling" | "Normalize")))
    {
        return Err(other.unsupported());
    }
    match modules {
        // A cross-encoder's Transformer has a head.
        [own] if crosses && own.kind() == Some("Transformer") => {
            return Ok(SentenceConfig { transformer: own.path.clone(), ..SentenceConfig::default() });
        }
        _ => {}
    }
    let [transformer, pooling, rest @ ..] = modules else {
        let why = format!("has {} modules, expected a Transformer and a Pooling", modules.len());
        return Err(config_error(MODULES, why));
    };
    let order = [transformer, pooling].into_iter().chain(rest);
    let expected = ["Transformer", "Pooling"].into_iter().chain(std::iter::repeat("Normalize"));
    match order.zip(expected).find(|(module, kind)| module.kind() != Some(kind)) {
        Some((module, _)) => Err(module.unsupported()),
        None => Ok(SentenceConfig {
            transformer: transformer.path.clone(),
            pooling: read_pooling(read, &pooling.path.join("config.json"))?,
            normalize: !rest.is_empty(),
            ..SentenceConfig::default()
        }),
    }
}

fn read_pooling(read: ReadFile<'_>, path: &Path) -> Result<PoolMode> {
    let Some(config) = read_config(read, path)? else {
        return Err(config_error(&path.display().to_string(), format!("missing, {MODULES} names it; fetch it too")));
    };
    let names = match config.get("pooling_mode") {
        Some(Value::Array(names)) => names.iter().map(|name| pooling(&config, name)).collect::<Result<Vec<_>>>()?,
        Some(name) => vec![pooling(&config, name)?],
        None => old_pooling(&config)?,
    };
    match names[..] {
        [] => Ok(PoolMode::Mean),
        [(_, Some(mode))] => Ok(mode),
        _ => {
            let names: Vec<_> = names.iter().map(|(name, _)| *name).collect();
            let what = format!("pooling {} in {}", names.join(" + "), path.display());
            Err(Error::Unsupported { what, why: "one of cls, max, mean or lasttoken is".into() })
        }
    }
}

type Named = (&'static str, Option<PoolMode>);

/// A mode by today's name.
fn pooling(config: &Config, name: &Value) -> Result<Named> {
    let known = POOLING.iter().find(|(known, ..)| name.as_str() == Some(known));
    let names = || format!("one of {}", POOLING.map(|(name, ..)| name).join(", "));
    known.map(|&(name, _, mode)| (name, mode)).ok_or_else(|| config.wrong("pooling_mode", name, names()))
}

/// The modes that older versions marked with a key each.
fn old_pooling(config: &Config) -> Result<Vec<Named>> {
    let mut modes = Vec::new();
    for (name, key, mode) in POOLING {
        if config.bool(key, false)? {
            modes.push((name, mode));
        }
    }
    Ok(modes)
}

/// What the root file says.
#[derive(Default)]
struct Root {
    /// It is a cross-encoder.
    crosses: bool,
    activation: Option<String>,
}

/// Refuses folders whose answers would silently differ: of other kinds of model, or with a prompt before each text.
fn read_root(read: ReadFile<'_>) -> Result<Root> {
    let Some(config) = read_config(read, Path::new(ROOT))? else {
        return Ok(Root::default());
    };
    let crosses = match config.str("model_type")? {
        None | Some("SentenceTransformer") => false,
        Some("CrossEncoder") => true,
        _ => return Err(config.unsupported("model_type", "only SentenceTransformer and CrossEncoder are")),
    };
    let root = Root { crosses, activation: config.str("activation_fn")?.map(str::to_owned) };
    let Some(name) = config.str("default_prompt_name")? else {
        return Ok(root);
    };
    match config.get("prompts").and_then(|prompts| prompts.get(name)?.as_str()) {
        Some("") => Ok(root),
        _ => Err(config.unsupported("default_prompt_name", "set it to null and put the prompt before each text")),
    }
}

fn read_config(read: ReadFile<'_>, path: &Path) -> Result<Option<Config>> {
    let text = read(path)?;
    text.map(|text| Config::parse(path.display().to_string(), &text)).transpose()
}
