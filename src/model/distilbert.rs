//! DistilBERT (Sanh et al. 2019): BERT without token types and pooler, under names of its own.

use super::arch::{Activation, Arch, Mlp, Norm, Position, Stack};
use super::config::{Config, bounds};
use super::names::{Names, below};
use super::task;
use crate::Result;
use crate::weights::Checkpoint;

/// Modules of a layer, here and in the checkpoint.
const LAYER: [(&str, &str); 5] = [
    ("self.out", "attention.out_lin"),
    ("self.norm", "sa_layer_norm"),
    ("mlp.up", "ffn.lin1"),
    ("mlp.down", "ffn.lin2"),
    ("mlp.norm", "output_layer_norm"),
];

/// What `config.json` says; absent keys have the defaults of Hugging Face's `DistilBertConfig`. `sinusoidal_pos_embds` says
/// only what the table of positions, which is in the checkpoint, was before training.
///
/// # Errors
/// [`crate::Error::Config`] for absurd values.
pub(super) fn arch(config: &Config, checkpoint: &Checkpoint) -> Result<Arch> {
    let vocab = config.usize("vocab_size", 30522, bounds::VOCAB)?;
    let (width, heads, head_dim) = config.heads(("dim", 768), ("n_heads", 12))?;
    let max = config.usize("max_position_embeddings", 512, bounds::POSITIONS)?;
    let stack = Stack {
        layers: config.usize("n_layers", 6, bounds::LAYERS)?,
        width,
        heads,
        kv_heads: heads,
        head_dim,
        ffn: config.usize("hidden_dim", 3072, bounds::FFN)?,
        // The implementation has no key for it.
        norm: Norm { rms: false, eps: 1e-12, before: false },
        mlp: Mlp { act: config.activation("activation", Activation::Gelu)?, gated: false },
        position: Position::Learned { max, offset: 0, pads: None },
        scale: 1.0 / (head_dim as f32).sqrt(),
        embed_norm: true,
        ..Stack::default()
    };
    let pad_token = config.token("pad_token_id", Some(0), vocab)?;
    let bare = Arch { vocab, encoder: Some(stack), pad_token, ..Arch::default() };
    task::read(config, checkpoint, &task::DISTILBERT, bare)
}

/// The checkpoint's names.
pub(super) fn names<'a>(arch: &Arch, checkpoint: &'a Checkpoint) -> Names<'a> {
    let mut names = Names::new(checkpoint, below(checkpoint, task::DISTILBERT.prefix));
    for part in ["word", "position"] {
        names.table(&format!("embed.{part}"), &format!("embeddings.{part}_embeddings"));
    }
    names.module("embed.norm", "embeddings.LayerNorm");
    for i in 0..arch.encoder.as_ref().map_or(0, |stack| stack.layers) {
        let (to, from) = (format!("encoder.{i}"), format!("transformer.layer.{i}"));
        names.fused(&format!("{to}.self.qkv"), &format!("{from}.attention.*_lin"), &["q", "k", "v"], true);
        for (part, other) in LAYER {
            names.module(&format!("{to}.{part}"), &format!("{from}.{other}"));
        }
    }
    task::names(&mut names, arch, &task::DISTILBERT);
    names
}

/// An index buffer, and heads of tasks that were not asked for.
pub(super) fn known_unused(name: &str) -> bool {
    name.strip_prefix(task::DISTILBERT.prefix).unwrap_or(name) == "embeddings.position_ids"
        || ["vocab_", "pre_classifier.", "classifier.", "qa_outputs."].iter().any(|head| name.starts_with(head))
}
