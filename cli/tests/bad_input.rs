//! What the command line says to bad input: one line, exit code 2, nothing left behind. And to good input: the goldens.

mod common;

use std::path::{Path, PathBuf};

use common::{Folder, golden, refused, text, wgformer};
use wgformer::weights::{Checkpoint, Values, write_safetensors};

/// As in the crate's own golden tests.
const TOLERANCE: f32 = 2e-4;

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

type Tensors = Vec<(String, Vec<usize>, Vec<f32>)>;

#[test]
fn tensors_that_are_not_the_configurations() {
    let folder = Folder::new("tensors");
    let (input, model) = (input(&folder), folder.model("model"));
    let whole = Checkpoint::open(golden("bert-tiny")).expect("a checkpoint");
    let tensor = |name: &str| {
        let tensor = whole.get(name).expect(name);
        (name.to_owned(), tensor.shape.clone(), tensor.to_f32())
    };
    let name = "encoder.layer.1.output.dense.weight";
    let refuse = |what: &str, says: [&str; 2], change: &dyn Fn(&mut Tensors)| {
        let mut tensors: Tensors = whole.names().map(tensor).collect();
        change(&mut tensors);
        let list: Vec<_> = tensors.iter().map(|(n, s, v)| (n.as_str(), s.as_slice(), Values::F32(v))).collect();
        std::fs::write(model.join("model.safetensors"), write_safetensors(&list).expect("a file")).expect("written");
        says.iter().for_each(|says| refuses(&folder, what, &model, &input, says));
    };
    refuse("a missing tensor", [name, "missing"], &|t| t.retain(|(n, ..)| n != name));
    refuse("a misshapen tensor", [name, "expected shape"], &|t| {
        t.iter_mut().filter(|(n, ..)| n == name).for_each(|(_, shape, _)| shape.reverse());
    });
    refuse("an unused tensor", ["encoder.layer.9.new", "another model"], &|t| {
        t.push(("encoder.layer.9.new".into(), vec![1], vec![0.0]));
    });
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
        ("positions of another kind", changed("\"absolute\"", "\"relative_key\""), "position_embedding_type"),
        ("layers in a billion", changed("\"num_hidden_layers\": 3", "\"num_hidden_layers\": 1000000000"), "1024"),
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
fn bad_batches_for_decoders() {
    let folder = Folder::new("decoders");
    let path = folder.path("in.safetensors");
    let refuse = |what: &str, model: &str, tensors: &[(&str, &[usize], &[i64])], says: &str| {
        write(&path, tensors);
        refuses(&folder, what, &golden(model), &path, says);
    };
    let ids: (&str, &[usize], &[i64]) = ("input_ids", &[2, 3], &[1, 2, 3, 4, 5, 6]);
    let target: (&str, &[usize], &[i64]) = ("decoder_input_ids", &[2, 2], &[2, 7, 2, 8]);
    refuse("no decoder_input_ids", "bart", &[ids], "decoder_input_ids");
    refuse("no input_ids", "bart", &[target], "no input_ids");
    refuse("types", "bart", &[ids, target, ("token_type_ids", &[2, 3], &[0; 6])], "token_type_ids");
    refuse("other rows", "bart", &[ids, ("decoder_input_ids", &[1, 2], &[2, 7])], "1 rows");
    refuse("an unknown id", "bart", &[ids, ("decoder_input_ids", &[2, 1], &[2, 53])], "decoder_input_ids: 53");
    refuse(
        "another mask",
        "bart",
        &[ids, target, ("decoder_attention_mask", &[2, 3], &[1; 6])],
        "decoder_attention_mask",
    );
    refuse("too long", "bart", &[ids, ("decoder_input_ids", &[2, 41], &[3; 82])], "40 positions");
    refuse("a second batch", "gpt2", &[ids, target], "decoder_input_ids");
    refuse("an unknown id", "gpt2", &[("input_ids", &[1, 1], &[53])], "input_ids: 53");
    refuse("too long", "llama3", &[("input_ids", &[1, 65], &[3; 65])], "64 positions");
    refuse("a decoder's batch", "bert-tiny", &[ids, target], "decoder_input_ids");
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
    for command in [
        "embed",
        "rerank",
        "fill-mask",
        "classify",
        "tag",
        "answer",
        "forward",
        "attend",
        "verify",
        "bench",
        "info",
        "plan",
        "wgsl",
    ] {
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
    let known = ["input_ids", "attention_mask", "token_type_ids", "decoder_input_ids", "decoder_attention_mask"];
    let names: Vec<_> = known.into_iter().filter(|name| want.contains(name)).collect();
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
    let outputs: Vec<&str> = want.names().filter(|name| !names.contains(name) && is_output(name, &want)).collect();
    // Column 0 may be padding, which transformers takes for the first token all the same.
    let stored = |tensor: &str| {
        let first = format!("{tensor}_first_token");
        if want.contains(&first) { first } else { tensor.to_owned() }
    };
    let mut written: Vec<_> = got.names().map(stored).collect();
    written.sort();
    assert_eq!(written, outputs);
    for tensor in got.names() {
        let a = want.get(&stored(tensor)).expect(tensor);
        let b = got.get(tensor).expect(tensor);
        assert_eq!(a.shape, b.shape, "{tensor}");
        let target = want.contains("decoder_attention_mask") && !tensor.starts_with("encoder");
        let (_, mask) = want.get_i64(if target { "decoder_attention_mask" } else { "attention_mask" }).expect("a mask");
        let of_sequences = stored(tensor) != tensor;
        // Where an answer begins and ends: one number for each token.
        let shape = if tensor.ends_with("_logits") { [&a.shape[..], &[1]].concat() } else { a.shape.clone() };
        let (columns, len) = (shape[shape.len() - 1], shape[shape.len() - 2]);
        let heads = if a.shape.len() == 4 { a.shape[1] } else { 1 };
        for (i, (a, b)) in a.to_f32().iter().zip(b.to_f32()).enumerate() {
            let row = i / columns;
            match of_sequences || mask[row / (heads * len) * len + row % len] == 1 {
                true => assert!((a - b).abs() <= TOLERANCE, "{tensor} {i}: {a} and {b}"),
                false => assert_eq!(b, 0.0, "{tensor} {i}: padding"),
            }
        }
    }
}

/// Whether `forward --attentions` writes a tensor of a golden.
fn is_output(name: &str, golden: &Checkpoint) -> bool {
    let encodes = golden.contains("hidden_states.0");
    match name {
        "last_hidden_state" => encodes,
        "pooler_output" | "logits" => !golden.contains(&format!("{name}_first_token")),
        _ => !name.starts_with("hidden_states."),
    }
}

#[test]
fn forward_on_the_gpu_equals_the_goldens() {
    for name in
        ["bert-tiny", "bert-relu", "bert-f16", "bert-sequence", "xlm-roberta", "distilbert-answer", "bart", "qwen2"]
    {
        forward_equals(name, "gpu");
    }
}

#[test]
fn forward_on_the_cpu_equals_the_goldens() {
    for name in ["bert-tiny", "bert-relu", "bert-f16", "bert-tokens", "roberta-sequence", "distilbert", "t5", "gpt2"] {
        forward_equals(name, "cpu");
    }
}
