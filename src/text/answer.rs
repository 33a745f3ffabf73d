//! Answers that stand in a text, as the `question-answering` pipeline of Hugging Face's transformers 4 finds them.
//!
//! A span's score is the probability of its first token times that of its last, each among the tokens of its window and the
//! one that stands for no answer. Spans that are the same words are one answer, with the sum of their scores.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use super::Tokenizer;
use super::spans::Spans;
use crate::model::Model;
use crate::model::arch::TaskKind;
use crate::{Error, Result};

/// How answers are sought.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AnswerOptions {
    /// At most so many answers, the best.
    pub top_k: usize,
    /// Tokens of an answer, at most.
    pub max_answer_tokens: usize,
    /// Tokens of a window, the question's and special ones included; the model's limit counts, too.
    pub max_tokens: usize,
    /// Tokens of the context that neighbouring windows share: 128 without it, or half of a window where that is less.
    pub stride: Option<usize>,
    /// Whether the empty text may be the answer, where the model says that the context has none.
    pub impossible: bool,
}

impl Default for AnswerOptions {
    /// The pipeline's own.
    fn default() -> Self {
        Self { top_k: 1, max_answer_tokens: 15, max_tokens: 384, stride: None, impossible: false }
    }
}

/// A part of the context.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Answer {
    /// What stands there.
    pub text: String,
    /// Its probability, summed over spans of the same words.
    pub score: f32,
    /// The first character, counted from 0 in characters (Unicode scalar values), not bytes.
    pub start: usize,
    /// The character after the last.
    pub end: usize,
}

/// What was found.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Answers {
    /// The best first.
    pub answers: Vec<Answer>,
    /// How probable it is that the context has no answer: that of the window where it is least.
    pub impossible: f32,
    /// Windows that the context was cut into.
    pub windows: usize,
}

/// A span of a window.
struct Candidate {
    first: usize,
    last: usize,
    score: f64,
}

impl Model {
    /// The best answers to a question that stand in a context. A long context is cut into windows that overlap.
    ///
    /// # Errors
    /// [`Error::Unsupported`] for a model without a head for answering, and for a tokenizer that does not know where in the
    /// text its tokens are; [`Error::Input`] for an empty question or context, a question that leaves no room for a context,
    /// and options that allow no answer; as [`Model::embed`] and [`Model::logits`].
    pub async fn answer(&self, question: &str, context: &str, options: &AnswerOptions) -> Result<Answers> {
        self.blueprint().task(TaskKind::Answer)?;
        check(question, context, options)?;
        let tokenizer = self.blueprint().text_tokenizer()?;
        let windows = windows(tokenizer, question, context, options)?;
        let sequences: Vec<_> = windows.iter().map(|window| window.sequence.clone()).collect();
        let logits = self.logits(&sequences).await?;
        let mut found = Answers { impossible: f32::INFINITY, windows: windows.len(), ..Answers::default() };
        let mut spans = Collected { context: context.chars().collect(), ..Collected::default() };
        for (window, logits) in windows.iter().zip(&logits) {
            let eligible = eligible(window, tokenizer.marks.begin);
            let (starts, ends) = (probabilities(logits, 0, &eligible), probabilities(logits, 1, &eligible));
            found.impossible = found.impossible.min((starts[0] * ends[0]) as f32);
            // Some of the best become one when they are widened to words.
            let most = options.top_k.saturating_mul(2).saturating_add(10);
            let best = candidates(&starts, &ends, options.max_answer_tokens, most);
            for candidate in best.into_iter().filter(|c| eligible[c.first] && eligible[c.last]) {
                spans.add(words(window, &candidate), candidate.score as f32);
            }
        }
        found.answers = spans.answers;
        if options.impossible {
            found.answers.push(Answer { score: found.impossible, ..Answer::default() });
        }
        found.answers.sort_by(|a, b| b.score.total_cmp(&a.score));
        found.answers.truncate(options.top_k);
        if found.answers.is_empty() {
            return Err(Error::input("the context", "has no span that could be an answer; give one with more text"));
        }
        Ok(found)
    }
}

fn check(question: &str, context: &str, options: &AnswerOptions) -> Result<()> {
    if question.trim().is_empty() {
        return Err(Error::input("the question", "is empty; ask something"));
    }
    if context.trim().is_empty() {
        return Err(Error::input("the context", "is empty; give the text in which the answer stands"));
    }
    for (what, number) in [("top_k", options.top_k), ("max_answer_tokens", options.max_answer_tokens)] {
        if number == 0 {
            return Err(Error::input(what, "is 0; allow 1 at least"));
        }
    }
    Ok(())
}

