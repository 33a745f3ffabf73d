//! The likeliest pieces of a text under a unigram model (Kudo 2018), by Viterbi's algorithm.
//!
//! Ties and roundings follow google/sentencepiece's optimised encoder: sums are f32, and of equals the first stays.

use super::proto::{Kind, Piece};
use crate::text::sorted::Sorted;

/// How much worse an unknown character is than the worst piece.
const UNKNOWN_PENALTY: f32 = 10.0;

#[derive(Debug)]
pub struct Unigram {
    /// What a piece of `length` bytes adds; `None` for one that is never used.
    scores: Vec<Option<Score>>,
    unknown: f32,
    best: f32,
}

#[derive(Clone, Copy, Debug)]
enum Score {
    Learned(f32),
    /// A user's symbol: always taken.
    Always,
}

/// The best way to an end: its score, where its last piece starts, and that piece.
#[derive(Clone, Copy)]
struct Best {
    score: f32,
    start: usize,
    id: u32,
}

impl Unigram {
    pub fn new(pieces: &[Piece]) -> Self {
        let learned = || pieces.iter().filter(|piece| piece.kind == Kind::Normal).map(|piece| piece.score);
        let score = |piece: &Piece| match piece.kind {
            Kind::UserDefined => Some(Score::Always),
            Kind::Unused => None,
            _ => Some(Score::Learned(piece.score)),
        };
        Self {
            scores: pieces.iter().map(score).collect(),
            unknown: learned().fold(f32::MAX, f32::min) - UNKNOWN_PENALTY,
            // The smallest positive number there too, not the most negative.
            best: learned().fold(f32::MIN_POSITIVE, f32::max),
        }
    }

    /// Pieces as (start, end, id), in order; `unknown` for a character that is no piece.
    pub fn encode(&self, text: &str, pieces: &Sorted, unknown: u32) -> Vec<(usize, usize, u32)> {
        let mut ends: Vec<Option<Best>> = vec![None; text.len() + 1];
        for (start, char) in text.char_indices() {
            let so_far = ends[start].map_or(0.0, |best| best.score);
            let mut offer = |len: usize, score: f32, id: u32| {
                let score = score + so_far;
                if ends[start + len].is_none_or(|best| score > best.score) {
                    ends[start + len] = Some(Best { score, start, id });
                }
            };
            let mut single = false;
            for (len, id) in pieces.prefixes(&text[start..]) {
                let Some(score) = self.scores.get(id as usize).copied().flatten() else { continue };
                offer(len, self.score(score, len), id);
                single |= len == char.len_utf8();
            }
            if !single {
                offer(char.len_utf8(), self.unknown, unknown);
            }
        }
        let mut path = Vec::new();
        let mut end = text.len();
        while let Some(best) = ends[end] {
            path.push((best.start, end, best.id));
            end = best.start;
        }
        path.reverse();
        path
    }

    fn score(&self, score: Score, len: usize) -> f32 {
        match score {
            Score::Learned(score) => score,
            Score::Always => len as f32 * self.best - 0.1,
        }
    }
}
