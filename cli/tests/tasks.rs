//! `fill-mask`, `classify`, `tag`, `answer`, `rerank`: what they write, and what they say to bad input.

mod common;
#[path = "../../tests/common/models.rs"]
mod models;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use common::{Folder, golden, refused, text, wgformer};
use serde_json::{Value, json};

const CPU: [&str; 3] = ["--quiet", "--device", "cpu"];

fn folder(name: &str) -> PathBuf {
    golden("tasks").join(name)
}

/// A copy of a golden's folder, to be spoilt.
fn copy(to: &Folder, name: &str) -> PathBuf {
    let copy = to.path(name);
    std::fs::create_dir_all(&copy).expect("a folder");
    for entry in std::fs::read_dir(folder(name)).expect("a golden") {
        let from = entry.expect("an entry").path();
        std::fs::copy(&from, copy.join(from.file_name().expect("a name"))).expect("a copy");
    }
    copy
}

/// Changes a JSON file of a folder.
fn change(folder: &Path, file: &str, change: impl FnOnce(&mut Value)) {
    let path = folder.join(file);
    let mut json = serde_json::from_slice(&std::fs::read(&path).expect(file)).expect("JSON");
    change(&mut json);
    std::fs::write(path, json.to_string()).expect("written");
}

fn with_input(args: &[&str], input: &str) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_wgformer"));
    let command = command.args(args).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("the binary starts");
    // It may have refused already.
    let _ = child.stdin.take().expect("a pipe").write_all(input.as_bytes());
    child.wait_with_output().expect("it ends")
}

/// The lines of a run that went well, and its notes.
fn lines(out: &Output) -> (Vec<Value>, String) {
    let notes = String::from_utf8(out.stderr.clone()).expect("UTF-8");
    assert!(out.status.success(), "{notes}");
    let lines = String::from_utf8(out.stdout.clone()).expect("UTF-8");
    (lines.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect(), notes)
}

/// Runs a command on the CPU, quietly.
fn run(command: &str, model: &Path, rest: &[&str]) -> Output {
    wgformer(&[&CPU[..], &[command, "--model", text(model)], rest].concat())
}

/// The error of a run that must fail.
fn error(command: &str, model: &Path, rest: &[&str], says: &str) {
    let error = refused(command, &run(command, model, rest));
    assert!(error.contains(says), "{command} {rest:?}: {error} does not say {says:?}");
}

/// The same, and scores near to one another.
fn same(want: &Value, got: &Value) {
    match (want, got) {
        (Value::Array(a), Value::Array(b)) if a.len() == b.len() => a.iter().zip(b).for_each(|(a, b)| same(a, b)),
        (Value::Object(a), Value::Object(b)) if a.len() == b.len() => a.iter().for_each(|(key, a)| same(a, &b[key])),
        (Value::Number(a), Value::Number(b)) if a.is_f64() => {
            assert!((a.as_f64().unwrap() - b.as_f64().unwrap()).abs() <= 1e-4, "{want} and {got}");
        }
        _ => assert_eq!(want, got),
    }
}

#[test]
fn lines_are_what_the_pipelines_say() {
    let golden: Value = models::golden_json("tasks.json");
    let first = |name: &str| golden[name][0].clone();
    for device in ["cpu", "gpu"] {
        let run = |command: &str, name: &str, rest: &[&str]| {
            let model = folder(name);
            let args = ["--quiet", "--device", device, command, "--model", text(&model)];
            lines(&wgformer(&[&args[..], rest].concat())).0
        };
        let want = first("bert-words");
        let asked = want["text"].as_str().expect("a text");
        same(&json!([{"text": asked, "masks": want["masks"]}]), &json!(run("fill-mask", "bert-words", &[asked])));
        let want = first("roberta-labels");
        let asked = want["text"].as_str().expect("a text");
        same(&json!([{"text": asked, "labels": want["labels"]}]), &json!(run("classify", "roberta-labels", &[asked])));
        let want = first("bert-tags");
        let asked = want["text"].as_str().expect("a text");
        let got = run("tag", "bert-tags", &["--aggregation", "simple", asked]);
        same(&json!([{"text": asked, "entities": want["entities"]}]), &json!(got));
        let want = first("bert-answers");
        let asked = |key: &str| want[key].as_str().expect("a text").to_owned();
        let rest = ["--question", &asked("question"), "--context", &asked("context")];
        same(&want["answers"], &json!(run("answer", "bert-answers", &rest)));
        let want = first("bert-cross");
        let texts: Vec<&str> = want["texts"].as_array().expect("texts").iter().filter_map(Value::as_str).collect();
        let query = want["query"].as_str().expect("a query");
        let got = run("rerank", "bert-cross", &[&[query], &texts[..]].concat());
        assert!(got.iter().all(|line| line["text"] == texts[line["index"].as_u64().expect("an index") as usize]));
        let places: Vec<Value> = got.iter().map(|l| json!({"index": l["index"], "score": l["score"]})).collect();
        same(&want["ranked"], &json!(places));
    }
}

