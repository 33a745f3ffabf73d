//! Checkpoints in folders: one file, or an index and the shards it names.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::Read;
use std::path::{Component, Path};

use super::Checkpoint;
use super::safetensors::{damaged, tensor};
use super::shard::Shard;
use crate::{Error, Result};

pub(crate) const SINGLE: &str = "model.safetensors";
pub(crate) const INDEX: &str = "model.safetensors.index.json";
/// An index has a line for each tensor: far below this.
const MAX_INDEX: u64 = 100_000_000;

impl Checkpoint {
    /// Opens a model folder with `model.safetensors`, or with `model.safetensors.index.json` and the shards it names,
    /// or one safetensors file of any name. Tensors are read later, so the files must stay as they are.
    ///
    /// # Errors
    /// [`Error::Io`] when a file cannot be read, [`Error::Weights`] when there is none or it is damaged, and
    /// [`Error::Tensor`] when the index and the shards disagree.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let single = if path.is_dir() { path.join(SINGLE) } else { path.to_owned() };
        if single.exists() {
            return Self::new(vec![Shard::open(&single)?]);
        }
        let index = path.join(INDEX);
        if !index.exists() {
            return Err(no_weights(path));
        }
        let weight_map = read_index(&index)?;
        let files: BTreeSet<_> = weight_map.values().collect();
        let shards: Result<_> = files.into_iter().map(|file| Shard::open(&path.join(file))).collect();
        let checkpoint = Self::new(shards?)?;
        checkpoint.check_index(&weight_map)?;
        Ok(checkpoint)
    }

    /// Every tensor has to be in the file that the index names.
    fn check_index(&self, weight_map: &BTreeMap<String, String>) -> Result<()> {
        for (name, file) in weight_map {
            let shard = self.file_of(name);
            if !shard.is_some_and(|shard| Path::new(shard).ends_with(file)) {
                let why = format!("{INDEX} says it is in {file}, it is not there; fetch both again");
                return Err(tensor(name, why));
            }
        }
        Ok(())
    }
}

/// The index's map from tensors to files, the files checked to be plain names in the same folder.
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
pub(crate) fn check_shard_name(file: &str) -> std::result::Result<(), String> {
    let mut parts = Path::new(file).components();
    let plain = matches!((parts.next(), parts.next()), (Some(Component::Normal(_)), None));
    // Separators of other systems, and drives, are not parts of a name either.
    if plain && !file.contains(['/', '\\', ':']) {
        return Ok(());
    }
    Err(format!("it names {file:?}, which is not a plain file name; shards must lie beside the index"))
}

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

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use serde_json::{Value, json};

    use super::super::tests::valid;
    use super::super::{Values, write_safetensors};
    use super::*;

    /// A folder of its own, removed at the end.
    struct Folder(PathBuf);

    impl Folder {
        fn new(name: &str, files: &[(&str, &[u8])]) -> Self {
            let path = std::env::temp_dir().join(format!("wgformer-{}-{name}", std::process::id()));
            std::fs::create_dir_all(&path).unwrap();
            files.iter().for_each(|(file, bytes)| std::fs::write(path.join(file), bytes).unwrap());
            Self(path)
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }

    fn one(name: &str) -> Vec<u8> {
        write_safetensors(&[(name, &[1], Values::F32(&[1.0]))]).unwrap()
    }

    fn index(folder: &str, map: Value) -> Result<Checkpoint> {
        let text = json!({"weight_map": map}).to_string();
        let files = [(INDEX, text.as_bytes()), ("1.safetensors", &one("a")), ("2.safetensors", &one("b"))];
        Checkpoint::open(&Folder::new(folder, &files).0)
    }

    #[test]
    fn one_file_or_shards() {
        let folder = Folder::new("single", &[("model.safetensors", &valid())]);
        for path in [folder.0.clone(), folder.0.join("model.safetensors")] {
            let checkpoint = Checkpoint::open(path).unwrap();
            assert_eq!(checkpoint.get("b.bias").unwrap().to_f32(), [1.0, -2.0, 0.5]);
        }
        let checkpoint = index("shards", json!({"a": "1.safetensors", "b": "2.safetensors"})).unwrap();
        assert_eq!(checkpoint.get("b").unwrap().to_f32(), [1.0]);
    }

    #[test]
    fn bad_indexes_are_refused() {
        for name in ["../1.safetensors", "/1.safetensors", "", ".", "..", "x/1.safetensors", "c:\\1", "1.safetensors/"]
        {
            let error = index("traversal", json!({"a": name})).unwrap_err().to_string();
            assert!(error.contains("not a plain file name"), "{name}: {error}");
        }
        let error = index("gone", json!({"a": "3.safetensors"})).unwrap_err().to_string();
        assert!(error.contains("\"3.safetensors\", which is not there"), "{error}");
        let error = index("absent", json!({"a": "1.safetensors", "c": "2.safetensors"})).unwrap_err().to_string();
        assert!(error.contains("tensor c") && error.contains("2.safetensors"), "{error}");
        let error = index("swapped", json!({"a": "2.safetensors", "b": "1.safetensors"})).unwrap_err().to_string();
        assert!(error.contains("tensor a"), "{error}");
        let error = index("kind", json!([1])).unwrap_err().to_string();
        assert!(error.contains("cannot be read"), "{error}");
    }

    #[test]
    fn folders_without_weights_say_what_to_do() {
        let error = Checkpoint::open("/nowhere/at/all").unwrap_err().to_string();
        assert!(error.contains("no such folder"), "{error}");
        let folder = Folder::new("bin", &[("pytorch_model.bin", b"x")]);
        assert!(Checkpoint::open(&folder.0).unwrap_err().to_string().contains("convert"));
        let folder = Folder::new("none", &[]);
        assert!(Checkpoint::open(&folder.0).unwrap_err().to_string().contains("neither"));
        let folder = Folder::new("truncated", &[("model.safetensors", &valid()[..100])]);
        assert!(matches!(Checkpoint::open(&folder.0), Err(Error::Weights { .. })));
    }
}
