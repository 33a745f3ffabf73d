//! What tasks ask of a tokenizer beside ids: pairs of texts, which characters a token is of, special tokens by their use.

use tokenizers::Encoding;

use super::folder::Settings;
use super::json::Json;
use super::{Kind, Side, Tokenizer};
use crate::model::Sequence;
use crate::{Error, Result};

/// Special tokens by their use, where the vocabulary has them.
#[derive(Clone, Copy, Debug, Default)]
pub struct Marks {
    /// Stands for a word that is to be guessed.
    pub mask: Option<u32>,
    /// Begins every text.
    pub begin: Option<u32>,
    /// Stands for all that the vocabulary lacks.
    pub unknown: Option<u32>,
    /// Pads batches.
    pub pad: Option<u32>,
    /// The model is told which of two texts a token is of.
    pub typed: bool,
}

impl Marks {
    /// By the folder's small files, else by their usual names.
    pub fn of(tokenizer: &Tokenizer, settings: &Settings) -> Self {
        let id = |key, usual: [&str; 2]| match settings.token(key) {
            Some(token) => tokenizer.id(token),
            None => usual.into_iter().find_map(|token| tokenizer.id(token)),
        };
        Self {
            mask: id("mask_token", ["[MASK]", "<mask>"]),
            begin: id("cls_token", ["[CLS]", "<s>"]),
            unknown: id("unk_token", ["[UNK]", "<unk>"]),
            pad: id("pad_token", ["[PAD]", "<pad>"]),
            typed: settings.typed(),
        }
    }
}

/// A text or two, token by token.
pub struct Spans {
    pub encoding: Encoding,
    pub sequence: Sequence,
    /// Tokens were cut off, since the model takes no more.
    pub truncated: bool,
}

impl Tokenizer {
    /// `tokenizer.json`, or what older files say as one.
    fn json(&self) -> Result<&Json> {
        match &self.kind {
            Kind::Json(json) if self.languages.codes().next().is_none() => Ok(json),
            _ => Err(Error::Unsupported {
                what: "this folder's tokenizer".into(),
                why: "pairs of texts and the places of words take a tokenizer.json (or vocab.txt, or vocab.json with \
                      merges.txt); fetch it too"
                    .into(),
            }),
        }
    }

    /// A text or two, token by token, cut to what the model takes.
    ///
    /// # Errors
    /// [`Error::Unsupported`] where the folder has no `tokenizer.json` and nothing that is made into one; as
    /// [`Self::encode`].
    pub(super) fn spans(&self, first: &str, second: Option<&str>) -> Result<Spans> {
        let (encoding, truncated) = self.json()?.spans(first, second, self.max_tokens)?;
        self.framed_spans(encoding, truncated)
    }

    /// A text or two as the model takes them, and whether tokens were cut.
    ///
    /// # Errors
    /// As [`Self::spans`], but that a single text will do with any tokenizer.
    pub(super) fn sequence(&self, first: &str, second: Option<&str>) -> Result<(Sequence, bool)> {
        if second.is_none() {
            let tokens = self.encode(first)?;
            return Ok((Sequence { ids: tokens.ids, types: Vec::new() }, tokens.truncated));
        }
        let spans = self.spans(first, second)?;
        Ok((spans.sequence, spans.truncated))
    }

    /// A question with each window of a context, of at most `max_tokens`, all in all; see [`Json::windows`].
    pub(super) fn windows(
        &self,
        question: &str,
        context: &str,
        max_tokens: usize,
        overlap: impl FnOnce(usize) -> Result<usize>,
    ) -> Result<Vec<Spans>> {
        let windows = self.json()?.windows(question, context, max_tokens.min(self.max_tokens), overlap)?;
        windows.into_iter().map(|encoding| self.framed_spans(encoding, false)).collect()
    }

    fn framed_spans(&self, encoding: Encoding, truncated: bool) -> Result<Spans> {
        self.fit_ids(encoding.get_ids())?;
        let typed = self.marks.typed && self.types > 1;
        let types = if typed { encoding.get_type_ids().to_vec() } else { Vec::new() };
        if let Some(kind) = types.iter().find(|&&kind| kind as usize >= self.types) {
            let why = format!("it marks tokens with the type {kind}, but the model has {} types", self.types);
            return Err(Error::Tokenizer(format!("{why}: it does not fit this model; fetch both from one place")));
        }
        let sequence = Sequence { ids: encoding.get_ids().to_vec(), types };
        Ok(Spans { encoding, sequence, truncated })
    }

    /// What marks a token that goes on with a word; `None` where words begin with spaces instead.
    pub(super) fn continuing_prefix(&self) -> Option<&str> {
        self.json().ok().and_then(Json::continuing_prefix)
    }

    /// The text of tokens that are spelled as in the vocabulary.
    pub(super) fn join(&self, tokens: Vec<String>) -> Result<String> {
        self.json()?.join(tokens)
    }

    /// As [`Self::decode`], special tokens included.
    pub(super) fn decode_all(&self, ids: &[u32]) -> Result<String> {
        if let Kind::Json(json) = &self.kind {
            return Ok(self.cleaned(json.decode_all(ids)?));
        }
        // What is decoded to nothing is special.
        let part = |&id: &u32| match self.decode(&[id])? {
            text if text.is_empty() => Ok(self.token(id, Side::Source).unwrap_or_default()),
            text => Ok(text),
        };
        match ids {
            [id] => part(id),
            _ => Ok(ids.iter().map(part).collect::<Result<Vec<_>>>()?.join(" ")),
        }
    }
}

/// Some characters of a text.
pub fn characters(text: &str, start: usize, end: usize) -> String {
    text.chars().skip(start).take(end.saturating_sub(start)).collect()
}

/// exp(x) over its sum, for each x of a row.
pub fn softmax(row: &[f32]) -> Vec<f32> {
    let most = f64::from(row.iter().copied().fold(f32::NEG_INFINITY, f32::max));
    let powers: Vec<f64> = row.iter().map(|&x| (f64::from(x) - most).exp()).collect();
    let sum: f64 = powers.iter().sum();
    powers.into_iter().map(|x| (x / sum) as f32).collect()
}

/// 1 / (1 + exp(-x)).
pub fn sigmoid(x: f32) -> f32 {
    (1.0 / (1.0 + (-f64::from(x)).exp())) as f32
}

/// The place of the greatest; of equals the first.
pub fn best(row: &[f32]) -> usize {
    let mut best = 0;
    (1..row.len()).for_each(|i| best = if row[i] > row[best] { i } else { best });
    best
}
