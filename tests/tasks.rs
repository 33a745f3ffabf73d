//! Tasks against Hugging Face's pipelines in float64: small models with heads, tokenizers of two kinds, awkward texts.

mod common;
#[path = "common/models.rs"]
mod models;

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use models::{checkpoint, golden_json};
use serde_json::{Value, json};
use wgformer::blocking::block_on;
use wgformer::model::{Blueprint, Model, Sequence};
use wgformer::text::{Aggregation, Answer, AnswerOptions, Label, Ranked};
use wgformer::{Context, Error};

/// Of probabilities, and of a regression's numbers. Measured: 1.5e-6 on the CPU, on lavapipe and on SwiftShader.
const TOLERANCE: f64 = 1e-4;

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/tasks").join(name)
}

fn on_cpu(name: &str) -> Model {
    Model::on_cpu(Blueprint::open(folder(name)).expect(name))
}

/// One device for all tests, so that a kernel is compiled once.
fn gpu() -> &'static Context {
    static GPU: OnceLock<Context> = OnceLock::new();
    GPU.get_or_init(common::context)
}

/// What a pipeline said with a model, and the model on the GPU and on the CPU.
fn cases(name: &str) -> (Vec<Value>, [Model; 2]) {
    let golden: Value = golden_json("tasks.json");
    let model = block_on(gpu(), Model::load(gpu(), folder(name))).expect(name);
    (golden[name].as_array().expect("runs").clone(), [model, on_cpu(name)])
}

/// The same but for the scores, which are near.
fn same(want: &Value, got: &Value, place: &str) {
    match (want, got) {
        (Value::Array(want), Value::Array(got)) => {
            assert_eq!(want.len(), got.len(), "{place}: {want:?} and {got:?}");
            want.iter().zip(got).enumerate().for_each(|(i, (a, b))| same(a, b, &format!("{place}, {i}")));
        }
        (Value::Object(want), Value::Object(got)) => {
            assert!(want.keys().eq(got.keys()), "{place}: {want:?} and {got:?}");
            want.iter().for_each(|(key, a)| same(a, &got[key], &format!("{place}, {key}")));
        }
        (Value::Number(a), Value::Number(b)) if a.is_f64() => {
            let (a, b) = (a.as_f64().expect("a number"), b.as_f64().expect("a number"));
            assert!((a - b).abs() <= TOLERANCE, "{place}: {b}, expected {a}");
        }
        _ => assert_eq!(want, got, "{place}"),
    }
}

fn str_of<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().expect(key)
}

#[test]
fn masks_are_filled_as_the_pipeline_fills_them() {
    for name in ["bert-words", "roberta-words"] {
        let (runs, models) = cases(name);
        for (run, model) in runs.iter().flat_map(|run| models.iter().map(move |model| (run, model))) {
            let (text, top) = (str_of(run, "text"), run["top_k"].as_u64().expect("top_k") as usize);
            let found = block_on(model.gpu(), model.fill_mask(&[text], top)).expect(text).remove(0);
            let counts: Vec<usize> = found.masks.iter().map(Vec::len).collect();
            assert_eq!(json!(counts), run["found"], "{name}: {text}");
            let token = |f: &wgformer::text::Filled| json!({"score": f.score, "token": f.id, "token_str": f.token, "sequence": f.sequence});
            // The golden keeps eight of them.
            let masks = found.masks.iter().map(|best| best.iter().take(8).map(token).collect::<Vec<_>>());
            same(&run["masks"], &json!(masks.collect::<Vec<_>>()), &format!("{name}: {text}"));
            assert!(!found.truncated);
        }
    }
}

/// Many masks in a batch of texts: the same as one by one, and many more rows than are computed at once.
#[test]
fn masks_of_a_batch_are_those_of_its_texts() {
    let (_, models) = cases("bert-words");
    let many = "[MASK] ".repeat(40);
    let texts = [many.as_str(), "Paris is [MASK].", many.as_str(), "[MASK]", "the [MASK] of [MASK]"];
    for model in &models {
        let whole = block_on(model.gpu(), model.fill_mask(&texts, 3)).expect("a batch");
        let counts: Vec<usize> = whole.iter().map(|found| found.masks.len()).collect();
        assert_eq!(counts, [40, 1, 40, 1, 2]);
        for (text, found) in texts.iter().zip(&whole) {
            let alone = block_on(model.gpu(), model.fill_mask(&[text], 3)).expect("one").remove(0);
            assert_eq!(&alone, found, "{text}");
        }
        assert_eq!(whole[0], whole[2]);
    }
}

