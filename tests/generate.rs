//! Generation against Hugging Face's `generate`: every family, on the GPU and on the CPU; and what must not change it.

mod common;

use std::ops::ControlFlow;

use common::{DECODERS, block_on};
use serde_json::Value;
use wgformer::Error;
use wgformer::generate::{EarlyStopping, Finish, Settings};
use wgformer::model::{Blueprint, Model};

fn blueprint(name: &str) -> Blueprint {
    Blueprint::open(format!("tests/golden/{name}")).expect("a blueprint")
}

fn models(name: &str) -> [Model; 2] {
    [block_on(Model::build(&common::context(), blueprint(name))).expect("a model"), Model::on_cpu(blueprint(name))]
}

fn golden(name: &str) -> Value {
    let text = std::fs::read_to_string(format!("tests/golden/{name}/golden.json")).expect("a golden");
    serde_json::from_str(&text).expect("json")
}

fn lists(value: &Value) -> Vec<Vec<u32>> {
    serde_json::from_value(value.clone()).expect("lists of ids")
}

/// The rows of a padded batch without their padding.
fn rows(golden: &Value) -> Vec<Vec<u32>> {
    let kept = |(ids, mask): (Vec<u32>, Vec<u32>)| {
        ids.into_iter().zip(mask).filter(|&(_, kept)| kept == 1).map(|(id, _)| id).collect()
    };
    lists(&golden["input_ids"]).into_iter().zip(lists(&golden["attention_mask"])).map(kept).collect()
}

/// The folder's settings with those of a run.
fn settings(folder: &Settings, run: &Value) -> Settings {
    let mut all = folder.clone();
    let ids = |value: &Value| serde_json::from_value(value.clone()).expect("ids");
    for (key, value) in run.as_object().expect("settings") {
        let count = value.as_u64().unwrap_or(0) as usize;
        match key.as_str() {
            "max_new_tokens" => all.max_new_tokens = Some(count),
            "min_new_tokens" => all.min_new_tokens = Some(count),
            "num_beams" => all.num_beams = count,
            "no_repeat_ngram_size" => all.no_repeat_ngram_size = count,
            "length_penalty" => all.length_penalty = value.as_f64().expect("a number"),
            "repetition_penalty" => all.repetition_penalty = value.as_f64().expect("a number") as f32,
            "early_stopping" if value == "never" => all.early_stopping = EarlyStopping::Never,
            "early_stopping" if value == true => all.early_stopping = EarlyStopping::Always,
            "suppress_tokens" => all.suppress_tokens = ids(value),
            "begin_suppress_tokens" => all.begin_suppress_tokens = ids(value),
            "forced_bos_token_id" => all.forced_bos_token_id = Some(count as u32),
            other => panic!("{other} in a golden's settings"),
        }
    }
    all
}

/// New ids of a golden's sequences: after the prompt's columns, up to the first end.
fn expected(run: &Value, settings: &Settings, prompt: usize) -> Vec<Vec<u32>> {
    let one = |row: Vec<u32>| {
        let new = &row[prompt..];
        let end = new.iter().position(|id| settings.eos_token_id.contains(id)).map_or(new.len(), |at| at + 1);
        new[..end].to_vec()
    };
    lists(&run["sequences"]).into_iter().map(one).collect()
}

