//! SentencePiece in front of a vocabulary: how Marian, T5, mBART and their kin read and write.

use super::Side;
use super::sentencepiece::{SPACE, SentencePiece, byte};
use super::vocab::Vocab;
use crate::Result;

/// One side's pieces and ids, and the other's where they differ.
#[derive(Debug)]
pub struct Pieces {
    pub source: SentencePiece,
    pub target: Option<SentencePiece>,
    pub vocab: Vocab,
    pub target_vocab: Option<Vocab>,
}

impl Pieces {
    pub fn vocab(&self, side: Side) -> &Vocab {
        match side {
            Side::Source => &self.vocab,
            Side::Target => self.target_vocab.as_ref().unwrap_or(&self.vocab),
        }
    }

    /// The ids of a text.
    pub fn ids(&self, text: &str, side: Side) -> Result<Vec<u32>> {
        let model = match side {
            Side::Source => &self.source,
            Side::Target => self.target.as_ref().unwrap_or(&self.source),
        };
        let vocab = self.vocab(side);
        let mut ids = Vec::new();
        for (part, special) in vocab.split(text) {
            for (_, piece) in model.encode(part) {
                ids.push(vocab.id_or_unknown(&piece)?);
            }
            ids.extend(special);
        }
        Ok(ids)
    }

    /// The text of ids; what is special is left out.
    pub fn decode(&self, ids: &[u32]) -> String {
        let vocab = self.vocab(Side::Target);
        let mut bytes = Vec::new();
        for text in ids.iter().filter(|&&id| !vocab.is_special(id)).filter_map(|&id| vocab.text(id)) {
            match byte(text) {
                Some(byte) => bytes.push(byte),
                None => bytes.extend(text.replace(SPACE, " ").into_bytes()),
            }
        }
        String::from_utf8_lossy(&bytes).trim().to_owned()
    }
}
