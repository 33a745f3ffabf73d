//! The host's part of generation against Hugging Face's `generate`, on logits that are a hash of the text
//! (`tests/golden/make_generate.py`); then the device's part, on models of random weights.

use serde_json::Value;

use super::rows::{Row, Rows};
use super::sample::uniform;
use super::search::Search;
use super::settings::Settings;
use super::{Finish, Generated};
use crate::graph::Step;
use crate::model::arch::Position;
use crate::model::config::Config;

const VOCAB: usize = 40;
const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

fn mix(z: u64) -> u64 {
    let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// The logits after a text.
fn hashed(text: &[u32], lift: f32) -> Vec<f32> {
    let state = text.iter().fold(0u64, |s, &t| mix(s.wrapping_add(t.into()).wrapping_add(GOLDEN)));
    let logit = |j: u64| (mix(state.wrapping_add((j + 1).wrapping_mul(GOLDEN))) >> 40) as f32 / (1 << 21) as f32 - 4.0;
    (0..VOCAB as u64).map(|j| logit(j) + if j == 2 || j == 3 { lift } else { 0.0 }).collect()
}

/// A device that keeps tokens for keys: a text is what a row's slots hold.
struct Scripted {
    lift: f32,
    cache: Vec<Option<u32>>,
    ids: Vec<u32>,
    k: usize,
    nan: Option<usize>,
    wholes: usize,
}

impl Scripted {
    fn new(lift: f32, k: usize) -> Self {
        Self { lift, cache: vec![None; 4096], ids: Vec::new(), k, nan: None, wholes: 0 }
    }

    fn run(&mut self, step: &Step, whole: bool) -> Rows {
        let ids = step.ids.clone().unwrap_or_else(|| self.ids.clone());
        for (&slot, &id) in step.slots.iter().zip(&ids) {
            assert_eq!(self.cache[slot as usize].replace(id), None, "slot {slot} was written before");
        }
        let mut rows = Rows { k: self.k, vocab: VOCAB, whole: whole.then(Vec::new), ..Rows::default() };
        self.ids.clear();
        for span in &step.spans {
            let keys = &step.table[span.table as usize..][..span.keys as usize];
            let text: Vec<u32> = keys.iter().map(|&slot| self.cache[slot as usize].expect("a key")).collect();
            let mut logits = hashed(&text, self.lift);
            if self.nan == Some(text.len()) {
                logits[7] = f32::NAN;
            }
            let mut order: Vec<usize> = (0..VOCAB).collect();
            order.sort_by(|&a, &b| logits[b].is_nan().cmp(&logits[a].is_nan()).then(logits[b].total_cmp(&logits[a])));
            rows.values.extend(order[..self.k].iter().map(|&j| logits[j]));
            rows.ids.extend(order[..self.k].iter().map(|&j| j as u32));
            rows.lse.push(logits.iter().map(|&x| f64::from(x).exp()).sum::<f64>().ln() as f32);
            rows.whole.iter_mut().for_each(|whole| whole.extend_from_slice(&logits));
            self.ids.push(order[0] as u32);
        }
        rows
    }

    fn generate(&mut self, settings: &Settings, prompts: &[Vec<u32>]) -> crate::Result<Vec<Generated>> {
        settings.check(VOCAB)?;
        let limits: Vec<usize> = prompts.iter().map(|p| settings.limit(p.len(), 64)).collect::<Result<_, _>>()?;
        let mut search = Search::new(settings, Position::None, prompts, &limits, &[]);
        let mut told = vec![Vec::new(); prompts.len()];
        let mut steps = vec![search.prefill(0..prompts.len())];
        while !steps.is_empty() {
            for step in &steps {
                let rows = self.run(step, false);
                let mut tell = |i: usize, id: u32| told[i].push(id);
                if !search.advance(&rows, &mut tell)? {
                    self.wholes += 1;
                    // The same step again, with its tokens where they are.
                    step.slots.iter().for_each(|&slot| self.cache[slot as usize] = None);
                    let again = step.clone().with_ids(step.ids.clone().expect("only greedy ids stay on a device"));
                    let rows = self.run(&again, true);
                    assert!(search.advance(&rows, &mut tell)?, "a whole row tells");
                }
            }
            steps = search.decode();
        }
        let generated = search.finish();
        for (told, text) in told.iter().zip(&generated) {
            assert_eq!(told, &text.ids, "what was streamed");
        }
        Ok(generated)
    }
}

fn golden() -> Value {
    serde_json::from_str(include_str!("../../tests/golden/generate.json")).expect("generate.json")
}

fn settings(case: &Value) -> Settings {
    let none = Config::parse("config.json", "{}").expect("an object");
    let some = Config::parse("generation_config.json", &case["settings"].to_string()).expect("settings");
    Settings::read(Some(&some), &none).expect("settings")
}

fn lists(value: &Value) -> Vec<Vec<u32>> {
    serde_json::from_value(value.clone()).expect("lists of ids")
}

fn ids(generated: Vec<Generated>) -> Vec<Vec<u32>> {
    generated.into_iter().map(|text| text.ids).collect()
}

#[test]
fn texts_are_those_of_hugging_face() {
    let golden = golden();
    let cases = golden["cases"].as_array().expect("cases");
    let (mut wrong, mut ended, mut cut) = (Vec::new(), 0, 0);
    for (i, case) in cases.iter().enumerate() {
        let (settings, prompts, want) = (settings(case), lists(&case["prompts"]), lists(&case["new"]));
        let lift = case["lift"].as_f64().expect("lift") as f32;
        // Greedy ids stay on the device; otherwise few of a row come back, so that both few and whole rows are tried.
        let k = if settings.is_plain_greedy() { 1 } else { settings.candidates().min(VOCAB) };
        let got = Scripted::new(lift, k).generate(&settings, &prompts).expect("texts");
        for text in &got {
            match text.finish {
                Finish::End => ended += 1,
                _ => cut += 1,
            }
        }
        let got = ids(got);
        if got != want {
            wrong.push(format!("case {i}: {}\n  got  {got:?}\n  want {want:?}", case["settings"]));
        }
        // Alone, each says the same.
        for (prompt, want) in prompts.iter().zip(&got) {
            let alone = Scripted::new(lift, k).generate(&settings, std::slice::from_ref(prompt)).expect("a text");
            assert_eq!(&ids(alone)[0], want, "case {i}, {prompt:?} alone");
        }
    }
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), cases.len(), wrong.join("\n"));
    assert!(ended > 50 && cut > 50, "{ended} {cut}");
}

