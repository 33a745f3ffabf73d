//! BERT (Devlin et al. 2018): an encoder with learned positions, token types and norms after the residuals.

use super::arch::{Activation, Arch, Embed, Mlp, Norm, Position, Stack};
use super::config::{Config, bounds};
use super::names::{Names, below};
use super::task::{self, Heads};
use crate::Result;
use crate::weights::Checkpoint;

/// Modules of a layer, here and in the checkpoint.
const LAYER: [(&str, &str); 5] = [
    ("self.out", "attention.output.dense"),
    ("self.norm", "attention.output.LayerNorm"),
    ("mlp.up", "intermediate.dense"),
    ("mlp.down", "output.dense"),
    ("mlp.norm", "output.LayerNorm"),
];

/// Words and the id that pads, where `config.json` says nothing.
pub(super) const DEFAULTS: (usize, u32) = (30522, 0);

/// What `config.json` says of BERT or of a descendant with heads and defaults of its own; other absent keys have the defaults
/// of Hugging Face's `BertConfig`. The checkpoint says whether there is a pooler.
///
/// # Errors
/// [`crate::Error::Config`] for absurd values, [`crate::Error::Unsupported`] for decoders and relative positions.
pub(super) fn arch(config: &Config, checkpoint: &Checkpoint, heads: &Heads, defaults: (usize, u32)) -> Result<Arch> {
    config.refuse("is_decoder", "BERT and its kin run as encoders only")?;
    config.refuse("add_cross_attention", "BERT and its kin run as encoders only")?;
    if config.str("position_embedding_type")?.unwrap_or("absolute") != "absolute" {
        return Err(config.unsupported("position_embedding_type", "only absolute positions are"));
    }
    let vocab = config.usize("vocab_size", defaults.0, bounds::VOCAB)?;
    let prefix = below(checkpoint, heads.prefix);
    let pooler = ["weight", "bias"].iter().any(|part| checkpoint.contains(&format!("{prefix}pooler.dense.{part}")));
    let bare = Arch {
        vocab,
        encoder: Some(stack(config)?),
        embed: Embed { scale: 1.0, types: config.usize("type_vocab_size", 2, bounds::TYPES)? },
        pooler,
        pad_token: config.token("pad_token_id", Some(defaults.1), vocab)?,
        ..Arch::default()
    };
    task::read(config, checkpoint, heads, bare)
}

fn stack(config: &Config) -> Result<Stack> {
    let (width, heads, head_dim) = config.heads(("hidden_size", 768), ("num_attention_heads", 12))?;
    let max = config.usize("max_position_embeddings", 512, bounds::POSITIONS)?;
    Ok(Stack {
        layers: config.usize("num_hidden_layers", 12, bounds::LAYERS)?,
        width,
        heads,
        kv_heads: heads,
        head_dim,
        ffn: config.usize("intermediate_size", 3072, bounds::FFN)?,
        norm: Norm { rms: false, eps: config.f32("layer_norm_eps", 1e-12, bounds::EPS)?, before: false },
        mlp: Mlp { act: config.activation("hidden_act", Activation::Gelu)?, gated: false },
        position: Position::Learned { max, offset: 0, pads: None },
        scale: 1.0 / (head_dim as f32).sqrt(),
        embed_norm: true,
        ..Stack::default()
    })
}

/// The checkpoint's names.
pub(super) fn names<'a>(arch: &Arch, checkpoint: &'a Checkpoint, heads: &Heads) -> Names<'a> {
    let mut names = Names::new(checkpoint, below(checkpoint, heads.prefix));
    for (to, from) in [("word", "word"), ("position", "position"), ("type", "token_type")] {
        names.table(&format!("embed.{to}"), &format!("embeddings.{from}_embeddings"));
    }
    names.module("embed.norm", "embeddings.LayerNorm");
    for i in 0..arch.encoder.as_ref().map_or(0, |stack| stack.layers) {
        let (to, from) = (format!("encoder.{i}"), format!("encoder.layer.{i}"));
        names.fused(&format!("{to}.self.qkv"), &format!("{from}.attention.self.*"), &["query", "key", "value"], true);
        for (part, other) in LAYER {
            names.module(&format!("{to}.{part}"), &format!("{from}.{other}"));
        }
    }
    if arch.pooler {
        names.module("pooler", "pooler.dense");
    }
    task::names(&mut names, arch, heads);
    names
}

/// Index buffers, and heads of tasks that were not asked for.
pub(super) fn known_unused(name: &str) -> bool {
    let inner = [&task::BERT, &task::ROBERTA].iter().find_map(|heads| name.strip_prefix(heads.prefix)).unwrap_or(name);
    matches!(inner, "embeddings.position_ids" | "embeddings.token_type_ids")
        || inner.starts_with("pooler.dense.")
        || ["cls.", "lm_head.", "classifier.", "qa_outputs."].iter().any(|head| name.starts_with(head))
}
