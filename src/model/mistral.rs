//! Mistral (Jiang et al. 2023): a Llama whose layers see a window.

use super::arch::{Arch, Stack};
use super::config::{Config, bounds};
use super::llama::{self, Defaults};
use crate::Result;
use crate::weights::Checkpoint;

/// Every layer sees `sliding_window` tokens, itself included, unless that is null.
pub(super) fn arch(config: &Config, checkpoint: &Checkpoint) -> Result<Arch> {
    let defaults = Defaults { vocab: 32000, kv_heads: Some(8), positions: 131_072, head_dim: None };
    let window = match config.is_null("sliding_window") {
        true => None,
        false => Some(config.usize("sliding_window", 4096, bounds::POSITIONS)?),
    };
    llama::arch(config, checkpoint, defaults, |stack| {
        Ok(Stack { windows: vec![window.map(|w| w as u32 - 1)], ..stack })
    })
}
