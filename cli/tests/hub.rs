//! Names on the Hugging Face hub: its cache first, then a hub on the loopback address; complete, or not there at all.

mod common;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use common::hub::{COMMIT, Hub, MODEL, Manners, files};
use common::{Folder, refused, text};

/// A small BERT with a vocabulary, as the hub has it.
fn model(folder: &Folder) -> PathBuf {
    let to = folder.model("model");
    let words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"].map(str::to_owned).into_iter();
    let vocab: Vec<String> =
        words.chain(('a'..='z').map(String::from)).chain((30..101).map(|i| format!("w{i}"))).collect();
    std::fs::write(to.join("vocab.txt"), vocab.join("\n")).expect("a vocabulary");
    std::fs::write(to.join("README.md"), "what nobody needs").expect("a file");
    to
}

/// The program at an endpoint, with a cache in the folder and nothing of the user's.
struct Program<'a> {
    folder: &'a Folder,
    endpoint: String,
    more: Vec<(&'static str, String)>,
}

impl<'a> Program<'a> {
    fn new(folder: &'a Folder, endpoint: &str) -> Self {
        Self { folder, endpoint: endpoint.to_owned(), more: Vec::new() }
    }

    fn with(mut self, name: &'static str, value: &str) -> Self {
        self.more.push((name, value.to_owned()));
        self
    }

    fn embed(&self, model: &str) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_wgformer"));
        command.args(["--quiet", "--device", "cpu", "embed", "--model", model, "a b"]);
        self.run(command)
    }

    fn run(&self, mut command: Command) -> Output {
        let unset = "HF_HUB_CACHE HUGGINGFACE_HUB_CACHE HF_TOKEN HUGGING_FACE_HUB_TOKEN HF_TOKEN_PATH HF_HUB_OFFLINE \
            TRANSFORMERS_OFFLINE HF_HUB_DOWNLOAD_TIMEOUT HTTP_PROXY HTTPS_PROXY ALL_PROXY http_proxy https_proxy all_proxy";
        for name in unset.split_whitespace() {
            command.env_remove(name);
        }
        command.env("HF_HOME", self.folder.path("home")).env("HF_ENDPOINT", &self.endpoint);
        command.envs(self.more.iter().map(|(name, value)| (name, value)));
        command.output().expect("the binary starts")
    }

    /// The vectors of a run that went well.
    fn vectors(&self, model: &str) -> String {
        let out = self.embed(model);
        assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
        String::from_utf8(out.stdout).expect("UTF-8")
    }

    fn refuses(&self, what: &str, model: &str, says: &[&str]) {
        let error = refused(what, &self.embed(model));
        says.iter().for_each(|says| assert!(error.contains(says), "{what}: {error} does not say {says:?}"));
    }
}

/// The model's part of the cache.
fn cached(folder: &Folder) -> PathBuf {
    folder.path("home/hub/models--tests--bert-tiny")
}

/// No place where nobody listens is known, so one is found that was given up just now.
fn nowhere() -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    format!("http://{}", listener.local_addr().expect("an address"))
}

#[test]
fn fetched_once_and_then_from_the_cache() {
    let folder = Folder::new("hub-once");
    let dir = model(&folder);
    let hub = Hub::new(files(&dir));
    let online = Program::new(&folder, &hub.endpoint);
    let want = online.vectors(text(&dir));
    assert_eq!(hub.requests(), [""; 0], "a folder needs no hub");
    assert_eq!(online.vectors(MODEL), want);
    assert!(!hub.requests().iter().any(|request| request.contains("README")), "only what is needed");

    assert_eq!(std::fs::read_to_string(cached(&folder).join("refs/main")).expect("a reference"), COMMIT);
    let snapshot = cached(&folder).join("snapshots").join(COMMIT);
    assert_eq!(files(&snapshot).keys().collect::<Vec<_>>(), ["config.json", "model.safetensors", "vocab.txt"]);
    assert!(cfg!(windows) || snapshot.join("config.json").is_symlink());
    assert!(!cached(&folder).join(".incomplete").exists());

    assert_eq!(online.vectors(MODEL), want);
    assert_eq!(hub.requests(), [""; 0], "the cache comes first");
    drop(hub);
    assert_eq!(online.vectors(MODEL), want);
    assert_eq!(Program::new(&folder, &nowhere()).with("HF_HUB_OFFLINE", "1").vectors(MODEL), want);
    let cache = folder.path("home/hub");
    let elsewhere = Program::new(&folder, &nowhere()).with("HF_HOME", "/nowhere").with("HF_HUB_CACHE", text(&cache));
    assert_eq!(elsewhere.vectors(MODEL), want);
}