/// The rows that are picked are those of the whole pass.
#[test]
fn picked_words_are_those_of_the_whole_pass() {
    let (_, models) = cases("roberta-words");
    let sequences: Vec<Sequence> =
        [vec![0, 7, 9, 2], vec![0, 11, 2], vec![0, 5, 6, 7, 8, 2]].map(|ids| Sequence { ids, types: vec![] }).into();
    let places = vec![vec![1, 3], vec![], vec![2, 3, 5]];
    for model in &models {
        let picked = block_on(model.gpu(), model.word_logits(&sequences, &places, <[f32]>::to_vec)).expect("rows");
        let whole = block_on(model.gpu(), model.logits(&sequences)).expect("logits");
        for ((picked, places), whole) in picked.iter().zip(&places).zip(&whole) {
            assert_eq!(picked.len(), places.len());
            for (row, &place) in picked.iter().zip(places) {
                let all = &whole[place * row.len()..][..row.len()];
                assert!(row.iter().zip(all).all(|(a, b)| (a - b).abs() < 1e-4), "{place}");
            }
        }
        let wrong = block_on(model.gpu(), model.word_logits(&sequences, &[vec![4], vec![], vec![]], <[f32]>::to_vec));
        assert!(matches!(wrong, Err(Error::Input { .. })));
    }
}

#[test]
fn labels_are_the_pipelines() {
    for name in ["bert-labels", "bert-multi", "bert-number", "roberta-labels"] {
        let (runs, models) = cases(name);
        for (run, model) in runs.iter().flat_map(|run| models.iter().map(move |model| (run, model))) {
            let text = str_of(run, "text");
            let found = match run["pair"].as_str() {
                None => block_on(model.gpu(), model.classify(&[text])),
                Some(pair) => block_on(model.gpu(), model.classify_pairs(&[(text, pair)])),
            };
            let found = found.expect(text).remove(0);
            let labels: Vec<Value> =
                found.labels.iter().map(|Label { label, score }| json!({"label": label, "score": score})).collect();
            same(&run["labels"], &json!(labels), &format!("{name}: {text}"));
            assert_eq!(found.truncated, run["cut"] == true, "{text}");
        }
    }
}

#[test]
fn entities_are_the_pipelines() {
    for name in ["bert-tags", "roberta-tags"] {
        let (runs, models) = cases(name);
        for (run, model) in runs.iter().flat_map(|run| models.iter().map(move |model| (run, model))) {
            let (text, strategy) = (str_of(run, "text"), str_of(run, "aggregation"));
            let aggregation = match strategy {
                "simple" => Aggregation::Simple,
                "first" => Aggregation::First,
                "average" => Aggregation::Average,
                _ => Aggregation::Max,
            };
            let found = block_on(model.gpu(), model.tag(&[text], aggregation)).expect(text).remove(0);
            let entities = found.entities.iter().map(
                |e| json!({"entity_group": e.label, "score": e.score, "word": e.word, "start": e.start, "end": e.end}),
            );
            same(&run["entities"], &json!(entities.collect::<Vec<_>>()), &format!("{name}, {strategy}: {text}"));
            assert_eq!(found.truncated, run["cut"] == true, "{text}");
        }
    }
}

#[test]
fn answers_are_the_pipelines() {
    for name in ["bert-answers", "roberta-answers"] {
        let (runs, models) = cases(name);
        for (run, model) in runs.iter().flat_map(|run| models.iter().map(move |model| (run, model))) {
            let (question, context, given) = (str_of(run, "question"), str_of(run, "context"), &run["options"]);
            let number = |key: &str| given[key].as_u64().map(|n| n as usize);
            let usual = AnswerOptions::default();
            let options = AnswerOptions {
                top_k: number("top_k").unwrap_or(usual.top_k),
                max_answer_tokens: number("max_answer_len").unwrap_or(usual.max_answer_tokens),
                max_tokens: number("max_seq_len").unwrap_or(usual.max_tokens),
                stride: number("doc_stride"),
                impossible: given["handle_impossible_answer"] == true,
            };
            let found = block_on(model.gpu(), model.answer(question, context, &options)).expect(question);
            let answer = |a: &Answer| json!({"score": a.score, "start": a.start, "end": a.end, "answer": a.text});
            let answers: Vec<Value> = found.answers.iter().map(answer).collect();
            same(&run["answers"], &json!(answers), &format!("{name}: {question} {context:.20} {given}"));
            assert!(found.windows > 1 || context.len() < 250, "{}", found.windows);
        }
    }
}

