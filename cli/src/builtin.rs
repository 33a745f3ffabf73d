//! The model inside the binary: English spelling to American English sounds (`assets/g2p-en-us`).

use std::path::Path;

use wgformer::model::{Blueprint, Files};

use crate::output::Failure;
use crate::source;

const CONFIG: &str = include_str!("../../assets/g2p-en-us/config.json");
const WEIGHTS: &[u8] = include_bytes!("../../assets/g2p-en-us/model.safetensors");
/// What it is called.
pub const NAME: &str = "g2p-en-us";

/// The model that `--model` says, or else the built-in one.
pub fn open(model: Option<&Path>, quiet: bool) -> Result<Blueprint, Failure> {
    let Some(model) = model else {
        return Ok(Blueprint::from_files(Files {
            texts: [("config.json".to_owned(), CONFIG.to_owned())].into(),
            weights: vec![("model.safetensors".into(), WEIGHTS.to_vec())],
            ..Files::default()
        })?);
    };
    source::open(model, quiet)
}

/// A folder's name, or the built-in model's.
pub fn name(folder: Option<&Path>) -> String {
    folder.map_or(Some(NAME.into()), |f| f.file_name().map(|n| n.to_string_lossy())).unwrap_or_default().into_owned()
}
