//! Folders as the versions of sentence-transformers write them, and damaged ones.

use std::collections::BTreeMap;

use proptest::prelude::*;
use serde_json::json;

use super::super::mutations::values;
use super::*;

type Files = BTreeMap<PathBuf, Value>;

fn files(files: impl IntoIterator<Item = (&'static str, Value)>) -> Files {
    files.into_iter().map(|(path, value)| (path.into(), value)).collect()
}

fn read(files: &Files) -> Result<SentenceConfig> {
    SentenceConfig::from_files(&|path| Ok(files.get(path).map(Value::to_string)))
}

fn module(kind: &str, path: &str) -> Value {
    json!({"idx": 0, "name": "0", "path": path, "type": kind})
}

/// As versions 2 to 4 write it.
fn old() -> Files {
    let at = |kind: &str, path| module(&format!("sentence_transformers.models.{kind}"), path);
    files([
        ("modules.json", json!([at("Transformer", ""), at("Pooling", "1_Pooling"), at("Normalize", "2_Normalize")])),
        (
            "1_Pooling/config.json",
            json!({
                "word_embedding_dimension": 384, "pooling_mode_cls_token": false, "pooling_mode_mean_tokens": true,
                "pooling_mode_max_tokens": false, "pooling_mode_mean_sqrt_len_tokens": false,
            }),
        ),
        ("sentence_bert_config.json", json!({"max_seq_length": 256, "do_lower_case": false})),
        ("tokenizer_config.json", json!({"model_max_length": 512})),
        ("config_sentence_transformers.json", json!({"__version__": {}, "prompts": {}, "default_prompt_name": null})),
    ])
}

/// As later versions write it: other class names, one key for pooling, the length in the tokenizer's file.
fn new() -> Files {
    files([
        (
            "modules.json",
            json!([
                module("sentence_transformers.base.modules.transformer.Transformer", "0_Transformer"),
                module("sentence_transformers.sentence_transformer.modules.pooling.Pooling", "1_Pooling"),
            ]),
        ),
        (
            "1_Pooling/config.json",
            json!({"embedding_dimension": 384, "pooling_mode": "lasttoken", "include_prompt": true}),
        ),
        ("0_Transformer/sentence_bert_config.json", json!({"transformer_task": "feature-extraction"})),
        ("0_Transformer/tokenizer_config.json", json!({"model_max_length": 128})),
        (
            "config_sentence_transformers.json",
            json!({
                "model_type": "SentenceTransformer", "prompts": {"query": "", "document": ""}, "default_prompt_name": null,
            }),
        ),
    ])
}

#[test]
fn both_formats_are_read() {
    let config = read(&old()).unwrap();
    let expected = SentenceConfig { normalize: true, max_length: Some(256), ..SentenceConfig::default() };
    assert_eq!(config, expected);
    let config = read(&new()).unwrap();
    assert_eq!((config.transformer.as_path(), config.pooling), (Path::new("0_Transformer"), PoolMode::Last));
    assert_eq!((config.normalize, config.max_length), (false, Some(128)));
}

#[test]
fn plain_folders_are_pooled_with_the_mean() {
    assert_eq!(read(&files([])).unwrap(), SentenceConfig::default());
    let unlimited = json!({"model_max_length": serde_json::Number::from_f64(1e30)});
    assert_eq!(read(&files([("tokenizer_config.json", unlimited)])).unwrap().max_length, None);
    let tokenizer = read(&files([("tokenizer_config.json", json!({"model_max_length": 77}))])).unwrap();
    assert_eq!(tokenizer.max_length, Some(77));
}

fn pooled(config: Value) -> Result<PoolMode> {
    let mut files = old();
    files.insert("1_Pooling/config.json".into(), config);
    read(&files).map(|config| config.pooling)
}

#[test]
fn pooling_modes() {
    assert_eq!(pooled(json!({})).unwrap(), PoolMode::Mean);
    assert_eq!(pooled(json!({"pooling_mode": ["cls"]})).unwrap(), PoolMode::Cls);
    assert_eq!(pooled(json!({"pooling_mode": "max", "pooling_mode_cls_token": true})).unwrap(), PoolMode::Max);
    for (key, mode) in [
        ("pooling_mode_cls_token", PoolMode::Cls),
        ("pooling_mode_max_tokens", PoolMode::Max),
        ("pooling_mode_mean_tokens", PoolMode::Mean),
        ("pooling_mode_lasttoken", PoolMode::Last),
    ] {
        assert_eq!(pooled(json!({key: true})).unwrap(), mode);
    }
    for unsupported in [
        json!({"pooling_mode_cls_token": true, "pooling_mode_max_tokens": true}),
        json!({"pooling_mode_mean_sqrt_len_tokens": true}),
        json!({"pooling_mode_weightedmean_tokens": true}),
        json!({"pooling_mode": ["mean", "cls"]}),
        json!({"pooling_mode": "mean_sqrt_len_tokens"}),
    ] {
        let error = pooled(unsupported).unwrap_err();
        assert!(matches!(error, Error::Unsupported { .. }) && error.to_string().contains("1_Pooling"), "{error}");
    }
    for wrong in [json!({"pooling_mode": "avg"}), json!({"pooling_mode_cls_token": 1}), json!([])] {
        assert!(matches!(pooled(wrong), Err(Error::Config { .. })));
    }
}

fn listed(modules: Value) -> String {
    let mut files = old();
    files.insert("modules.json".into(), modules);
    read(&files).unwrap_err().to_string()
}

#[test]
fn modules_are_checked() {
    let at = |kind: &str, path| module(&format!("sentence_transformers.models.{kind}"), path);
    let dense = listed(json!([at("Transformer", ""), at("Pooling", "1_Pooling"), at("Dense", "2_Dense")]));
    assert!(dense.contains("models.Dense") && dense.contains("not supported"), "{dense}");
    let foreign = listed(json!([module("custom.Transformer", ""), at("Pooling", "1_Pooling")]));
    assert!(foreign.contains("custom.Transformer"), "{foreign}");
    for unordered in [
        json!([at("Pooling", "1_Pooling"), at("Transformer", "")]),
        json!([at("Transformer", ""), at("Normalize", ""), at("Pooling", "1_Pooling")]),
    ] {
        assert!(listed(unordered).contains("in this order"));
    }
    assert!(listed(json!([at("Transformer", "")])).contains("has 1 modules"));
    assert!(listed(json!([])).contains("has 0 modules"));
    assert!(listed(json!({})).contains("a list of modules"));
    assert!(listed(json!([{"type": "x"}])).contains("has no path"));
    assert!(listed(json!([at("Transformer", ""), at("Pooling", "3_Pooling")])).contains("missing"));
    for path in ["../x", "/x", "a/../../x", "..\\x", "c:x"] {
        let error = listed(json!([at("Transformer", path), at("Pooling", "1_Pooling")]));
        assert!(error.contains("leaves the model's folder"), "{path}: {error}");
    }
}

#[test]
fn a_cross_encoder_is_a_transformer_by_itself() {
    let mut files = old();
    let path = "sentence_transformers.base.modules.transformer.Transformer";
    files.insert("modules.json".into(), json!([module(path, "0_Transformer")]));
    let root = json!({"model_type": "CrossEncoder", "activation_fn": "torch.nn.modules.linear.Identity"});
    files.insert("config_sentence_transformers.json".into(), root);
    let read = read(&files).unwrap();
    assert_eq!(read.transformer, PathBuf::from("0_Transformer"));
    assert_eq!(read.activation.as_deref(), Some("torch.nn.modules.linear.Identity"));
}

#[test]
fn lengths_are_bounded_by_the_positions() {
    let checkpoint = crate::weights::Checkpoint::from_bytes(crate::weights::write_safetensors(&[]).unwrap()).unwrap();
    let config = Config::parse("config.json", r#"{"model_type": "bert", "max_position_embeddings": 100}"#).unwrap();
    let arch = super::super::tests::arch(&config, &checkpoint).unwrap();
    let limit = |max_length| SentenceConfig { max_length, ..SentenceConfig::default() }.max_tokens(&arch);
    assert_eq!([limit(None), limit(Some(256)), limit(Some(64))], [100, 100, 64]);
    for wrong in [json!(0), json!(-1), json!("256"), json!(1.5)] {
        let mut files = old();
        files.insert("sentence_bert_config.json".into(), json!({"max_seq_length": wrong}));
        assert!(matches!(read(&files), Err(Error::Config { .. })));
    }
}

#[test]
fn other_kinds_of_model_are_refused() {
    for root in [
        json!({"model_type": "SparseEncoder"}),
        json!({"prompts": {"query": "query: "}, "default_prompt_name": "query"}),
        json!({"prompts": {}, "default_prompt_name": "query"}),
    ] {
        let mut files = old();
        files.insert("config_sentence_transformers.json".into(), root);
        assert!(matches!(read(&files), Err(Error::Unsupported { .. })));
    }
}

proptest! {
    #[test]
    fn changed_files_never_panic(new_format in any::<bool>(), file in 0usize..5, key in 0usize..6, value in values()) {
        let mut files = if new_format { new() } else { old() };
        let changed = files.values_mut().nth(file).unwrap();
        // In modules.json, a field of one of the modules.
        let object = if changed.is_array() { &mut changed[key % 2] } else { changed };
        let name = object.as_object().unwrap().keys().nth(key).cloned().unwrap_or("pooling_mode".into());
        object[&name] = value;
        if let Ok(config) = read(&files) {
            prop_assert!(config.transformer.components().all(|part| matches!(part, Component::Normal(_) | Component::CurDir)));
            prop_assert!(config.max_length != Some(0));
        }
    }
}