#[test]
fn similarity_is_rerank() {
    let model = models::checkpoint("minilm");
    let texts = ["That is a happy dog", "That is a very happy person", "Today is a sunny day"];
    let rest = [&["That is a happy person"], &texts[..]].concat();
    let (got, _) = lines(&run("similarity", &model, &rest));
    let found: Vec<_> =
        got.iter().map(|line| (line["index"].as_u64(), line["score"].as_f64().expect("a score"))).collect();
    for ((index, score), want) in found.into_iter().zip([(1, 0.94292), (0, 0.69458), (2, 0.25688)]) {
        assert!(index == Some(want.0) && (score - want.1).abs() < 2e-5, "{index:?} {score}");
    }
    let args = [&CPU[..], &["rerank", "--model", text(&model), "--top-k", "1", rest[0]]].concat();
    let (best, _) = lines(&with_input(&args, &texts.join("\n")));
    assert_eq!(best.len(), 1);
    same(&got[0], &best[0]);
}

#[test]
fn standard_input_is_texts_pairs_or_a_context() {
    let (labels, answers) = (folder("bert-labels"), folder("bert-answers"));
    let base = [&CPU[..], &["classify", "--model", text(&labels)]].concat();
    let (piped, _) = lines(&with_input(&[&base[..], &["--pairs"]].concat(), "a\tb c\nd\t\n"));
    let (given, _) = lines(&run("classify", &labels, &["--pairs", "--batch-size", "1", "a", "b c", "d", ""]));
    assert_eq!(piped, given);
    assert_eq!((&piped[0]["text"], &piped[0]["pair"], &piped[1]["pair"]), (&json!("a"), &json!("b c"), &json!("")));
    let (best, _) = lines(&with_input(&[&base[..], &["--top-k", "1"]].concat(), "a\n\nb"));
    assert!(best.len() == 3 && best.iter().all(|line| line["labels"].as_array().is_some_and(|l| l.len() == 1)));
    assert!(refused("no tab", &with_input(&[&base[..], &["--pairs"]].concat(), "a\n")).contains("tab"));
    assert!(refused("nothing", &with_input(&base, "")).contains("no text"));
    error("classify", &labels, &["--pairs", "a"], "two by two");

    let ask = ["answer", "--model", text(&answers), "--question", "Who was born?"];
    let context = "Angela Merkel was born\nin Hamburg.";
    let (piped, _) = lines(&with_input(&[&CPU[..], &ask].concat(), context));
    let (given, _) = lines(&wgformer(&[&CPU[..], &ask, &["--context", context]].concat()));
    assert_eq!(piped, given);
}

#[test]
fn what_is_cut_is_told() {
    let long = "the capital of France ".repeat(30);
    for (command, name, rest) in [
        ("classify", "bert-labels", vec![long.as_str()]),
        ("tag", "bert-tags", vec![&long]),
        ("rerank", "bert-cross", vec!["a", &long]),
        ("fill-mask", "bert-words", vec![]),
    ] {
        let masked = format!("[MASK] {long}");
        let rest = if rest.is_empty() { vec![masked.as_str()] } else { rest };
        let model = folder(name);
        let args = [&["--device", "cpu", command, "--model", text(&model)], &rest[..]].concat();
        let (got, notes) = lines(&wgformer(&args));
        assert!(
            got.len() == 1 && notes.lines().count() == 2 && notes.contains("cut to 48 tokens"),
            "{command}: {notes}"
        );
    }
    // The whole of a long context is read.
    let (got, _) = lines(&run("answer", &folder("bert-answers"), &["--question", "Who?", "--context", &long]));
    assert_eq!(got.len(), 1);
}

#[test]
fn heads_of_other_tasks() {
    let ask = ["--question", "a", "--context", "b"];
    error("fill-mask", &folder("bert-labels"), &["[MASK]"], "see `classify`");
    error("classify", &folder("bert-tags"), &["a"], "see `tag`");
    error("tag", &folder("bert-answers"), &["a"], "see `answer`");
    error("answer", &folder("bert-words"), &ask, "see `fill-mask`");
    error("classify", &golden("bert-tiny"), &["a"], "without a head");
    error("tag", &golden("gpt2"), &["a"], "has a decoder");
    error("rerank", &folder("bert-labels"), &["a", "b"], "3 labels");
    error("rerank", &golden("gpt2"), &["a", "b"], "no encoder");
}

