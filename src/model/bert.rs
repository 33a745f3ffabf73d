//! BERT (Devlin et al. 2018): an encoder with learned positions, token types and norms after the residuals. The files of its
//! kin build on this one.

use super::arch::{Activation, Arch, Embed, Mlp, Norm, Position, Stack};
use super::config::{Config, bounds};
use super::names::{Names, below};
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

/// What a checkpoint calls the modules of its layers.
pub(super) struct Modules {
    /// A layer, with a `#` for its number.
    pub layer: &'static str,
    /// Queries, keys and values, with a `*` where their names differ, and what stands there.
    pub qkv: (&'static str, [&'static str; 3]),
    /// The projection after attention, its norm, the two halves of the feed-forward block, its norm.
    pub rest: [&'static str; 5],
    /// What makes embeddings as wide as the stack, where they are not.
    pub project: &'static str,
}

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

/// The checkpoint's names, of BERT or of a descendant that calls modules otherwise.
pub(super) fn names<'a>(arch: &Arch, checkpoint: &'a Checkpoint, heads: &Heads, modules: &Modules) -> Names<'a> {
    let mut names = Names::new(checkpoint, below(checkpoint, heads.prefix));
    names.table("embed.word", heads.word);
    names.table("embed.position", "embeddings.position_embeddings");
    if arch.embed.types > 0 {
        names.table("embed.type", "embeddings.token_type_embeddings");
    }
    names.module("embed.norm", "embeddings.LayerNorm");
    if arch.embed_width.is_some() {
        names.module("embed.project", modules.project);
    }
    if let Some(stack) = &arch.encoder {
        layers(&mut names, stack, modules);
    }
    if arch.pooler {
        names.module("pooler", heads.pooler);
    }
    task::names(&mut names, arch, heads);
    names
}

fn layers(names: &mut Names<'_>, stack: &Stack, modules: &Modules) {
    if stack.buckets.is_some() {
        names.table_as("encoder.buckets", "encoder.relative_attention_bias");
    }
    for i in 0..stack.shared.unwrap_or(stack.layers) {
        let (to, from) = (format!("encoder.{i}"), modules.layer.replace('#', &i.to_string()));
        let (qkv, parts) = modules.qkv;
        names.fused(&format!("{to}.self.qkv"), &format!("{from}.{qkv}"), &parts, true);
        for (part, other) in ["self.out", "self.norm", "mlp.up", "mlp.down", "mlp.norm"].iter().zip(modules.rest) {
            names.module(&format!("{to}.{part}"), &format!("{from}.{other}"));
        }
    }
}

/// Index buffers, and heads of tasks that were not asked for.
pub(super) fn known_unused(name: &str, heads: &Heads) -> bool {
    let inner = name.strip_prefix(heads.prefix).unwrap_or(name);
    matches!(inner, "embeddings.position_ids" | "embeddings.token_type_ids")
        || inner.starts_with(&format!("{}.", heads.pooler))
        || heads.unused.iter().any(|head| name.starts_with(head))
}
