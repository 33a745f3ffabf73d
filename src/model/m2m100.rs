//! M2M100 (Fan et al. 2020) and NLLB (Costa-jussa et al. 2022): pre-norm stacks with computed sinusoids, which do not
//! count padding.

use super::arch::{Activation, Arch, Position, Stack};
use super::bart::{self, Defaults};
use super::config::{Config, bounds};
use crate::Result;
use crate::weights::Checkpoint;

const DEFAULTS: Defaults = Defaults { vocab: 128_112, pad: 1, scale_embedding: true, act: Activation::Relu };

/// What `config.json` says.
pub(super) fn arch(config: &Config, checkpoint: &Checkpoint) -> Result<Arch> {
    let vocab = config.usize("vocab_size", DEFAULTS.vocab, bounds::VOCAB)?;
    let pad = config.token("pad_token_id", Some(DEFAULTS.pad), vocab)?.unwrap_or(DEFAULTS.pad);
    // As in fairseq, the first position comes after the padding id.
    let (max, offset) = (bart::positions(config)?, pad as usize + 1);
    let position = Position::Sinusoid { max, offset, closed: true, pads: Some(pad) };
    bart::arch(config, checkpoint, DEFAULTS, |stack| Stack { position, ..bart::pre_norm(stack) })
}
