//! `config.json` to `Arch`, and names to tensors, on a small BERT.

use serde_json::{Value, json};

use super::arch::{Activation, Arch, Position};
use super::bert;
use super::config::Config;
use super::family::Family;
use super::names::{Names, Source, gather};
use crate::weights::{Checkpoint, DType, Values, write_safetensors};
use crate::{Error, Result};

/// Two layers of width 6 with 3 heads.
pub(super) fn small() -> Value {
    json!({
        "model_type": "bert", "vocab_size": 11, "hidden_size": 6, "num_hidden_layers": 2, "num_attention_heads": 3,
        "intermediate_size": 8, "hidden_act": "gelu", "max_position_embeddings": 5, "type_vocab_size": 2,
        "layer_norm_eps": 1e-12, "pad_token_id": 0, "position_embedding_type": "absolute", "is_decoder": false,
    })
}

/// The tensors of [`small`]; the value of each element is its position in its tensor.
pub(super) fn checkpoint(prefix: &str, old_norms: bool, pooler: bool) -> Checkpoint {
    let mut tensors: Vec<(String, Vec<usize>)> = Vec::new();
    let mut add = |name: &str, shape: &[usize]| tensors.push((format!("{prefix}{name}"), shape.to_vec()));
    let norm = |name: &str| match old_norms {
        true => [format!("{name}.gamma"), format!("{name}.beta")],
        false => [format!("{name}.weight"), format!("{name}.bias")],
    };
    for (name, rows) in [("word", 11), ("position", 5), ("token_type", 2)] {
        add(&format!("embeddings.{name}_embeddings.weight"), &[rows, 6]);
    }
    let mut modules = vec![("pooler.dense".to_owned(), 6, 6); usize::from(pooler)];
    let mut norms = vec!["embeddings.LayerNorm".to_owned()];
    for i in 0..2 {
        let at = format!("encoder.layer.{i}");
        for part in ["self.query", "self.key", "self.value", "output.dense"] {
            modules.push((format!("{at}.attention.{part}"), 6, 6));
        }
        modules.extend([(format!("{at}.intermediate.dense"), 8, 6), (format!("{at}.output.dense"), 6, 8)]);
        norms.extend(["attention.output", "output"].map(|part| format!("{at}.{part}.LayerNorm")));
    }
    for (name, rows, cols) in modules {
        add(&format!("{name}.weight"), &[rows, cols]);
        add(&format!("{name}.bias"), &[rows]);
    }
    norms.iter().flat_map(|name| norm(name)).for_each(|name| add(&name, &[6]));
    add("embeddings.position_ids", &[1, 5]);
    let values: Vec<f32> = (0..100).map(|i| i as f32).collect();
    let tensors: Vec<_> = tensors
        .iter()
        .map(|(name, shape)| (name.as_str(), shape.as_slice(), Values::F32(&values[..shape.iter().product()])))
        .collect();
    Checkpoint::from_bytes(write_safetensors(&tensors).unwrap()).unwrap()
}

pub(super) fn read(config: &Value) -> Result<Arch> {
    arch(&Config::parse("config.json", &config.to_string())?, &checkpoint("", false, true))
}

pub(super) fn arch(config: &Config, checkpoint: &Checkpoint) -> Result<Arch> {
    (Family::of(config)?.arch)(config, checkpoint)
}

fn names(arch: &Arch, checkpoint: &Checkpoint) -> Vec<(String, Source)> {
    let Names { list, copies, .. } = super::modules::names(arch, checkpoint, &super::task::BERT, &bert::MODULES);
    assert!(copies.is_empty());
    list
}

/// The shape of a tensor of the graph of [`small`].
fn expected(name: &str) -> [usize; 2] {
    let (module, part) = name.rsplit_once('.').unwrap();
    let [rows, cols] = match module.rsplit_once('.').map_or(module, |(_, last)| last) {
        "word" => [11, 6],
        "position" => [5, 6],
        "type" => [2, 6],
        "qkv" => [18, 6],
        "up" => [8, 6],
        "down" => [6, 8],
        "norm" => return [1, 6],
        _ => [6, 6],
    };
    if part == "bias" { [1, rows] } else { [rows, cols] }
}

#[test]
fn bert_is_read() {
    let arch = read(&small()).unwrap();
    let stack = arch.encoder.as_ref().unwrap();
    assert_eq!((stack.layers, stack.width, stack.heads, stack.head_dim, stack.ffn), (2, 6, 3, 2, 8));
    assert_eq!((stack.norm.eps, stack.norm.before, stack.norm.rms), (1e-12, false, false));
    assert_eq!(
        (stack.mlp.act, stack.position),
        (Activation::Gelu, Position::Learned { max: 5, offset: 0, pads: None })
    );
    assert_eq!((arch.vocab, arch.embed.types, arch.pooler, arch.pad_token), (11, 2, true, Some(0)));
    assert!(arch.decoder.is_none());
}