#[test]
fn labels_that_do_not_match() {
    let folder = Folder::new("labels");
    let model = copy(&folder, "bert-labels");
    let names = |labels: Value| change(&model, "config.json", |config| config["id2label"] = labels);
    names(json!({"0": "bad", "1": "good"}));
    error("classify", &model, &["a"], "id2label makes 2 labels, but classifier.weight has 3 rows");
    names(json!({"0": "a", "1": "b", "2": "c", "3": "d"}));
    error("classify", &model, &["a"], "4 labels");
    names(json!({"1": "a", "2": "b", "3": "c"}));
    error("classify", &model, &["a"], "a name for each of \"0\" to \"2\"");
    names(json!({"0": "a", "1": [], "2": "c"}));
    error("classify", &model, &["a"], "id2label");
    names(json!(["a", "b", "c"]));
    error("classify", &model, &["a"], "id2label");
    names(Value::Null);
    error("classify", &model, &["a"], "num_labels makes 2 labels");
    change(&model, "config.json", |config| config["num_labels"] = json!(3));
    let (got, _) = lines(&run("classify", &model, &["a"]));
    assert!(got[0]["labels"][0]["label"].as_str().is_some_and(|name| name.starts_with("LABEL_")), "{got:?}");
    change(&model, "config.json", |config| config["problem_type"] = json!("guessing"));
    error("classify", &model, &["a"], "problem_type");
}

/// The functions that sentence-transformers names after a cross-encoder's logit.
#[test]
fn activations_of_cross_encoders() {
    let folder = Folder::new("activations");
    let model = copy(&folder, "bert-cross");
    let score = || lines(&run("rerank", &model, &["a", "b"])).0[0]["score"].as_f64().expect("a score");
    let sigmoid = score();
    let logit = (sigmoid / (1.0 - sigmoid)).ln();
    change(&model, "config.json", |c| {
        c["sbert_ce_default_activation_function"] = json!("torch.nn.modules.linear.Identity")
    });
    assert!((score() - logit).abs() < 1e-4, "{} {logit}", score());
    change(&model, "config.json", |c| {
        c["sentence_transformers"] = json!({"activation_fn": "torch.nn.modules.activation.Sigmoid"});
    });
    assert!((score() - sigmoid).abs() < 1e-6);
    let root = json!({"model_type": "CrossEncoder", "activation_fn": "torch.nn.modules.linear.Identity"});
    std::fs::write(model.join("config_sentence_transformers.json"), root.to_string()).expect("written");
    assert!((score() - logit).abs() < 1e-4);
    change(&model, "config_sentence_transformers.json", |c| c["activation_fn"] = json!("torch.nn.Tanh"));
    error("rerank", &model, &["a", "b"], "Tanh");
}

#[test]
fn texts_that_will_not_do() {
    let (words, answers) = (folder("bert-words"), folder("bert-answers"));
    error("fill-mask", &words, &["a [MASK]", "no mask"], "\"no mask\" has no [MASK]");
    error("fill-mask", &words, &["<mask>"], "no [MASK]");
    error("fill-mask", &folder("roberta-words"), &["[MASK]"], "no <mask>");
    error("fill-mask", &words, &[&format!("[MASK] {} [MASK]", "a ".repeat(60))], "beyond the 48 tokens");
    let (two, _) = lines(&run("fill-mask", &words, &["--top-k", "2", "[MASK] was born in [MASK]."]));
    let counts: Vec<_> =
        two[0]["masks"].as_array().expect("masks").iter().map(|m| m.as_array().map(Vec::len)).collect();
    assert_eq!(counts, [Some(2), Some(2)]);

    let ask = |question: &str, context: &str, says: &str| {
        error("answer", &answers, &["--question", question, "--context", context], says);
    };
    let long = "Paris ".repeat(60);
    ask("", "a", "question");
    ask("a", "", "context: is empty");
    ask("a", "  \n ", "context: is empty");
    ask("a", "\u{7}", "has no tokens");
    ask(&long, &long, "no room");
    let rest = ["--question", "a", "--context", &long, "--stride", "44"];
    error("answer", &answers, &rest, "stride");
    for (command, name, rest) in [
        ("fill-mask", "bert-words", vec!["[MASK]"]),
        ("classify", "bert-labels", vec!["a"]),
        ("rerank", "bert-cross", vec!["a", "b"]),
        ("answer", "bert-answers", vec!["--question", "a", "--context", "b"]),
    ] {
        error(command, &folder(name), &[&["--top-k", "0"], &rest[..]].concat(), "--top-k is 0");
    }
}

