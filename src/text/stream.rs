//! Text as it grows.

use super::Tokenizer;
use crate::Result;

/// So many tokens are decoded again with each new one; what came before no longer changes.
const WINDOW: usize = 32;
/// So many are kept when the window moves, for the spaces and clean-ups that depend on neighbours.
const OVERLAP: usize = 8;

/// Decodes one id after another. What it gives, joined, is the text of all ids; a character is given once it is whole.
#[derive(Debug)]
pub struct Stream<'a> {
    tokenizer: &'a Tokenizer,
    ids: Vec<u32>,
    /// How much of the ids' text has been given.
    given: usize,
}

impl<'a> Stream<'a> {
    pub(super) fn new(tokenizer: &'a Tokenizer) -> Self {
        Self { tokenizer, ids: Vec::new(), given: 0 }
    }

    /// The text that this id adds; empty while a character is incomplete, or a space may still go away.
    ///
    /// # Errors
    /// As [`Tokenizer::decode`].
    pub fn push(&mut self, id: u32) -> Result<String> {
        self.ids.push(id);
        let text = self.tokenizer.decode(&self.ids)?;
        let sure = &text[..self.tokenizer.sure(&text)];
        let new = sure.get(self.given..).unwrap_or_default().to_owned();
        self.given = self.given.max(sure.len());
        if self.ids.len() > WINDOW && sure.len() == text.len() {
            let kept = self.ids.split_off(self.ids.len() - OVERLAP);
            let start = self.tokenizer.decode(&kept)?;
            // A cut within a character shows at the start of every later text, so only lengths count; but after nothing the
            // next word would lose its space.
            if start.is_empty() {
                self.ids.extend(kept);
            } else {
                (self.ids, self.given) = (kept, start.len());
            }
        }
        Ok(new)
    }

    /// What is left: an incomplete character as U+FFFD.
    ///
    /// # Errors
    /// As [`Tokenizer::decode`].
    pub fn finish(self) -> Result<String> {
        let text = self.tokenizer.decode(&self.ids)?;
        Ok(text.get(self.given..).unwrap_or_default().to_owned())
    }
}
