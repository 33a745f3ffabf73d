//! Padded batches, as PyTorch takes and gives them, and the packed rows that wgformer computes.

use std::ops::Range;

use super::arch::Stack;
use crate::graph::Step;
use crate::{Error, Result};

/// A padded batch `[batch, len]`, row by row, as Hugging Face's tokenizers give it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Padded {
    /// Rows.
    pub batch: usize,
    /// Columns.
    pub len: usize,
    /// `[batch, len]` token ids.
    pub ids: Vec<i64>,
    /// `[batch, len]`: 1 for a token, 0 for padding; empty means all 1. May have holes and left padding.
    pub mask: Vec<i64>,
    /// `[batch, len]` token types; empty means all 0.
    pub types: Vec<i64>,
}

/// Tokens of one step, at most; a longer sequence goes alone.
pub(crate) const STEP_TOKENS: usize = 4096;

impl Padded {
    /// Refuses shapes that disagree and values that the model does not know.
    pub(super) fn check(&self, names: [&'static str; 3], vocab: usize, types: usize, most: usize) -> Result<()> {
        let [ids, mask, kinds] = names;
        let (b, len) = (self.batch, self.len);
        if b * len == 0 {
            return Err(Error::input(ids, format!("an empty batch [{b}, {len}]; give at least one token")));
        }
        if len > most {
            return Err(Error::input(ids, format!("{len} columns, the model has {most} positions")));
        }
        let list = |what, list: &[i64], below: usize, optional: bool| {
            if !(list.len() == b * len || optional && list.is_empty()) {
                return Err(Error::input(what, format!("{} values, expected [{b}, {len}]", list.len())));
            }
            match list.iter().find(|&&v| v < 0 || v as u64 >= below as u64) {
                Some(v) => Err(Error::input(what, format!("{v} is not within 0..{below}"))),
                None => Ok(()),
            }
        };
        list(ids, &self.ids, vocab, false)?;
        list(mask, &self.mask, 2, true)?;
        list(kinds, &self.types, types.max(1), true)
    }

    /// Each row's token ids without its padding, for a model of so many words and positions.
    ///
    /// # Errors
    /// [`Error::Input`] for shapes that disagree, a mask that is not 0 or 1, ids outside the vocabulary, more columns than
    /// there are positions.
    pub fn lists(&self, vocab: usize, positions: usize) -> Result<Vec<Vec<u32>>> {
        self.check(["input_ids", "attention_mask", "token_type_ids"], vocab, 1, positions)?;
        let row = |(b, columns): (usize, Vec<usize>)| {
            columns.into_iter().map(|column| self.ids[b * self.len + column] as u32).collect()
        };
        Ok(self.tokens().into_iter().enumerate().map(row).collect())
    }

    /// Columns of each row's tokens.
    pub(super) fn tokens(&self) -> Vec<Vec<usize>> {
        let kept = |row: usize| (0..self.len).filter(move |c| self.mask.get(row * self.len + c) != Some(&0));
        (0..self.batch).map(|row| kept(row).collect()).collect()
    }

    /// A step of some rows; `rows` are their tokens' columns.
    pub(super) fn step(&self, stack: &Stack, rows: &[Vec<usize>], chunk: Range<usize>) -> Step {
        let mut step = Step::default();
        let mut ids = Vec::new();
        for b in chunk {
            let row = &self.ids[b * self.len..][..self.len];
            stack.push(&mut step, row, &rows[b]);
            ids.extend(rows[b].iter().map(|&c| row[c] as u32));
            if !self.types.is_empty() && !stack.counts_apart() {
                step.types.extend(rows[b].iter().map(|c| self.types[b * self.len + c] as u32));
            }
        }
        step.with_ids(ids)
    }
}

impl Stack {
    /// A step of whole texts, packed, with the positions that their model counts.
    pub(crate) fn step(&self, texts: &[Vec<u32>]) -> Step {
        let mut step = Step::default();
        for ids in texts {
            let row: Vec<_> = ids.iter().map(|&id| i64::from(id)).collect();
            self.push(&mut step, &row, &(0..row.len()).collect::<Vec<_>>());
        }
        step.with_ids(texts.concat())
    }