#[test]
fn a_transfer_that_breaks_off() {
    let folder = Folder::new("hub-cut");
    let dir = model(&folder);
    let hub = Hub::new(files(&dir));
    let online = Program::new(&folder, &hub.endpoint);
    let offline = Program::new(&folder, &hub.endpoint).with("HF_HUB_OFFLINE", "1");
    let weights = "model.safetensors";
    hub.behave(Manners { cut: Some((weights, 1000)), ..Manners::default() });
    online.refuses("a cut", MODEL, &[weights, "broke off", "run it again"]);
    let left = || {
        assert!(!cached(&folder).join("refs").exists() && !cached(&folder).join("snapshots").exists());
        offline.refuses("what is left", MODEL, &["not in the cache", "HF_HUB_OFFLINE"]);
    };
    left();
    hub.behave(Manners { short: Some((weights, 2000)), ..Manners::default() });
    online.refuses("an early end", MODEL, &[weights, "broke off", "2000 of "]);
    left();
    hub.behave(Manners { mute: Some(weights), ..Manners::default() });
    let hasty = Program::new(&folder, &hub.endpoint).with("HF_HUB_DOWNLOAD_TIMEOUT", "1");
    hasty.refuses("silence", MODEL, &[weights, "nothing came for 1 s"]);
    left();
    hub.requests();
    hub.behave(Manners::default());
    assert_eq!(online.vectors(MODEL), online.vectors(text(&dir)));
    let went_on = format!("/{MODEL}/resolve/main/{weights} bytes=2000-");
    assert!(hub.requests().contains(&went_on), "it goes on where it stopped");
}

/// A server that cannot resume sends everything again.
#[test]
fn a_server_that_cannot_resume() {
    let folder = Folder::new("hub-resume");
    let dir = model(&folder);
    let hub = Hub::new(files(&dir));
    let online = Program::new(&folder, &hub.endpoint);
    hub.behave(Manners { cut: Some(("model.safetensors", 1000)), no_ranges: true, ..Manners::default() });
    online.refuses("a cut", MODEL, &["broke off"]);
    hub.behave(Manners { no_ranges: true, ..Manners::default() });
    assert_eq!(online.vectors(MODEL), online.vectors(text(&dir)));
    // All bytes were there when it broke off.
    let folder = Folder::new("hub-rest");
    let online = Program::new(&folder, &hub.endpoint);
    let all = std::fs::metadata(dir.join("model.safetensors")).expect("a file").len() as usize;
    hub.behave(Manners { cut: Some(("model.safetensors", all - 1)), ..Manners::default() });
    online.refuses("a cut", MODEL, &["broke off"]);
    let blobs = cached(&folder).join(".incomplete/models--tests--bert-tiny/blobs");
    std::fs::copy(dir.join("model.safetensors"), blobs.join("etag-model.part")).expect("a copy");
    hub.behave(Manners::default());
    assert_eq!(online.vectors(MODEL), online.vectors(text(&dir)));
}

#[test]
fn models_that_are_not_to_be_had() {
    let folder = Folder::new("hub-refused");
    let dir = model(&folder);
    let hub = Hub::new(files(&dir));
    let online = Program::new(&folder, &hub.endpoint);
    online.refuses("another name", "tests/other", &["tests/other", "404", "check the name"]);
    online.refuses("another revision", "tests/bert-tiny@v2", &["no revision", "v2"]);
    hub.behave(Manners { token: Some("secret"), ..Manners::default() });
    online.refuses("no token", MODEL, &["401", "HF_TOKEN"]);
    Program::new(&folder, &hub.endpoint).with("HF_TOKEN", "wrong").refuses(
        "a wrong token",
        MODEL,
        &["401", "HF_TOKEN"],
    );
    let with_token = Program::new(&folder, &hub.endpoint).with("HF_TOKEN", "secret\n");
    for (status, says) in [(403, "ask for access"), (500, "try again later")] {
        hub.behave(Manners { status: Some(status), ..Manners::default() });
        with_token.refuses("a status", MODEL, &[&status.to_string(), says]);
    }
    Program::new(&folder, &nowhere()).refuses("no hub", MODEL, &["cannot be reached", "HF_ENDPOINT"]);
    Program::new(&folder, "no address").refuses("no address", MODEL, &["cannot be reached"]);
    let offline = Program::new(&folder, &hub.endpoint).with("HF_HUB_OFFLINE", "TRUE");
    offline.refuses("offline", MODEL, &["not in the cache", "HF_HUB_OFFLINE"]);
    hub.behave(Manners { token: Some("secret"), ..Manners::default() });
    assert_eq!(with_token.vectors("tests/bert-tiny@v1"), online.vectors(text(&dir)));
    assert_eq!(std::fs::read_to_string(cached(&folder).join("refs/v1")).expect("a reference"), COMMIT);
}

