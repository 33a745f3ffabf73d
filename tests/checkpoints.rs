//! Real checkpoints, token for token: what PyTorch writes with them, and what is right.

mod common;
#[path = "common/models.rs"]
mod models;

use std::collections::HashMap;
use std::io::Write;

use common::block_on;
use models::{Operation, Sentence, checkpoint, golden_json};
use serde_json::Value;
use wgformer::generate::Settings;
use wgformer::model::{Blueprint, Model};
use wgformer::text::Tokenizer;

/// Words at once.
const BATCH: usize = 100;

fn on_gpu(blueprint: Blueprint) -> Model {
    block_on(Model::build(&common::context(), blueprint)).expect("a model")
}

/// Greedy, whatever the folder says.
fn greedy(model: &Model, new: usize) -> Settings {
    Settings { max_new_tokens: Some(new), do_sample: false, num_beams: 1, ..model.blueprint().generation().clone() }
}

/// New ids of each list.
fn written(model: &Model, lists: &[Vec<u32>], settings: &Settings) -> Vec<Vec<u32>> {
    let texts = block_on(model.generate_ids(lists, settings)).expect("texts");
    texts.into_iter().map(|text| text.ids).collect()
}

fn opus() -> Blueprint {
    Blueprint::open(checkpoint("opus-zh-en")).expect("a model")
}

/// Asserts that OPUS gives PyTorch's ids and texts.
fn translates(model: &Model, beams: usize) {
    let sentences = Sentence::all();
    let tokenizer = Tokenizer::of(model.blueprint()).expect("a tokenizer");
    let encoded = |sentence: &Sentence| tokenizer.encode(&sentence.source).expect("tokens").ids;
    let sources: Vec<Vec<u32>> = sentences.iter().map(encoded).collect();
    let settings = Settings { num_beams: beams, ..greedy(model, 64) };
    for ((sentence, source), got) in sentences.iter().zip(&sources).zip(written(model, &sources, &settings)) {
        assert_eq!(*source, sentence.input_ids, "{}", sentence.source);
        let (ids, text) = sentence.translation(beams);
        assert_eq!(got, ids[1..], "{}, {beams} beams", sentence.source);
        assert_eq!(tokenizer.decode(&got).expect("a text"), text);
    }
}

#[test]
fn opus_translates_as_pytorch_does_on_the_gpu() {
    let model = on_gpu(opus());
    for beams in [1, 4] {
        translates(&model, beams);
    }
}

#[test]
fn opus_translates_as_pytorch_does_on_the_cpu() {
    translates(&Model::on_cpu(opus()), 1);
}

#[test]
fn a_thousand_words_are_spoken_as_by_pytorch() {
    let words: Vec<(String, String, Vec<u32>)> = golden_json("words.json");
    assert_eq!(words.len(), 1000);
    let built_in = || Blueprint::open("assets/g2p-en-us").expect("a model");
    let tokenizer = Tokenizer::of(&built_in()).expect("a tokenizer");
    let sources: Vec<_> = words.iter().map(|(word, ..)| tokenizer.encode(word).expect("letters").ids).collect();
    let mut wrong = Vec::new();
    for (device, model) in [("GPU", on_gpu(built_in())), ("CPU", Model::on_cpu(built_in()))] {
        let settings = greedy(&model, 60);
        let got = sources.chunks(BATCH).flat_map(|batch| written(&model, batch, &settings));
        for ((word, sounds, ids), got) in words.iter().zip(got) {
            if got != ids[1..] || tokenizer.decode(&got).expect("sounds") != *sounds {
                wrong.push(format!("{word} on the {device}: {got:?}, not {ids:?}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));

    // How good the model is, which no program can change.
    let dictionary = std::fs::read_to_string(checkpoint("dictionary").join("us_gold.json")).expect("a dictionary");
    let dictionary: HashMap<String, Value> = serde_json::from_str(&dictionary).expect("JSON");
    assert_eq!(dictionary.len(), 90_201);
    let same = words.iter().filter(|(word, sounds, _)| dictionary[word] == **sounds).count();
    // Past the test harness, which keeps what `println` says to itself.
    let share = same as f64 / words.len() as f64 * 100.0;
    writeln!(std::io::stdout(), "{share:.1} % of {} words are as in the dictionary", words.len()).expect("a line");
    assert_eq!(same, 680);
}

#[test]
fn one_digit_arithmetic_is_right() {
    for operation in Operation::all() {
        let blueprint = || Blueprint::open(&operation.folder).expect("a model");
        let tokenizer = Tokenizer::of(&blueprint()).expect("a tokenizer");
        let prompts: Vec<_> = operation.asked.iter().map(|text| tokenizer.encode(text).expect("tokens").ids).collect();
        for (device, model) in [("GPU", on_gpu(blueprint())), ("CPU", Model::on_cpu(blueprint()))] {
            let got = written(&model, &prompts, &greedy(&model, 8));
            let got: Vec<String> = got.iter().map(|ids| tokenizer.decode(ids).expect("a text")).collect();
            assert_eq!(got, operation.right, "{device}, {}", operation.folder.display());
        }
    }
}
