//! BERT (Devlin et al. 2018): an encoder with learned positions, token types and norms after the residuals. The files of its
//! kin build on this one.

use super::arch::{Activation, Arch, Embed, Mlp, Norm, Position, Stack};
use super::config::{Config, bounds};
use super::modules::Modules;
use super::names::below;
use super::task::{self, Heads};
use crate::Result;
use crate::weights::Checkpoint;

/// What stands where `config.json` says nothing.
pub(super) struct Defaults {
    pub vocab: usize,
    pub pad: u32,
    pub width: usize,
    pub heads: usize,
    pub ffn: usize,
    pub act: Activation,
}

pub(super) const DEFAULTS: Defaults =
    Defaults { vocab: 30522, pad: 0, width: 768, heads: 12, ffn: 3072, act: Activation::Gelu };

pub(super) const MODULES: Modules = Modules {
    layer: "encoder.layer.#",
    qkv: ("attention.self.*", ["query", "key", "value"]),
    rest: [
        "attention.output.dense",
        "attention.output.LayerNorm",
        "intermediate.dense",
        "output.dense",
        "output.LayerNorm",
    ],
    project: "embeddings_project",
};

/// What `config.json` says of BERT or of a descendant with heads and defaults of its own; other absent keys have the defaults
/// of Hugging Face's `BertConfig`. The checkpoint says whether there is a pooler.
///
/// # Errors
/// [`crate::Error::Config`] for absurd values, [`crate::Error::Unsupported`] for decoders and relative positions.
pub(super) fn arch(config: &Config, checkpoint: &Checkpoint, heads: &Heads, defaults: &Defaults) -> Result<Arch> {
    config.refuse("is_decoder", "BERT and its kin run as encoders only")?;
    config.refuse("add_cross_attention", "BERT and its kin run as encoders only")?;
    if config.str("position_embedding_type")?.unwrap_or("absolute") != "absolute" {
        return Err(config.unsupported("position_embedding_type", "only absolute positions are"));
    }
    let vocab = config.usize("vocab_size", defaults.vocab, bounds::VOCAB)?;
    let pooler = format!("{}{}", below(checkpoint, heads.prefix), heads.pooler);
    let pooler = ["weight", "bias"].iter().any(|part| checkpoint.contains(&format!("{pooler}.{part}")));
    let bare = Arch {
        vocab,
        encoder: Some(stack(config, defaults)?),
        embed: Embed { scale: 1.0, types: config.usize("type_vocab_size", 2, bounds::TYPES)? },
        pooler,
        pad_token: config.token("pad_token_id", Some(defaults.pad), vocab)?,
        ..Arch::default()
    };
    task::read(config, checkpoint, heads, bare)
}

fn stack(config: &Config, defaults: &Defaults) -> Result<Stack> {
    let keys = [("hidden_size", defaults.width), ("num_attention_heads", defaults.heads)];
    let (width, heads, head_dim) = config.heads(keys[0], keys[1])?;
    let max = config.usize("max_position_embeddings", 512, bounds::POSITIONS)?;
    Ok(Stack {
        layers: config.usize("num_hidden_layers", 12, bounds::LAYERS)?,
        width,
        heads,
        kv_heads: heads,
        head_dim,
        ffn: config.usize("intermediate_size", defaults.ffn, bounds::FFN)?,
        norm: Norm { rms: false, eps: config.f32("layer_norm_eps", 1e-12, bounds::EPS)?, before: false },
        mlp: Mlp { act: config.activation("hidden_act", defaults.act)?, gated: false },
        position: Position::Learned { max, offset: 0, pads: None },
        scale: 1.0 / (head_dim as f32).sqrt(),
        embed_norm: true,
        ..Stack::default()
    })
}
