//! The cache that Hugging Face's tools share: `models--OWNER--MODEL` with `refs/REVISION`, which holds a commit,
//! `snapshots/COMMIT`, whose files are links to `blobs`, and `.no_exist/COMMIT`, whose files the commit is known to lack.

use std::fs;
use std::path::{Component, Path, PathBuf};

use super::fetch::Listing;
use super::{Name, files};
use crate::weights::folder::{INDEX, SINGLE};
use crate::{Error, Result};

/// A model's part of a cache.
pub struct Repo {
    folder: PathBuf,
}

impl Repo {
    pub fn new(cache: &Path, name: &Name) -> Self {
        Self { folder: cache.join(format!("models--{}", name.model.replace('/', "--"))) }
    }

    /// A cache of its own for what is still on its way.
    pub fn staging(&self) -> PathBuf {
        self.folder.join(".incomplete")
    }

    /// Where the files of a commit are, if they are.
    pub fn snapshot_of(&self, commit: &str) -> PathBuf {
        self.folder.join("snapshots").join(commit)
    }

    /// The commit that a revision is, and its folder, if the cache has it.
    pub fn snapshot(&self, revision: &str) -> Option<(String, PathBuf)> {
        let commit = fs::read_to_string(self.folder.join("refs").join(revision)).ok();
        // Without a reference it is a commit itself.
        let commit = commit.map_or_else(|| revision.to_owned(), |commit| commit.trim().to_owned());
        let dir = self.snapshot_of(&commit);
        (is_plain(&commit) && dir.is_dir()).then_some((commit, dir))
    }

    /// Of a snapshot: a file that a model needs and that is not there.
    pub fn missing(&self, commit: &str, dir: &Path) -> Result<Option<String>> {
        files::missing(dir, &|name| self.known_absent(commit).join(name).exists())
    }

    /// Whether the small files that a snapshot lacks are no part of its commit. That is so unless it was put together file
    /// by file, as programs do that leave notes in `.no_exist` or want no tokenizer, or was left half done.
    pub fn knows_all(&self, commit: &str, dir: &Path) -> bool {
        let known = self.known_absent(commit);
        let parts = fs::read_dir(self.folder.join("blobs")).into_iter().flatten().flatten();
        let is_part = |path: PathBuf| path.extension().is_some_and(|end| end == "incomplete" || end == "part");
        let half_done = parts.map(|part| part.path()).any(is_part);
        let piecemeal = known.is_dir() || half_done || !files::has_tokenizer(dir);
        let has = |name: &str| dir.join(name).exists();
        !piecemeal || files::small(has("tokenizer.json")).all(|name| has(name) || known.join(name).exists())
    }

    fn known_absent(&self, commit: &str) -> PathBuf {
        self.folder.join(".no_exist").join(commit)
    }

    /// Moves the snapshot of a listing from where it was staged, and removes what else is left there. The reference, which
    /// says that there is something, comes last.
    pub fn publish(&self, staged: &Self, listing: &Listing, revision: &str) -> Result<PathBuf> {
        let (from, to) = (staged.snapshot_of(&listing.commit), self.snapshot_of(&listing.commit));
        let mut staged_files = files_below(&from)?;
        for file in &staged_files {
            // A file that is no link is moved with its folder.
            let Ok(link) = fs::read_link(from.join(file)) else { continue };
            let blob: PathBuf = link.iter().skip_while(|part| *part != "blobs").collect();
            // Files of the same bytes share one.
            if staged.folder.join(&blob).exists() {
                rename(&staged.folder.join(&blob), &self.folder.join(&blob))?;
            }
        }
        if to.is_dir() {
            // Whoever looks meanwhile sees that it is not whole until the weights are there.
            let is_weights = |file: &PathBuf| file.ends_with(SINGLE) || file.ends_with(INDEX);
            staged_files.sort_by_key(is_weights);
            staged_files.iter().try_for_each(|file| rename(&from.join(file), &to.join(file)))?;
        } else {
            rename(&from, &to)?;
        }
        self.note_absent(listing)?;
        if revision != listing.commit {
            write(&self.folder.join("refs").join(revision), listing.commit.as_bytes())?;
        }
        let staging = self.staging();
        fs::remove_dir_all(&staging).map_err(|e| Error::io(&staging, e))?;
        Ok(to)
    }

    /// Notes which small files the commit does not have, as Python's tools do: nobody has to ask again.
    fn note_absent(&self, listing: &Listing) -> Result<()> {
        let has = |name: &str| listing.files.iter().any(|file| file == name);
        for name in files::small(has("tokenizer.json")).filter(|name| !has(name)) {
            write(&self.known_absent(&listing.commit).join(name), b"")?;
        }
        Ok(())
    }
}

/// Whether a text is one part of a path and nothing else.
pub fn is_plain(text: &str) -> bool {
    let mut parts = Path::new(text).components();
    let one = matches!((parts.next(), parts.next()), (Some(Component::Normal(_)), None));
    one && !text.contains(['/', '\\', ':'])
}

/// All files below a folder, by their paths in it; none where there is no such folder.
fn files_below(dir: &Path) -> Result<Vec<PathBuf>> {
    let mut all = Vec::new();
    let mut folders = Vec::from_iter(dir.is_dir().then(PathBuf::new));
    while let Some(folder) = folders.pop() {
        let path = dir.join(&folder);
        for entry in fs::read_dir(&path).map_err(|e| Error::io(&path, e))? {
            let entry = entry.map_err(|e| Error::io(&path, e))?;
            let kind = entry.file_type().map_err(|e| Error::io(&path, e))?;
            let list = if kind.is_dir() { &mut folders } else { &mut all };
            list.push(folder.join(entry.file_name()));
        }
    }
    Ok(all)
}

fn rename(from: &Path, to: &Path) -> Result<()> {
    make_parent(to)?;
    fs::rename(from, to).map_err(|e| Error::io(to, e))
}

/// A file is there with all its bytes, or not.
fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    make_parent(path)?;
    let part = path.with_extension(format!("{}.part", std::process::id()));
    fs::write(&part, bytes).and_then(|()| fs::rename(&part, path)).map_err(|e| Error::io(path, e))
}

fn make_parent(path: &Path) -> Result<()> {
    let parent = path.parent().unwrap_or(path);
    fs::create_dir_all(parent).map_err(|e| Error::io(parent, e))
}
