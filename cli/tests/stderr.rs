//! Standard error says where it ran, in one line, and nothing else, also without a session.

mod common;

use std::process::Command;

use common::{Folder, refused, text, wgformer};

#[test]
fn one_line_and_no_noise() {
    for (args, says) in [(&["wgsl"][..], "on "), (&["--device", "cpu", "wgsl"], "on the CPU reference")] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_wgformer"));
        for name in ["XDG_RUNTIME_DIR", "NODEVICE_SELECT", "MESA_VK_DEVICE_SELECT"] {
            command.env_remove(name);
        }
        // Compiled kernels of another version would be told of.
        let cache = Folder::new("stderr");
        let out = command.env("XDG_CACHE_HOME", &cache.0).args(args).output().expect("the binary starts");
        let error = String::from_utf8(out.stderr).expect("UTF-8");
        assert!(out.status.success(), "{error}");
        assert!(error.starts_with(says) && error.lines().count() == 1, "{args:?}: {error}");
        assert!(String::from_utf8(out.stdout).expect("UTF-8").contains("matmul/baseline/rows-16+f32"), "{args:?}");
    }
}

/// The names in the help are names that there are.
#[test]
fn the_example_of_wgsl_works() {
    let out = Command::new(env!("CARGO_BIN_EXE_wgformer"))
        .args(["--quiet", "--device", "cpu", "wgsl", "matmul/baseline/rows-16+f32"])
        .output()
        .expect("the binary starts");
    let source = String::from_utf8(out.stdout).expect("UTF-8");
    assert!(source.starts_with("// matmul: linked by wgformer") && source.contains("fn main"), "{source}");
    assert!(out.stderr.is_empty());
}

/// Each file is what the name alone prints.
#[test]
fn all_sources_can_be_written() {
    let folder = Folder::new("sources");
    let wgsl = |args: &[&str]| wgformer(&[&["--quiet", "--device", "cpu", "wgsl"], args].concat());
    let out = wgsl(&["softmax", "--output", text(&folder.path("new/folder"))]);
    assert!(out.status.success() && out.stdout.is_empty(), "{out:?}");
    let names = String::from_utf8(wgsl(&["softmax"]).stdout).expect("UTF-8");
    let names: Vec<&str> = names.lines().filter_map(|line| line.split_whitespace().next()).collect();
    let files = std::fs::read_dir(folder.path("new/folder")).expect("a folder");
    assert!(!names.is_empty() && files.count() == names.len());
    for name in names {
        let file = std::fs::read(folder.path(&format!("new/folder/{}.wgsl", name.replace('/', "."))));
        assert_eq!(file.expect(name), wgsl(&[name]).stdout, "{name}");
    }
    std::fs::write(folder.path("file"), "").expect("a file");
    let error = refused("a file as a folder", &wgsl(&["--output", text(&folder.path("file"))]));
    assert!(error.contains("file"), "{error}");
}
