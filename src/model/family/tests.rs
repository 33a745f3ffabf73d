//! `config.json` of each family to `Arch`: dialects, defaults, absurd values, variants that cannot run. The goldens in
//! `tests/` tell whether an `Arch` is the right one.

use proptest::prelude::*;
use serde_json::{Value, json};

use crate::graph::Kind;
use crate::kernel::Role;
use crate::model::arch::{Activation, Arch, Biases, Buckets, Embed, Head, Norm, Position, RopeScaling, Stack};
use crate::model::config::Config;
use crate::model::family::{FAMILIES, Family};
use crate::model::forward::{Outputs, Sizes, graph};
use crate::model::mutations::values;
use crate::weights::{Checkpoint, DType, Values, write_safetensors};
use crate::{Error, Result};

/// A checkpoint in which nothing is needed.
fn empty() -> Checkpoint {
    Checkpoint::from_bytes(write_safetensors(&[("x", &[1], Values::F32(&[0.0]))]).unwrap()).unwrap()
}

fn read(config: &Value) -> Result<Arch> {
    let config = Config::parse("config.json", &config.to_string())?;
    (Family::of(&config)?.arch)(&config, &empty())
}

fn decoder(config: &Value) -> Stack {
    read(config).unwrap().decoder.unwrap()
}

fn encoder(config: &Value) -> Stack {
    read(config).unwrap().encoder.unwrap()
}

/// A small configuration of a family, with keys of its own.
fn small(model_type: &str, more: Value) -> Value {
    let mut config = json!({
        "model_type": model_type, "vocab_size": 11, "hidden_size": 24, "intermediate_size": 8, "num_hidden_layers": 3,
        "num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 64,
        "d_model": 24, "encoder_layers": 2, "encoder_attention_heads": 3, "encoder_ffn_dim": 8, "pad_token_id": 1,
        "decoder_layers": 3, "decoder_attention_heads": 4, "decoder_ffn_dim": 9, "activation_function": "relu",
        "d_kv": 5, "d_ff": 8, "num_layers": 2, "num_heads": 3, "n_embd": 24, "n_layer": 2, "n_head": 3,
    });
    config.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    config
}

#[test]
fn both_dialects_of_rope_are_read() {
    let scaling = json!({"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
        "original_max_position_embeddings": 32});
    let old = small("llama", json!({"rope_theta": 500.0, "rope_scaling": scaling, "torch_dtype": "bfloat16"}));
    let mut parameters = scaling;
    parameters["rope_theta"] = json!(500.0);
    let new = small("llama", json!({"rope_parameters": parameters, "dtype": "bfloat16"}));
    let scaling = RopeScaling::Llama3 { factor: 8.0, low: 1.0, high: 4.0, original: 32 };
    assert_eq!(decoder(&old).position, Position::Rope { theta: 500.0, max: 64, scaling });
    assert_eq!(decoder(&new), decoder(&old));
    let linear = small("llama", json!({"rope_scaling": {"type": "linear", "factor": 2.0}}));
    let scaling = RopeScaling::Linear(2.0);
    assert_eq!(decoder(&linear).position, Position::Rope { theta: 10000.0, max: 64, scaling });
    for nothing in [json!({"rope_scaling": null}), json!({"rope_parameters": {"rope_type": "default"}}), json!({})] {
        let scaling = RopeScaling::None;
        assert_eq!(decoder(&small("llama", nothing)).position, Position::Rope { theta: 10000.0, max: 64, scaling });
    }
}