#[test]
fn absent_keys_have_the_defaults_of_bert() {
    let arch = read(&json!({"model_type": "bert"})).unwrap();
    let stack = arch.encoder.as_ref().unwrap();
    assert_eq!((arch.vocab, stack.width, stack.layers, stack.heads, stack.ffn), (30522, 768, 12, 12, 3072));
    assert_eq!((stack.norm.eps, stack.mlp.act, arch.embed.types), (1e-12, Activation::Gelu, 2));
    assert_eq!((stack.position, arch.pad_token), (Position::Learned { max: 512, offset: 0, pads: None }, Some(0)));
    let mut config = small();
    config["pad_token_id"] = Value::Null;
    assert_eq!(read(&config).unwrap().pad_token, None);
}

#[test]
fn absurd_values_say_what_is_right() {
    let cases = [
        ("num_hidden_layers", json!(1_000_000_000), "from 1 to 1024"),
        ("num_hidden_layers", json!(0), "from 1 to 1024"),
        ("num_attention_heads", json!(0), "from 1 to 1024"),
        ("num_attention_heads", json!(4), "hidden_size is 6 with num_attention_heads of 4"),
        ("hidden_size", json!(-6), "from 1 to 65536"),
        ("hidden_size", json!(6.5), "from 1 to 65536"),
        ("hidden_size", json!(6.0), "from 1 to 65536"),
        ("hidden_size", json!("6"), "from 1 to 65536"),
        ("hidden_size", json!(771), "of 1 to 256"),
        ("intermediate_size", json!(0), "from 1 to"),
        ("vocab_size", json!(1u64 << 40), "from 1 to 4194304"),
        ("vocab_size", json!(u64::MAX), "from 1 to 4194304"),
        ("max_position_embeddings", json!(0), "from 1 to 16777216"),
        ("type_vocab_size", json!([2]), "from 1 to"),
        ("layer_norm_eps", json!(-1e-12), "from 0 to 1"),
        ("layer_norm_eps", json!("NaN"), "from 0 to 1"),
        ("layer_norm_eps", json!(1e300), "from 0 to 1"),
        ("pad_token_id", json!(11), "from 0 to 10"),
        ("pad_token_id", json!(-1), "from 0 to 10"),
        ("hidden_act", json!("gelu_quick"), "gelu_pytorch_tanh"),
        ("hidden_act", json!(3), "gelu_pytorch_tanh"),
        ("is_decoder", json!("yes"), "true or false"),
        ("model_type", json!("perceiver"), "bert"),
        ("model_type", json!(2), "a string"),
    ];
    for (key, value, expected) in cases {
        let mut config = small();
        config[key] = value;
        let error = read(&config).unwrap_err();
        assert!(matches!(error, Error::Config { .. }), "{key}: {error}");
        let text = error.to_string();
        assert!(["config.json", key, expected].iter().all(|part| text.contains(part)), "{key}: {text}");
    }
}

#[test]
fn variants_that_cannot_run_are_refused() {
    let variants = [
        ("is_decoder", json!(true)),
        ("add_cross_attention", json!(true)),
        ("position_embedding_type", json!("relative_key")),
    ];
    for (key, value) in variants {
        let mut config = small();
        config[key] = value;
        let error = read(&config).unwrap_err();
        assert!(matches!(error, Error::Unsupported { .. }) && error.to_string().contains(key), "{error}");
    }
}

#[test]
fn files_that_are_no_configuration_are_refused() {
    for text in ["", "{", "[]", "3", "{\"layer_norm_eps\": NaN}", "{\"layer_norm_eps\": 1e999}", "{} {}"] {
        let error = Config::parse("config.json", text).unwrap_err();
        assert!(matches!(error, Error::Config { .. }), "{text}: {error}");
    }
    let error = read(&json!({})).unwrap_err().to_string();
    assert!(error.contains("model_type is missing"), "{error}");
    #[cfg(not(target_arch = "wasm32"))]
    {
        let error = Config::read("/nowhere/at/all").unwrap_err();
        assert!(matches!(error, Error::Config { .. }) && error.to_string().contains("missing"), "{error}");
    }
}

#[test]
fn every_spelling_gives_the_same_tensors() {
    for (prefix, old_norms, pooler) in
        [("", false, true), ("bert.", false, true), ("", true, false), ("bert.", true, true)]
    {
        let checkpoint = checkpoint(prefix, old_norms, pooler);
        let arch = arch(&Config::parse("config.json", &small().to_string()).unwrap(), &checkpoint).unwrap();
        assert_eq!(arch.pooler, pooler);
        let names = names(&arch, &checkpoint);
        assert_eq!(names.len(), 3 + 2 + 2 * 12 + 2 * usize::from(pooler));
        for (name, source) in &names {
            let tensor = gather(&checkpoint, source, expected(name)).unwrap();
            assert_eq!(tensor.shape, expected(name), "{name}");
        }
        let taken = |name: &str| names.iter().any(|(_, source)| source.parts().any(|part| part == name));
        assert_eq!(
            checkpoint.names().find(|name| !taken(name) && !super::modules::known_unused(name, &super::task::BERT)),
            None
        );
    }
}

