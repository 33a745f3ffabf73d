//! `wgformer attend`: its numbers are `forward`'s, which are PyTorch's; and what it says to bad input.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;
use wgformer::weights::{Checkpoint, Values, write_safetensors};

/// The golden model with a vocabulary: five special tokens, then w5, w6 ..
fn model(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("attend-{name}"));
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder).expect("a folder");
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/golden/bert-tiny");
    for file in ["config.json", "model.safetensors"] {
        std::fs::copy(golden.join(file), folder.join(file)).expect("a copy");
    }
    let words: String = (5..101).map(|i| format!("w{i}\n")).collect();
    std::fs::write(folder.join("vocab.txt"), format!("[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\n{words}")).expect("a file");
    folder
}

fn wgformer(args: &[&str]) -> Output {
    let quiet = ["--quiet", "--device", "cpu"];
    Command::new(env!("CARGO_BIN_EXE_wgformer")).args(quiet).args(args).output().expect("the binary starts")
}

fn text(path: &Path) -> &str {
    path.to_str().expect("UTF-8")
}

fn numbers(value: &Value) -> Vec<f32> {
    match value {
        Value::Array(list) => list.iter().flat_map(numbers).collect(),
        other => vec![other.as_f64().expect("a number") as f32],
    }
}

#[test]
fn numbers_are_forwards() {
    let model = model("numbers");
    let (json, input, output) = (model.join("a.json"), model.join("in.safetensors"), model.join("out.safetensors"));
    let said = wgformer(&["attend", "--model", text(&model), "w7 w9 nothing w100", "--output", text(&json)]);
    assert!(said.status.success(), "{said:?}");
    let view: Value = serde_json::from_slice(&std::fs::read(&json).expect("a file")).expect("JSON");
    let map = &view["maps"][0];
    let labels = ["[CLS]", "w7", "w9", "[UNK]", "w100", "[SEP]"];
    assert_eq!((&map["kind"], &map["rows"]), (&"encoder".into(), &labels.as_slice().into()));
    assert_eq!((&map["layers"], &map["heads"], &map["columns"]), (&3.into(), &5.into(), &map["rows"]));

    let ids = [2i64, 7, 9, 1, 100, 3];
    let batch = write_safetensors(&[("input_ids", &[1, 6], Values::I64(&ids))]).expect("bytes");
    std::fs::write(&input, batch).expect("a file");
    let files = ["--input", text(&input), "--output", text(&output), "--attentions"];
    assert!(wgformer(&[&["forward", "--model", text(&model)], &files[..]].concat()).status.success());
    let forward = Checkpoint::open(&output).expect("a file");
    let expected: Vec<f32> =
        (0..3).flat_map(|i| forward.get(&format!("attentions.{i}")).expect("weights").to_f32()).collect();
    let weights = numbers(&map["weights"]);
    assert_eq!(weights, expected);
    for row in weights.chunks(6) {
        assert!((row.iter().sum::<f32>() - 1.0).abs() < 1e-5, "{row:?}");
    }
}

#[test]
fn a_table_and_a_page() {
    let model = model("forms");
    let said = wgformer(&["attend", "--model", text(&model), "w7 w9", "--layer", "2", "--head", "4"]);
    let table = String::from_utf8(said.stdout).expect("UTF-8");
    assert!(table.starts_with("encoder self-attention, layer 2, head 4;"), "{table}");
    assert!(table.contains("[CLS] w7 w9 [SEP]"), "{table}");
    assert_eq!(table.matches(" %\n").count(), 4, "{table}");
    let page = model.join("a.html");
    assert!(wgformer(&["attend", "--model", text(&model), "w7", "--output", text(&page)]).status.success());
    assert!(std::fs::read_to_string(page).expect("a page").starts_with("<!doctype html>"));
}

#[test]
fn bad_input() {
    let model = model("bad");
    let (page, other) = (model.join("a.html"), model.join("a.txt"));
    let tokenless = model.join("tokenless");
    std::fs::create_dir_all(&tokenless).expect("a folder");
    for file in ["config.json", "model.safetensors"] {
        std::fs::copy(model.join(file), tokenless.join(file)).expect("a copy");
    }
    let (output, good) = (["--output", text(&page)], ["--model", text(&model), "w7"]);
    for (why, args) in [
        (".html or .json", [&good[..], &["--output", text(&other)]].concat()),
        ("no layer 3; the encoder self-attention has 3", [&good[..], &["--layer", "3"], &output].concat()),
        ("no head 5", [&good[..], &["--head", "5"], &output].concat()),
        ("tokenizer", [&["--model", text(&tokenless), "w7"][..], &output].concat()),
        ("not a folder", [&["--model", text(&other), "w7"][..], &output].concat()),
        ("folder that can be written", [&good[..], &["--output", "/nowhere/at/all.html"]].concat()),
    ] {
        let said = wgformer(&[&["attend"], &args[..]].concat());
        let line = String::from_utf8(said.stderr).expect("UTF-8");
        assert_eq!(said.status.code(), Some(2), "{line}");
        assert!(line.contains(why) && line.lines().count() == 1, "{why}: {line}");
    }
    assert!(!page.exists() && !other.exists());
    let left = std::fs::read_dir(&model)
        .expect("a folder")
        .filter(|e| e.as_ref().is_ok_and(|e| e.file_name().to_string_lossy().contains(".part")));
    assert_eq!(left.count(), 0, "something was left behind");
}
