//! What the command line's tests share: folders, and the binary.
#![allow(dead_code)]

pub mod hub;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// A folder that goes when it is dropped.
pub struct Folder(pub PathBuf);

impl Folder {
    /// An empty folder of this name.
    pub fn new(name: &str) -> Self {
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir_all(&path).expect("a folder");
        Self(path)
    }

    /// A path in it.
    pub fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// A copy of a golden's model in a folder of this name.
    pub fn model(&self, name: &str) -> PathBuf {
        let to = self.path(name);
        std::fs::create_dir_all(&to).expect("a folder");
        for file in ["config.json", "model.safetensors"] {
            std::fs::copy(golden("bert-tiny").join(file), to.join(file)).expect("a copy");
        }
        to
    }

    /// What is in it.
    pub fn names(&self) -> Vec<String> {
        let entries = std::fs::read_dir(&self.0).expect("a folder");
        let mut names: Vec<_> = entries.map(|e| e.expect("e").file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A golden's folder.
pub fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/golden").join(name)
}

/// The binary, run to its end.
pub fn wgformer(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_wgformer")).args(args).output().expect("the binary starts")
}

/// A path as an argument.
pub fn text(path: &Path) -> &str {
    path.to_str().expect("a path in UTF-8")
}

/// Asserts that it failed as it should, and gives the line.
pub fn refused(what: &str, out: &Output) -> String {
    let error = String::from_utf8(out.stderr.clone()).expect("UTF-8");
    assert_eq!(out.status.code(), Some(2), "{what}: {error}");
    assert!(out.stdout.is_empty(), "{what}: {}", String::from_utf8_lossy(&out.stdout));
    assert!(error.starts_with("error: ") && error.lines().count() == 1, "{what}: {error}");
    for word in ["panicked", "RUST_BACKTRACE", "unwrap"] {
        assert!(!error.contains(word), "{what}: {error}");
    }
    error
}
