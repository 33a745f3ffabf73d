//! `embed` on texts of every kind, with a small BERT and a vocabulary of letters.

mod common;

use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use common::{Folder, refused, text};
use serde_json::Value;

/// Positions of the small BERT: a text may have so many tokens.
const POSITIONS: usize = 40;
const EMBED: [&str; 4] = ["--device", "cpu", "embed", "--model"];

/// The small BERT with a vocabulary: four special tokens, letters, and what fills up its 101 rows.
fn model(folder: &Folder) -> std::path::PathBuf {
    let to = folder.model("model");
    let words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"].map(str::to_owned).into_iter();
    let letters = ('a'..='z').map(String::from);
    let vocab: Vec<String> = words.chain(letters).chain((30..101).map(|i| format!("word{i}"))).collect();
    std::fs::write(to.join("vocab.txt"), vocab.join("\n")).expect("a vocabulary");
    to
}

fn run(model: &Path, texts: &[&str], input: &[u8]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_wgformer"));
    command.args(EMBED).arg(model).args(texts);
    let command = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("the binary starts");
    // It may have refused already.
    let _ = child.stdin.take().expect("a pipe").write_all(input);
    child.wait_with_output().expect("it ends")
}

/// The lines of a run that went well, and its notes.
fn embedded(out: &Output) -> (Vec<Value>, String) {
    let notes = String::from_utf8(out.stderr.clone()).expect("UTF-8");
    assert!(out.status.success(), "{notes}");
    let lines = String::from_utf8(out.stdout.clone()).expect("UTF-8");
    (lines.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect(), notes)
}

#[test]
fn texts_of_every_length() {
    let folder = Folder::new("texts");
    let model = model(&folder);
    let (fits, long) = ("a ".repeat(POSITIONS - 2), "b ".repeat(POSITIONS - 1));
    let (lines, notes) = embedded(&run(&model, &["", "   ", "a b", "\u{1F980}", &fits, &long], b""));
    let tokens: Vec<_> = lines.iter().map(|line| line["tokens"].as_u64().expect("a count") as usize).collect();
    assert_eq!(tokens, [2, 2, 4, 3, POSITIONS, POSITIONS]);
    for line in &lines {
        let vector = line["embedding"].as_array().expect("numbers");
        assert_eq!(vector.len(), 60);
        assert!(vector.iter().all(|x| x.as_f64().is_some_and(f64::is_finite)), "{line}");
    }
    assert_eq!((lines[0]["text"].as_str(), lines[5]["text"].as_str()), (Some(""), Some(long.as_str())));
    // One line says where it ran, one what was cut.
    let notes: Vec<_> = notes.lines().collect();
    assert!(notes[0].starts_with("on the CPU reference") && notes.len() == 2, "{notes:?}");
    assert!(notes[1].contains("cut to 40 tokens") && notes[1].contains("b b b"), "{notes:?}");
}

#[test]
fn standard_input_is_texts_line_by_line() {
    let folder = Folder::new("stdin");
    let model = model(&folder);
    let (lines, _) = embedded(&run(&model, &[], b"a b\r\n\nc"));
    let texts: Vec<_> = lines.iter().map(|line| line["text"].as_str().expect("a text")).collect();
    assert_eq!(texts, ["a b", "", "c"]);
    let (one, _) = embedded(&run(&model, &["a b"], b""));
    assert_eq!(lines[0], one[0]);
}

#[test]
fn texts_that_are_none() {
    let folder = Folder::new("none");
    let model = model(&folder);
    let quiet = |out: &Output| {
        let lines = String::from_utf8_lossy(&out.stderr).into_owned();
        Output {
            stderr: lines.lines().filter(|l| !l.starts_with("on the CPU")).collect::<String>().into(),
            ..out.clone()
        }
    };
    assert!(refused("no text", &quiet(&run(&model, &[], b""))).contains("no text"));
    assert!(refused("no UTF-8", &quiet(&run(&model, &[], b"\xff\xfe\n"))).contains("line 1"));
    // What came before a bad line has been answered.
    let out = run(&model, &[], b"a\n\xff\n");
    assert_eq!((out.status.code(), String::from_utf8_lossy(&out.stdout).lines().count()), (Some(2), 1));
    assert!(String::from_utf8_lossy(&out.stderr).contains("line 2"));
}

#[test]
fn damaged_tokenizers() {
    let folder = Folder::new("tokenizers");
    let model = model(&folder);
    let vocab = model.join("vocab.txt");
    let whole = std::fs::read_to_string(&vocab).expect("read");
    let refuse = |what: &str, file: &str, bytes: &[u8], says: &str| {
        let path = model.join(file);
        std::fs::write(&path, bytes).expect("written");
        let error = refused(what, &run(&model, &["a"], b""));
        assert!(error.contains(says), "{what}: {error}");
    };
    refuse("no words", "vocab.txt", b"", "[UNK]");
    refuse("bytes", "vocab.txt", b"\xff\xfe", "vocab.txt");
    refuse("no separator", "vocab.txt", whole.replace("[SEP]", "sep").as_bytes(), "[SEP]");
    refuse("half a tokenizer", "tokenizer.json", b"{\"version\": \"1.0\"", "tokenizer.json");
    refuse("an empty tokenizer", "tokenizer.json", b"{}", "tokenizer.json");
}

/// A tokenizer with more words than the model has rows is another model's.
#[test]
fn another_models_tokenizer() {
    let folder = Folder::new("other");
    let model = model(&folder);
    let vocab = model.join("vocab.txt");
    let more = std::fs::read_to_string(&vocab).expect("read") + "\nextra";
    std::fs::write(&vocab, more).expect("written");
    let out = run(&model, &["a extra"], b"");
    let error = String::from_utf8(out.stderr).expect("UTF-8");
    assert!(out.status.code() == Some(2) && error.contains("does not fit this model"), "{error}");
    assert!(out.stdout.is_empty());
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_is_an_error_and_a_reader_who_left_is_none() {
    let folder = Folder::new("full");
    let model = model(&folder);
    let run = |stdout: Stdio| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_wgformer"));
        command.arg("--quiet").args(EMBED).arg(&model).args(["a", "b"]).stdout(stdout).stderr(Stdio::piped());
        command.spawn().expect("the binary starts").wait_with_output().expect("it ends")
    };
    let full = std::fs::File::options().write(true).open("/dev/full").expect("/dev/full");
    assert!(refused("a full disk", &run(full.into())).contains("standard output"));
    let (reader, writer) = std::io::pipe().expect("a pipe");
    drop(reader);
    let out = run(writer.into());
    assert!(out.status.success() && out.stderr.is_empty(), "{out:?}");
}

/// Without any driver: the hint for `--device gpu`, the reference for `auto`.
#[cfg(target_os = "linux")]
#[test]
fn no_adapter() {
    let folder = Folder::new("adapters");
    let model = model(&folder);
    let run = |device: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_wgformer"));
        command.args(["--device", device, "embed", "--model", text(&model), "a"]);
        command.env("VK_ICD_FILENAMES", "/nowhere.json").env("VK_DRIVER_FILES", "/nowhere.json");
        command.output().expect("the binary starts")
    };
    let error = refused("no adapter", &run("gpu"));
    assert!(error.contains("mesa-vulkan-drivers") && error.contains("--device cpu"), "{error}");
    let (lines, notes) = embedded(&run("auto"));
    assert!(lines.len() == 1 && notes.starts_with("on the CPU reference"), "{notes}");
}
