//! Models by their names on the Hugging Face hub, for native programs (feature `hub`).
//!
//! [`Hub::folder`] gives the folder of a name such as `sentence-transformers/all-MiniLM-L6-v2`: the one in the cache that all of
//! Hugging Face's tools share, else a fresh one. What is fetched is gathered beside the cache's folders and moved there when
//! it is whole, so a transfer that breaks off leaves nothing that could be taken for a model; the next call goes on where it
//! stopped.
//!
//! ```no_run
//! # fn example() -> wgformer::Result<()> {
//! use wgformer::hub::Hub;
//!
//! let folder = Hub::from_env()?.folder("sentence-transformers/all-MiniLM-L6-v2", &mut |_| {})?;
//! # Ok(())
//! # }
//! ```

mod cache;
mod fetch;
mod files;
mod name;

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::{Error, Result};
use cache::Repo;
use fetch::Remote;
pub use name::Name;

/// The hub, and the cache for what comes from it.
#[derive(Clone)]
pub struct Hub {
    /// Where models are kept, in the layout of Python's `huggingface_hub`.
    pub cache: PathBuf,
    /// Where the hub is.
    pub endpoint: String,
    /// Opens models that are private or gated.
    pub token: Option<String>,
    /// Only the cache is asked.
    pub offline: bool,
    /// A hub that says nothing for so long is given up.
    pub timeout: Duration,
}

/// What is told while a folder is made ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress<'a> {
    /// So many bytes of a file are there. The first for each file comes before any of it is fetched.
    File {
        /// Its path in the model's folder.
        name: &'a str,
        /// Bytes so far, those of an earlier call that broke off included.
        done: u64,
        /// Bytes of the whole file.
        total: u64,
    },
    /// Something that the user should know.
    Note(&'a str),
}

/// Gets what [`Progress`] there is.
pub type OnProgress<'a> = &'a mut dyn FnMut(Progress<'_>);

impl std::fmt::Debug for Hub {
    // Without the token.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { cache, endpoint, offline, .. } = self;
        f.debug_struct("Hub").field("cache", cache).field("endpoint", endpoint).field("offline", offline).finish()
    }
}

impl Hub {
    /// As the environment says, by the variables of Python's `huggingface_hub`: `HF_HUB_CACHE`, or else `hub` in `HF_HOME`, or
    /// else in the user's cache folder; `HF_ENDPOINT`; `HF_TOKEN`, or else the file that logging in leaves; `HF_HUB_OFFLINE`;
    /// `HF_HUB_DOWNLOAD_TIMEOUT` in seconds, else 30.
    ///
    /// # Errors
    /// [`Error::Hub`] where no variable says where the cache is and there is no home folder.
    pub fn from_env() -> Result<Self> {
        let home = set("HF_HOME").map(|path| expand(&path)).or_else(|| Some(user_cache()?.join("huggingface")));
        let cache = set("HF_HUB_CACHE").or_else(|| set("HUGGINGFACE_HUB_CACHE")).map(|path| expand(&path));
        let Some(cache) = cache.or_else(|| Some(home.as_ref()?.join("hub"))) else {
            return Err(hub("the cache", "there is no home folder to keep it in; set HF_HOME to a folder"));
        };
        let cache = std::path::absolute(&cache).map_err(|e| Error::io(&cache, e))?;
        let file = set("HF_TOKEN_PATH").map(|path| expand(&path)).or_else(|| Some(home?.join("token")));
        let kept = || std::fs::read_to_string(file?).ok();
        let token = set("HF_TOKEN").or_else(|| set("HUGGING_FACE_HUB_TOKEN")).or_else(kept);
        let offline = set("HF_HUB_OFFLINE").or_else(|| set("TRANSFORMERS_OFFLINE")).is_some_and(|v| is_true(&v));
        let endpoint = set("HF_ENDPOINT").unwrap_or_else(|| "https://huggingface.co".into());
        let seconds = set("HF_HUB_DOWNLOAD_TIMEOUT").and_then(|v| v.parse().ok()).filter(|&seconds| seconds > 0);
        Ok(Self {
            timeout: Duration::from_secs(seconds.unwrap_or(30)),
            cache,
            endpoint: endpoint.trim_end_matches('/').to_owned(),
            token: token.map(|token| token.trim().to_owned()).filter(|token| !token.is_empty()),
            offline,
        })
    }

