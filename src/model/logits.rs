//! Heads of encoders at work: sequences are packed, and nothing but the logits comes back.

use std::ops::Range;

use super::arch::{Arch, Stack, Task, TaskKind};
use super::encode::capacity;
use super::forward::Outputs;
use super::padded::{check_ids, chunks};
use super::{Blueprint, Model};
use crate::graph::Step;
use crate::kernel::Role;
use crate::{Error, Result};

/// A sequence as an encoder takes it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sequence {
    /// Token ids.
    pub ids: Vec<u32>,
    /// The type of each token; empty means all 0.
    pub types: Vec<u32>,
}

impl Blueprint {
    /// The head for a task.
    ///
    /// # Errors
    /// [`Error::Unsupported`] where the model has none or another one, with what it has and what would be right.
    pub fn task(&self, kind: TaskKind) -> Result<Task> {
        let (what, class) = (of(kind), class(kind));
        let why = match self.arch() {
            Arch { task: Some(task), .. } if task.kind == kind => return Ok(*task),
            Arch { task: Some(task), .. } => format!("the model's head is for {}, see `{}`", of(task.kind), verb(task)),
            Arch { decoder: Some(_), .. } => "the model has a decoder, see `generate` and `translate`".into(),
            _ => "the model is an encoder without a head, see `embed`".into(),
        };
        let why = format!("{why}; or give a folder whose config.json names {class} among its architectures");
        Err(Error::Unsupported { what: what.into(), why })
    }
}

/// What a head is for.
fn of(kind: TaskKind) -> &'static str {
    match kind {
        TaskKind::Words => "filling masks",
        TaskKind::Sequence => "classifying texts",
        TaskKind::Tokens => "tagging words",
        TaskKind::Answer => "answering questions",
    }
}

/// The end of the names of Hugging Face's classes that have it.
fn class(kind: TaskKind) -> &'static str {
    match kind {
        TaskKind::Words => "a ..ForMaskedLM",
        TaskKind::Sequence => "a ..ForSequenceClassification",
        TaskKind::Tokens => "a ..ForTokenClassification",
        TaskKind::Answer => "a ..ForQuestionAnswering",
    }
}

/// The command for it.
fn verb(task: &Task) -> &'static str {
    match task.kind {
        TaskKind::Words => "fill-mask",
        TaskKind::Sequence => "classify",
        TaskKind::Tokens => "tag",
        TaskKind::Answer => "answer",
    }
}

impl Model {
    /// What the head of the model's task says of each sequence, f32, row-major: `[labels]` of sequences, `[tokens, labels]`
    /// of tokens, `[tokens, 2]` of answers (where they begin, where they end), `[tokens, vocab]` of masked words, of which
    /// [`Self::word_logits`] computes only those that are wanted.
    ///
    /// Sequences are packed without padding; what shares a step with a sequence changes no bit of its logits.
    ///
    /// # Errors
    /// [`Error::Unsupported`] for a model without a head; [`Error::Input`] for an empty sequence, ids or types that the model
    /// lacks, or more ids than it has positions; [`Error::NotFinite`].
    pub async fn logits(&self, sequences: &[Sequence]) -> Result<Vec<Vec<f32>>> {
        let Some(task) = self.blueprint().arch().task else {
            return Err(self.blueprint().task(TaskKind::Sequence).err().unwrap_or_else(|| super::unknown("logits")));
        };
        if task.kind == TaskKind::Words {
            let places: Vec<Vec<usize>> = sequences.iter().map(|sequence| (0..sequence.ids.len()).collect()).collect();
            let rows = self.word_logits(sequences, &places, <[f32]>::to_vec).await?;
            return Ok(rows.into_iter().map(|rows| rows.concat()).collect());
        }
        let stack = self.encoder()?;
        let (lengths, chunks) = self.pack(sequences, stack, task.labels.max(stack.width))?;
        let outputs = Outputs { task: true, ..Outputs::default() };
        let mut run = self.run(&[(Role::Full, outputs, capacity(&chunks, &lengths))]).await?;
        let mut all = Vec::with_capacity(sequences.len());
        for chunk in chunks {
            let step = step(stack, &sequences[chunk.clone()]);
            let tensors = run.steps(&[(Role::Full, &step)], &["logits"]).await?;
            let mut values = tensors.concat().into_iter();
            for i in chunk {
                let rows = if task.kind == TaskKind::Sequence { 1 } else { lengths[i] };
                let logits: Vec<f32> = values.by_ref().take(rows * task.labels).collect();
                finite(&logits, i, lengths[i])?;
                all.push(logits);
            }
        }
        Ok(all)
    }

