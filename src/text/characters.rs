//! One token for each character.

use super::Side;
use super::vocab::Vocab;
use crate::Result;

/// The characters that are read, and those that are written where they differ.
#[derive(Debug)]
pub struct Characters {
    pub source: Vocab,
    pub target: Option<Vocab>,
}

impl Characters {
    pub fn vocab(&self, side: Side) -> &Vocab {
        match side {
            Side::Source => &self.source,
            Side::Target => self.target.as_ref().unwrap_or(&self.source),
        }
    }

    /// The ids of a text.
    pub fn ids(&self, text: &str, side: Side) -> Result<Vec<u32>> {
        let vocab = self.vocab(side);
        text.chars().map(|char| vocab.id_or_unknown(char.encode_utf8(&mut [0; 4]))).collect()
    }

    /// The text of ids; what is special is left out.
    pub fn decode(&self, ids: &[u32]) -> String {
        let vocab = self.vocab(Side::Target);
        ids.iter().filter(|&&id| !vocab.is_special(id)).filter_map(|&id| vocab.text(id)).collect()
    }
}
