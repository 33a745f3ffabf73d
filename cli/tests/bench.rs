//! `bench` on the command line: bad arguments, what it saves, and what it says of a slower run.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

fn wgformer(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_wgformer")).args(args).output().expect("the binary starts")
}

/// An empty folder.
fn folder(name: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let _ = std::fs::remove_dir_all(&path);
    std::fs::create_dir_all(&path).expect("a folder");
    path
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a path in UTF-8")
}

#[test]
fn bad_arguments() {
    let folder = folder("bench-arguments");
    let (nowhere, broken, saved) = (folder.join("nowhere"), folder.join("broken"), folder.join("saved"));
    let line = "{\"name\":\"softmax/16x128\",\"ms\":1.0,\"adapter\":\"none\",\"driver\":\"\"}\n";
    std::fs::write(&saved, line).expect("written");
    std::fs::write(&broken, format!("{line}{{\"name\": 7}}\n")).expect("written");
    let below = folder.join("no/such/folder/out");
    let all: [(&[&str], &str); 10] = [
        (&["--compare", text(&nowhere)], "nowhere"),
        (&["--compare", text(&folder)], "bench-arguments"),
        (&["--compare", text(&broken)], "line 2"),
        (&["--save", text(&below)], "no/such/folder"),
        (&["--save", text(&folder)], "bench-arguments"),
        (&["--filter", "no such item"], "no such item"),
        (&["--device", "cpu"], "adapter"),
        (&["--candidates", "--device", "cpu"], "adapter"),
        (&["--candidates", "--filter", "no such op"], "no such op"),
        // Of another adapter.
        (&["--filter", "softmax/16x128", "--json", "--compare", text(&saved)], "nothing in common"),
    ];
    for (args, says) in all {
        let out = wgformer(&[&["--quiet", "bench"], args].concat());
        let error = String::from_utf8_lossy(&out.stderr);
        assert_eq!(out.status.code(), Some(2), "{args:?}: {error}");
        assert!(
            error.starts_with("error: ") && error.lines().count() == 1 && error.contains(says),
            "{args:?}: {error}"
        );
        assert!(args.contains(&"--json") || out.stdout.is_empty(), "{args:?}");
    }
    for threshold in ["-1", "nan", "inf", "much"] {
        let threshold = format!("--threshold={threshold}");
        let out = wgformer(&["bench", "--compare", text(&saved), &threshold]);
        assert_eq!(out.status.code(), Some(2), "{threshold}");
    }
    assert_eq!(wgformer(&["bench", "--threshold", "5"]).status.code(), Some(2), "nothing to compare with");
    assert_eq!(std::fs::read_dir(&folder).expect("a folder").count(), 2, "something was left behind");
}

#[test]
fn a_slower_bench_is_told() {
    let saved = folder("bench-compared").join("saved");
    let bench = ["--quiet", "bench", "--filter", "softmax/16x128"];
    let out = wgformer(&[&bench[..], &["--json", "--save", text(&saved)]].concat());
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    let lines = std::fs::read_to_string(&saved).expect("saved");
    assert_eq!(lines.as_bytes(), out.stdout);
    let rows: Vec<serde_json::Value> = lines.lines().map(|l| serde_json::from_str(l).expect("JSON")).collect();
    assert_eq!(rows.len(), 5, "three ceilings, the plain body, the op: {lines}");
    for key in ["name", "ms", "min", "spread", "gflops", "gbps", "share", "plain", "adapter", "driver"] {
        assert!(rows.iter().all(|row| row.get(key).is_some()), "{key} in {lines}");
    }
    // A saved run that was a thousand times as fast, and one that was a thousand times as slow.
    let scaled = |factor: f64| {
        let scale = |row: &serde_json::Value| {
            let mut row = row.clone();
            // Ceilings have none.
            row["ms"] = row["ms"].as_f64().map(|ms| ms * factor).into();
            row.to_string() + "\n"
        };
        std::fs::write(&saved, rows.iter().map(scale).collect::<String>()).expect("written");
        wgformer(&[&bench[..], &["--compare", text(&saved), "--threshold", "900"]].concat())
    };
    let out = scaled(0.001);
    assert_eq!(out.status.code(), Some(1), "{}", String::from_utf8_lossy(&out.stderr));
    assert_eq!(String::from_utf8_lossy(&out.stdout).matches("SLOWER").count(), 2);
    let out = scaled(1000.0);
    assert_eq!(out.status.code(), Some(0), "{}", String::from_utf8_lossy(&out.stderr));
}
