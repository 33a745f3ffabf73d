//! The protobuf of a SentencePiece model, as far as encoding needs it.
//!
//! Field numbers follow `sentencepiece_model.proto` of google/sentencepiece. Fields that are not needed are skipped, so that
//! models of later versions are read too.

use super::wrong;
use crate::Result;

/// Bytes of a piece; real ones have below a hundred.
const MAX_PIECE: usize = 4096;

/// What a piece is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Normal,
    Unknown,
    Control,
    UserDefined,
    Unused,
    Byte,
}

#[derive(Clone, Debug)]
pub struct Piece {
    pub text: String,
    pub score: f32,
    pub kind: Kind,
}

/// How pieces are chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    Unigram,
    Bpe,
}

/// A model file.
#[derive(Debug)]
pub struct Proto {
    pub pieces: Vec<Piece>,
    pub algorithm: Algorithm,
    pub byte_fallback: bool,
    pub space_is_suffix: bool,
    pub charsmap: Vec<u8>,
    pub dummy_prefix: bool,
    pub trim: bool,
    pub escape: bool,
}

impl Proto {
    /// Reads a file.
    ///
    /// # Errors
    /// [`crate::Error::Tokenizer`] when it is damaged, or of a kind that is not supported.
    pub fn read(bytes: &[u8]) -> Result<Self> {
        let mut proto = Self {
            pieces: Vec::new(),
            algorithm: Algorithm::Unigram,
            byte_fallback: false,
            space_is_suffix: false,
            charsmap: Vec::new(),
            dummy_prefix: true,
            trim: true,
            escape: true,
        };
        let mut fields = Fields(bytes);
        while let Some((number, value)) = fields.next()? {
            match (number, value) {
                (1, Value::Bytes(piece)) => proto.pieces.push(read_piece(piece)?),
                (2, Value::Bytes(trainer)) => proto.read_trainer(trainer)?,
                (3, Value::Bytes(normalizer)) => proto.read_normalizer(normalizer)?,
                _ => {}
            }
        }
        Ok(proto)
    }

    fn read_trainer(&mut self, bytes: &[u8]) -> Result<()> {
        let mut fields = Fields(bytes);
        while let Some((number, value)) = fields.next()? {
            match (number, value) {
                (3, Value::Number(1)) => self.algorithm = Algorithm::Unigram,
                (3, Value::Number(2)) => self.algorithm = Algorithm::Bpe,
                (3, _) => return Err(wrong("it is neither a unigram nor a BPE model; only these are supported")),
                (24, Value::Number(n)) => self.space_is_suffix = n != 0,
                (35, Value::Number(n)) => self.byte_fallback = n != 0,
                _ => {}
            }
        }
        Ok(())
    }

    fn read_normalizer(&mut self, bytes: &[u8]) -> Result<()> {
        let mut fields = Fields(bytes);
        while let Some((number, value)) = fields.next()? {
            match (number, value) {
                (2, Value::Bytes(map)) => self.charsmap = map.to_vec(),
                (3, Value::Number(n)) => self.dummy_prefix = n != 0,
                (4, Value::Number(n)) => self.trim = n != 0,
                (5, Value::Number(n)) => self.escape = n != 0,
                _ => {}
            }
        }
        Ok(())
    }
}

fn read_piece(bytes: &[u8]) -> Result<Piece> {
    let mut piece = Piece { text: String::new(), score: 0.0, kind: Kind::Normal };
    let mut fields = Fields(bytes);
    while let Some((number, value)) = fields.next()? {
        match (number, value) {
            (1, Value::Bytes(text)) => {
                piece.text = std::str::from_utf8(text).map_err(|_| wrong("a piece is not UTF-8"))?.to_owned();
            }
            (2, Value::Bits(bits)) => piece.score = f32::from_bits(bits),
            (3, Value::Number(n)) => {
                piece.kind = match n {
                    1 => Kind::Normal,
                    2 => Kind::Unknown,
                    3 => Kind::Control,
                    4 => Kind::UserDefined,
                    5 => Kind::Unused,
                    6 => Kind::Byte,
                    _ => return Err(wrong(format!("piece {:?} is of an unknown kind, {n}", piece.text))),
                }
            }
            _ => {}
        }
    }
    if piece.text.is_empty() || piece.text.len() > MAX_PIECE || !piece.score.is_finite() {
        return Err(wrong("a piece is empty or absurdly long, or its score is not a number"));
    }
    Ok(piece)
}

/// A field's value, by its wire type.
enum Value<'a> {
    Number(u64),
    Bits(u32),
    Bytes(&'a [u8]),
    Skipped,
}

/// What is left of a message.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn next(&mut self) -> Result<Option<(u64, Value<'a>)>> {
        if self.0.is_empty() {
            return Ok(None);
        }
        let tag = self.varint()?;
        let value = match tag & 7 {
            0 => Value::Number(self.varint()?),
            1 => {
                self.take(8)?;
                Value::Skipped
            }
            2 => {
                let len = self.varint()?;
                Value::Bytes(self.take(usize::try_from(len).unwrap_or(usize::MAX))?)
            }
            5 => Value::Bits(self.take(4)?.iter().rev().fold(0, |bits, &byte| bits << 8 | u32::from(byte))),
            other => return Err(wrong(format!("it has a field of wire type {other}, which no such file has"))),
        };
        Ok(Some((tag >> 3, value)))
    }

    fn take(&mut self, len: usize) -> Result<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(len).ok_or_else(|| wrong("it ends within a field"))?;
        self.0 = rest;
        Ok(taken)
    }

    fn varint(&mut self) -> Result<u64> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.take(1)?[0];
            value |= u64::from(byte & 127) << shift;
            if byte < 128 {
                return Ok(value);
            }
        }
        Err(wrong("it has a number of more than 64 bits"))
    }
}