#[test]
fn tokenizers_that_will_not_do() {
    let folder = Folder::new("tokenizers");
    let all: [(&str, &str, &[&str]); 5] = [
        ("fill-mask", "bert-words", &["zebra [MASK]"]),
        ("classify", "bert-labels", &["zebra"]),
        ("tag", "bert-tags", &["zebra"]),
        ("rerank", "bert-cross", &["zebra", "a"]),
        ("answer", "bert-answers", &["--question", "zebra", "--context", "a"]),
    ];
    for (command, name, rest) in all {
        let model = copy(&folder, name);
        let json = model.join("tokenizer.json");
        change(&model, "tokenizer.json", |json| json["model"]["vocab"]["zebra"] = json!(5000));
        error(command, &model, rest, "does not fit this model");
        let whole = std::fs::read(&json).expect("read");
        std::fs::write(&json, &whole[..whole.len() / 2]).expect("written");
        error(command, &model, rest, "tokenizer.json cannot be read");
        std::fs::remove_file(&json).expect("removed");
        error(command, &model, rest, "the model has none");
    }
    let model = copy(&folder, "bert-words");
    change(&model, "tokenizer.json", |json| {
        json["added_tokens"].as_array_mut().expect("tokens").retain(|t| t["id"] != 4)
    });
    // What the small files call the mask is found all the same, where it is a word.
    let (found, _) = lines(&run("fill-mask", &model, &["a [MASK]"]));
    assert!(found.len() == 1 && found[0]["masks"].as_array().is_some_and(|masks| masks.len() == 1), "{found:?}");
    change(&model, "tokenizer.json", |json| {
        drop(json["model"]["vocab"].as_object_mut().expect("words").remove("[MASK]"))
    });
    error("fill-mask", &model, &["a [MASK]"], "no mask token");
}

/// SentencePiece models by themselves tell no places of words.
#[test]
fn a_tokenizer_without_places() {
    let folder = Folder::new("places");
    for (command, name, rest) in
        [("tag", "roberta-tags", &["a"][..]), ("classify", "roberta-labels", &["--pairs", "a", "b"])]
    {
        let model = copy(&folder, name);
        std::fs::remove_file(model.join("tokenizer.json")).expect("removed");
        std::fs::copy(golden("sentencepiece").join("unigram.model"), model.join("sentencepiece.bpe.model"))
            .expect("a copy");
        change(&model, "tokenizer_config.json", |config| config["tokenizer_class"] = json!("XLMRobertaTokenizer"));
        error(command, &model, rest, "tokenizer.json");
    }
}

/// Whether the model is told which text of a pair a token is of: as the folder says, else as its tokenizer's class does.
#[test]
fn types_of_pairs() {
    let folder = Folder::new("types");
    let model = copy(&folder, "bert-labels");
    let scores = |class: &str, key: &str, value: Value| {
        change(&model, "tokenizer_config.json", |config| {
            for key in ["backend", "model_input_names"] {
                config.as_object_mut().expect("settings").remove(key);
            }
            config["tokenizer_class"] = json!(class);
            config[key] = value;
        });
        lines(&run("classify", &model, &["--pairs", "she was born", "in Hamburg"])).0.remove(0)["labels"].take()
    };
    let (names, backend) = (json!(["input_ids", "attention_mask"]), json!("tokenizers"));
    let typed = scores("BertTokenizer", "backend", backend.clone());
    let untyped = scores("BertTokenizer", "model_input_names", names);
    assert_ne!(typed, untyped);
    assert_eq!(scores("PreTrainedTokenizerFast", "padding_side", json!("right")), typed);
    assert_eq!(scores("TokenizersBackend", "backend", backend.clone()), untyped);
    assert_eq!(scores("DistilBertTokenizer", "padding_side", json!("right")), untyped);
    // As transformers 4 wrote it, and as 5 does.
    assert_eq!(scores("AlbertTokenizer", "padding_side", json!("right")), typed);
    assert_eq!(scores("AlbertTokenizer", "backend", backend), untyped);
}

/// A pair has more special tokens than a text.
#[test]
fn no_room_for_a_pair() {
    let folder = Folder::new("room");
    let model = copy(&folder, "bert-cross");
    change(&model, "tokenizer_config.json", |config| config["model_max_length"] = json!(3));
    assert_eq!(lines(&run("classify", &model, &["a"])).0.len(), 1);
    error("classify", &model, &["--pairs", "a", "b"], "the special ones of a pair alone are 3");
    error("rerank", &model, &["a", "b"], "the special ones of a pair alone are 3");
}