#[test]
fn names_that_are_none() {
    let folder = Folder::new("hub-names");
    let nobody = Program::new(&folder, &nowhere());
    for name in ["a/b c", "a/b..c", "a/b@../../x", "a/b?c"] {
        nobody.refuses(name, name, &[name, "OWNER/MODEL"]);
    }
    // These can only be paths.
    for path in ["../..", "nothing", "./a/b", "/nowhere/at all", "a/b/c"] {
        nobody.refuses(path, path, &[path, if path == "../.." { "config.json" } else { "not a folder" }]);
    }
}

#[test]
fn a_cache_that_cannot_be_written() {
    let folder = Folder::new("hub-file");
    let hub = Hub::new(files(&model(&folder)));
    std::fs::write(folder.path("file"), "").expect("a file");
    let home = folder.path("file");
    Program::new(&folder, &hub.endpoint).with("HF_HOME", text(&home)).refuses("a file", MODEL, &[text(&home)]);
}

/// What cannot be run is known before its weights come.
#[test]
fn refused_before_the_weights() {
    let folder = Folder::new("hub-early");
    let dir = model(&folder);
    let config = std::fs::read_to_string(dir.join("config.json")).expect("read");
    std::fs::write(dir.join("config.json"), config.replace("\"bert\"", "\"perceiver\"")).expect("written");
    let hub = Hub::new(files(&dir));
    Program::new(&folder, &hub.endpoint).refuses("a family", MODEL, &["perceiver"]);
    assert!(!hub.requests().iter().any(|request| request.contains("safetensors")));
    std::fs::rename(dir.join("model.safetensors"), dir.join("pytorch_model.bin")).expect("renamed");
    std::fs::write(dir.join("config.json"), config).expect("written");
    let hub = Hub::new(files(&dir));
    Program::new(&folder, &hub.endpoint).refuses("a format", MODEL, &["model.safetensors", "another format"]);
}

/// A cache as Python's `huggingface_hub` lays it out.
#[cfg(unix)]
fn lay_out(folder: &Folder, from: &Path) {
    let (blobs, snapshot) = (cached(folder).join("blobs"), cached(folder).join("snapshots").join(COMMIT));
    for (name, bytes) in files(from) {
        let (blob, link) = (format!("sha-{}", name.replace('/', "-")), snapshot.join(&name));
        let up = "../".repeat(2 + name.matches('/').count());
        [&blobs, link.parent().expect("a folder"), &cached(folder).join("refs")]
            .iter()
            .for_each(|dir| std::fs::create_dir_all(dir).expect("a folder"));
        std::fs::write(blobs.join(&blob), bytes).expect("a blob");
        std::os::unix::fs::symlink(format!("{up}blobs/{blob}"), link).expect("a link");
    }
    std::fs::write(cached(folder).join("refs/main"), COMMIT).expect("a reference");
}

#[cfg(unix)]
#[test]
fn a_cache_of_pythons() {
    let folder = Folder::new("hub-python");
    let dir = model(&folder);
    lay_out(&folder, &dir);
    let hub = Hub::new(files(&dir));
    let online = Program::new(&folder, &hub.endpoint);
    let offline = Program::new(&folder, &hub.endpoint).with("HF_HUB_OFFLINE", "1");
    let want = online.vectors(text(&dir));
    for name in [MODEL.to_owned(), format!("{MODEL}@{COMMIT}")] {
        assert_eq!((offline.vectors(&name), online.vectors(&name)), (want.clone(), want.clone()));
    }
    assert_eq!(hub.requests(), [""; 0]);
    // A link whose blob is gone is no file.
    for name in ["model.safetensors", "config.json"] {
        std::fs::remove_file(cached(&folder).join("blobs").join(format!("sha-{name}"))).expect("removed");
        offline.refuses("a lost blob", MODEL, &[name, "HF_HUB_OFFLINE"]);
        Program::new(&folder, &nowhere()).refuses("no hub", MODEL, &[name, "cannot be reached"]);
        assert_eq!((online.vectors(MODEL), offline.vectors(MODEL)), (want.clone(), want.clone()));
        let asked = hub.requests();
        let others = |request: &String| !request.contains("/api/") && !request.contains(name);
        assert!(!asked.is_empty() && !asked.iter().any(others), "only what was lost: {asked:?}");
    }
    // A sign that files may be missing, where none is: the hub is asked once.
    let known = cached(&folder).join(".no_exist").join(COMMIT);
    std::fs::remove_dir_all(&known).expect("removed");
    std::fs::create_dir_all(&known).expect("a folder");
    assert_eq!((online.vectors(MODEL), hub.requests().len()), (want.clone(), 1));
    assert_eq!((online.vectors(MODEL), hub.requests().len()), (want, 0));
}