#[test]
fn windows_are_read() {
    let windows = |model_type, more| decoder(&small(model_type, more)).windows;
    assert_eq!(windows("llama", json!({"sliding_window": 4})), []);
    // Mistral's configuration means 4096 where it says nothing, and a window counts the query itself.
    assert_eq!(windows("mistral", json!({})), [Some(4095)]);
    assert_eq!(windows("mistral", json!({"sliding_window": null})), [None]);
    assert_eq!(windows("mistral", json!({"sliding_window": 4})), [Some(3)]);
    assert_eq!(windows("qwen2", json!({"sliding_window": 4})), []);
    let slides = |more: Value| {
        let mut config = json!({"use_sliding_window": true, "sliding_window": 4});
        config.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        windows("qwen2", config)
    };
    assert_eq!(slides(json!({"max_window_layers": 1})), [None, Some(3), Some(3)]);
    assert_eq!(slides(json!({"max_window_layers": 28})), [None; 3]);
    let types = ["sliding_attention", "full_attention", "sliding_attention"];
    assert_eq!(slides(json!({"layer_types": types, "max_window_layers": 3})), [Some(3), None, Some(3)]);
}

#[test]
fn both_dialects_of_two_ropes_are_read() {
    let rope = |theta| (theta, RopeScaling::None);
    let ropes = |more| {
        let stack = encoder(&small("modernbert", more));
        let Position::Rope { theta, max: 64, scaling } = stack.position else { panic!("{:?}", stack.position) };
        [(theta, scaling), stack.local_rope.unwrap()]
    };
    assert_eq!(ropes(json!({})), [rope(160_000.0), rope(10_000.0)]);
    assert_eq!(ropes(json!({"global_rope_theta": 5e4, "local_rope_theta": 20.0})), [rope(5e4), rope(20.0)]);
    assert_eq!(ropes(json!({"global_rope_theta": 5e4, "local_rope_theta": null})), [rope(5e4), rope(5e4)]);
    let linear = json!({"rope_type": "linear", "factor": 4.0, "rope_theta": 7.0});
    let new = json!({"rope_parameters": {"full_attention": linear, "sliding_attention": {"rope_theta": 8.0}}});
    assert_eq!(ropes(new), [(7.0, RopeScaling::Linear(4.0)), rope(8.0)]);
    // What one dialect leaves open, the other's key or the default says.
    let open = json!({"rope_parameters": {"full_attention": {"rope_type": "default"}}, "global_rope_theta": 9.0});
    assert_eq!(ropes(open), [rope(9.0), rope(10_000.0)]);
    let both = json!({"rope_scaling": {"type": "linear", "factor": 4.0}});
    assert_eq!(ropes(both).map(|(_, scaling)| scaling), [RopeScaling::Linear(4.0); 2]);
}

#[test]
fn modernberts_windows_are_half_as_wide_as_told() {
    let windows = |more| encoder(&small("modernbert", more)).windows;
    assert_eq!(windows(json!({})), [None, Some(64), Some(64)]);
    assert_eq!(windows(json!({"global_attn_every_n_layers": 2, "local_attention": 7})), [None, Some(3), None]);
    assert_eq!(windows(json!({"global_attn_every_n_layers": 1})), [None; 3]);
    let types = ["sliding_attention", "sliding_attention", "full_attention"];
    assert_eq!(windows(json!({"layer_types": types, "local_attention": 6})), [Some(3), Some(3), None]);
}

