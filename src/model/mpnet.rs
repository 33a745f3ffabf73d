//! MPNet (Song et al. 2020): RoBERTa without token types, with T5's bias by relative positions, one for all layers.

use super::arch::{Arch, Buckets, Embed, Stack};
use super::bert::{self, Defaults};
use super::config::{Config, bounds};
use super::modules::Modules;
use super::{roberta, task};
use crate::Result;
use crate::weights::Checkpoint;

pub(super) const MODULES: Modules = Modules {
    qkv: ("attention.attn.*", ["q", "k", "v"]),
    rest: ["attention.attn.o", "attention.LayerNorm", "intermediate.dense", "output.dense", "output.LayerNorm"],
    ..bert::MODULES
};

/// What the implementation has no other keys for: the id that positions begin after, and the buckets.
const PAD: u32 = 1;
const BUCKETS: Buckets = Buckets { count: 32, distance: 128 };

/// What `config.json` says.
///
/// # Errors
/// As [`bert::arch`]; [`crate::Error::Unsupported`] for another number of buckets, since transformers computes 32 in any case.
pub(super) fn arch(config: &Config, checkpoint: &Checkpoint) -> Result<Arch> {
    let defaults = Defaults { vocab: 30527, pad: PAD, ..bert::DEFAULTS };
    let arch = bert::arch(config, checkpoint, &task::MPNET, &defaults)?;
    let key = "relative_attention_num_buckets";
    if config.usize(key, BUCKETS.count, bounds::BUCKETS)? != BUCKETS.count {
        return Err(config.unsupported(key, format!("MPNet has {}", BUCKETS.count)));
    }
    let position = |stack: &Stack| roberta::after(config, stack.position.max(), PAD);
    let position = arch.encoder.as_ref().map(position).transpose()?;
    let stack = |(stack, position)| Stack { position, buckets: Some(BUCKETS), ..stack };
    Ok(Arch { encoder: arch.encoder.zip(position).map(stack), embed: Embed { types: 0, ..arch.embed }, ..arch })
}
