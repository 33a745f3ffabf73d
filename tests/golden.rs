//! BERT and its kin against PyTorch in float64: small models with wide weights, so that every mistake shows.

mod common;
#[path = "common/flips.rs"]
mod flips;

use common::block_on;
use flips::FLIPS;
use serde_json::{Value, json};
use wgformer::model::arch::{Arch, Head, TaskKind};
use wgformer::model::{Blueprint, Encoded, Files, Model, Padded};
use wgformer::weights::{Checkpoint, Values, write_safetensors};

/// An `exp` that is off by WGSL's allowance moves the large ones of these models by up to 6.4e-5; the smallest flip moves a
/// small one by 4.3e-4.
const TOLERANCE: f32 = 2e-4;

struct Golden {
    name: &'static str,
    batch: Padded,
    tensors: Checkpoint,
}

impl Golden {
    fn open(name: &'static str) -> Self {
        let tensors = Checkpoint::open(format!("tests/golden/{name}/golden.safetensors")).expect("a golden");
        let (shape, ids) = tensors.get_i64("input_ids").expect("ids");
        let (_, mask) = tensors.get_i64("attention_mask").expect("mask");
        let types = tensors.get_i64("token_type_ids").map(|(_, types)| types).unwrap_or_default();
        Self { name, batch: Padded { batch: shape[0], len: shape[1], ids, mask, types }, tensors }
    }

    fn blueprint(&self) -> Blueprint {
        Blueprint::open(format!("tests/golden/{}", self.name)).expect("a blueprint")
    }

    fn get(&self, name: &str) -> Vec<f32> {
        self.tensors.get(name).expect(name).to_f32()
    }

    /// The largest difference over real rows; an output that is not finite or missing is infinitely far.
    fn distance(&self, got: &Encoded, arch: &Arch) -> f32 {
        let Padded { batch, len, mask, .. } = &self.batch;
        let stack = arch.encoder.as_ref().expect("an encoder");
        let mut worst =
            rows_apart(&self.get("last_hidden_state"), &got.last_hidden_state, stack.width, |row| mask[row] == 1);
        // Of a sequence by its first token, where PyTorch takes the first column, be it padding.
        let logits = ["logits_first_token", "logits"].into_iter().find(|name| self.tensors.contains(name));
        for (name, got) in [
            ("pooler_output_first_token", &got.pooler_output),
            (logits.unwrap_or("logits"), &got.logits),
            ("start_logits", &got.start_logits),
            ("end_logits", &got.end_logits),
        ] {
            let of_sequences = name.ends_with("first_token");
            let rows = if of_sequences { *batch } else { batch * len };
            worst = worst.max(match (self.tensors.contains(name), got) {
                (true, Some(got)) => {
                    let want = self.get(name);
                    rows_apart(&want, got, want.len() / rows, |row| of_sequences || mask[row] == 1)
                }
                (false, None) => 0.0,
                _ => f32::INFINITY,
            });
        }
        for (i, got) in got.attentions.iter().enumerate() {
            let want = self.get(&format!("attentions.{i}"));
            let heads = want.len() / (batch * len * len);
            worst = worst.max(rows_apart(&want, got, *len, |row| mask[row / (heads * len) * len + row % len] == 1));
        }
        worst
    }
}

fn rows_apart(want: &[f32], got: &[f32], cols: usize, counts: impl Fn(usize) -> bool) -> f32 {
    if want.len() != got.len() {
        return f32::INFINITY;
    }
    let mut worst = 0f32;
    for (row, (want, got)) in want.chunks(cols).zip(got.chunks(cols)).enumerate() {
        for (a, b) in want.iter().zip(got) {
            let apart = if counts(row) { (a - b).abs() } else { b.abs() };
            worst = if apart.is_finite() { worst.max(apart) } else { f32::INFINITY };
        }
    }
    worst
}

