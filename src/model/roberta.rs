//! RoBERTa (Liu et al. 2019) and XLM-RoBERTa (Conneau et al. 2019): BERT whose positions, as fairseq has them, begin after
//! the padding id and do not count padding.

use super::arch::{Arch, Position, Stack};
use super::bert::{self, Defaults};
use super::config::{Config, config_error};
use super::task;
use crate::Result;
use crate::weights::Checkpoint;

const DEFAULTS: Defaults = Defaults { vocab: 50265, pad: 1, ..bert::DEFAULTS };

/// What `config.json` says. Its `max_position_embeddings` are rows of the table, those up to the padding id's included.
///
/// # Errors
/// As [`bert::arch`]; [`crate::Error::Config`] when there is no padding id, or no position after it.
pub(super) fn arch(config: &Config, checkpoint: &Checkpoint) -> Result<Arch> {
    let arch = bert::arch(config, checkpoint, &task::ROBERTA, &DEFAULTS)?;
    let Some(pad) = arch.pad_token else {
        return Err(config_error(config.file(), "pad_token_id is null, expected the id that positions begin after"));
    };
    let position = |stack: &Stack| after(config, stack.position.max(), pad);
    let position = arch.encoder.as_ref().map(position).transpose()?;
    Ok(Arch { encoder: arch.encoder.zip(position).map(|(stack, position)| Stack { position, ..stack }), ..arch })
}

/// Positions that begin after the padding id and do not count it, in a table of so many rows.
///
/// # Errors
/// [`crate::Error::Config`] when no row is left.
pub(super) fn after(config: &Config, rows: usize, pad: u32) -> Result<Position> {
    let offset = pad as usize + 1;
    let why = || format!("max_position_embeddings is {rows}, expected more than pad_token_id + 1 = {offset}");
    let max = rows.checked_sub(offset).filter(|&max| max > 0);
    let max = max.ok_or_else(|| config_error(config.file(), why()))?;
    Ok(Position::Learned { max, offset, pads: Some(pad) })
}
