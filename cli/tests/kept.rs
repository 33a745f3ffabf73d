//! Compiled kernels are kept from run to run, where the adapter has a pipeline cache; damaged or stale ones are no harm.

mod common;

use std::process::{Command, Output};

use common::{Folder, text};

fn wgsl(cache: &Folder, more: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_wgformer"));
    command.env("XDG_CACHE_HOME", &cache.0).env("XDG_RUNTIME_DIR", &cache.0).args(more);
    command.args(["verify", "--filter", "argmax"]).output().expect("the binary starts")
}

#[cfg(target_os = "linux")]
#[test]
fn kept_and_never_trusted_blindly() {
    let cache = Folder::new("kept");
    let good = |out: Output| {
        let notes = String::from_utf8(out.stderr).expect("UTF-8");
        assert!(out.status.success(), "{notes}");
        notes
    };
    assert!(!good(wgsl(&cache, &[])).contains("ignored"));
    let files = || -> Vec<_> {
        let entries = std::fs::read_dir(cache.path("wgformer")).into_iter().flatten();
        entries.map(|entry| entry.expect("an entry").path()).collect()
    };
    // An adapter without a pipeline cache leaves nothing.
    let [file] = &files()[..] else { return };
    let kept = std::fs::read(file).expect("a file");
    assert!(kept.starts_with(b"WGFORMER"));
    assert!(!good(wgsl(&cache, &[])).contains("ignored"));
    for (what, bytes) in [("cut off", &kept[..kept.len() - 1]), ("nonsense", b"nonsense"), ("empty", b"")] {
        std::fs::write(file, bytes).expect("written");
        let notes = good(wgsl(&cache, &[]));
        assert!(notes.contains(text(file)) && notes.contains("they are damaged"), "{what}: {notes}");
        assert!(!good(wgsl(&cache, &[])).contains("ignored"), "{what} was replaced");
    }
    std::fs::write(file, "nonsense").expect("written");
    assert_eq!(good(wgsl(&cache, &["--quiet"])), "");
    assert_eq!(files().len(), 1, "nothing else is left behind");
    // A place that cannot be written is no failure.
    std::fs::remove_dir_all(cache.path("wgformer")).expect("removed");
    std::fs::write(cache.path("wgformer"), "a file").expect("written");
    assert!(!good(wgsl(&cache, &[])).contains("ignored"));
}
