//! What the command line says to bad input: one line, exit code 2, nothing left behind. And to good input: the goldens.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use wgformer::weights::{Checkpoint, Values, write_safetensors};

/// As in the crate's own golden tests.
const TOLERANCE: f32 = 2e-4;

/// A folder that goes when it is dropped.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir_all(&path).expect("a folder");
        Self(path)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// A copy of a golden's model in a folder of this name.
    fn model(&self, name: &str) -> PathBuf {
        let to = self.path(name);
        std::fs::create_dir_all(&to).expect("a folder");
        for file in ["config.json", "model.safetensors"] {
            std::fs::copy(golden("bert-tiny").join(file), to.join(file)).expect("a copy");
        }
        to
    }

    fn names(&self) -> Vec<String> {
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

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/golden").join(name)
}

fn wgformer(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_wgformer")).args(args).output().expect("the binary starts")
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a path in UTF-8")
}

/// Asserts that it failed as it should, and gives the line.
fn refused(what: &str, out: &Output) -> String {
    let error = String::from_utf8(out.stderr.clone()).expect("UTF-8");
    assert_eq!(out.status.code(), Some(2), "{what}: {error}");
    assert!(out.stdout.is_empty(), "{what}: {}", String::from_utf8_lossy(&out.stdout));
    assert!(error.starts_with("error: ") && error.lines().count() == 1, "{what}: {error}");
    for word in ["panicked", "RUST_BACKTRACE", "unwrap"] {
        assert!(!error.contains(word), "{what}: {error}");
    }
    error
}

/// Runs `forward` on the reference; the folder must be as it was.
fn refuses(folder: &Folder, what: &str, model: &Path, input: &Path, says: &str) {
    let before = folder.names();
    let output = folder.path("out.safetensors");
    let args = ["--quiet", "--device", "cpu", "forward", "--model", text(model), "--input", text(input)];
    let out = wgformer(&[&args[..], &["--output", text(&output)]].concat());
    let error = refused(what, &out);
    assert!(error.contains(says), "{what}: {error} does not say {says:?}");
    assert_eq!(folder.names(), before, "{what} left something behind");
}

fn write(path: &Path, tensors: &[(&str, &[usize], &[i64])]) {
    let tensors: Vec<_> = tensors.iter().map(|&(name, shape, v)| (name, shape, Values::I64(v))).collect();
    std::fs::write(path, write_safetensors(&tensors).expect("a file")).expect("written");
}

/// A good batch in a file.
fn input(folder: &Folder) -> PathBuf {
    let path = folder.path("in.safetensors");
    write(&path, &[("input_ids", &[1, 3], &[1, 2, 3])]);
    path
}

#[test]
fn bad_models() {
    let folder = Folder::new("models");
    let input = input(&folder);
    let nowhere = folder.path("nowhere");
    refuses(&folder, "no folder", &nowhere, &input, "nowhere");

    let empty = folder.path("empty");
    std::fs::create_dir_all(&empty).expect("a folder");
    refuses(&folder, "an empty folder", &empty, &input, "config.json");
    let model = folder.model("no-config");
    std::fs::remove_file(model.join("config.json")).expect("removed");
    refuses(&folder, "no config.json", &model, &input, "config.json");
    let model = folder.model("no-weights");
    std::fs::remove_file(model.join("model.safetensors")).expect("removed");
    refuses(&folder, "no weights", &model, &input, "model.safetensors");

    let model = folder.model("truncated");
    let whole = std::fs::read(model.join("model.safetensors")).expect("read");
    for size in [0, 7, 8, 100, whole.len() / 2, whole.len() - 1] {
        std::fs::write(model.join("model.safetensors"), &whole[..size]).expect("written");
        refuses(&folder, &format!("{size} bytes of weights"), &model, &input, "model.safetensors");
    }
    let mut long = whole.clone();
    long.push(0);
    std::fs::write(model.join("model.safetensors"), &long).expect("written");
    refuses(&folder, "a byte too many", &model, &input, "model.safetensors");
    let mut header = whole;
    header[..8].copy_from_slice(&u64::MAX.to_le_bytes());
    std::fs::write(model.join("model.safetensors"), &header).expect("written");
    refuses(&folder, "an endless header", &model, &input, "model.safetensors");
}