#[test]
fn encoders_differ_as_they_should() {
    let plain = encoder(&small("modernbert", json!({"norm_eps": 0.25})));
    assert_eq!((plain.norm, plain.mlp.gated), (Norm { rms: false, eps: 0.25, before: true }, true));
    assert_eq!((plain.embed_norm, plain.first_norm, plain.final_norm), (true, false, true));
    assert_eq!((plain.biases, plain.mlp.act), (Biases::NONE, Activation::Gelu));
    let biased = |key: &str| encoder(&small("modernbert", json!({key: true}))).biases;
    assert_eq!(biased("attention_bias"), Biases { qkv: true, out: true, ..Biases::NONE });
    assert_eq!(biased("mlp_bias"), Biases { mlp: true, ..Biases::NONE });
    assert_eq!(biased("norm_bias"), Biases { norm: true, ..Biases::NONE });

    // The id that positions do not count is 1, whatever pads; token types there are none, whatever the configuration says.
    let mpnet = read(&small("mpnet", json!({"pad_token_id": 4, "type_vocab_size": 2}))).unwrap();
    assert_eq!((mpnet.pad_token, &mpnet.embed), (Some(4), &Embed { scale: 1.0, types: 0 }));
    let stack = mpnet.encoder.unwrap();
    assert_eq!(stack.position, Position::Learned { max: 62, offset: 2, pads: Some(1) });
    assert_eq!((stack.buckets, stack.counts_apart()), (Some(Buckets { count: 32, distance: 128 }), true));

    let electra = |more| read(&small("electra", more)).unwrap();
    assert_eq!(electra(json!({"embedding_size": 24})).embed_width, None);
    assert_eq!(electra(json!({})).embed_width, Some(128));
    let stack = encoder(&json!({"model_type": "electra"}));
    assert_eq!((stack.layers, stack.width, stack.heads, stack.ffn), (12, 256, 4, 1024));

    let albert = |more| read(&small("albert", more)).unwrap();
    assert_eq!(albert(json!({"embedding_size": 24})).embed_width, Some(24));
    let stack = encoder(&json!({"model_type": "albert"}));
    assert_eq!((stack.width, stack.heads, stack.ffn, stack.mlp.act), (4096, 64, 16384, Activation::GeluTanh));
    let groups = |layers, groups| {
        let stack = encoder(&small("albert", json!({"num_hidden_layers": layers, "num_hidden_groups": groups})));
        (0..layers).map(|i| stack.weights_of(i)).collect::<Vec<_>>()
    };
    assert_eq!((groups(4, 1), groups(4, 4)), (vec![0; 4], vec![0, 1, 2, 3]));
    assert_eq!((groups(4, 2), groups(5, 2)), (vec![0, 0, 1, 1], vec![0, 0, 0, 1, 1]));
}

#[test]
fn families_differ_as_they_should() {
    let qwen2 = decoder(&small("qwen2", json!({})));
    assert_eq!((qwen2.biases, qwen2.qk_norm), (Biases { qkv: true, ..Biases::NONE }, false));
    assert_eq!((qwen2.head_dim, qwen2.kv_heads, qwen2.norm.eps), (6, 2, 1e-6));
    let qwen3 = decoder(&small("qwen3", json!({})));
    assert_eq!((qwen3.biases, qwen3.qk_norm, qwen3.head_dim), (Biases::NONE, true, 128));
    let llama = small("llama", json!({"attention_bias": true, "num_key_value_heads": null, "head_dim": 8}));
    let stack = decoder(&llama);
    assert_eq!((stack.biases, stack.kv_heads, stack.head_dim), (Biases { qkv: true, out: true, ..Biases::NONE }, 4, 8));
    assert_eq!(stack.scale, 1.0 / 8f32.sqrt());

    let bart = read(&small("bart", json!({}))).unwrap();
    assert_eq!((bart.embed.scale, bart.head, bart.head_bias), (1.0, Head::Tied, false));
    assert_eq!(bart.decoder.unwrap().position, Position::Learned { max: 64, offset: 2, pads: None });
    let roberta = read(&small("roberta", json!({}))).unwrap();
    assert_eq!((roberta.vocab, roberta.embed.types, roberta.pad_token), (11, 2, Some(1)));
    let position = Position::Learned { max: 62, offset: 2, pads: Some(1) };
    assert_eq!(roberta.encoder.unwrap().position, position);
    assert_eq!(position.of_row(0, &[1, 5, 1, 6]), [62, 0, 62, 1]);
    let config = json!({"dim": 24, "n_heads": 2, "hidden_dim": 8, "activation": "relu", "sinusoidal_pos_embds": true});
    let distilbert = read(&small("distilbert", config)).unwrap();
    assert_eq!((distilbert.embed.types, distilbert.pooler), (0, false));
    let stack = distilbert.encoder.unwrap();
    assert_eq!((stack.layers, stack.head_dim, stack.norm.eps, stack.mlp.act), (6, 12, 1e-12, Activation::Relu));
    assert_eq!(stack.position, Position::Learned { max: 64, offset: 0, pads: None });
    let m2m100 = read(&small("m2m_100", json!({}))).unwrap();
    assert_eq!(m2m100.embed.scale, 24f32.sqrt());
    let position = Position::Sinusoid { max: 64, offset: 2, closed: true, pads: Some(1) };
    assert_eq!(m2m100.encoder.unwrap().position, position);
    let t5 = read(&small("t5", json!({}))).unwrap();
    assert_eq!((t5.head_scale, t5.encoder.as_ref().unwrap().mlp.act), (1.0 / 24f32.sqrt(), Activation::Relu));
    assert_eq!(t5.decoder.unwrap().layers, 2);
    let flan = json!({"feed_forward_proj": "gated-gelu", "tie_word_embeddings": false, "num_decoder_layers": 4});
    let flan = read(&small("t5", flan)).unwrap();
    let stack = flan.decoder.unwrap();
    assert_eq!((flan.head_scale, stack.mlp.act, stack.mlp.gated), (1.0, Activation::GeluTanh, true));
    assert_eq!((stack.layers, stack.scale, stack.heads * stack.head_dim), (4, 1.0, 15));
    assert_eq!(read(&small("mt5", json!({}))).unwrap().head_scale, 1.0);
    let gpt2 = decoder(&small("gpt2", json!({"activation_function": "gelu_new", "n_inner": null})));
    assert_eq!((gpt2.ffn, gpt2.mlp.act, gpt2.norm.before), (96, Activation::GeluTanh, true));
}