#[test]
fn few_of_a_row_and_whole_rows_say_the_same() {
    for (k, wholes) in [(4, true), (VOCAB, false)] {
        let settings = Settings {
            num_beams: 2,
            max_new_tokens: Some(8),
            suppress_tokens: vec![5, 6, 7, 8, 9, 10],
            ..Settings::default()
        };
        let mut device = Scripted::new(0.0, k);
        let got = ids(device.generate(&settings, &[vec![1], vec![4, 5]]).expect("texts"));
        let again = ids(Scripted::new(0.0, 12).generate(&settings, &[vec![1], vec![4, 5]]).expect("texts"));
        assert_eq!(got, again);
        assert_eq!(device.wholes > 0, wholes, "{k}: {}", device.wholes);
    }
}

#[test]
fn draws_have_the_probabilities_that_hugging_face_leaves() {
    for case in golden()["draws"].as_array().expect("draws") {
        let settings = settings(case);
        let text: Vec<u32> = serde_json::from_value(case["text"].clone()).expect("ids");
        let want: Vec<f64> = serde_json::from_value(case["probabilities"].clone()).expect("numbers");
        let logits = hashed(&text, 0.0);
        let mut order: Vec<u32> = (0..VOCAB as u32).collect();
        order.sort_by(|&a, &b| logits[b as usize].total_cmp(&logits[a as usize]));
        let values: Vec<f32> = order.iter().map(|&j| logits[j as usize]).collect();
        let scaled = logits.iter().map(|&x| f64::from(x / settings.temperature).exp());
        let lse = scaled.sum::<f64>().ln() as f32;
        let verdict = settings.verdict(&text, 3, 64);
        // A few of the row may do; all of it, and the whole row, must.
        for (k, whole) in [(20, None), (VOCAB, None), (20, Some(&logits[..]))] {
            let row = Row { vocab: VOCAB, values: &values[..k], ids: &order[..k], lse, whole };
            let (mut counts, mut unknown, steps) = (vec![0.0; VOCAB], 0.0, 5_000);
            for i in 0..steps {
                let u = (f64::from(i) + 0.5) / f64::from(steps);
                match settings.draw(&row, &text, &verdict, u) {
                    Some(id) => counts[id.expect("a token") as usize] += 1.0 / f64::from(steps),
                    None => unknown += 1.0 / f64::from(steps),
                }
            }
            assert!(unknown == 0.0 || k == 20 && whole.is_none(), "{}: {unknown}", case["settings"]);
            let apart =
                counts.iter().zip(&want).map(|(a, b)| if *a == 0.0 && unknown > 0.0 { 0.0 } else { (a - b).abs() });
            let apart = apart.fold(0.0, f64::max);
            assert!(apart < 4e-4 && unknown < 1.0, "{} of {k}: off by {apart}, {unknown} unknown", case["settings"]);
        }
    }
}

