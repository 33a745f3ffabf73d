//! `translate`, `generate`, `forward --max-new-tokens` and `attend` for models that write.

mod common;
#[path = "../../tests/common/models.rs"]
mod models;

use std::path::Path;

use common::{Folder, golden, refused, text, wgformer};
use models::{Operation, Sentence, checkpoint};
use serde_json::Value;
use wgformer::weights::{Checkpoint, Values, write_safetensors};

const CPU: [&str; 3] = ["--quiet", "--device", "cpu"];

fn said(args: &[&str]) -> String {
    let out = wgformer(args);
    assert!(out.status.success(), "{args:?}: {out:?}");
    String::from_utf8(out.stdout).expect("UTF-8")
}

fn words() -> Vec<Value> {
    let path = golden("../../assets/g2p-en-us/golden.json");
    serde_json::from_str(&std::fs::read_to_string(path).expect("a golden")).expect("JSON")
}

fn field<'a>(word: &'a Value, key: &str) -> &'a str {
    word[key].as_str().expect("a text")
}

#[test]
fn the_built_in_model_speaks() {
    let words = words();
    let spelled: Vec<&str> = words.iter().map(|word| field(word, "word")).collect();
    assert!(spelled.len() >= 31);
    for (beams, key) in [("1", "phonemes"), ("4", "beam4")] {
        let sounds: String = words.iter().map(|word| format!("{}\n", field(word, key))).collect();
        for device in ["gpu", "cpu"] {
            let args = ["translate", "--quiet", "--device", device, "--beams", beams, "--batch-size", "7"];
            assert_eq!(said(&[&args, &spelled[..]].concat()), sounds, "{device}, {beams} beams");
        }
    }
    // The words of a text one by one; an empty text is an empty line.
    let line = said(&[&["translate", "transformer  attention", "", "attention"], &CPU[..]].concat());
    assert_eq!(line, "tɹænsfˈɔɹməɹ ətˈɛnʃən\n\nətˈɛnʃən\n");
}

#[test]
fn what_was_cut_is_told() {
    let out = wgformer(&["translate", "--device", "cpu", "--max-tokens", "3", "transformer"]);
    let notes = String::from_utf8(out.stderr).expect("UTF-8");
    assert!(out.status.success() && notes.contains("cut at 3 tokens"), "{notes}");
    let long = "a".repeat(100);
    let out = wgformer(&["translate", "--device", "cpu", &long]);
    let notes = String::from_utf8(out.stderr).expect("UTF-8");
    assert!(out.status.success() && notes.contains("cut to 64 tokens"), "{notes}");
}

#[test]
fn the_built_in_model_shows_its_alignment() {
    let table = said(&[&["attend", "transformer"], &CPU[..]].concat());
    assert!(table.starts_with("cross-attention") && table.contains("\nɹ"), "{table}");
    let folder = Folder::new("alignment");
    let (json, output, input) = (folder.path("a.json"), folder.path("out.safetensors"), folder.path("in.safetensors"));
    said(&[&["attend", "attention", "ətˈɛnʃən", "--output", text(&json)], &CPU[..]].concat());
    let view: Value = serde_json::from_slice(&std::fs::read(&json).expect("a file")).expect("JSON");
    let kinds: Vec<_> = view["maps"].as_array().expect("maps").iter().map(|map| field(map, "kind")).collect();
    assert_eq!(kinds, ["encoder", "decoder", "cross"]);
    let cross = &view["maps"][2];
    assert_eq!(cross["rows"].as_array().expect("rows")[1], "ə");

    // The same numbers by `forward`, from ids.
    let model = folder.path("model");
    std::fs::create_dir_all(&model).expect("a folder");
    for file in ["config.json", "model.safetensors"] {
        std::fs::copy(golden("../../assets/g2p-en-us").join(file), model.join(file)).expect("a copy");
    }
    let word = words().into_iter().find(|word| word["word"] == "attention").expect("the word");
    let ids = |key: &str| -> Vec<i64> { serde_json::from_value(word[key].clone()).expect("ids") };
    let source = ids("input_ids");
    // `encode_target` begins a word, as the model itself does; the start token comes before it, the end is not read.
    let mut read = ids("greedy_ids");
    read.pop();
    let batch = [
        ("input_ids", &[1, source.len()][..], Values::I64(&source)),
        ("decoder_input_ids", &[1, read.len()][..], Values::I64(&read)),
    ];
    std::fs::write(&input, write_safetensors(&batch).expect("bytes")).expect("a file");
    let files = ["--input", text(&input), "--output", text(&output), "--attentions"];
    said(&[&["forward", "--model", text(&model)], &files[..], &CPU[..]].concat());
    let forward = Checkpoint::open(&output).expect("a file").get("cross_attentions.0").expect("weights").to_f32();
    let rows = cross["weights"][0][0].as_array().expect("rows");
    let shown: Vec<f32> =
        rows.iter().flat_map(|row| row.as_array().expect("a row")).map(|w| w.as_f64().expect("w") as f32).collect();
    assert_eq!(shown, forward);
}

