//! ELECTRA (Clark et al. 2020): BERT whose embeddings may be narrower than its layers. A discriminator's own head, which tells
//! words that were replaced, is left aside.

use super::arch::Arch;
use super::bert::{self, Defaults};
use super::config::{Config, bounds};
use super::task;
use crate::Result;
use crate::weights::Checkpoint;

const DEFAULTS: Defaults = Defaults { width: 256, heads: 4, ffn: 1024, ..bert::DEFAULTS };

/// What `config.json` says; nothing widens embeddings that are as wide as the layers.
///
/// # Errors
/// As [`bert::arch`].
pub(super) fn arch(config: &Config, checkpoint: &Checkpoint) -> Result<Arch> {
    let arch = bert::arch(config, checkpoint, &task::ELECTRA, &DEFAULTS)?;
    let width = config.usize("embedding_size", 128, bounds::WIDTH)?;
    let narrower = arch.encoder.as_ref().is_some_and(|stack| stack.width != width);
    Ok(Arch { embed_width: narrower.then_some(width), ..arch })
}
