//! What may come next: bans, forced tokens and penalties, in the order and with the arithmetic of Hugging Face's logits
//! processors.

use super::Settings;
use super::rows::Row;

/// What the settings make of one text's next token.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Verdict {
    /// One of these sorted ids it is, if there are any; the score is 0.
    pub forced: Vec<u32>,
    /// Sorted ids that it is not.
    pub banned: Vec<u32>,
}

/// A score and its id.
pub(super) type Scored = (f32, u32);

impl Settings {
    /// For a text whose first `prompt` tokens are the prompt and which ends at `limit`.
    pub(super) fn verdict(&self, text: &[u32], prompt: usize, limit: usize) -> Verdict {
        if text.len() + 1 == limit && !self.forced_eos_token_id.is_empty() {
            let mut forced = self.forced_eos_token_id.clone();
            forced.sort_unstable();
            return Verdict { forced, banned: Vec::new() };
        }
        if let (1, Some(bos)) = (text.len(), self.forced_bos_token_id) {
            return Verdict { forced: vec![bos], banned: Vec::new() };
        }
        let mut banned = self.suppress_tokens.clone();
        banned.extend(repeats(text, self.no_repeat_ngram_size));
        for word in &self.bad_words_ids {
            let Some((&last, before)) = word.split_last() else { continue };
            let is_end = before.is_empty() && self.eos_token_id.contains(&last);
            if text.ends_with(before) && !is_end {
                banned.push(last);
            }
        }
        if text.len() < self.min_new_tokens.map_or(self.min_length, |new| prompt + new) {
            banned.extend(&self.eos_token_id);
        }
        if text.len() == self.first(prompt) {
            banned.extend(&self.begin_suppress_tokens);
        }
        banned.sort_unstable();
        banned.dedup();
        Verdict { forced: Vec::new(), banned }
    }

    /// Tokens before the first that is chosen: a forced one is not.
    fn first(&self, prompt: usize) -> usize {
        if prompt > 1 || self.forced_bos_token_id.is_none() { prompt } else { prompt + 1 }
    }

    /// Ids that may be banned at once, so far as that is known beforehand.
    pub(super) fn most_banned(&self) -> usize {
        let words = self.bad_words_ids.len() + if self.no_repeat_ngram_size > 0 { 8 } else { 0 };
        let ends = if self.min_new_tokens.unwrap_or(self.min_length) > 0 { self.eos_token_id.len() } else { 0 };
        self.suppress_tokens.len() + self.begin_suppress_tokens.len() + words + ends
    }

    /// The best `count` of a row's scores by a verdict, in descending order, equals by their ids; all that are allowed
    /// where those are fewer. `minus` is taken from the logits first. `None` where the row does not tell: the whole row
    /// is needed.
    pub(super) fn best(
        &self,
        row: &Row<'_>,
        text: &[u32],
        verdict: &Verdict,
        count: usize,
        minus: f32,
    ) -> Option<Vec<Scored>> {
        if !verdict.forced.is_empty() {
            return Some(verdict.forced.iter().map(|&id| (0.0, id)).collect());
        }
        let allowed = |id: &u32| verdict.banned.binary_search(id).is_err();
        if self.repetition_penalty == 1.0 {
            let known = row.ids.iter().zip(row.values).filter(|(id, _)| allowed(id));
            let mut best: Vec<Scored> = known.map(|(&id, &value)| (value - minus, id)).collect();
            if best.len() >= count || row.ids.len() == row.vocab {
                best.truncate(count);
                return Some(best);
            }
        }
        let mut seen = text.to_vec();
        seen.sort_unstable();
        let penalty = self.repetition_penalty;
        let score = |id: u32, logit: f32| match (logit - minus, penalty != 1.0 && seen.binary_search(&id).is_ok()) {
            (score, false) => score,
            (score, true) if score < 0.0 => score * penalty,
            (score, true) => score / penalty,
        };
        let all = (0u32..).zip(row.whole?).filter(|(id, _)| allowed(id));
        Some(greatest(all.map(|(id, &logit)| (score(id, logit), id)).collect(), count))
    }
}

/// The greatest of some scores, sorted.
fn greatest(mut all: Vec<Scored>, count: usize) -> Vec<Scored> {
    let order = |a: &Scored, b: &Scored| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1));
    if count < all.len() {
        all.select_nth_unstable_by(count, order);
        all.truncate(count);
    }
    all.sort_unstable_by(order);
    all
}

/// Ids that would complete a sequence of `size` that the text has already.
fn repeats(text: &[u32], size: usize) -> Vec<u32> {
    if size == 0 || text.len() < size {
        return Vec::new();
    }
    let tail = &text[text.len() + 1 - size..];
    text.windows(size).filter(|w| w[..size - 1] == *tail).map(|w| w[size - 1]).collect()
}