fn windows(tokenizer: &Tokenizer, question: &str, context: &str, options: &AnswerOptions) -> Result<Vec<Spans>> {
    let limit = options.max_tokens.min(tokenizer.max_tokens);
    let overlap = |room: usize| match options.stride {
        _ if room == 0 => {
            let why = format!("leaves no room for the context in a window of {limit} tokens; shorten it");
            Err(Error::input("the question", why))
        }
        Some(stride) if stride >= room => {
            let why = format!("{stride} tokens, a window has {room} of the context beside the question; take fewer");
            Err(Error::input("stride", why))
        }
        Some(stride) => Ok(stride),
        None => Ok(Some((limit / 2).min(128)).filter(|&stride| stride < room).unwrap_or(room / 2)),
    };
    let windows = tokenizer.windows(question, context, limit, overlap)?;
    let of_context = |window: &Spans| window.encoding.get_sequence_ids().contains(&Some(1));
    match windows.iter().all(of_context) {
        true => Ok(windows),
        false => Err(Error::input("the context", "has no tokens; give the text in which the answer stands")),
    }
}

/// The tokens that an answer may begin or end with: the context's, and those that stand for none.
fn eligible(window: &Spans, begin: Option<u32>) -> Vec<bool> {
    let sequences = window.encoding.get_sequence_ids();
    window.sequence.ids.iter().zip(sequences).map(|(&id, of)| of == Some(1) || Some(id) == begin).collect()
}

/// The softmax of one column of the logits over the tokens that are eligible.
fn probabilities(logits: &[f32], column: usize, eligible: &[bool]) -> Vec<f64> {
    let logits = || logits.chunks(2).map(|row| f64::from(row[column])).zip(eligible);
    let most = logits().filter(|(_, own)| **own).map(|(x, _)| x).fold(f64::NEG_INFINITY, f64::max);
    let powers: Vec<f64> = logits().map(|(x, &own)| if own { (x - most).exp() } else { 0.0 }).collect();
    let sum: f64 = powers.iter().sum();
    powers.into_iter().map(|x| x / sum).collect()
}

/// The best spans of at most so many tokens, the best first. None begins or ends with the first token, which stands for no
/// answer.
fn candidates(starts: &[f64], ends: &[f64], longest: usize, most: usize) -> Vec<Candidate> {
    let spans = |(first, &start): (usize, &f64)| {
        let ends = ends.iter().enumerate().skip(first).take(longest);
        ends.map(move |(last, &end)| Candidate { first, last, score: start * end })
    };
    let mut all: Vec<Candidate> = starts.iter().enumerate().skip(1).flat_map(spans).collect();
    all.retain(|candidate| candidate.score > 0.0);
    all.sort_by(|a, b| b.score.total_cmp(&a.score));
    all.truncate(most);
    all
}

/// The characters from the beginning of the span's first word to the end of its last.
fn words(window: &Spans, candidate: &Candidate) -> (usize, usize) {
    let encoding = &window.encoding;
    let word = |token: usize| encoding.token_to_word(token).and_then(|(_, word)| encoding.word_to_chars(word, 1));
    match (word(candidate.first), word(candidate.last)) {
        (Some((start, _)), Some((_, end))) => (start, end),
        _ => (encoding.get_offsets()[candidate.first].0, encoding.get_offsets()[candidate.last].1),
    }
}

/// Answers of a context, each once.
#[derive(Default)]
struct Collected {
    context: Vec<char>,
    answers: Vec<Answer>,
    /// Where the answer of these words is, in lower case.
    places: HashMap<String, usize>,
}

impl Collected {
    fn add(&mut self, (start, end): (usize, usize), score: f32) {
        let text: String = self.context.get(start..end).unwrap_or_default().iter().collect();
        match self.places.entry(text.to_lowercase()) {
            Entry::Occupied(place) => self.answers[*place.get()].score += score,
            Entry::Vacant(place) => {
                place.insert(self.answers.len());
                self.answers.push(Answer { text, score, start, end });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_in_order_and_short() {
        let (starts, ends) = ([0.5, 0.3, 0.2], [0.1, 0.1, 0.8]);
        let spans = |longest, most| {
            let all = candidates(&starts, &ends, longest, most);
            all.iter().map(|c| (c.first, c.last)).collect::<Vec<_>>()
        };
        assert_eq!(spans(9, 9), [(1, 2), (2, 2), (1, 1)]);
        assert_eq!(spans(1, 9), [(2, 2), (1, 1)]);
        assert_eq!(spans(9, 1), [(1, 2)]);
    }

    #[test]
    fn answers_of_the_same_words_are_one() {
        let mut spans = Collected { context: "Paris paris no".chars().collect(), ..Collected::default() };
        for (span, score) in [((0, 5), 0.25), ((6, 11), 0.5), ((12, 14), 0.25)] {
            spans.add(span, score);
        }
        let answers: Vec<_> = spans.answers.iter().map(|a| (a.text.as_str(), a.score, a.start)).collect();
        assert_eq!(answers, [("Paris", 0.75, 0), ("no", 0.25, 12)]);
    }

    #[test]
    fn what_is_not_eligible_has_no_share() {
        let p = probabilities(&[0.0, 9.0, 1.0, 9.0, 0.0, 9.0], 0, &[true, false, true]);
        assert_eq!(p, [0.5, 0.0, 0.5]);
    }
}