#[test]
fn sequences_are_transformers() {
    let folder = Folder::new("sequences");
    let (input, output) = (folder.path("in.safetensors"), folder.path("out.safetensors"));
    for name in ["bart", "gpt2"] {
        let golden_file = std::fs::read(golden(name).join("golden.json")).expect("a golden");
        let made: Value = serde_json::from_slice(&golden_file).expect("JSON");
        let rows = |key: &str| -> Vec<Vec<i64>> { serde_json::from_value(made[key].clone()).expect("rows") };
        let (ids, mask) = (rows("input_ids"), rows("attention_mask"));
        let shape = [ids.len(), ids[0].len()];
        let (ids, mask) = (ids.concat(), mask.concat());
        let batch = [("input_ids", &shape[..], Values::I64(&ids)), ("attention_mask", &shape[..], Values::I64(&mask))];
        std::fs::write(&input, write_safetensors(&batch).expect("bytes")).expect("a file");
        let config = std::fs::read(golden(name).join("generation_config.json")).expect("a configuration");
        let config: Value = serde_json::from_slice(&config).expect("JSON");
        let pad = config["pad_token_id"].as_i64().expect("an id");
        let ends: Vec<i64> = match &config["eos_token_id"] {
            Value::Array(ids) => ids.iter().filter_map(Value::as_i64).collect(),
            id => id.as_i64().into_iter().collect(),
        };
        let mut runs = 0;
        for run in made["runs"].as_array().expect("runs") {
            // Runs of no more than the command's own options.
            let settings = run["settings"].as_object().expect("settings");
            let Some(new) = settings.get("max_new_tokens") else { continue };
            if settings.keys().any(|key| !["max_new_tokens", "num_beams"].contains(&key.as_str())) {
                continue;
            }
            let (new, beams) = (new.to_string(), settings.get("num_beams").map_or("1".into(), Value::to_string));
            let files = ["--input", text(&input), "--output", text(&output)];
            let options = ["--max-new-tokens", &new, "--num-beams", &beams];
            let model = golden(name);
            said(&[&["forward", "--model", text(&model)], &files[..], &options[..], &CPU[..]].concat());
            let (shape, got) = Checkpoint::open(&output).expect("a file").get_i64("sequences").expect("ids");
            let want: Vec<Vec<i64>> = serde_json::from_value(run["sequences"].clone()).expect("rows");
            assert_eq!(shape, [want.len(), want[0].len()], "{name} {settings:?}");
            // There, a pad id of 0 counts as none with beams, and the end token stands for it.
            for (got, want) in got.chunks(want[0].len()).zip(&want) {
                let begun = if name == "gpt2" { mask.len() / rows("input_ids").len() } else { 1 };
                let end = want[begun..].iter().position(|id| ends.contains(id)).map_or(want.len(), |at| begun + at + 1);
                assert_eq!((&got[..end], got.len()), (&want[..end], want.len()), "{name} {settings:?}");
                assert!(got[end..].iter().all(|id| *id == pad), "{name} {settings:?}: {got:?}");
            }
            runs += 1;
        }
        assert!(runs >= 2, "{name}: {runs}");
    }
}

