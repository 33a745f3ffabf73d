//! Where a model comes from: a folder, or a name on the Hugging Face hub.

use std::path::{Path, PathBuf};

use wgformer::hub::{Hub, Name, Progress};
use wgformer::model::Blueprint;

use crate::output::{Failure, note, transfer};

/// The model that `--model` says.
pub fn open(model: &Path, quiet: bool) -> Result<Blueprint, Failure> {
    Ok(Blueprint::open(folder(model, quiet)?)?)
}

/// A folder as it is; that of a name on the hub, once all of it is there.
fn folder(model: &Path, quiet: bool) -> Result<PathBuf, Failure> {
    let Some(name) = model.to_str().filter(|name| !model.exists() && Name::is_meant(name)) else {
        return Ok(model.to_owned());
    };
    let hub = Hub::from_env()?;
    let mut bar = None;
    let folder = hub.folder(name, &mut |progress| match progress {
        Progress::File { name: file, done, total } => {
            if bar.is_none() && !quiet {
                note(&format!("fetching {name} from {} to {}", hub.endpoint, hub.cache.display()));
            }
            let bar = bar.get_or_insert_with(|| transfer(quiet));
            bar.set_message(file.to_owned());
            bar.set_length(total);
            bar.set_position(done);
        }
        Progress::Note(line) if !quiet => note(&format!("note: {line}")),
        Progress::Note(_) => {}
    });
    bar.iter().for_each(indicatif::ProgressBar::finish_and_clear);
    Ok(folder?)
}