/// Who wants a model only leaves a snapshot without a tokenizer.
#[cfg(unix)]
#[test]
fn a_cache_without_a_tokenizer() {
    let folder = Folder::new("hub-tokenizer");
    let dir = model(&folder);
    lay_out(&folder, &dir);
    let hub = Hub::new(files(&dir));
    let online = Program::new(&folder, &hub.endpoint);
    std::fs::remove_file(cached(&folder).join("blobs/sha-vocab.txt")).expect("removed");
    Program::new(&folder, &nowhere()).with("HF_HUB_OFFLINE", "1").refuses("no tokenizer", MODEL, &["tokenizer"]);
    assert_eq!(online.vectors(MODEL), online.vectors(text(&dir)));
    hub.requests();
    online.vectors(MODEL);
    assert_eq!(hub.requests(), [""; 0]);
}

/// Programs that fetch file by file leave snapshots that lack what they did not want, such as how to pool.
#[cfg(unix)]
#[test]
fn a_cache_that_was_filled_file_by_file() {
    let folder = Folder::new("hub-piecemeal");
    let dir = model(&folder);
    lay_out(&folder, &dir);
    let modules = r#"[{"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer"},
        {"idx": 1, "name": "1", "path": "1_Pooling", "type": "sentence_transformers.models.Pooling"}]"#;
    std::fs::write(dir.join("modules.json"), modules).expect("written");
    std::fs::create_dir_all(dir.join("1_Pooling")).expect("a folder");
    std::fs::write(dir.join("1_Pooling/config.json"), r#"{"pooling_mode_cls_token": true}"#).expect("written");
    let hub = Hub::new(files(&dir));
    let (online, offline) = (Program::new(&folder, &hub.endpoint), Program::new(&folder, &nowhere()));
    let want = online.vectors(text(&dir));
    assert_ne!(online.vectors(MODEL), want, "nothing says that the copy is not whole");
    let known = cached(&folder).join(".no_exist").join(COMMIT);
    std::fs::create_dir_all(&known).expect("a folder");
    // Without a hub it is used, with a word.
    let mut command = Command::new(env!("CARGO_BIN_EXE_wgformer"));
    command.args(["--device", "cpu", "embed", "--model", MODEL, "a b"]);
    let out = offline.run(command);
    let notes = String::from_utf8_lossy(&out.stderr).into_owned();
    assert!(out.status.success() && notes.contains("may lack small files"), "{notes}");
    assert_eq!(online.vectors(MODEL), want);
    hub.requests();
    assert_eq!(online.vectors(MODEL), want);
    assert_eq!(hub.requests(), [""; 0], "it knows now");
    assert!(known.join("generation_config.json").exists() && !known.join("modules.json").exists());
    // What says how to pool is needed where there are other signs of it.
    let snapshot = cached(&folder).join("snapshots").join(COMMIT);
    std::fs::write(snapshot.join("config_sentence_transformers.json"), "{}").expect("written");
    for lost in ["modules.json", "1_Pooling/config.json"] {
        std::fs::remove_file(snapshot.join(lost)).expect("removed");
        let offline = Program::new(&folder, &hub.endpoint).with("HF_HUB_OFFLINE", "1");
        offline.refuses("a lost file", MODEL, &[lost, "HF_HUB_OFFLINE"]);
        assert_eq!(online.vectors(MODEL), want);
    }
}

#[test]
fn shards() {
    let folder = Folder::new("hub-shards");
    let dir = model(&folder);
    let want = Program::new(&folder, &nowhere()).vectors(text(&dir));
    let whole = wgformer::weights::Checkpoint::open(&dir).expect("a checkpoint");
    let map: serde_json::Map<String, serde_json::Value> =
        whole.names().map(|name| (name.to_owned(), "model-1-of-1.safetensors".into())).collect();
    drop(whole);
    std::fs::rename(dir.join("model.safetensors"), dir.join("model-1-of-1.safetensors")).expect("renamed");
    let index = serde_json::json!({"weight_map": map}).to_string();
    std::fs::write(dir.join("model.safetensors.index.json"), index).expect("written");
    let hub = Hub::new(files(&dir));
    let online = Program::new(&folder, &hub.endpoint);
    assert_eq!(online.vectors(MODEL), want);
    let snapshot = cached(&folder).join("snapshots").join(COMMIT);
    std::fs::remove_file(snapshot.join("model-1-of-1.safetensors")).expect("removed");
    let offline = Program::new(&folder, &hub.endpoint).with("HF_HUB_OFFLINE", "1");
    offline.refuses("a lost shard", MODEL, &["model-1-of-1.safetensors"]);
    assert_eq!(online.vectors(MODEL), want);
}
