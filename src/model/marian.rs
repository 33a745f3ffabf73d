//! Marian (Junczys-Dowmunt et al. 2018), as Hugging Face converts OPUS-MT models: the Transformer of 2017 with its
//! sinusoids' halves apart.

use super::arch::{Activation, Arch, Position, Stack};
use super::bart::{self, Defaults};
use super::config::Config;
use crate::Result;
use crate::weights::Checkpoint;

const DEFAULTS: Defaults = Defaults { vocab: 58101, pad: 58100, scale_embedding: false, act: Activation::Gelu };

/// What `config.json` says.
pub(super) fn arch(config: &Config, checkpoint: &Checkpoint) -> Result<Arch> {
    if !config.bool("share_encoder_decoder_embeddings", true)? {
        let why = "only one table of words for both stacks is";
        return Err(config.unsupported("share_encoder_decoder_embeddings", why));
    }
    let position = Position::Sinusoid { max: bart::positions(config)?, offset: 0, closed: false, pads: None };
    bart::arch(config, checkpoint, DEFAULTS, |stack| Stack { position, ..stack })
}
