//! Fetching with the `hf-hub` crate, and what goes wrong with it, in words.
//!
//! That crate resumes what broke off, but does not look at how much came in the end, and waits for ever for a server that
//! says nothing. So requests run on a thread that is watched, and each file is measured.

use std::cmp::Ordering;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::time::Duration;

use hf_hub::api::RepoInfo;
use hf_hub::api::sync::{Api, ApiBuilder, ApiError};
use hf_hub::{Cache, Repo, RepoType};

use super::cache::is_plain;
use super::{Hub, Name, OnProgress, Progress, hub};
use crate::{Error, Result};

/// A model of a hub at some revision, fetched into a cache of its own.
pub struct Remote {
    api: Api,
    repo: Repo,
    name: Name,
    endpoint: String,
    staging: PathBuf,
    has_token: bool,
    timeout: Duration,
}

/// What a revision of a model is.
pub struct Listing {
    pub commit: String,
    pub files: Vec<String>,
}

/// What a watched thread tells.
enum Event<T> {
    Begins { total: u64 },
    More(u64),
    Done(T),
}

/// Tells a watching thread.
struct Reporter(Sender<Event<Result<PathBuf, ApiError>>>);

impl hf_hub::api::Progress for Reporter {
    // Nobody listens any more where the watch was given up.
    fn init(&mut self, size: usize, _: &str) {
        let _ = self.0.send(Event::Begins { total: size as u64 });
    }

    fn update(&mut self, size: usize) {
        let _ = self.0.send(Event::More(size as u64));
    }

    fn finish(&mut self) {}
}

impl Remote {
    pub fn new(from: &Hub, name: &Name, revision: &str, staging: &Path) -> Result<Self> {
        let builder = ApiBuilder::from_cache(Cache::new(staging.to_owned())).with_endpoint(from.endpoint.clone());
        let builder = builder.with_token(from.token.clone()).with_progress(false);
        let api = builder.with_user_agent("wgformer", env!("CARGO_PKG_VERSION")).build();
        Ok(Self {
            api: api.map_err(|e| hub(&name.to_string(), format!("no client for the hub: {e}")))?,
            repo: Repo::with_revision(name.model.clone(), RepoType::Model, revision.to_owned()),
            name: name.clone(),
            endpoint: from.endpoint.clone(),
            staging: staging.to_owned(),
            has_token: from.token.is_some(),
            timeout: from.timeout,
        })
    }

    /// The commit of the revision and its files; `None` where the hub knows the model, but not the revision.
    pub fn list(&self) -> Result<Option<Listing>> {
        let request = self.api.repo(self.repo.clone()).info_request();
        let request = request.config().timeout_global(Some(self.timeout)).http_status_as_error(false).build();
        let mut response = request.call().map_err(|e| self.unreachable(&e))?;
        let code = response.headers().get("x-error-code").and_then(|code| code.to_str().ok());
        match (response.status().as_u16(), code) {
            (200, _) => {}
            (404, Some("RevisionNotFound")) => return Ok(None),
            (status, _) => return Err(self.refused(status)),
        }
        let info: RepoInfo =
            response.body_mut().read_json().map_err(|e| self.strange(&format!("its list of files: {e}")))?;
        if !is_plain(&info.sha) {
            return Err(self.strange(&format!("a commit called {:?}", info.sha)));
        }
        Ok(Some(Listing { commit: info.sha, files: info.siblings.into_iter().map(|file| file.rfilename).collect() }))
    }

    /// What is said of a revision that there is not.
    pub fn no_revision(&self) -> Error {
        self.error(format!("has no revision {:?} at {}", self.name.revision, self.endpoint))
    }

    /// Fetches a file, or the rest of it, unless it is there in full.
    pub fn fetch(&self, file: &str, commit: &str, progress: OnProgress<'_>) -> Result<()> {
        let (api, repo) = (self.api.clone(), self.repo.clone());
        let url = api.repo(repo.clone()).url(file);
        let found = watched(self.timeout, move |send| drop(send.send(Event::Done(api.metadata(&url)))), &mut |_, _| {});
        let found = found.ok_or_else(|| self.stalled(file))?.map_err(|e| self.said(file, &e))?;
        if !found.etag().split('/').all(is_plain) {
            return Err(self.strange(&format!("an etag of {file} that is no name: {:?}", found.etag())));
        }
        if found.commit_hash() != commit {
            return Err(self.error("changed on the hub in the meantime; run it again".into()));
        }
        let cache = Cache::new(self.staging.clone()).repo(repo.clone());
        let (blob, total) = (cache.blob_path(found.etag()), found.size() as u64);
        // Where hf-hub keeps what it has so far.
        let part = blob.with_extension("part");
        let pointer = cache.pointer_path(commit).join(file);
        if length(&pointer) == Some(total) {
            return Ok(());
        }
        // What a server that cannot resume sends is the whole file once more, after the part: then all over, once.
        for _ in 0..2 {
            self.clear(&pointer)?;
            if length(&part).is_some_and(|length| length >= total) {
                self.clear(&part)?;
            }
            self.download(file, progress)?;
            match length(&pointer).map(|length| length.cmp(&total)) {
                Some(Ordering::Equal) => return Ok(()),
                Some(Ordering::Less) => {
                    self.clear(&pointer)?;
                    fs::rename(&blob, &part).map_err(|e| Error::io(&part, e))?;
                    return Err(self.broke_off(file, &format!("{} of {total} bytes", length(&part).unwrap_or(0))));
                }
                _ => self.clear(&pointer).and_then(|()| self.clear(&blob))?,
            }
        }
        Err(self.strange(&format!("more of {file} than the {total} bytes that it should have")))
    }