/// What `forward --max-new-tokens` writes for lists of ids, padded on the left, each up to an end token.
fn continued(
    folder: &Folder,
    model: &Path,
    lists: &[Vec<u32>],
    [pad, end]: [i64; 2],
    options: &[&str],
) -> Vec<Vec<i64>> {
    let (input, output) = (folder.path("in.safetensors"), folder.path("out.safetensors"));
    let shape = [lists.len(), lists.iter().map(Vec::len).max().expect("a list")];
    let padded = |ids: &Vec<u32>, padding: i64, kept: &dyn Fn(u32) -> i64| -> Vec<i64> {
        let before = std::iter::repeat_n(padding, shape[1] - ids.len());
        before.chain(ids.iter().map(|&id| kept(id))).collect()
    };
    let ids: Vec<i64> = lists.iter().flat_map(|list| padded(list, pad, &i64::from)).collect();
    let mask: Vec<i64> = lists.iter().flat_map(|list| padded(list, 0, &|_| 1)).collect();
    let batch = [("input_ids", &shape[..], Values::I64(&ids)), ("attention_mask", &shape[..], Values::I64(&mask))];
    std::fs::write(&input, write_safetensors(&batch).expect("bytes")).expect("a file");
    let files = ["--input", text(&input), "--output", text(&output)];
    said(&[&["forward", "--quiet", "--model", text(model)], &files[..], options].concat());
    let (shape, rows) = Checkpoint::open(&output).expect("a file").get_i64("sequences").expect("ids");
    let whole = |row: &[i64]| {
        let last = row[1..].iter().position(|id| *id == end).expect("an end") + 1;
        assert!(row[last + 1..].iter().all(|id| *id == pad), "{row:?}");
        row[..=last].to_vec()
    };
    rows.chunks(shape[1]).map(whole).collect()
}

#[test]
fn opus_translates_as_pytorch_does() {
    let (folder, model) = (Folder::new("opus"), checkpoint("opus-zh-en"));
    let sentences = Sentence::all();
    let sources: Vec<&str> = sentences.iter().map(|sentence| sentence.source.as_str()).collect();
    let lists: Vec<Vec<u32>> = sentences.iter().map(|sentence| sentence.input_ids.clone()).collect();
    for (number, beams) in [("1", 1), ("4", 4)] {
        let told = |sentence: &Sentence| format!("{}\n", sentence.translation(beams).1);
        let english: String = sentences.iter().map(told).collect();
        let translate = ["translate", "--quiet", "--model", text(&model), "--beams", number];
        assert_eq!(said(&[&translate, &sources[..]].concat()), english, "{beams} beams");
        let options = ["--max-new-tokens", "64", "--num-beams", number];
        let sequences = continued(&folder, &model, &lists, [65000, 0], &options);
        for (sentence, got) in sentences.iter().zip(sequences) {
            let want: Vec<i64> = sentence.translation(beams).0.iter().map(|&id| id.into()).collect();
            assert_eq!(got, want, "{}, {beams} beams", sentence.source);
        }
    }
}

#[test]
fn seven_and_eight_are_fifteen() {
    let [sums, products, ..] = Operation::all();
    for device in ["gpu", "cpu"] {
        let args = ["generate", "--quiet", "--device", device, "--model", text(&sums.folder), "--prompt", "7+8="];
        assert_eq!(said(&args), "15\n", "{device}");
    }
    let vocab = std::fs::read(products.folder.join("vocab.json")).expect("a vocabulary");
    let vocab: Value = serde_json::from_slice(&vocab).expect("JSON");
    let ids =
        |text: &String| text.chars().map(|char| vocab[char.to_string()].as_u64().expect("an id") as u32).collect();
    let asked: Vec<Vec<u32>> = products.asked.iter().map(ids).collect();
    let right = products.asked.iter().zip(&products.right).map(|(asked, right)| ids(&format!("{asked}{right}")));
    let right: Vec<Vec<i64>> = right.map(|ids: Vec<u32>| ids.into_iter().map(i64::from).chain([2]).collect()).collect();
    let folder = Folder::new("products");
    assert_eq!(continued(&folder, &products.folder, &asked, [0, 2], &["--max-new-tokens", "8"]), right);
}