#[test]
fn qkv_is_joined_in_order() {
    let checkpoint = checkpoint("", false, true);
    let arch = read(&small()).unwrap();
    let names = names(&arch, &checkpoint);
    let source = |name: &str| &names.iter().find(|(canonical, _)| canonical == name).unwrap().1;
    let weight = source("encoder.1.self.qkv.weight");
    let parts = ["query", "key", "value"].map(|part| format!("encoder.layer.1.attention.self.{part}.weight"));
    assert_eq!(*weight, Source::Rows(parts.map(|part| (part, 1)).to_vec()));
    let one: Vec<f32> = (0..36).map(|i| i as f32).collect();
    assert_eq!(gather(&checkpoint, weight, [18, 6]).unwrap().to_f32(), [one.clone(), one.clone(), one].concat());
    let bias = gather(&checkpoint, source("encoder.1.self.qkv.bias"), [1, 18]).unwrap();
    assert_eq!((bias.shape.as_slice(), bias.len()), (&[1, 18][..], 18));
}

#[test]
fn misshapen_tensors_are_refused() {
    let checkpoint = checkpoint("", false, true);
    let word = Source::One("embeddings.word_embeddings.weight".into());
    for wrong in [[12, 6], [6, 11], [1, 66], [11, 5], [0, 0]] {
        let error = gather(&checkpoint, &word, wrong).unwrap_err();
        assert!(matches!(error, Error::Tensor { .. }) && error.to_string().contains("got [11, 6]"), "{error}");
    }
    let query = "encoder.layer.0.attention.self.query".to_owned();
    let rows = Source::Rows(["weight", "bias", "weight"].map(|part| (format!("{query}.{part}"), 1)).to_vec());
    assert!(gather(&checkpoint, &rows, [18, 6]).is_err());
    assert!(gather(&checkpoint, &rows, [17, 6]).unwrap_err().to_string().contains("evenly"));
    assert!(gather(&checkpoint, &Source::Rows(vec![]), [0, 6]).is_ok_and(|tensor| tensor.is_empty()));
    assert!(gather(&checkpoint, &Source::Rows(vec![]), [1, 6]).is_err());
    let missing = gather(&checkpoint, &Source::One("bert.pooler.dense.bias".into()), [1, 6]).unwrap_err();
    assert!(missing.to_string().contains("\"pooler.dense.bias\""), "{missing}");
}

#[test]
fn parts_of_different_types_are_widened() {
    let header = r#"{"a":{"dtype":"F16","shape":[2],"data_offsets":[0,4]},"b":{"dtype":"F32","shape":[2],"data_offsets":[4,12]}}"#;
    let mut file = (header.len() as u64).to_le_bytes().to_vec();
    file.extend(header.as_bytes());
    [1.5, -2.0].iter().for_each(|&x| file.extend(half::f16::from_f32(x).to_le_bytes()));
    [3.0f32, 4.0].iter().for_each(|x| file.extend(x.to_le_bytes()));
    let checkpoint = Checkpoint::from_bytes(file).unwrap();
    let rows = |names: [&str; 2]| Source::Rows(names.map(|name| (name.to_owned(), 1)).to_vec());
    let mixed = gather(&checkpoint, &rows(["a", "b"]), [1, 4]).unwrap();
    assert_eq!((mixed.dtype, mixed.to_f32()), (DType::F32, vec![1.5, -2.0, 3.0, 4.0]));
    let same = gather(&checkpoint, &rows(["a", "a"]), [1, 4]).unwrap();
    assert_eq!((same.dtype, same.to_f32()), (DType::F16, vec![1.5, -2.0, 1.5, -2.0]));
}

#[test]
fn shares_and_transposed_matrices_are_gathered() {
    let values: Vec<f32> = (0..12).map(|i| i as f32).collect();
    let tensors: [(&str, &[usize], Values<'_>); 3] = [
        ("q", &[4, 2], Values::F32(&values[..8])),
        ("k", &[2, 2], Values::F32(&values[..4])),
        ("c", &[2, 3], Values::F32(&values[..6])),
    ];
    let checkpoint = Checkpoint::from_bytes(write_safetensors(&tensors).unwrap()).unwrap();
    let rows = |q, k| Source::Rows(vec![("q".into(), q), ("k".into(), k)]);
    let joined = gather(&checkpoint, &rows(2, 1), [6, 2]).unwrap().to_f32();
    assert_eq!(joined, [&values[..8], &values[..4]].concat());
    // As many rows in all, but not of these shares.
    assert!(gather(&checkpoint, &rows(1, 1), [6, 2]).is_err());
    assert!(gather(&checkpoint, &rows(4, 1), [5, 2]).is_err());
    let turned = Source::Transposed("c".into());
    let tensor = gather(&checkpoint, &turned, [3, 2]).unwrap();
    assert_eq!((tensor.shape.as_slice(), tensor.to_f32()), (&[3, 2][..], vec![0.0, 3.0, 1.0, 4.0, 2.0, 5.0]));
    assert!(gather(&checkpoint, &turned, [2, 3]).is_err());
}