const GOLDENS: [&str; 37] = [
    "bert-tiny",
    "bert-relu",
    "bert-f16",
    "bert-sequence",
    "bert-tokens",
    "bert-answer",
    "roberta",
    "roberta-words",
    "roberta-sequence",
    "roberta-tokens",
    "roberta-answer",
    "xlm-roberta",
    "distilbert",
    "distilbert-sequence",
    "distilbert-tokens",
    "distilbert-answer",
    "mpnet",
    "mpnet-words",
    "mpnet-sequence",
    "mpnet-tokens",
    "mpnet-answer",
    "electra",
    "electra-words",
    "electra-sequence",
    "electra-tokens",
    "electra-answer",
    "albert",
    "albert-words",
    "albert-sequence",
    "albert-tokens",
    "albert-answer",
    "modernbert",
    "modernbert-words",
    "modernbert-mean",
    "modernbert-cls",
    "modernbert-tokens",
    "modernbert-answer",
];

#[test]
fn hidden_states_pooler_and_attentions_are_pytorchs() {
    let gpu = common::context();
    for name in GOLDENS {
        let golden = Golden::open(name);
        for model in
            [block_on(Model::build(&gpu, golden.blueprint())).expect("a model"), Model::on_cpu(golden.blueprint())]
        {
            let got = block_on(model.encode(&golden.batch, true)).expect("encoded");
            let arch = model.blueprint().arch();
            assert_eq!(got.attentions.len(), arch.encoder.as_ref().map_or(0, |s| s.layers));
            assert_eq!(got.pooler_output.is_some(), golden.tensors.contains("pooler_output"));
            let apart = golden.distance(&got, arch);
            println!("{name}, {}: {apart:e}", if model.gpu().is_some() { "GPU" } else { "CPU" });
            assert!(apart < TOLERANCE, "{name}: off by {apart}");
            let untapped = block_on(model.encode(&golden.batch, false)).expect("encoded");
            assert_eq!(
                common::bits(&untapped.last_hidden_state),
                common::bits(&got.last_hidden_state),
                "taps change bits"
            );
        }
    }
}

#[test]
fn every_misread_field_shows() {
    for (what, flip) in FLIPS {
        let mut applied = 0;
        for name in GOLDENS {
            let golden = Golden::open(name);
            let mut arch = golden.blueprint().arch().clone();
            flip(&mut arch);
            if arch == *golden.blueprint().arch() {
                continue;
            }
            applied += 1;
            let mut batch = golden.batch.clone();
            if arch.embed.types == 0 {
                batch.types.clear();
            }
            let model = Model::on_cpu(golden.blueprint().with_arch(arch.clone()).expect("a blueprint"));
            // A tensor that no longer fits is as good as a wrong number.
            let Ok(got) = block_on(model.encode(&batch, true)) else { continue };
            let apart = golden.distance(&got, &arch);
            println!("{name}, {what}: {apart:e}");
            assert!(apart > 2.0 * TOLERANCE, "{name}: {what} misread moves it by {apart} only");
        }
        assert!(applied >= 5, "{what} is misread in {applied} models only");
    }
}

#[test]
fn a_text_has_the_positions_that_its_model_counts() {
    let golden = Golden::open("roberta");
    // The padding id stands in the middle, and is kept.
    let (len, ids) = (golden.batch.len, &golden.batch.ids);
    let text: Vec<u32> = ids[..len].iter().map(|&id| id as u32).collect();
    assert!(text.contains(&1) && golden.batch.mask[..len].iter().all(|&m| m == 1));
    let model = Model::on_cpu(golden.blueprint());
    let got = block_on(model.embed_ids(&[text])).expect("a vector").concat();
    let rows = golden.get("last_hidden_state");
    let mean: Vec<f32> =
        (0..got.len()).map(|c| (0..len).map(|r| rows[r * got.len() + c]).sum::<f32>() / len as f32).collect();
    assert!(rows_apart(&mean, &got, got.len(), |_| true) < TOLERANCE);
}