/// The golden's small Llama with a character of its own for each id.
fn llama(folder: &Folder) -> String {
    let model = folder.path("llama");
    std::fs::create_dir_all(&model).expect("a folder");
    for file in ["config.json", "model.safetensors", "generation_config.json"] {
        let from = golden("llama3").join(file);
        if from.is_file() {
            std::fs::copy(from, model.join(file)).expect("a copy");
        }
    }
    let config: Value = serde_json::from_slice(&std::fs::read(model.join("config.json")).expect("f")).expect("JSON");
    let count = config["vocab_size"].as_u64().expect("a number") as u32;
    let one = |id: u32| (char::from_u32(0x4e00 + id).expect("a character").to_string(), Value::from(id));
    let mut vocab: serde_json::Map<String, Value> = (0..count).map(one).collect();
    vocab.remove(&one(0).0);
    vocab.insert("<unk>".into(), 0.into());
    std::fs::write(model.join("vocab.json"), serde_json::to_vec(&vocab).expect("JSON")).expect("a file");
    std::fs::write(model.join("tokenizer_config.json"), r#"{"unk_token": "<unk>"}"#).expect("a file");
    text(&model).to_owned()
}

#[test]
fn a_decoder_streams() {
    let folder = Folder::new("streams");
    let model = llama(&folder);
    let prompt: String = [7, 9, 11].map(|id| char::from_u32(0x4e00 + id).expect("a character")).into_iter().collect();
    let generate = &["generate", "--model", &model, "--prompt", &prompt, "--max-tokens", "8"][..];
    let greedy = said(&[generate, &CPU[..]].concat());
    assert_eq!(greedy, said(&[generate, &["--quiet", "--device", "gpu"]].concat()));
    assert!(greedy.ends_with('\n') && greedy.chars().count() >= 2, "{greedy}");
    assert_eq!(greedy, said(&[generate, &["--temperature", "0"][..], &CPU[..]].concat()));
    let drawn = |seed: &str| said(&[generate, &["--temperature", "5", "--seed", seed][..], &CPU[..]].concat());
    assert_eq!(drawn("1"), drawn("1"));
    assert!((2..9).any(|seed| drawn(&seed.to_string()) != drawn("1")));
    // A decoder's attention, too.
    let table = said(&[&["attend", "--model", &model, &prompt], &CPU[..]].concat());
    assert!(table.starts_with("decoder self-attention"), "{table}");
}

#[test]
fn bad_input() {
    let folder = Folder::new("bad-sequences");
    let (bert, llama) = (folder.model("bert"), llama(&folder));
    let bert = text(&bert);
    let (input, output) = (folder.path("in.safetensors"), folder.path("out.safetensors"));
    let batch =
        [("input_ids", &[1, 2][..], Values::I64(&[7, 9])), ("attention_mask", &[1, 2][..], Values::I64(&[1, 2]))];
    std::fs::write(&input, write_safetensors(&batch).expect("bytes")).expect("a file");
    let forward = ["forward", "--model", &llama, "--input", text(&input), "--output", text(&output)];
    let masked = [&forward[..], &["--max-new-tokens", "3"]].concat();
    let cases: &[(&[&str], &str)] = &[
        (&masked, "attention_mask"),
        (&["translate", "--model", bert, "x"], "no decoder"),
        (&["translate", "--model", &llama, "x"], "no encoder"),
        (&["translate", "--beams", "0", "x"], "1 to 64"),
        (&["translate", "--beams", "65", "x"], "1 to 64"),
        (&["translate", "--target-lang", "fr", "x"], "fr"),
        (&["translate", "--max-tokens", "0", "x"], "max_new_tokens"),
        (&["translate", "--max-tokens", "100", "x"], "64 positions"),
        (&["generate", "--model", bert, "--prompt", "x"], "no decoder"),
        (&["generate", "--model", &llama, "--prompt", ""], "no tokens"),
        (&["generate", "--model", &llama, "--prompt", "x", "--max-tokens", "0"], "max_new_tokens"),
        (&["generate", "--model", &llama, "--prompt", "x", "--temperature=-1"], "temperature"),
        (&["generate", "--model", &llama, "--prompt", "x", "--top-p", "2"], "top_p"),
        (&["generate", "--model", &llama, "--prompt", "x", "--chat"], "chat_template"),
        (&["generate", "--model", &llama, "--prompt", "x", "--max-tokens", "1000"], "positions"),
        (&["attend", "--model", &llama, "x", "y"], "TARGET"),
    ];
    for (args, why) in cases {
        let error = refused(&args.join(" "), &wgformer(&[args, &CPU[..]].concat()));
        assert!(error.contains(why), "{args:?}: {error}");
    }
}
