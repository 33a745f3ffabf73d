//! Qwen2 (Yang et al. 2024) and Qwen3 (2025): Llamas with biases on queries, keys and values, or with norms on query and
//! key heads.

use super::arch::{Arch, Biases, Stack};
use super::config::{Config, bounds};
use super::llama::{self, Defaults};
use crate::Result;
use crate::weights::Checkpoint;

/// Qwen2: biases on queries, keys and values, none elsewhere.
pub(super) fn qwen2(config: &Config, checkpoint: &Checkpoint) -> Result<Arch> {
    let biases = Biases { qkv: true, ..Biases::NONE };
    let defaults = Defaults { vocab: 151_936, kv_heads: Some(32), positions: 32768, head_dim: None };
    llama::arch(config, checkpoint, defaults, |stack| {
        Ok(Stack { biases, windows: windows(config, stack.layers)?, ..stack })
    })
}

/// Qwen3: norms on query and key heads, whose width is a key of its own.
pub(super) fn qwen3(config: &Config, checkpoint: &Checkpoint) -> Result<Arch> {
    let bias = config.bool("attention_bias", false)?;
    let biases = Biases { qkv: bias, out: bias, ..Biases::NONE };
    let defaults = Defaults { vocab: 151_936, kv_heads: Some(32), positions: 32768, head_dim: Some(128) };
    llama::arch(config, checkpoint, defaults, |stack| {
        Ok(Stack { biases, qk_norm: true, windows: windows(config, stack.layers)?, ..stack })
    })
}

/// Layers see everything, unless `use_sliding_window` is set: then those see a window that `layer_types` names, or those
/// from `max_window_layers` on.
fn windows(config: &Config, layers: usize) -> Result<Vec<Option<u32>>> {
    if !config.bool("use_sliding_window", false)? || config.is_null("sliding_window") {
        return Ok(Vec::new());
    }
    let window = config.usize("sliding_window", 4096, bounds::POSITIONS)? as u32 - 1;
    let first = config.usize("max_window_layers", 28, 0..=usize::MAX)?;
    let slides = match config.layer_types(layers)? {
        Some(types) => types.iter().map(|kind| kind == "sliding_attention").collect(),
        None => (0..layers).map(|i| i >= first).collect::<Vec<_>>(),
    };
    Ok(slides.into_iter().map(|slides| slides.then_some(window)).collect())
}