/// With a table of its own for the logits, or with the words'; but for a checkpoint that has the tied one twice.
#[test]
fn a_misread_head_shows() {
    for name in GOLDENS.into_iter().filter(|name| *name != "distilbert") {
        let golden = Golden::open(name);
        let mut arch = golden.blueprint().arch().clone();
        arch.head = match arch.head {
            Head::None => continue,
            Head::Tied => Head::Untied,
            Head::Untied if arch.task.is_some_and(|task| task.kind == TaskKind::Words) => Head::Tied,
            // So many labels as there are words nobody has.
            Head::Untied => continue,
        };
        let model = Model::on_cpu(golden.blueprint().with_arch(arch.clone()).expect("a blueprint"));
        let Ok(got) = block_on(model.encode(&golden.batch, false)) else { continue };
        assert!(golden.distance(&got, &arch) > 2.0 * TOLERANCE, "{name}");
    }
}

type Tensors = Vec<(String, Vec<usize>, Vec<f32>)>;

/// A golden's model from bytes, its tensors and some keys of its configuration changed first; null takes a key away.
fn from_bytes(name: &str, change: impl Fn(&mut Tensors), keys: Value) -> wgformer::Result<Blueprint> {
    let dir = format!("tests/golden/{name}");
    let checkpoint = Checkpoint::open(&dir).expect("a checkpoint");
    let tensor = |name: &str| {
        let tensor = checkpoint.get(name).expect(name);
        (name.to_owned(), tensor.shape.clone(), tensor.to_f32())
    };
    let mut tensors: Vec<_> = checkpoint.names().map(tensor).collect();
    change(&mut tensors);
    let list: Vec<_> = tensors.iter().map(|(n, s, v)| (n.as_str(), s.as_slice(), Values::F32(v))).collect();
    let bytes = write_safetensors(&list).expect("bytes");
    let config = std::fs::read_to_string(format!("{dir}/config.json")).expect("a config");
    let mut config: Value = serde_json::from_str(&config).expect("JSON");
    keys.as_object().into_iter().flatten().for_each(|(key, value)| config[key] = value.clone());
    Blueprint::from_files(Files {
        texts: [("config.json".to_owned(), config.to_string())].into(),
        weights: vec![("model.safetensors".into(), bytes)],
        ..Files::default()
    })
}

#[test]
fn bytes_give_what_the_folder_gives() {
    let golden = Golden::open("bert-tiny");
    let model = Model::on_cpu(from_bytes("bert-tiny", |_| {}, json!({})).expect("a blueprint"));
    let got = block_on(model.encode(&golden.batch, true)).expect("encoded");
    assert!(golden.distance(&got, model.blueprint().arch()) < TOLERANCE);
}

#[test]
fn a_checkpoint_that_is_not_the_configurations_is_refused() {
    let refusal = |change: &dyn Fn(&mut Tensors)| match from_bytes("bert-tiny", change, json!({})) {
        Err(error @ wgformer::Error::Tensor { .. }) => error.to_string(),
        other => panic!("{other:?}"),
    };
    let stray = refusal(&|t| t.push(("encoder.layer.9.new.weight".into(), vec![1], vec![0.0])));
    assert!(stray.contains("encoder.layer.9.new.weight"), "{stray}");
    let name = "encoder.layer.1.output.dense.weight";
    let missing = refusal(&|t| t.retain(|(n, ..)| n != name));
    assert!(missing.contains(name) && missing.contains("missing"), "{missing}");
    let misshapen = refusal(&|t| t.iter_mut().filter(|(n, ..)| n == name).for_each(|(_, shape, _)| shape.reverse()));
    assert!(misshapen.contains(name) && misshapen.contains("expected shape"), "{misshapen}");
}