    /// Appends the kept columns of a row. Where these and the rows of the table of positions are two things, the latter go
    /// where token types would, which such a stack does not have.
    fn push(&self, step: &mut Step, row: &[i64], columns: &[usize]) {
        let counted = self.position.of_row(0, row);
        let kept: Vec<_> = columns.iter().map(|&column| counted[column]).collect();
        if self.counts_apart() {
            step.push(&columns.iter().map(|&column| column as u32).collect::<Vec<_>>());
            step.types.extend(kept);
        } else {
            step.push(&kept);
        }
    }
}

/// Where the tokens of a chunk lie among the rows of the padded `[batch, len, width]`; `rows` are their columns.
pub(super) fn places(len: usize, rows: &[Vec<usize>], chunk: Range<usize>) -> impl Iterator<Item = usize> {
    chunk.flat_map(move |b| rows[b].iter().map(move |column| b * len + column))
}

/// Spreads packed rows of tokens over the padded `[batch, len, width]`.
pub(super) fn spread(
    out: &mut [f32],
    (len, width): (usize, usize),
    rows: &[Vec<usize>],
    chunk: Range<usize>,
    packed: &[f32],
) {
    for (place, row) in places(len, rows, chunk).zip(packed.chunks(width)) {
        out[place * width..][..width].copy_from_slice(row);
    }
}

/// Spreads a tap's packed rows `[tokens, heads most]` over `[batch, heads, queries, keys]`; `rows` and `keys` are the
/// columns of either's tokens.
pub(super) fn spread_weights(
    out: &mut [f32],
    (heads, most): (usize, usize),
    (len, rows): (usize, &[Vec<usize>]),
    (key_len, keys): (usize, &[Vec<usize>]),
    chunk: Range<usize>,
    tap: &[f32],
) {
    let places = chunk.flat_map(|b| rows[b].iter().map(move |&column| (b, column)));
    for ((b, column), token) in places.zip(tap.chunks(heads * most)) {
        for (head, weights) in token.chunks(most).enumerate() {
            let to = ((b * heads + head) * len + column) * key_len;
            keys[b].iter().zip(weights).for_each(|(&key, &weight)| out[to + key] = weight);
        }
    }
}

/// Refuses a list of ids that the model cannot take: `what` it is, and the positions that there are.
pub(crate) fn check_ids(what: &'static str, ids: &[u32], vocab: usize, positions: usize) -> Result<()> {
    if ids.is_empty() {
        return Err(Error::input(what, "has no tokens; give at least one"));
    }
    if ids.len() > positions {
        let why = format!("{} tokens, the model has {positions} positions; shorten it", ids.len());
        return Err(Error::input(what, why));
    }
    match ids.iter().find(|&&id| id as usize >= vocab) {
        Some(id) => Err(Error::input(what, format!("{id} is outside the vocabulary of {vocab}"))),
        None => Ok(()),
    }
}

/// Neighbouring sequences that fit one step.
pub(crate) fn chunks(lengths: impl Iterator<Item = usize>, tokens: usize, sequences: usize) -> Vec<Range<usize>> {
    let mut chunks: Vec<Range<usize>> = Vec::new();
    let mut held = 0;
    for (i, len) in lengths.enumerate() {
        match chunks.last_mut() {
            Some(last) if held + len <= tokens && last.len() < sequences => {
                last.end = i + 1;
                held += len;
            }
            _ => {
                chunks.push(i..i + 1);
                held = len;
            }
        }
    }
    chunks
}

/// The most tokens that any chunk has, at least one.
pub(crate) fn most_tokens(chunks: &[Range<usize>], lengths: &[usize]) -> usize {
    chunks.iter().map(|c| lengths[c.clone()].iter().sum()).max().unwrap_or(0).max(1)
}

/// The most sequences that any chunk has, at least one.
pub(crate) fn most_sequences(chunks: &[Range<usize>]) -> usize {
    chunks.iter().map(Range::len).max().unwrap_or(1)
}