#[test]
fn numbers_that_are_drawn_are_spread_evenly() {
    let mut cells = [0; 10];
    for (index, position) in (0..100).flat_map(|i| (0..100).map(move |p| (i, p))) {
        cells[(uniform(3, index, position) * 10.0) as usize] += 1;
    }
    assert!(cells.iter().all(|n| (900..1100).contains(n)), "{cells:?}");
    assert_ne!(uniform(3, 0, 1), uniform(3, 1, 0));
    assert_ne!(uniform(3, 0, 1), uniform(4, 0, 1));
}

#[test]
fn logits_that_are_not_numbers_are_an_error() {
    for (settings, k) in [
        (Settings { max_new_tokens: Some(8), ..Settings::default() }, 1),
        (Settings { max_new_tokens: Some(8), num_beams: 3, ..Settings::default() }, 6),
        (Settings { max_new_tokens: Some(8), do_sample: true, ..Settings::default() }, 40),
    ] {
        let mut device = Scripted::new(0.0, k);
        device.nan = Some(4);
        let error = device.generate(&settings, &[vec![1, 5]]).expect_err("a NaN");
        assert!(matches!(error, crate::Error::NotFinite { prompt: 0, tokens: 4 }), "{error:?}");
    }
}

#[test]
fn settings_come_from_the_folder() {
    let config = |text: &str| Config::parse("config.json", text).expect("an object");
    let read = |generation: Option<&str>, text: &str| Settings::read(generation.map(config).as_ref(), &config(text));
    // An older folder: all in config.json, and what BART's configuration says where that is silent.
    let old = read(None, r#"{"model_type": "bart", "num_beams": 4, "eos_token_id": 2, "bos_token_id": 0}"#)
        .expect("settings");
    assert_eq!((old.num_beams, old.decoder_start_token_id, &old.forced_eos_token_id[..]), (4, Some(2), &[2][..]));
    let null = read(None, r#"{"model_type": "bart", "forced_eos_token_id": null}"#).expect("settings");
    assert!(null.forced_eos_token_id.is_empty());
    // A newer one: generation_config.json alone, but for special tokens that it lacks.
    let new = read(
        Some(r#"{"eos_token_id": [2, 3], "early_stopping": "never", "typical_p": 0.5, "top_p": 0.9}"#),
        r#"{"model_type": "bart", "num_beams": 4, "eos_token_id": 9, "pad_token_id": 1}"#,
    )
    .expect("settings");
    assert_eq!((new.num_beams, &new.eos_token_id[..], new.pad_token_id), (1, &[2, 3][..], Some(1)));
    assert_eq!((new.early_stopping, new.forced_eos_token_id.len()), (super::EarlyStopping::Never, 0));
    assert!(matches!(new.check(VOCAB), Err(crate::Error::Unsupported { what, .. }) if what == "typical_p"));
    for bad in [r#"{"eos_token_id": "x"}"#, r#"{"early_stopping": 2}"#, r#"{"bad_words_ids": [["x"]]}"#] {
        assert!(matches!(read(Some(bad), "{}"), Err(crate::Error::Config { .. })), "{bad}");
    }
}

#[test]
fn padding_among_the_words_has_no_position() {
    // As M2M100 counts: a prompt's padding is left out, later tokens come after all that are in the cache.
    let position = Position::Sinusoid { max: 64, offset: 2, closed: true, pads: Some(1) };
    let settings = Settings { max_new_tokens: Some(9), ..Settings::default() };
    let mut search = Search::new(&settings, position, &[vec![2, 1, 5]], &[12], &[]);
    assert_eq!(search.prefill(0..1).positions, [0, 64, 1]);
    let mut fed = Vec::new();
    for id in [7, 1, 8] {
        let rows = Rows { k: 1, vocab: VOCAB, values: vec![0.5], ids: vec![id], ..Rows::default() };
        assert!(search.advance(&rows, &mut |_, _| {}).expect("an id"));
        let steps = search.decode();
        // With several in a submission the host would not know which of them are padding.
        assert_eq!(steps.len(), 1);
        fed.extend_from_slice(&steps[0].positions);
    }
    assert_eq!(fed, [3, 64, 5]);
}
