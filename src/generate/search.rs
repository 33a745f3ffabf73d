//! The host's part of generation, without any device: which step to compute next, and what to make of its logits.

use std::ops::Range;

use super::beam::{self, Finished, Hypothesis};
use super::rows::{Row, Rows};
use super::rules::Scored;
use super::sample::uniform;
use super::{Finish, Generated, Settings};
use crate::graph::Step;
use crate::model::arch::Position;
use crate::{Error, Result};

/// Greedy steps in one submission: ids stay on the GPU meanwhile, and what comes after an end is dropped.
const BURST: usize = 4;

/// A batch of prompts under way.
#[derive(Debug)]
pub(crate) struct Search<'a> {
    settings: &'a Settings,
    /// How the decoder counts tokens.
    position: Position,
    texts: Vec<Text>,
    /// Greedy ids are chosen on the GPU.
    greedy: bool,
    /// The next free slot of the cache: each is written once.
    slot: u32,
    /// Which text each row of the step in hand belongs to, and which of its beams.
    asked: Vec<(usize, usize)>,
}

/// One prompt, and what has become of it.
#[derive(Debug)]
struct Text {
    prompt: usize,
    /// Tokens at which it ends.
    limit: usize,
    /// First row and rows of its source in the memory.
    memory: (u32, u32),
    beams: Vec<Hypothesis>,
    finished: Option<Finished>,
    finish: Option<Finish>,
}

/// What a row of logits says.
enum Choice {
    Token(u32),
    Beams(Vec<Vec<Scored>>),
}

impl<'a> Search<'a> {
    /// Prompts with the lengths at which they end, and the lengths of their sources, if they have any.
    pub fn new(
        settings: &'a Settings,
        position: Position,
        prompts: &[Vec<u32>],
        limits: &[usize],
        sources: &[usize],
    ) -> Self {
        let mut memory = 0;
        let mut texts = Vec::with_capacity(prompts.len());
        for (i, (prompt, &limit)) in prompts.iter().zip(limits).enumerate() {
            let rows = sources.get(i).map_or(0, |&len| len as u32);
            let beams = vec![Hypothesis { ids: prompt.clone(), ..Hypothesis::default() }];
            let memory_of = (memory, rows);
            memory += rows;
            texts.push(Text { prompt: prompt.len(), limit, memory: memory_of, beams, finished: None, finish: None });
        }
        let greedy = settings.is_plain_greedy();
        Self { settings, position, texts, greedy, slot: 0, asked: Vec::new() }
    }

    /// The step that feeds the prompts of some texts.
    pub fn prefill(&mut self, texts: Range<usize>) -> Step {
        let mut step = Step::default();
        let mut ids = Vec::new();
        self.asked.clear();
        for (i, text) in self.texts.iter_mut().enumerate().take(texts.end).skip(texts.start) {
            let Some(beam) = text.beams.first_mut() else { continue };
            let end = self.slot + text.prompt as u32;
            beam.keys = (self.slot..end).collect();
            self.slot = end;
            step.push_cached(text.prompt, &beam.keys);
            number(&mut step, self.position, 0, &beam.ids);
            ids.extend_from_slice(&beam.ids);
            see(&mut step, text.memory);
            if self.settings.num_beams > 1 {
                let (beams, finished) = beam::begin(beam, self.settings);
                (text.beams, text.finished) = (beams, Some(finished));
            }
            self.asked.push((i, 0));
        }
        step.with_ids(ids)
    }

    /// The next steps for one submission; empty when all texts have ended.
    pub fn decode(&mut self) -> Vec<Step> {
        let under_way = self.texts.iter().filter(|text| text.finish.is_none());
        let room = under_way.map(|text| text.limit - text.beams.first().map_or(0, |beam| beam.ids.len())).min();
        // What is left on the GPU cannot be told from a token that has no position.
        let burst = if self.greedy && self.position.uncounted().is_none() { BURST } else { 1 };
        let count = room.map_or(0, |room| room.min(burst));
        (0..count).map(|i| self.feed(i == 0)).collect()
    }

    /// The step that feeds the last token of each beam: the host's, or what the step before has left on the GPU.
    fn feed(&mut self, known: bool) -> Step {
        let mut step = Step::default();
        let mut ids = Vec::new();
        self.asked.clear();
        for (i, text) in self.texts.iter_mut().enumerate().filter(|(_, text)| text.finish.is_none()) {
            let memory = text.memory;
            for (b, beam) in text.beams.iter_mut().enumerate() {
                beam.keys.push(self.slot);
                self.slot += 1;
                step.push_cached(1, &beam.keys);
                see(&mut step, memory);
                if let (true, Some(&id)) = (known, beam.ids.last()) {
                    number(&mut step, self.position, beam.keys.len() - 1, &[id]);
                    ids.push(id);
                }
                self.asked.push((i, b));
            }
        }
        if known { step.with_ids(ids) } else { step }
    }