    /// For each sequence what `each` makes of the words' logits `[vocab]` at some of its tokens; `places` are these,
    /// ascending. Other tokens' logits are not computed, and few rows are held at a time.
    ///
    /// # Errors
    /// [`Error::Unsupported`] for a model without a head for masked words; [`Error::Input`] as [`Self::logits`], and for
    /// places that do not ascend or that the sequence lacks; [`Error::NotFinite`].
    pub async fn word_logits<T>(
        &self,
        sequences: &[Sequence],
        places: &[Vec<usize>],
        mut each: impl FnMut(&[f32]) -> T,
    ) -> Result<Vec<Vec<T>>> {
        let task = self.blueprint().task(TaskKind::Words)?;
        let stack = self.encoder()?;
        check_places(sequences, places)?;
        let (lengths, chunks) = self.pack(sequences, stack, stack.width)?;
        let picked: Vec<Vec<(usize, usize)>> = chunks.iter().map(|chunk| rows(chunk, &lengths, places)).collect();
        let most = picked.iter().map(Vec::len).max().unwrap_or(0);
        let (head, whole) = (self.head(task.labels, most), capacity(&chunks, &lengths));
        let hidden = Outputs { hidden: true, ..Outputs::default() };
        let mut run = self.run(&[(Role::Full, hidden, whole), head.role(whole)]).await?;
        let mut found = Vec::new();
        for (chunk, picked) in chunks.into_iter().zip(picked).filter(|(_, picked)| !picked.is_empty()) {
            let step = step(stack, &sequences[chunk]);
            run.steps(&[(Role::Full, &step)], &[]).await?;
            let (owners, rows): (Vec<usize>, Vec<usize>) = picked.into_iter().unzip();
            let found_one = |i: usize, row: &[f32]| {
                finite(row, owners[i], lengths[owners[i]])?;
                found.push(each(row));
                Ok(())
            };
            run.head(head, step.tokens(), &rows, found_one).await?;
        }
        let mut found = found.into_iter();
        Ok(places.iter().map(|places| found.by_ref().take(places.len()).collect()).collect())
    }

    /// The lengths of sequences that are sound, and which of them share a step.
    fn pack(&self, sequences: &[Sequence], stack: &Stack, widest: usize) -> Result<(Vec<usize>, Vec<Range<usize>>)> {
        let arch = self.blueprint().arch();
        for Sequence { ids, types } in sequences {
            check_ids("ids", ids, arch.vocab, stack.position.max())?;
            if !(types.is_empty() || types.len() == ids.len()) {
                return Err(Error::input("types", format!("{} given for {} tokens", types.len(), ids.len())));
            }
            let known = arch.embed.types.max(1);
            if let Some(kind) = types.iter().find(|&&kind| kind as usize >= known) {
                return Err(Error::input("types", format!("{kind} is not within 0..{known}")));
            }
        }
        let lengths: Vec<usize> = sequences.iter().map(|sequence| sequence.ids.len()).collect();
        let chunks = chunks(lengths.iter().copied(), self.step_tokens(stack, widest), usize::MAX);
        Ok((lengths, chunks))
    }
}

/// A step of whole sequences.
fn step(stack: &Stack, sequences: &[Sequence]) -> Step {
    let ids: Vec<Vec<u32>> = sequences.iter().map(|sequence| sequence.ids.clone()).collect();
    let mut step = stack.step(&ids);
    if !stack.counts_apart() && sequences.iter().any(|sequence| !sequence.types.is_empty()) {
        for Sequence { ids, types } in sequences {
            step.types.extend(types.iter().copied().chain(std::iter::repeat_n(0, ids.len() - types.len())));
        }
    }
    step
}

/// The rows of a chunk that are wanted, each after the sequence that it is of.
fn rows(chunk: &Range<usize>, lengths: &[usize], places: &[Vec<usize>]) -> Vec<(usize, usize)> {
    let mut start = 0;
    let mut rows = Vec::new();
    for i in chunk.clone() {
        rows.extend(places[i].iter().map(|place| (i, start + place)));
        start += lengths[i];
    }
    rows
}

fn check_places(sequences: &[Sequence], places: &[Vec<usize>]) -> Result<()> {
    let fits = |sequence: &Sequence, places: &[usize]| {
        places.is_sorted_by(|a, b| a < b) && places.last().is_none_or(|&last| last < sequence.ids.len())
    };
    if sequences.len() != places.len() || !sequences.iter().zip(places).all(|(s, p)| fits(s, p)) {
        return Err(Error::input("places", "expected ascending places of tokens for each sequence"));
    }
    Ok(())
}

fn finite(logits: &[f32], prompt: usize, tokens: usize) -> Result<()> {
    if logits.iter().all(|x| x.is_finite()) { Ok(()) } else { Err(Error::NotFinite { prompt, tokens }) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_counted_through_a_chunk() {
        assert_eq!(rows(&(1..3), &[4, 5, 6], &[vec![1], vec![0, 2], vec![5]]), [(1, 0), (1, 2), (2, 10)]);
    }

    #[test]
    fn places_that_are_none_are_refused() {
        let sequences = [Sequence { ids: vec![1, 2, 3], types: vec![] }];
        assert!(check_places(&sequences, &[vec![0, 2]]).is_ok());
        for places in [&[][..], &[vec![3]], &[vec![1, 1]], &[vec![2, 1]]] {
            assert!(check_places(&sequences, places).is_err(), "{places:?}");
        }
    }
}