#[test]
fn absurd_values_and_variants_are_refused() {
    let cases = [
        ("llama", json!({"num_key_value_heads": 3}), "a divisor of the 4 heads"),
        ("llama", json!({"head_dim": 7}), "even width"),
        ("llama", json!({"rope_theta": 0}), "rope_theta"),
        ("llama", json!({"rope_scaling": []}), "an object"),
        ("llama", json!({"rope_scaling": {"rope_type": "yarn", "factor": 4.0}}), "yarn"),
        ("llama", json!({"rope_scaling": {"rope_type": "linear"}}), "factor is missing"),
        ("llama", json!({"rope_parameters": {"rope_type": "llama3", "factor": 8.0}}), "low_freq_factor is missing"),
        ("llama", json!({"partial_rotary_factor": 0.5, "rope_parameters": {}}), "partial_rotary_factor"),
        ("mistral", json!({"sliding_window": 0}), "sliding_window"),
        ("qwen2", json!({"use_sliding_window": true, "layer_types": ["full_attention"]}), "layer_types"),
        ("qwen2", json!({"use_sliding_window": true, "layer_types": ["a", "b", "c"]}), "sliding_attention"),
        ("marian", json!({"share_encoder_decoder_embeddings": false}), "share_encoder_decoder_embeddings"),
        ("gpt2", json!({"add_cross_attention": true, "activation_function": "gelu"}), "add_cross_attention"),
        ("t5", json!({"feed_forward_proj": "gated-wiggle"}), "wiggle"),
        ("t5", json!({"relative_attention_max_distance": 16}), "from 17"),
        ("t5", json!({"relative_attention_num_buckets": 1}), "relative_attention_num_buckets"),
        ("roberta", json!({"pad_token_id": null}), "pad_token_id is null"),
        ("xlm-roberta", json!({"max_position_embeddings": 2}), "more than pad_token_id + 1 = 2"),
        ("roberta", json!({"is_decoder": true}), "is_decoder"),
        ("distilbert", json!({"n_heads": 5}), "dim is 768 with n_heads of 5"),
        ("distilbert", json!({"activation": "gelu_wide"}), "gelu_wide"),
        ("bart", json!({"decoder_attention_heads": 5}), "decoder_attention_heads"),
        ("mpnet", json!({"relative_attention_num_buckets": 16}), "relative_attention_num_buckets = 16"),
        ("mpnet", json!({"max_position_embeddings": 2}), "expected more than pad_token_id + 1 = 2"),
        ("mpnet", json!({"num_attention_heads": 5}), "num_attention_heads of 5"),
        ("electra", json!({"embedding_size": 0}), "embedding_size is 0"),
        ("electra", json!({"is_decoder": true}), "is_decoder"),
        ("albert", json!({"embedding_size": "wide"}), "embedding_size"),
        ("albert", json!({"num_hidden_groups": 4}), "num_hidden_groups is 4, expected a whole number from 1 to 3"),
        ("albert", json!({"inner_group_num": 2}), "only groups of one layer are"),
        ("modernbert", json!({"local_attention": 0}), "local_attention"),
        ("modernbert", json!({"global_attn_every_n_layers": 0}), "global_attn_every_n_layers"),
        ("modernbert", json!({"layer_types": ["full_attention"]}), "layer_types"),
        ("modernbert", json!({"classifier_pooling": "max"}), "expected cls or mean"),
        ("modernbert", json!({"classifier_pooling": 1}), "a string"),
        ("modernbert", json!({"classifier_activation": "wiggle"}), "wiggle"),
        ("modernbert", json!({"norm_bias": 1}), "norm_bias"),
        ("modernbert", json!({"num_attention_heads": 8}), "even width"),
        ("modernbert", json!({"local_rope_theta": 0}), "local_rope_theta"),
        ("modernbert", json!({"rope_parameters": {"full_attention": 1}}), "full_attention is 1, expected an object"),
        ("modernbert", json!({"rope_parameters": {"full_attention": {"rope_type": "yarn"}}}), "yarn"),
    ];
    for (family, more, says) in cases {
        let error = read(&small(family, more)).unwrap_err();
        assert!(matches!(error, Error::Config { .. } | Error::Unsupported { .. }), "{error}");
        assert!(error.to_string().contains(says), "{error} does not say {says:?}");
    }
}

