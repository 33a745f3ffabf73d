//! SentencePiece models (Kudo and Richardson 2018): unigram and BPE, their normaliser included.
//!
//! The same pieces as google/sentencepiece gives, from its own files; nothing of a file is trusted.

mod bpe;
mod normalize;
mod proto;
#[cfg(test)]
mod tests;
mod unigram;

use super::sorted::Sorted;
use bpe::Bpe;
use normalize::Normalizer;
use proto::{Algorithm, Kind, Proto};
use unigram::Unigram;

use crate::{Error, Result};

/// Stands for a space within pieces.
pub const SPACE: &str = "\u{2581}";
/// More pieces than any model has.
const MAX_PIECES: usize = 4 << 20;

/// A model file, ready to encode.
#[derive(Debug)]
pub struct SentencePiece {
    texts: Vec<String>,
    normalizer: Normalizer,
    /// What text may be made of.
    pieces: Sorted,
    fixed: Sorted,
    model: Model,
    unknown: u32,
    /// The ids of all bytes, where unknown characters are spelled with them.
    bytes: Option<Vec<u32>>,
}

#[derive(Debug)]
enum Model {
    Unigram(Unigram),
    Bpe(Bpe),
}

/// A damaged or unsupported file.
fn wrong(why: impl std::fmt::Display) -> Error {
    Error::Tokenizer(format!("the SentencePiece model cannot be read: {why}; fetch it again"))
}

impl SentencePiece {
    /// Reads a `.spm` or `.model` file.
    ///
    /// # Errors
    /// [`Error::Tokenizer`] when it is damaged or neither unigram nor BPE.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self> {
        let proto = Proto::read(bytes)?;
        if proto.pieces.is_empty() || proto.pieces.len() > MAX_PIECES {
            return Err(wrong(format!("it has {} pieces", proto.pieces.len())));
        }
        let of = |kinds: &[Kind]| -> Vec<(&str, u32)> {
            let all = proto.pieces.iter().zip(0u32..).filter(|(piece, _)| kinds.contains(&piece.kind));
            all.map(|(piece, id)| (piece.text.as_str(), id)).collect()
        };
        let [(_, unknown)] = of(&[Kind::Unknown])[..] else {
            return Err(wrong("it has no unknown piece, or several"));
        };
        let bytes = if proto.byte_fallback { Some(byte_ids(&of(&[Kind::Byte]))?) } else { None };
        let fixed = || Sorted::new(of(&[Kind::UserDefined]).into_iter());
        Ok(Self {
            normalizer: Normalizer::new(&proto, fixed())?,
            pieces: Sorted::new(of(&[Kind::Normal, Kind::UserDefined, Kind::Unused]).into_iter()),
            fixed: fixed(),
            model: match proto.algorithm {
                Algorithm::Unigram => Model::Unigram(Unigram::new(&proto.pieces)),
                Algorithm::Bpe => Model::Bpe(Bpe::new(&proto.pieces)),
            },
            unknown,
            bytes,
            texts: proto.pieces.into_iter().map(|piece| piece.text).collect(),
        })
    }

    /// The pieces' texts, by id.
    pub fn texts(&self) -> &[String] {
        &self.texts
    }

    /// A text's pieces: each its id and what of the normalised text it stands for. Unknown characters side by side are
    /// one piece.
    pub fn encode(&self, text: &str) -> Vec<(u32, String)> {
        let text = self.normalizer.normalize(text);
        let path = match &self.model {
            Model::Unigram(model) => model.encode(&text, &self.pieces, self.unknown),
            Model::Bpe(model) => model.encode(&text, &self.pieces, &self.fixed, self.unknown),
        };
        let mut out: Vec<(u32, String)> = Vec::with_capacity(path.len());
        let mut after_unknown = false;
        for (start, end, id) in path {
            let part = &text[start..end];
            let is_unknown = id == self.unknown;
            match (&self.bytes, out.last_mut()) {
                (Some(bytes), _) if is_unknown => {
                    let ids = part.bytes().filter_map(|byte| bytes.get(usize::from(byte)));
                    out.extend(ids.filter_map(|&id| Some((id, self.texts.get(id as usize)?.clone()))));
                }
                (None, Some((_, last))) if is_unknown && after_unknown => last.push_str(part),
                _ => out.push((id, part.to_owned())),
            }
            after_unknown = is_unknown;
        }
        out
    }
}

/// A piece that stands for a byte, such as `<0x0A>`.
pub fn byte(piece: &str) -> Option<u8> {
    let digits = piece.strip_prefix("<0x")?.strip_suffix('>')?;
    u8::from_str_radix(digits, 16).ok().filter(|_| digits.len() == 2)
}

fn byte_ids(pieces: &[(&str, u32)]) -> Result<Vec<u32>> {
    let id = |wanted: u8| pieces.iter().find(|(text, _)| byte(text) == Some(wanted)).map(|&(_, id)| id);
    let ids: Option<Vec<u32>> = (0..=255).map(id).collect();
    ids.ok_or_else(|| wrong("it spells unknown characters in bytes, but lacks pieces for some"))
}