    fn download(&self, file: &str, progress: OnProgress<'_>) -> Result<()> {
        let (api, repo, name) = (self.api.clone(), self.repo.clone(), file.to_owned());
        let work = move |send: Sender<Event<_>>| {
            let done = api.repo(repo).download_with_progress(&name, Reporter(send.clone()));
            let _ = send.send(Event::Done(done));
        };
        let done = watched(self.timeout, work, &mut |done, total| progress(Progress::File { name: file, done, total }));
        done.ok_or_else(|| self.stalled(file))?.map_err(|e| self.said(file, &e)).map(drop)
    }

    fn clear(&self, path: &Path) -> Result<()> {
        match fs::remove_file(path) {
            Err(e) if e.kind() != ErrorKind::NotFound => Err(Error::io(path, e)),
            _ => Ok(()),
        }
    }

    fn error(&self, why: String) -> Error {
        hub(&self.name.to_string(), why)
    }

    /// What a status means.
    fn refused(&self, status: u16) -> Error {
        let (endpoint, has) = (&self.endpoint, self.has_token);
        self.error(match status {
            401 if has => format!("{endpoint} does not accept the token in HF_TOKEN (401), or there is no such model"),
            401 => format!(
                "there is no such folder, and {endpoint} has no such model that is open to all (401); check the name, or set \
                 HF_TOKEN if it is private or gated"
            ),
            403 => format!(
                "{endpoint} does not let this user have it (403): ask for access on the model's page, then set HF_TOKEN to a \
                 token that may read it"
            ),
            404 => format!("there is no such folder, and no such model at {endpoint} (404); check the name"),
            status => format!("{endpoint} answers with status {status}; try again later"),
        })
    }

    fn unreachable(&self, e: &ureq::Error) -> Error {
        let endpoint = &self.endpoint;
        self.error(format!(
            "there is no such folder, and {endpoint} cannot be reached ({e}); check the network, HF_ENDPOINT and proxies"
        ))
    }

    fn stalled(&self, file: &str) -> Error {
        self.broke_off(file, &format!("nothing came for {} s", self.timeout.as_secs()))
    }

    fn broke_off(&self, file: &str, how: &str) -> Error {
        self.error(format!("the transfer of {file} broke off ({how}); run it again, it goes on where it stopped"))
    }

    fn strange(&self, what: &str) -> Error {
        self.error(format!("{} does not answer as a hub does: {what}; check HF_ENDPOINT", self.endpoint))
    }

    /// What hf-hub's errors mean.
    fn said(&self, file: &str, e: &ApiError) -> Error {
        match e {
            ApiError::RequestError(e) => match **e {
                ureq::Error::StatusCode(404) => self.strange(&format!("it lists {file}, but does not have it (404)")),
                ureq::Error::StatusCode(status) => self.refused(status),
                ref e => self.broke_off(file, &e.to_string()),
            },
            ApiError::IoError(e) if is_local(e) => {
                Error::io(&self.staging, std::io::Error::new(e.kind(), e.to_string()))
            }
            ApiError::IoError(e) => self.broke_off(file, &e.to_string()),
            ApiError::LockAcquisition(_) => {
                self.error(format!("another process is fetching {file}; wait for it, then run it again"))
            }
            e => self.strange(&format!("{file}: {e}")),
        }
    }
}

/// Whether it was the disk, not the network.
fn is_local(e: &std::io::Error) -> bool {
    use ErrorKind::{NotFound, PermissionDenied, QuotaExceeded, ReadOnlyFilesystem, StorageFull};
    matches!(e.kind(), StorageFull | QuotaExceeded | ReadOnlyFilesystem | PermissionDenied | NotFound)
}

fn length(path: &Path) -> Option<u64> {
    fs::metadata(path).ok().map(|meta| meta.len())
}

/// What a thread comes to, with the bytes it told of; `None` when nothing was heard for too long, or when it panicked. A
/// thread that is given up ends with its connection, or with the process.
fn watched<T: Send + 'static>(
    timeout: Duration,
    work: impl FnOnce(Sender<Event<T>>) + Send + 'static,
    told: &mut dyn FnMut(u64, u64),
) -> Option<T> {
    let (send, receive) = channel();
    std::thread::spawn(move || work(send));
    let (mut done, mut total) = (0, 0);
    loop {
        match receive.recv_timeout(timeout) {
            Ok(Event::Begins { total: all }) => (done, total) = (0, all),
            Ok(Event::More(bytes)) => done += bytes,
            Ok(Event::Done(value)) => return Some(value),
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => return None,
        }
        told(done, total);
    }
}