    /// The folder of a model by its name, `OWNER/MODEL` or `OWNER/MODEL@REVISION`, for [`crate::model::Blueprint::open`].
    ///
    /// A copy in the cache that is whole is taken as it is, without any request. Else what it lacks is fetched, with what a
    /// model needs here and nothing else: configurations, tokenizer, safetensors. Blocks.
    ///
    /// # Errors
    /// [`Error::Hub`]: a bad name, no such model, one that is closed to this user, no way to the hub, a transfer that broke
    /// off; [`Error::Io`] where the cache cannot be read or written; [`Error::Config`] and [`Error::Unsupported`] for a model
    /// that cannot be run, before its weights are fetched.
    pub fn folder(&self, name: &str, progress: OnProgress<'_>) -> Result<PathBuf> {
        let name: Name = name.parse()?;
        let repo = Repo::new(&self.cache, &name);
        let Some((commit, dir)) = repo.snapshot(&name.revision) else {
            let nothing = format!("is not in the cache at {}, and HF_HUB_OFFLINE", self.cache.display());
            return self
                .refuse_offline(&name, &nothing)
                .and_then(|()| self.fetch(&name, &name.revision, &repo, progress));
        };
        let lacks = repo.missing(&commit, &dir)?;
        if lacks.is_none() && (self.offline || repo.knows_all(&commit, &dir)) {
            return Ok(dir);
        }
        if let Some(file) = &lacks {
            let why = format!("the copy in the cache lacks {file} ({}), and HF_HUB_OFFLINE", dir.display());
            self.refuse_offline(&name, &why)?;
        }
        let completed = self.fetch(&name, &commit, &repo, progress);
        match (completed, lacks) {
            (Err(e), None) => {
                let note = format!("{e}; the copy in the cache is used, which may lack small files");
                progress(Progress::Note(&note));
                Ok(dir)
            }
            (Err(Error::Hub { why, .. }), Some(file)) => {
                Err(hub(&name.to_string(), format!("the copy in the cache lacks {file}, and {why}")))
            }
            (completed, _) => completed,
        }
    }

    fn refuse_offline(&self, name: &Name, why: &str) -> Result<()> {
        if !self.offline {
            return Ok(());
        }
        Err(hub(&name.to_string(), format!("{why} is set; unset it to fetch the model, or give a folder")))
    }

    /// Fetches what the cache lacks of a revision, and publishes it once it is whole.
    fn fetch(&self, name: &Name, revision: &str, repo: &Repo, progress: OnProgress<'_>) -> Result<PathBuf> {
        let staging = repo.staging();
        let remote = Remote::new(self, name, revision, &staging)?;
        let listing = match remote.list()? {
            Some(listing) => listing,
            // A commit that is in the cache only: its branch has been rewritten.
            None if revision != name.revision => return self.fetch(name, &name.revision, repo, progress),
            None => return Err(remote.no_revision()),
        };
        let staged = Repo::new(&staging, name);
        std::fs::create_dir_all(&staging).map_err(|e| Error::io(&staging, e))?;
        let have = [staged.snapshot_of(&listing.commit), repo.snapshot_of(&listing.commit)];
        let mut get = |file: &str| match have[1].join(file).exists() {
            true => Ok(()),
            false => remote.fetch(file, &listing.commit, progress),
        };
        files::gather(&name.to_string(), &listing.files, &have, &mut get)?;
        repo.publish(&staged, &listing, &name.revision)
    }
}

pub(crate) fn hub(model: &str, why: impl Into<String>) -> Error {
    Error::Hub { model: model.to_owned(), why: why.into() }
}

/// An environment variable that is set to something.
fn set(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

fn is_true(value: &str) -> bool {
    ["1", "ON", "YES", "TRUE"].contains(&value.to_uppercase().as_str())
}

/// A path that may begin with the home folder.
fn expand(path: &str) -> PathBuf {
    match (path.strip_prefix("~/"), std::env::home_dir()) {
        (Some(rest), Some(home)) => home.join(rest),
        _ => Path::new(path).to_owned(),
    }
}

/// Where Hugging Face's tools keep things, on every system.
fn user_cache() -> Option<PathBuf> {
    set("XDG_CACHE_HOME").map(|path| expand(&path)).or_else(|| Some(std::env::home_dir()?.join(".cache")))
}