#[test]
fn bad_configs() {
    let folder = Folder::new("configs");
    let (input, model) = (input(&folder), folder.model("model"));
    let config = std::fs::read_to_string(model.join("config.json")).expect("read");
    let changed = |from: &str, to: &str| {
        let text = config.replace(from, to);
        assert_ne!(text, config, "{from}");
        text
    };
    let all = [
        ("nothing", String::new(), "config.json"),
        ("half of it", config[..config.len() / 2].to_owned(), "config.json"),
        ("a list", "[]".to_owned(), "config.json"),
        ("unknown model_type", changed("\"bert\"", "\"perceiver\""), "perceiver"),
        ("no model_type", changed("\"model_type\"", "\"type\""), "model_type"),
        ("unknown activation", changed("\"gelu\"", "\"wiggle\""), "wiggle"),
        ("text for a number", changed("\"hidden_size\": 60", "\"hidden_size\": \"wide\""), "hidden_size"),
        ("a negative size", changed("\"hidden_size\": 60", "\"hidden_size\": -60"), "hidden_size"),
        ("no width", changed("\"hidden_size\": 60", "\"hidden_size\": 0"), ""),
        ("another width", changed("\"hidden_size\": 60", "\"hidden_size\": 65"), ""),
        ("no heads", changed("\"num_attention_heads\": 5", "\"num_attention_heads\": 0"), "heads"),
        ("heads that do not divide", changed("\"num_attention_heads\": 5", "\"num_attention_heads\": 7"), "7"),
        ("more layers", changed("\"num_hidden_layers\": 3", "\"num_hidden_layers\": 4"), "3"),
        ("layers beyond measure", changed("\"num_hidden_layers\": 3", "\"num_hidden_layers\": 4294967296"), ""),
        ("another vocabulary", changed("\"vocab_size\": 101", "\"vocab_size\": 102"), "102"),
    ];
    for (what, text, says) in all {
        std::fs::write(model.join("config.json"), text).expect("written");
        refuses(&folder, what, &model, &input, says);
    }
}

#[test]
fn bad_batches() {
    let folder = Folder::new("batches");
    let (model, path) = (golden("bert-tiny"), folder.path("in.safetensors"));
    let refuse = |what: &str, tensors: &[(&str, &[usize], &[i64])], says: &str| {
        write(&path, tensors);
        refuses(&folder, what, &model, &path, says);
    };
    let ids: (&str, &[usize], &[i64]) = ("input_ids", &[2, 3], &[1, 2, 3, 4, 5, 6]);
    for id in [101, -1, 1 << 31, (1 << 32) + 1, 1 << 40, i64::MAX, i64::MIN] {
        refuse(&format!("id {id}"), &[("input_ids", &[1, 3], &[1, id, 3])], &id.to_string());
    }
    for mask in [2, -1, 1 << 32] {
        let mask = [1, 1, 1, 1, mask, 1];
        refuse("a mask of more than bits", &[ids, ("attention_mask", &[2, 3], &mask)], "mask");
    }
    refuse("a mask of another shape", &[ids, ("attention_mask", &[3, 2], &[1; 6])], "attention_mask");
    refuse("a short mask", &[ids, ("attention_mask", &[1, 3], &[1; 3])], "attention_mask");
    for kind in [2, -1, 1 << 32] {
        let kinds = [0, 0, 1, kind, 1, 1];
        refuse("an unknown type", &[ids, ("token_type_ids", &[2, 3], &kinds)], &kind.to_string());
    }
    refuse("types of another shape", &[ids, ("token_type_ids", &[6], &[0; 6])], "token_type_ids");
    refuse("more columns than positions", &[("input_ids", &[1, 41], &[1; 41])], "40");
    refuse("no rows", &[("input_ids", &[0, 3], &[])], "");
    refuse("no columns", &[("input_ids", &[2, 0], &[])], "");
    refuse("ids in a list", &[("input_ids", &[3], &[1, 2, 3])], "input_ids");
    refuse("no ids", &[("attention_mask", &[1, 3], &[1; 3])], "input_ids");
    refuse("a stranger", &[ids, ("labels", &[2, 3], &[0; 6])], "labels");

    let floats = [("input_ids", &[1usize, 2][..], Values::F32(&[1.0, 2.0]))];
    std::fs::write(&path, write_safetensors(&floats).expect("a file")).expect("written");
    refuses(&folder, "ids that are floats", &model, &path, "input_ids");
    std::fs::write(&path, "hello").expect("written");
    refuses(&folder, "no safetensors", &model, &path, "in.safetensors");
    refuses(&folder, "no input", &model, &folder.path("none"), "none");
    refuses(&folder, "a folder for input", &model, &folder.0, "--input");
}

#[test]
fn output_that_cannot_be_written() {
    let folder = Folder::new("outputs");
    let (input, model) = (input(&folder), golden("bert-tiny"));
    let taken = folder.path("taken");
    std::fs::create_dir_all(&taken).expect("a folder");
    let before = folder.names();
    let base = ["--quiet", "--device", "cpu", "forward", "--model", text(&model), "--input", text(&input), "--output"];
    for output in [taken.clone(), folder.path("no/such/folder/out"), input.join("below-a-file"), PathBuf::from("/")] {
        let error = refused(text(&output), &wgformer(&[&base[..], &[text(&output)]].concat()));
        assert!(error.contains(text(&output)), "{error}");
        assert_eq!(folder.names(), before);
    }
    // What was there stays, when the work fails.
    let (kept, bad) = (folder.path("kept"), folder.path("bad.safetensors"));
    std::fs::write(&kept, "before").expect("written");
    write(&bad, &[("input_ids", &[1, 1], &[101])]);
    let before = folder.names();
    let args = ["--quiet", "--device", "cpu", "forward", "--model", text(&model), "--input", text(&bad), "--output"];
    refused("a bad batch", &wgformer(&[&args[..], &[text(&kept)]].concat()));
    assert_eq!(std::fs::read(&kept).expect("read"), b"before");
    assert_eq!(folder.names(), before);
}

