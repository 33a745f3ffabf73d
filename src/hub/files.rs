//! Which files of a repository a model needs.

use std::path::{Path, PathBuf};

use serde_json::Value;

use super::hub;
use crate::model::config::Config;
use crate::model::sentence::{MODULES, ROOT, SentenceConfig, TRANSFORMER};
use crate::model::tokenizer_files::{OLD, SETTINGS};
use crate::model::{Blueprint, config};
use crate::weights::folder::{INDEX, SINGLE, check_shard_name};
use crate::{Error, Result};

const TOKENIZER: &str = "tokenizer.json";

/// The small files that a model's folder may have, but for what modules have in folders of their own. A model that has
/// `tokenizer.json` needs no older forms of it.
pub fn small(has_tokenizer: bool) -> impl Iterator<Item = &'static str> {
    let old = OLD.into_iter().filter(move |_| !has_tokenizer);
    let settings = SETTINGS.into_iter().chain([TOKENIZER, "generation_config.json", MODULES, ROOT]);
    settings.chain(TRANSFORMER).chain(old)
}

/// Of a folder: a file that has to be there and is not, if there is one. `absent` are those that its model does not have.
///
/// # Errors
/// [`Error::Config`] or [`Error::Weights`] for a damaged file that says what there has to be.
pub fn missing(dir: &Path, absent: &dyn Fn(&str) -> bool) -> Result<Option<String>> {
    let read = |path: &Path| config::read_text(&dir.join(path));
    let layout = SentenceConfig::layout(&read)?;
    let mut required = vec![layout.transformer.join("config.json")];
    required.extend(layout.pooling.map(|folder| folder.join("config.json")));
    // Without it, such a folder would be read as another model.
    let is_sentence = TRANSFORMER.iter().chain([&ROOT]).any(|name| dir.join(name).exists());
    required.extend((is_sentence && !absent(MODULES)).then(|| MODULES.into()));
    required.extend(weights(&layout.transformer, &|path| dir.join(path).exists(), &read)?);
    let lost = required.iter().find(|path| !dir.join(path).is_file());
    Ok(lost.map(|path| slashes(path)))
}

/// Whether a folder has some form of tokenizer.
pub fn has_tokenizer(dir: &Path) -> bool {
    OLD.iter().chain([&TOKENIZER]).any(|name| dir.join(name).exists())
}

/// The files with weights below a folder: one, or the index and the shards that it names. Where there is none yet, the one.
fn weights(
    inner: &Path,
    has: &dyn Fn(&Path) -> bool,
    read: &dyn Fn(&Path) -> Result<Option<String>>,
) -> Result<Vec<PathBuf>> {
    let (single, index) = (inner.join(SINGLE), inner.join(INDEX));
    if has(&single) || !has(&index) {
        return Ok(vec![single]);
    }
    let Some(text) = read(&index)? else { return Ok(vec![index]) };
    let damaged = |why: String| Error::Weights { file: INDEX.into(), why };
    let json: Value = serde_json::from_str(&text).map_err(|e| damaged(format!("it cannot be read: {e}")))?;
    let map = json.get("weight_map").and_then(Value::as_object);
    let map = map.ok_or_else(|| damaged("it has no weight_map; fetch it again".into()))?;
    let mut all = vec![index];
    for shard in map.values() {
        let shard = shard.as_str().ok_or_else(|| damaged(format!("it names {shard}, which is no file")))?;
        check_shard_name(shard).map_err(damaged)?;
        all.push(inner.join(shard));
    }
    all[1..].sort();
    all.dedup();
    Ok(all)
}

/// Fetches what a model needs of a repository's files, what is small first, so that a model that cannot be run is refused
/// before its weights are fetched. `have` are the folders that files come to lie in, `get` fetches one.
///
/// # Errors
/// What `get` says; [`Error::Hub`] for a repository without a model in it, and what [`Blueprint::open`] says of the small files.
pub fn gather(model: &str, listed: &[String], have: &[PathBuf], get: &mut dyn FnMut(&str) -> Result<()>) -> Result<()> {
    let has = |path: &Path| listed.iter().any(|file| *file == slashes(path));
    let read = |path: &Path| match have.iter().map(|dir| dir.join(path)).find(|path| path.exists()) {
        Some(path) => config::read_text(&path),
        None => Ok(None),
    };
    let mut fetch = |path: &Path| if has(path) { get(&slashes(path)) } else { Ok(()) };
    fetch(Path::new(MODULES))?;
    let layout = SentenceConfig::layout(&read)?;
    fetch(Path::new(ROOT))?;
    let inner = small(has(&layout.transformer.join(TOKENIZER))).filter(|name| ![MODULES, ROOT].contains(name));
    inner.map(|name| layout.transformer.join(name)).try_for_each(|path| fetch(&path))?;
    layout.pooling.iter().try_for_each(|folder| fetch(&folder.join("config.json")))?;

    let path = layout.transformer.join("config.json");
    let config = read(&path)?.ok_or_else(|| hub(model, "has no config.json, so it is no model for this program"))?;
    Blueprint::check_config(&Config::parse(slashes(&path), &config)?)?;
    SentenceConfig::from_files(&read)?;

    fetch(&layout.transformer.join(INDEX)).and_then(|()| {
        let all = weights(&layout.transformer, &has, &read)?;
        match all.iter().find(|path| !has(path)) {
            Some(path) => Err(hub(model, no_weights(&slashes(path), listed))),
            None => all.iter().try_for_each(|path| fetch(path)),
        }
    })
}

fn no_weights(lost: &str, listed: &[String]) -> String {
    let other = listed.iter().any(|file| file.ends_with(".bin") || file.ends_with(".h5") || file.ends_with(".gguf"));
    let hint = match other {
        true => "its weights are in another format; look for a revision or a copy with safetensors, or convert them",
        false => "it is not all there",
    };
    format!("has no {lost}: {hint}")
}

/// A path as the hub writes it.
fn slashes(path: &Path) -> String {
    let parts = path.components().map(|part| part.as_os_str().to_string_lossy());
    parts.collect::<Vec<_>>().join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gathered(listed: &[&str], have: &Path) -> Result<Vec<String>> {
        let listed: Vec<String> = listed.iter().map(|file| (*file).to_owned()).collect();
        let mut got = Vec::new();
        let mut get = |file: &str| {
            got.push(file.to_owned());
            Ok(())
        };
        gather("a/b", &listed, &[have.to_owned()], &mut get).map(|()| got)
    }

    #[test]
    fn only_what_is_needed_and_weights_last() {
        let bert = Path::new("tests/golden/bert-tiny");
        let listed = [
            "README.md",
            "model.safetensors",
            "pytorch_model.bin",
            "onnx/model.onnx",
            "tokenizer.json",
            "vocab.txt",
            "config.json",
        ];
        assert_eq!(gathered(&listed, bert).expect("files"), ["config.json", "tokenizer.json", "model.safetensors"]);
        let error = gathered(&["config.json", "pytorch_model.bin"], bert).expect_err("no weights").to_string();
        assert!(error.contains("no model.safetensors") && error.contains("another format"), "{error}");
        let error = gathered(&["README.md"], Path::new("src")).expect_err("nothing").to_string();
        assert!(error.contains("no config.json"), "{error}");
        assert_eq!(missing(bert, &|_| false).expect("a layout"), None);
        assert_eq!(missing(Path::new("src"), &|_| false).expect("a layout").as_deref(), Some("config.json"));
    }
}