#[test]
fn texts_are_ranked_as_by_a_cross_encoder() {
    let (runs, models) = cases("bert-cross");
    for model in &models {
        let run = &runs[0];
        let texts: Vec<&str> = run["texts"].as_array().expect("texts").iter().filter_map(Value::as_str).collect();
        let found = block_on(model.gpu(), model.rerank(str_of(run, "query"), &texts, 2)).expect("ranked");
        let place = |r: &Ranked| json!({"index": r.index, "score": r.score});
        same(&run["ranked"], &json!(found.iter().map(place).collect::<Vec<_>>()), "bert-cross");
        // The longest is cut.
        assert!(found.iter().all(|ranked| ranked.truncated == (ranked.index == 3)));
    }
}

/// MiniLM, by the cosines that its model card's widget has.
#[test]
fn similar_texts_come_first() {
    let model = block_on(gpu(), Model::load(gpu(), checkpoint("minilm"))).expect("a model");
    let texts = ["That is a happy dog", "That is a very happy person", "Today is a sunny day"];
    let found = block_on(gpu(), model.rerank("That is a happy person", &texts, 32)).expect("ranked");
    let found: Vec<(usize, f32)> = found.iter().map(|ranked| (ranked.index, ranked.score)).collect();
    for ((index, score), want) in found.into_iter().zip([(1, 0.94292), (0, 0.69458), (2, 0.25688)]) {
        assert!(index == want.0 && (score - want.1).abs() < 2e-5, "{index} {score}");
    }
}

#[test]
fn what_a_model_cannot_do_is_said() {
    let error = |result: wgformer::Result<()>| result.expect_err("an error").to_string();
    let (words, cross, labels, answers) =
        (on_cpu("bert-words"), on_cpu("bert-cross"), on_cpu("bert-labels"), on_cpu("roberta-answers"));
    let no_head = error(block_on(None, words.classify(&["a"])).map(drop));
    assert!(no_head.contains("`fill-mask`") && no_head.contains("ForSequenceClassification"), "{no_head}");
    assert!(error(block_on(None, cross.fill_mask(&["[MASK]"], 1)).map(drop)).contains("`classify`"));
    assert!(error(block_on(None, labels.rerank("a", &["b"], 1)).map(drop)).contains("3 labels"));
    for (text, says) in [("no mask", "no [MASK]"), ("", "no [MASK]"), ("[mask]", "no [MASK]")] {
        assert!(error(block_on(None, words.fill_mask(&[text], 1)).map(drop)).contains(says), "{text}");
    }
    let beyond = format!("[MASK] {} [MASK]", "a ".repeat(60));
    assert!(error(block_on(None, words.fill_mask(&[&beyond], 1)).map(drop)).contains("beyond the 48 tokens"));
    let cut = format!("[MASK] {}", "a ".repeat(60));
    assert!(block_on(None, words.fill_mask(&[&cut], 1)).expect("a mask")[0].truncated);
    assert!(error(block_on(None, words.fill_mask(&["[MASK]"], 0)).map(drop)).contains("top_k"));

    let usual = AnswerOptions::default();
    let asked = |question: &str, context: &str, options: &AnswerOptions| {
        error(block_on(None, answers.answer(question, context, options)).map(drop))
    };
    let long = "word ".repeat(100);
    assert!(asked("", "a", &usual).contains("question"));
    assert!(asked("a", " \n", &usual).contains("context"));
    assert!(asked(&long, &long, &usual).contains("no room"));
    assert!(asked("a", &long, &AnswerOptions { stride: Some(45), ..usual.clone() }).contains("stride"));
    assert!(asked("a", &long, &AnswerOptions { max_tokens: 3, ..usual.clone() }).contains("no room"));
    assert!(asked("a", "b", &AnswerOptions { max_answer_tokens: 0, ..usual.clone() }).contains("max_answer_tokens"));
    assert!(asked("a", "b", &AnswerOptions { top_k: 0, ..usual }).contains("top_k"));
}