#[test]
fn unknown_adapters() {
    let folder = Folder::new("adapters");
    let (input, model, output) = (input(&folder), golden("bert-tiny"), folder.path("out"));
    let rest = ["forward", "--model", text(&model), "--input", text(&input), "--output", text(&output)];
    for adapter in ["no such adapter", "99"] {
        let error = refused(adapter, &wgformer(&[&["--quiet", "--adapter", adapter], &rest[..]].concat()));
        assert!(error.contains(adapter), "{error}");
    }
    let both = ["--quiet", "--device", "cpu", "--adapter", "0"];
    refused("--adapter with the CPU", &wgformer(&[&both, &rest[..]].concat()));
    assert!(!output.exists());
}

#[test]
fn other_commands() {
    let folder = Folder::new("commands");
    let nowhere = folder.path("nowhere");
    let cpu = ["--quiet", "--device", "cpu"];
    for rest in [
        &["plan", "--model", text(&nowhere)][..],
        &["embed", "--model", text(&nowhere), "text"],
        // It has no tokenizer.
        &["embed", "--model", text(&golden("bert-tiny")), "text"],
        &["verify", "--filter", "no such op"],
        &["wgsl", "no such kernel"],
    ] {
        refused(rest[0], &wgformer(&[&cpu, rest].concat()));
    }
}

#[test]
fn help() {
    let top = wgformer(&["--help"]);
    let listed = String::from_utf8(top.stdout).expect("UTF-8");
    for command in ["embed", "forward", "attend", "verify", "info", "plan", "wgsl"] {
        assert!(listed.contains(&format!("  {command} ")), "{command} in {listed}");
        let out = wgformer(&[command, "--help"]);
        let help = String::from_utf8(out.stdout).expect("UTF-8");
        assert!(out.status.success() && out.stderr.is_empty(), "{command}");
        assert!(help.contains(&format!("Usage: wgformer {command}")) && help.contains("Example"), "{help}");
        assert!(help.contains("--device") && help.lines().all(|line| line.chars().count() <= 130), "{help}");
    }
}

fn forward_equals(name: &str, device: &str) {
    let folder = Folder::new(&format!("{name}-{device}"));
    let want = Checkpoint::open(golden(name).join("golden.safetensors")).expect("a golden");
    let names = ["input_ids", "attention_mask", "token_type_ids"];
    let inputs: Vec<_> = names.iter().map(|n| want.get_i64(n).expect("an input")).collect();
    let tensors: Vec<_> = names.iter().zip(&inputs).map(|(n, (shape, v))| (*n, &shape[..], &v[..])).collect();
    let (input, output) = (folder.path("in.safetensors"), folder.path("out.safetensors"));
    write(&input, &tensors);
    let model = golden(name);
    let out = wgformer(&[
        "forward",
        "--attentions",
        "--device",
        device,
        "--model",
        text(&model),
        "--input",
        text(&input),
        "--output",
        text(&output),
    ]);
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    assert_eq!(folder.names(), ["in.safetensors", "out.safetensors"]);

    let got = Checkpoint::open(&output).expect("the output");
    let ((shape, _), (_, mask)) = (&inputs[0], &inputs[1]);
    let (rows, cols) = (shape[0], shape[1]);
    let (mut layers, mut compared) = (0, 0);
    for tensor in got.names() {
        // Column 0 may be padding, which transformers pools all the same.
        let stored = if tensor == "pooler_output" { "pooler_output_first_token" } else { tensor };
        let (a, b) = (want.get(stored).expect(stored).to_f32(), got.get(tensor).expect(tensor).to_f32());
        assert_eq!(a.len(), b.len(), "{tensor}");
        let (width, per_row) = (a.len() / (rows * cols), a.len() / rows);
        for (i, (a, b)) in a.iter().zip(&b).enumerate() {
            let token = match tensor {
                "pooler_output" => None,
                "last_hidden_state" => Some(i / width),
                _ => Some(i / per_row * cols + i / cols % cols),
            };
            match token.is_none_or(|t| mask[t] == 1) {
                true => assert!((a - b).abs() <= TOLERANCE, "{tensor} {i}: {a} and {b}"),
                false => assert_eq!(*b, 0.0, "{tensor} {i}: padding"),
            }
            compared += 1;
        }
        layers += usize::from(tensor.starts_with("attentions."));
    }
    assert!(layers >= 2 && compared > 1000 && got.contains("last_hidden_state"), "{layers} {compared}");
}

#[test]
fn forward_on_the_gpu_equals_the_goldens() {
    for name in ["bert-tiny", "bert-relu", "bert-f16"] {
        forward_equals(name, "gpu");
    }
}

#[test]
fn forward_on_the_cpu_equals_the_goldens() {
    for name in ["bert-tiny", "bert-relu", "bert-f16"] {
        forward_equals(name, "cpu");
    }
}
