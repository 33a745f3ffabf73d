//! DistilBERT (Sanh et al. 2019): BERT without token types and pooler, under names of its own.

use super::arch::{Activation, Arch, Mlp, Norm, Position, Stack};
use super::config::{Config, bounds};
use super::modules::Modules;
use super::task;
use crate::Result;
use crate::weights::Checkpoint;

pub(super) const MODULES: Modules = Modules {
    layer: "transformer.layer.#",
    qkv: ("attention.*_lin", ["q", "k", "v"]),
    rest: ["attention.out_lin", "sa_layer_norm", "ffn.lin1", "ffn.lin2", "output_layer_norm"],
    project: "",
};

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
