//! Text against sentence-transformers in float64: MiniLM's ids and vectors for 18 texts, among them awkward ones.

mod common;
#[path = "common/models.rs"]
mod models;

use std::path::PathBuf;

use models::checkpoint;
use serde_json::Value;
use wgformer::blocking::block_on;
use wgformer::model::{Blueprint, Model};
use wgformer::text::{Embedded, Tokenizer, wordpiece};

/// Elements are near 0.05. Measured: 4e-7 on the CPU, 3e-7 on lavapipe and on SwiftShader, whose `exp` is off by 1e-5.
const TOLERANCE: f32 = 4e-6;

struct Text {
    name: String,
    text: String,
    ids: Vec<u32>,
    embedding: Vec<f32>,
}

fn folder() -> PathBuf {
    checkpoint("minilm")
}

fn golden() -> Vec<Text> {
    let json: Value = serde_json::from_str(include_str!("golden/minilm.json")).expect("JSON");
    let text = |t: &Value| Text {
        name: t["name"].as_str().expect("a name").into(),
        text: t["text"].as_str().expect("a text").into(),
        ids: t["ids"].as_array().expect("ids").iter().map(|v| v.as_u64().expect("an id") as u32).collect(),
        embedding: t["embedding"].as_array().expect("numbers").iter().map(|v| v.as_f64().expect("f") as f32).collect(),
    };
    let texts: Vec<Text> = json["texts"].as_array().expect("texts").iter().map(text).collect();
    assert_eq!(texts.len(), 18);
    texts
}

fn check(texts: &[Text], got: &[Embedded], device: &str) {
    assert_eq!(got.len(), texts.len());
    let mut worst = 0f32;
    for (want, got) in texts.iter().zip(got) {
        let name = &want.name;
        assert_eq!(got.tokens, want.ids.len(), "{name}");
        assert_eq!(got.truncated, name.starts_with("truncated"), "{name}");
        assert_eq!((got.embedding.len(), want.embedding.len()), (384, 384), "{name}");
        for (i, (a, b)) in want.embedding.iter().zip(&got.embedding).enumerate() {
            let apart = (a - b).abs();
            assert!(apart <= TOLERANCE, "{name}, {device}: element {i} is {b}, expected {a}");
            worst = worst.max(apart);
        }
    }
    println!("{device}: off by {worst:e} at most");
}

#[test]
fn ids_are_the_tokenizers() {
    let blueprint = Blueprint::open(folder()).expect("a model");
    let own = Tokenizer::of(&blueprint).expect("a tokenizer");
    let read = |name: &str| std::fs::read_to_string(folder().join(name)).expect(name);
    let old = wordpiece::tokenizer_json(&read("vocab.txt"), Some(&read("tokenizer_config.json"))).expect("old files");
    let old = Tokenizer::from_bytes(&old, 256, false).expect("a tokenizer of vocab.txt");
    for text in golden() {
        for (tokenizer, which) in [(&own, "tokenizer.json"), (&old, "vocab.txt")] {
            let tokens = tokenizer.encode(&text.text).expect("tokens");
            assert_eq!(tokens.ids, text.ids, "{}, {which}", text.name);
            assert_eq!(tokens.truncated, text.name.starts_with("truncated"), "{}, {which}", text.name);
        }
    }
}

#[test]
fn vectors_are_pytorchs_on_the_gpu() {
    let gpu = common::context();
    let model = block_on(&gpu, Model::load(&gpu, folder())).expect("a model");
    let golden = golden();
    let texts: Vec<&str> = golden.iter().map(|t| t.text.as_str()).collect();
    let whole = block_on(&gpu, model.embed(&texts)).expect("vectors");
    check(&golden, &whole, "GPU");
    let batched = block_on(&gpu, model.embed_in_batches(&texts, 5)).expect("vectors");
    assert_eq!(batched, whole, "batches change bits");
    assert_eq!(block_on(&gpu, model.embed(&[])).expect("nothing"), []);
}

#[test]
fn vectors_are_pytorchs_on_the_cpu() {
    let model = Model::on_cpu(Blueprint::open(folder()).expect("a model"));
    let mut golden = golden();
    golden.retain(|t| t.ids.len() <= 7);
    let texts: Vec<&str> = golden.iter().map(|t| t.text.as_str()).collect();
    assert_eq!(texts.len(), 5);
    check(&golden, &block_on(None, model.embed(&texts)).expect("vectors"), "CPU");
}

/// Four special tokens, then words.
fn tiny(words: &str) -> Vec<u8> {
    wordpiece::tokenizer_json(&format!("[PAD]\n[UNK]\n[CLS]\n[SEP]\n{words}"), Some(r#"{"do_lower_case": false}"#))
        .expect("a tokenizer")
}

#[test]
fn case_limit_and_damage() {
    let json = tiny("a\nb\n");
    let ids = |max, lower, text: &str| Tokenizer::from_bytes(&json, max, lower).expect("ok").encode(text).expect("ids");
    assert_eq!(ids(9, false, "a B").ids, [2, 4, 1, 3]);
    assert_eq!(ids(9, true, "a B").ids, [2, 4, 5, 3]);
    // Special tokens are found before anything is lower-cased.
    assert_eq!(ids(9, true, "[SEP]").ids, [2, 3, 3]);
    let cut = ids(4, false, "a b a b");
    assert_eq!((cut.ids.as_slice(), cut.truncated), (&[2, 4, 5, 3][..], true));
    assert!(!ids(6, false, "a b a b").truncated);
    for max in [0, 2] {
        let error = Tokenizer::from_bytes(&json, max, false).expect_err("no room").to_string();
        assert!(error.contains("special"), "{error}");
    }
    for broken in [&b""[..], b"{}", b"[", &json[..json.len() / 2], b"\xff\xff"] {
        let error = Tokenizer::from_bytes(broken, 9, false).expect_err("broken");
        assert!(matches!(error, wgformer::Error::Tokenizer(_)), "{error}");
    }
}

/// A small tokenizer with one byte changed: refused, or it gives ids or an error.
#[test]
fn changed_bytes_never_panic() {
    const BYTES: &[u8] = b" \"{}[]:,0-9eatnulf\\\xff#B";
    let json = tiny("a\nb\n##b\n");
    let mut random = common::Random(11);
    let (mut refused, mut read) = (0, 0);
    for _ in 0..2000 {
        let mut changed = json.clone();
        changed[random.below(json.len())] = BYTES[random.below(BYTES.len())];
        match Tokenizer::from_bytes(&changed, 9, random.below(2) == 1) {
            Ok(tokenizer) => {
                let _ = tokenizer.encode("a B ab [SEP] \u{1F980}");
                read += 1;
            }
            Err(error) => {
                assert!(matches!(error, wgformer::Error::Tokenizer(_)), "{error}");
                refused += 1;
            }
        }
    }
    assert!(refused > 100 && read > 100, "{refused} {read}");
}