#[test]
fn every_family_generates_what_hugging_face_does() {
    let (mut wrong, mut runs) = (Vec::new(), 0);
    for name in DECODERS {
        let golden = golden(name);
        let inputs = rows(&golden);
        for model in models(name) {
            let arch = model.blueprint().arch();
            let prompt =
                if arch.encoder.is_some() { 1 } else { golden["input_ids"][0].as_array().expect("a row").len() };
            for run in golden["runs"].as_array().expect("runs") {
                let settings = settings(model.blueprint().generation(), &run["settings"]);
                let got = block_on(model.generate_ids(&inputs, &settings)).expect("texts");
                let want = expected(run, &settings, prompt);
                assert_eq!(got.len(), want.len());
                for (i, (got, want)) in got.iter().zip(&want).enumerate() {
                    // There, padding on the left counts as n-grams that the text has.
                    let padded = arch.encoder.is_none() && inputs[i].len() < prompt;
                    if padded && settings.no_repeat_ngram_size > 0 {
                        continue;
                    }
                    runs += 1;
                    if got.ids != *want {
                        let device = if model.gpu().is_some() { "GPU" } else { "CPU" };
                        wrong.push(format!(
                            "{name}, {device}, row {i}, {}: {:?}, not {want:?}",
                            run["settings"], got.ids
                        ));
                    }
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{} of {runs}:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn a_prompt_says_the_same_alone_and_in_a_batch() {
    for name in ["gpt2", "bart", "llama3"] {
        let inputs = rows(&golden(name));
        let [gpu, _] = models(name);
        for beams in [1, 4] {
            let new = Some(10);
            let settings = Settings { num_beams: beams, max_new_tokens: new, ..gpu.blueprint().generation().clone() };
            let together = block_on(gpu.generate_ids(&inputs, &settings)).expect("texts");
            for (input, want) in inputs.iter().zip(&together) {
                let alone = block_on(gpu.generate_ids(std::slice::from_ref(input), &settings)).expect("a text");
                assert_eq!(&alone[0], want, "{name}, {beams} beams, {input:?}");
            }
        }
    }
}

/// A lone start token is fed as a decoding step, a longer prompt at once: the same must follow.
#[test]
fn what_is_prompted_goes_on_as_what_was_written() {
    let sources = rows(&golden("bart"));
    for model in models("bart") {
        let settings = Settings {
            max_new_tokens: Some(8),
            num_beams: 1,
            eos_token_id: vec![],
            forced_eos_token_id: vec![],
            ..model.blueprint().generation().clone()
        };
        let texts = block_on(model.generate_ids(&sources, &settings)).expect("texts");
        let start = settings.decoder_start_token_id.expect("a start token");
        let prompts: Vec<Vec<u32>> = texts.iter().map(|text| [&[start], &text.ids[..2]].concat()).collect();
        let settings = Settings { max_new_tokens: Some(6), forced_bos_token_id: None, ..settings };
        let rest = block_on(model.generate_each(&sources, &prompts, &settings, |_, _| ControlFlow::Continue(())));
        for (text, rest) in texts.iter().zip(rest.expect("texts")) {
            assert_eq!(text.ids[2..], rest.ids);
        }
    }
}

#[test]
fn what_is_drawn_follows_the_seed() {
    let [gpu, cpu] = models("gpt2");
    let inputs = rows(&golden("gpt2"));
    let folder = gpu.blueprint().generation().clone();
    for (top_k, top_p) in [(50, 1.0), (5, 1.0), (0, 0.6), (0, 1.0)] {
        let settings = |seed| Settings {
            do_sample: true,
            temperature: 1.5,
            max_new_tokens: Some(12),
            top_k,
            top_p,
            seed,
            ..folder.clone()
        };
        let draw = |model: &Model, seed| block_on(model.generate_ids(&inputs, &settings(seed))).expect("texts");
        assert_eq!(draw(&gpu, 7), draw(&gpu, 7));
        assert_ne!(draw(&gpu, 7), draw(&gpu, 8));
        assert_eq!(draw(&gpu, 7), draw(&cpu, 7), "the CPU draws alike, but for rounding");
    }
}

#[test]
fn tokens_are_told_as_they_come_and_can_be_stopped() {
    let [gpu, _] = models("llama3");
    let inputs = rows(&golden("llama3"));
    let settings = Settings { max_new_tokens: Some(12), eos_token_id: vec![], ..gpu.blueprint().generation().clone() };
    let whole = block_on(gpu.generate_ids(&inputs, &settings)).expect("texts");
    let mut told = vec![Vec::new(); inputs.len()];
    let each = |i: usize, id: u32| {
        told[i].push(id);
        ControlFlow::Continue(())
    };
    let same = block_on(gpu.generate_each(&[], &inputs, &settings, each)).expect("texts");
    assert_eq!(same, whole);
    assert!(whole.iter().zip(&told).all(|(text, told)| text.ids == *told && text.finish == Finish::Length));

    let mut count = 0;
    let stop = |_: usize, _: u32| {
        count += 1;
        if count == 3 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    };
    let stopped = block_on(gpu.generate_each(&[], &inputs[..1], &settings, stop)).expect("texts");
    assert_eq!(count, 3, "nothing is told after a break");
    assert_eq!(stopped[0].finish, Finish::Stopped);
    assert!(whole[0].ids.starts_with(&stopped[0].ids) && stopped[0].ids.len() < whole[0].ids.len(), "{stopped:?}");
}

#[test]
fn what_cannot_be_generated_is_refused() {
    let [gpu, _] = models("gpt2");
    let folder = gpu.blueprint().generation().clone();
    let refused = |ids: &[u32], change: &dyn Fn(&mut Settings)| {
        let mut settings = folder.clone();
        change(&mut settings);
        let error = block_on(gpu.generate_ids(&[ids.to_vec()], &settings)).expect_err("an error");
        assert!(matches!(error, Error::Input { .. } | Error::Unsupported { .. }), "{error:?}");
        error.to_string()
    };
    for (what, change) in [
        ("max_new_tokens", (&|s: &mut Settings| s.max_new_tokens = Some(0)) as &dyn Fn(&mut Settings)),
        ("max_new_tokens", &|s| s.max_new_tokens = Some(100_000)),
        ("max_length", &|s| s.max_length = Some(1)),
        ("num_beams", &|s| s.num_beams = 65),
        ("num_beams", &|s| s.num_beams = 0),
        ("temperature", &|s| s.temperature = 0.0),
        ("temperature", &|s| s.temperature = f32::NAN),
        ("top_p", &|s| s.top_p = 1.5),
        ("repetition_penalty", &|s| s.repetition_penalty = -1.0),
        ("bad_words_ids", &|s| s.bad_words_ids = vec![vec![]]),
        ("special tokens", &|s| s.forced_bos_token_id = Some(1 << 20)),
        ("suppress_tokens", &|s| (s.forced_bos_token_id, s.suppress_tokens) = (Some(5), vec![5])),
        ("settings", &|s| s.suppress_tokens = (0..1 << 16).collect()),
        ("sampling with beams", &|s| (s.do_sample, s.num_beams) = (true, 2)),
        ("typical_p", &|s| s.unsupported = vec!["typical_p".into()]),
    ] {
        let message = refused(&[1, 2], change);
        assert!(message.starts_with(what), "{what}: {message}");
    }
    assert!(refused(&[], &|_| {}).starts_with("prompt"));
    assert!(refused(&[1 << 20], &|_| {}).contains("vocabulary"));
    assert!(refused(&[1; 4096], &|_| {}).contains("positions"));
    let encoder = Model::on_cpu(blueprint("bert-tiny"));
    let error = block_on(encoder.generate_ids(&[vec![1]], &Settings::default())).expect_err("no decoder");
    assert!(matches!(error, Error::Unsupported { .. }) && error.to_string().contains("decoder"), "{error}");
}

#[test]
fn the_plans_tell_of_the_cache() {
    let [gpu, cpu] = models("llama3");
    let inputs = rows(&golden("llama3"));
    let bytes = |beams, new| {
        let folder = gpu.blueprint().generation().clone();
        let settings = Settings { num_beams: beams, max_new_tokens: Some(new), ..folder };
        let plans = gpu.generation_plans(&inputs, &settings).expect("plans");
        assert_eq!(plans.len(), 2);
        plans[1].report().persistent
    };
    assert!(bytes(1, 20) > bytes(1, 10) && bytes(4, 10) > bytes(1, 10));
    assert!(cpu.generation_plans(&inputs, &Settings::default()).is_err());
}
