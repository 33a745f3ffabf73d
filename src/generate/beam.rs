//! Beam search for one prompt, with the candidates, penalties and endings of Hugging Face's `generate`: 32-bit scores,
//! those that must not win made smaller by 1e9, and finished hypotheses kept until better ones come.

use super::rules::Scored;
use super::{EarlyStopping, Settings};

/// What is added to scores that must not win.
const OUT: f32 = -1.0e9;

/// A text under way.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Hypothesis {
    /// The prompt's ids and those chosen so far.
    pub ids: Vec<u32>,
    /// Where in the cache the key of each fed token lies.
    pub keys: Vec<u32>,
    /// The sum of the log-probabilities.
    pub score: f32,
}

/// A place for a finished text.
#[derive(Clone, Debug, PartialEq)]
struct Place {
    score: f32,
    ids: Option<Vec<u32>>,
}

/// The finished texts of a prompt, best first.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Finished {
    places: Vec<Place>,
}

/// The next token of a beam.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Candidate {
    score: f32,
    beam: usize,
    id: u32,
    ends: bool,
}

/// The beams of a prompt: all but the first so bad that the first step takes from the first alone.
pub(super) fn begin(prompt: &Hypothesis, settings: &Settings) -> (Vec<Hypothesis>, Finished) {
    let beam = |b| Hypothesis { score: if b == 0 { 0.0 } else { OUT }, ..prompt.clone() };
    let places = vec![Place { score: OUT, ids: None }; settings.num_beams];
    ((0..settings.num_beams).map(beam).collect(), Finished { places })
}

impl Finished {
    /// The best text, if any has finished, and its score.
    pub fn best(&self) -> Option<(&[u32], f32)> {
        self.places.first().and_then(|place| Some((place.ids.as_deref()?, place.score)))
    }

    fn full(&self) -> bool {
        self.places.iter().all(|place| place.ids.is_some())
    }

    /// Makes a step: `next` are each beam's best tokens with their log-probabilities. Whether that was the last.
    pub fn advance(
        &mut self,
        beams: &mut Vec<Hypothesis>,
        next: &[Vec<Scored>],
        settings: &Settings,
        prompt: usize,
        limit: usize,
    ) -> bool {
        let length = beams.first().map_or(0, |beam| beam.ids.len()) + 1;
        let candidates = candidates(beams, next, settings, length >= limit);
        let running = running(beams, &candidates, settings.num_beams);
        self.collect(beams, &candidates, settings, length - prompt);
        *beams = running;
        let first = beams.first().map_or(f32::NEG_INFINITY, |beam| beam.score);
        let may_improve = self.beaten_by(first, settings, length - prompt, limit - prompt);
        let all_end = candidates.iter().all(|c| c.ends);
        !may_improve || all_end || self.full() && settings.early_stopping == EarlyStopping::Always
    }

    /// Takes in those of the first candidates that end, if they are better than what is there.
    fn collect(&mut self, beams: &[Hypothesis], candidates: &[Candidate], settings: &Settings, new: usize) {
        for candidate in candidates.iter().take(settings.num_beams).filter(|c| c.ends) {
            let score = candidate.score / penalty(new, settings.length_penalty);
            let ids = [&beams[candidate.beam].ids[..], &[candidate.id]].concat();
            self.places.push(Place { score, ids: Some(ids) });
        }
        // Stable: of equals the one that was there stays.
        self.places.sort_by(|a, b| b.score.total_cmp(&a.score));
        self.places.truncate(settings.num_beams);
    }

    /// Whether the best running beam, at the length that the settings assume, beats the worst finished text.
    fn beaten_by(&self, best: f32, settings: &Settings, new: usize, most: usize) -> bool {
        let never = settings.early_stopping == EarlyStopping::Never && settings.length_penalty > 0.0;
        let possible = best / penalty(if never { most } else { new }, settings.length_penalty);
        let worst = self.places.last().map_or(OUT, |place| place.score);
        possible > worst || !self.full() && possible > OUT
    }
}

fn penalty(new: usize, exponent: f64) -> f32 {
    (new as f64).powf(exponent) as f32
}

/// The best continuations over all beams, in descending order.
fn candidates(beams: &[Hypothesis], next: &[Vec<Scored>], settings: &Settings, at_limit: bool) -> Vec<Candidate> {
    let of_beam = |(beam, scored): (usize, &Vec<Scored>)| {
        let before = beams[beam].score;
        let candidate = |&(score, id): &Scored| {
            let ends = at_limit || settings.eos_token_id.contains(&id);
            Candidate { score: score + before, beam, id, ends }
        };
        scored.iter().map(candidate).collect::<Vec<_>>()
    };
    let mut all: Vec<Candidate> = next.iter().enumerate().take(beams.len()).flat_map(of_beam).collect();
    all.sort_by(|a, b| b.score.total_cmp(&a.score).then((a.beam, a.id).cmp(&(b.beam, b.id))));
    all.truncate(settings.candidates());
    all
}

/// The beams of the next step: the best that do not end.
fn running(beams: &[Hypothesis], candidates: &[Candidate], count: usize) -> Vec<Hypothesis> {
    let mut scores: Vec<(f32, &Candidate)> =
        candidates.iter().map(|c| (if c.ends { c.score + OUT } else { c.score }, c)).collect();
    scores.sort_by(|a, b| b.0.total_cmp(&a.0));
    let continued = |&(score, c): &(f32, &Candidate)| {
        let ids = [&beams[c.beam].ids[..], &[c.id]].concat();
        Hypothesis { ids, keys: beams[c.beam].keys.clone(), score }
    };
    scores.iter().take(count).map(continued).collect()
}
