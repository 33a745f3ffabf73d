//! BERT (Devlin et al. 2018): an encoder with learned positions, token types and norms after the residuals.

use super::arch::{Activation, Arch, Embed, Mlp, Norm, Position, Stack};
use super::config::{Config, bounds};
use super::names::Names;
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

/// What `config.json` says; absent keys have the defaults of Hugging Face's `BertConfig`. The checkpoint says whether
/// there is a pooler.
///
/// # Errors
/// [`crate::Error::Config`] for absurd values, [`crate::Error::Unsupported`] for decoders and relative positions.
pub fn arch(config: &Config, checkpoint: &Checkpoint) -> Result<Arch> {
    config.refuse("is_decoder", "BERT runs as an encoder only")?;
    config.refuse("add_cross_attention", "BERT runs as an encoder only")?;
    if config.str("position_embedding_type")?.unwrap_or("absolute") != "absolute" {
        return Err(config.unsupported("position_embedding_type", "only absolute positions are"));
    }
    let vocab = config.usize("vocab_size", 30522, bounds::VOCAB)?;
    let prefix = prefix(checkpoint);
    let pooler = ["weight", "bias"].iter().any(|part| checkpoint.contains(&format!("{prefix}pooler.dense.{part}")));
    Ok(Arch {
        vocab,
        encoder: Some(stack(config)?),
        embed: Embed { scale: 1.0, types: config.usize("type_vocab_size", 2, bounds::TYPES)? },
        pooler,
        pad_token: config.token("pad_token_id", Some(0), vocab)?,
        ..Arch::default()
    })
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
        position: Position::Learned { max, offset: 0 },
        scale: 1.0 / (head_dim as f32).sqrt(),
        embed_norm: true,
        ..Stack::default()
    })
}

/// Task classes save the encoder below `bert.`.
fn prefix(checkpoint: &Checkpoint) -> &'static str {
    let task = checkpoint.contains("bert.embeddings.word_embeddings.weight");
    if task { "bert." } else { "" }
}

/// The checkpoint's names.
pub(super) fn names<'a>(arch: &Arch, checkpoint: &'a Checkpoint) -> Names<'a> {
    let mut names = Names::new(checkpoint, prefix(checkpoint));
    for (to, from) in [("word", "word"), ("position", "position"), ("type", "token_type")] {
        names.table(&format!("embed.{to}"), &format!("embeddings.{from}_embeddings"));
    }
    names.module("embed.norm", "embeddings.LayerNorm");
    for i in 0..arch.encoder.as_ref().map_or(0, |stack| stack.layers) {
        let (to, from) = (format!("encoder.{i}"), format!("encoder.layer.{i}"));
        let qkv = ["query", "key", "value"].map(|part| (format!("{from}.attention.self.{part}"), 1));
        names.rows(&format!("{to}.self.qkv"), &qkv, true);
        for (part, other) in LAYER {
            names.module(&format!("{to}.{part}"), &format!("{from}.{other}"));
        }
    }
    if arch.pooler {
        names.module("pooler", "pooler.dense");
    }
    names
}

/// Index buffers, and heads of tasks that were not asked for.
pub(super) fn known_unused(name: &str) -> bool {
    let inner = name.strip_prefix("bert.").unwrap_or(name);
    matches!(inner, "embeddings.position_ids" | "embeddings.token_type_ids")
        || inner.starts_with("pooler.dense.")
        || ["cls.", "classifier.", "qa_outputs."].iter().any(|head| name.starts_with(head))
}