#[test]
fn the_head_is_the_one_that_class_and_tensors_tell() {
    let kind = |name: &str, without: &str, keys| {
        let blueprint = from_bytes(name, |t| t.retain(|(n, ..)| !n.starts_with(without)), keys).expect("a blueprint");
        blueprint.arch().task.map(|task| (task.kind, task.labels))
    };
    let classes = |class: &str| json!({"architectures": [class]});
    assert_eq!(kind("bert-sequence", "-", json!({})), Some((TaskKind::Sequence, 3)));
    for (without, keys) in [
        ("-", classes("BertModel")),
        ("classifier", json!({})),
        ("-", json!({"architectures": null})),
        ("-", json!({"architectures": []})),
    ] {
        assert_eq!(kind("bert-sequence", without, keys), None);
    }
    assert_eq!(kind("bert-sequence", "-", classes("BertForTokenClassification")), Some((TaskKind::Tokens, 3)));
    for (name, kinds) in [
        ("roberta-words", (TaskKind::Words, 53)),
        ("roberta-sequence", (TaskKind::Sequence, 1)),
        ("distilbert-sequence", (TaskKind::Sequence, 3)),
        ("distilbert-answer", (TaskKind::Answer, 2)),
    ] {
        assert_eq!(kind(name, "-", json!({"architectures": null})), Some(kinds), "{name}");
    }
    // A tied table that is another is one of its own.
    let apart = |t: &mut Tensors| {
        t.iter_mut().filter(|(n, ..)| n == "vocab_projector.weight").for_each(|(.., values)| values[0] += 1.0);
    };
    let head = |blueprint: Blueprint| blueprint.arch().head;
    assert_eq!(head(from_bytes("distilbert", |_| {}, json!({})).expect("a blueprint")), Head::Tied);
    assert_eq!(head(from_bytes("distilbert", apart, json!({})).expect("a blueprint")), Head::Untied);
}

#[test]
fn a_head_that_is_wrong_is_refused() {
    let refusal = |name: &str, change: &dyn Fn(&mut Tensors), keys, says: &str| match from_bytes(name, change, keys) {
        Err(e @ (wgformer::Error::Tensor { .. } | wgformer::Error::Config { .. })) => {
            assert!(e.to_string().contains(says), "{e} does not say {says:?}");
        }
        other => panic!("{other:?}"),
    };
    let same = |_: &mut Tensors| {};
    let without = |name: &'static str| move |t: &mut Tensors| t.retain(|(n, ..)| n != name);
    refusal("bert-sequence", &without("classifier.bias"), json!({}), "classifier.bias");
    refusal("bert-sequence", &without("bert.pooler.dense.bias"), json!({}), "bert.pooler.dense.bias");
    refusal("roberta-sequence", &without("classifier.dense.weight"), json!({}), "classifier.dense.weight");
    refusal("bert-sequence", &same, json!({"id2label": {"0": "a", "1": "b"}}), "id2label makes 2 labels");
    refusal("bert-sequence", &same, json!({"id2label": {}}), "id2label is {}");
    refusal("bert-sequence", &same, json!({"id2label": ["a"]}), "an object with a name for each label");
    refusal("bert-tokens", &same, json!({"num_labels": 0}), "num_labels is 0");
    refusal("bert-tokens", &same, json!({"architectures": "BertModel"}), "a list of names");
    refusal("bert-tokens", &same, json!({"architectures": [1]}), "a list of names");
    let three = |t: &mut Tensors| {
        t.iter_mut().filter(|(n, ..)| n == "qa_outputs.bias").for_each(|t| (t.1, t.2) = (vec![3], vec![0.0; 3]));
    };
    refusal("bert-answer", &three, json!({}), "qa_outputs.bias");
    let bias = |t: &mut Tensors| t.push(("lm_head.decoder.bias".into(), vec![53], vec![0.0; 53]));
    refusal("roberta-words", &bias, json!({}), "differs from");
}

/// As in transformers, where the head has a table of its own, its bias is the one beside that table.
#[test]
fn an_untied_head_has_its_own_bias() {
    let golden = Golden::open("xlm-roberta");
    let bias = |t: &mut Tensors| {
        t.iter_mut().filter(|(n, ..)| n == "lm_head.bias").for_each(|(name, ..)| *name = "lm_head.decoder.bias".into());
        t.push(("lm_head.bias".into(), vec![53], vec![0.0; 53]));
    };
    let model = Model::on_cpu(from_bytes("xlm-roberta", bias, json!({})).expect("a blueprint"));
    let got = block_on(model.encode(&golden.batch, true)).expect("encoded");
    assert!(golden.distance(&got, model.blueprint().arch()) < TOLERANCE);
}