proptest! {
    /// A valid configuration, changed anywhere, gives an error or an architecture whose graphs can be built.
    #[test]
    fn changed_configurations_never_panic(family in 0usize..FAMILIES.len(), key in 0usize..50, value in values()) {
        let mut config = small(FAMILIES[family].model_type, json!({
            "rope_theta": 1e4, "rope_scaling": null, "sliding_window": 4, "use_sliding_window": true,
            "max_window_layers": 1, "head_dim": 6, "feed_forward_proj": "gated-gelu", "num_decoder_layers": 2,
            "relative_attention_num_buckets": 32, "relative_attention_max_distance": 20, "scale_embedding": true,
            "embedding_size": 12, "num_hidden_groups": 2, "inner_group_num": 1, "local_attention": 6, "local_rope_theta": 9.0,
            "global_attn_every_n_layers": 2, "classifier_pooling": "mean", "norm_bias": true,
        }));
        let key = config.as_object().unwrap().keys().filter(|key| *key != "model_type").nth(key).cloned();
        config[key.unwrap_or("other".into())] = value;
        if let Ok(arch) = read(&config) {
            let outputs = Outputs { taps: Some(9), ..Outputs::of_heads() };
            for role in [Role::Full, Role::Prefill, Role::Decode] {
                let graph = graph(&arch, role, outputs, Sizes { slots: 1 }, &|_| DType::F32);
                let has = |kind| graph.tensors().iter().any(|tensor| tensor.kind == kind);
                prop_assert_eq!(arch.roles().contains(&role), has(Kind::Weight));
            }
        }
    }
}
