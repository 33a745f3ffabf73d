//! ALBERT (Lan et al. 2019): BERT whose embeddings are narrow, and whose layers share weights.

use super::arch::{Activation, Arch, Stack};
use super::bert::{self, Defaults};
use super::config::{Config, bounds};
use super::modules::Modules;
use super::task;
use crate::Result;
use crate::weights::Checkpoint;

pub(super) const MODULES: Modules = Modules {
    layer: "encoder.albert_layer_groups.#.albert_layers.0",
    qkv: ("attention.*", ["query", "key", "value"]),
    rest: ["attention.dense", "attention.LayerNorm", "ffn", "ffn_output", "full_layer_layer_norm"],
    project: "encoder.embedding_hidden_mapping_in",
};

const DEFAULTS: Defaults =
    Defaults { vocab: 30000, pad: 0, width: 4096, heads: 64, ffn: 16384, act: Activation::GeluTanh };

/// What `config.json` says.
///
/// # Errors
/// As [`bert::arch`]; [`crate::Error::Config`] for more groups than layers, [`crate::Error::Unsupported`] for groups of more
/// than one layer.
pub(super) fn arch(config: &Config, checkpoint: &Checkpoint) -> Result<Arch> {
    let arch = bert::arch(config, checkpoint, &task::ALBERT, &DEFAULTS)?;
    let key = "inner_group_num";
    if config.usize(key, 1, bounds::LAYERS)? != 1 {
        return Err(config.unsupported(key, "only groups of one layer are"));
    }
    let layers = arch.encoder.as_ref().map_or(1, |stack| stack.layers);
    let shared = Some(config.usize("num_hidden_groups", 1, 1..=layers)?);
    let embed_width = Some(config.usize("embedding_size", 128, bounds::WIDTH)?);
    Ok(Arch { encoder: arch.encoder.map(|stack| Stack { shared, ..stack }), embed_width, ..arch })
}