    /// Makes of a step's rows what they say, and tells of each token that is certain. `false`, and nothing done, where
    /// whole rows are needed.
    ///
    /// # Errors
    /// [`Error::NotFinite`]; [`Error::Input`] where the settings allow no token.
    pub fn advance(&mut self, rows: &Rows, tell: &mut dyn FnMut(usize, u32)) -> Result<bool> {
        let mut choices = Vec::new();
        let mut row = 0;
        while let Some(&(i, _)) = self.asked.get(row) {
            let count = self.asked[row..].iter().take_while(|(text, _)| *text == i).count();
            // A text that has ended within a burst still has its rows.
            if self.texts[i].finish.is_none() {
                match self.choose(i, rows, row..row + count)? {
                    Some(choice) => choices.push((i, choice)),
                    None => return Ok(false),
                }
            }
            row += count;
        }
        for (i, choice) in choices {
            self.take(i, choice, tell);
        }
        Ok(true)
    }

    /// What a text's rows say.
    fn choose(&self, i: usize, rows: &Rows, part: Range<usize>) -> Result<Option<Choice>> {
        let text = &self.texts[i];
        let row = |b: usize| -> Result<Row<'_>> {
            // After the prompt, all beams look at one row.
            let row = rows.row((part.start + b).min(part.end - 1)).filter(Row::is_finite);
            row.ok_or(Error::NotFinite { prompt: i, tokens: text.beams[b].ids.len() })
        };
        let settings = self.settings;
        if self.greedy {
            let verdict = settings.verdict(&text.beams[0].ids, text.prompt, text.limit);
            let id = verdict.forced.first().or(row(0)?.ids.first());
            return Ok(id.map(|&id| Choice::Token(id)));
        }
        let mut next = Vec::with_capacity(text.beams.len());
        for (b, beam) in text.beams.iter().enumerate() {
            let row = row(b)?;
            let verdict = settings.verdict(&beam.ids, text.prompt, text.limit);
            if settings.do_sample {
                let u = uniform(settings.seed, i, beam.ids.len());
                return settings
                    .draw(&row, &beam.ids, &verdict, u)
                    .map(|id| id.map(Choice::Token).ok_or_else(stuck))
                    .transpose();
            }
            let (count, minus) = if text.finished.is_some() { (settings.candidates(), row.lse) } else { (1, 0.0) };
            match settings.best(&row, &beam.ids, &verdict, count, minus) {
                Some(best) => next.push(best),
                None => return Ok(None),
            }
        }
        if text.finished.is_some() {
            let none = next.iter().all(Vec::is_empty);
            return if none { Err(stuck()) } else { Ok(Some(Choice::Beams(next))) };
        }
        let best = next.first().and_then(|best| best.first());
        best.map(|&(_, id)| Some(Choice::Token(id))).ok_or_else(stuck)
    }

    fn take(&mut self, i: usize, choice: Choice, tell: &mut dyn FnMut(usize, u32)) {
        let (settings, text) = (self.settings, &mut self.texts[i]);
        match (choice, &mut text.finished) {
            (Choice::Beams(next), Some(finished)) => {
                if finished.advance(&mut text.beams, &next, settings, text.prompt, text.limit) {
                    let (ids, _) = text.outcome();
                    text.finish = Some(text.how(&ids, settings));
                    ids.iter().for_each(|&id| tell(i, id));
                }
            }
            (Choice::Token(id), _) => {
                let Some(beam) = text.beams.first_mut() else { return };
                beam.ids.push(id);
                tell(i, id);
                let ends = settings.eos_token_id.contains(&id) || beam.ids.len() >= text.limit;
                if ends {
                    text.finish = Some(text.how(&text.outcome().0, settings));
                }
            }
            (Choice::Beams(_), None) => {}
        }
    }

    /// What has been generated.
    pub fn finish(self) -> Vec<Generated> {
        let one = |text: Text| {
            let (ids, score) = text.outcome();
            Generated { ids, finish: text.finish.unwrap_or(Finish::Stopped), score }
        };
        self.texts.into_iter().map(one).collect()
    }
}

impl Text {
    /// The new tokens, and the score of a finished hypothesis.
    fn outcome(&self) -> (Vec<u32>, Option<f32>) {
        let finished = self.finished.as_ref().and_then(Finished::best);
        let (ids, score) = match (finished, self.beams.first()) {
            (Some((ids, score)), _) => (ids, Some(score)),
            (None, Some(beam)) => (&beam.ids[..], None),
            (None, None) => (&[][..], None),
        };
        (ids.get(self.prompt..).unwrap_or_default().to_vec(), score)
    }

    fn how(&self, ids: &[u32], settings: &Settings) -> Finish {
        let ended = ids.last().is_some_and(|id| settings.eos_token_id.contains(id));
        let forced = self.prompt + ids.len() >= self.limit && !settings.forced_eos_token_id.is_empty();
        if ended && !forced { Finish::End } else { Finish::Length }
    }
}

/// Gives the step's last tokens, which come after so many others, the positions that the model counts.
fn number(step: &mut Step, position: Position, before: usize, ids: &[u32]) {
    let ids: Vec<_> = ids.iter().map(|&id| i64::from(id)).collect();
    step.positions.truncate(step.positions.len().saturating_sub(ids.len()));
    step.positions.extend(position.of_row(before, &ids));
}

/// The step's last sequence attends to these rows of the memory.
fn see(step: &mut Step, (start, len): (u32, u32)) {
    if let Some(span) = step.spans.last_mut() {
        (span.memory_start, span.memory_len) = (start, len);
    }
}

fn stuck() -> Error {
    Error::input("settings", "they ban every token of the vocabulary; suppress fewer")
}
