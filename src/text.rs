//! Text in, vectors out: Hugging Face tokenizers in front of [`Model::embed_ids`].

use tokenizers::normalizers::{Lowercase, Sequence};
use tokenizers::{NormalizerWrapper, PostProcessor, TruncationParams};

use crate::model::{Blueprint, Model};
use crate::{Error, Result};

/// A model's tokenizer: special tokens in, no padding, texts cut to the model's limit.
pub struct Tokenizer {
    inner: tokenizers::Tokenizer,
}

/// A text as the model sees it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tokens {
    /// Token ids, special ones included.
    pub ids: Vec<u32>,
    /// The text was longer than the model's limit: its end was cut off.
    pub truncated: bool,
}

/// The vector of a text.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Embedded {
    /// How many tokens the model saw, special ones included.
    pub tokens: usize,
    /// The text was longer than the model's limit: its end was cut off.
    pub truncated: bool,
    /// As many numbers as the model is wide.
    pub embedding: Vec<f32>,
}

impl std::fmt::Debug for Tokenizer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tokenizer").field("truncation", &self.inner.get_truncation()).finish_non_exhaustive()
    }
}

impl Tokenizer {
    /// A tokenizer from `tokenizer.json`. What that file says of padding and of the greatest length is replaced: texts
    /// are cut to `max_tokens`. With `lower_case` they are lower-cased first, as sentence-transformers' `do_lower_case`.
    ///
    /// # Errors
    /// [`Error::Tokenizer`] when the file is damaged, or `max_tokens` leaves no room beside the special tokens.
    pub fn from_bytes(json: &[u8], max_tokens: usize, lower_case: bool) -> Result<Self> {
        let broken = |e: String| Error::Tokenizer(format!("tokenizer.json cannot be read ({e}); fetch it again"));
        // `tokenizers` panics on some damage, half a file for example: JSON is checked first, and the rest is caught.
        serde_json::from_slice::<serde::de::IgnoredAny>(json).map_err(|e| broken(e.to_string()))?;
        let parse = || tokenizers::Tokenizer::from_bytes(json).map_err(|e| broken(e.to_string()));
        let mut inner = std::panic::catch_unwind(parse).map_err(|_| broken("a part of it is damaged".into()))??;
        let special = inner.get_post_processor().map_or(0, |post| post.added_tokens(false));
        if max_tokens <= special {
            let why = format!("the model takes {max_tokens} tokens, the special ones alone are {special}");
            return Err(Error::Tokenizer(why));
        }
        // The side that is cut is the tokenizer's own.
        let own = inner.get_truncation().cloned().unwrap_or_default();
        let truncation = TruncationParams { max_length: max_tokens, stride: 0, ..own };
        inner.with_truncation(Some(truncation)).map_err(|e| Error::Tokenizer(e.to_string()))?.with_padding(None);
        if lower_case {
            let own = inner.get_normalizer().cloned();
            let both = [NormalizerWrapper::Lowercase(Lowercase)].into_iter().chain(own).collect();
            inner.with_normalizer(Some(Sequence::new(both)));
        }
        Ok(Self { inner })
    }

    /// The tokenizer of a model folder.
    ///
    /// # Errors
    /// As [`Self::from_bytes`], and where the folder has none.
    pub fn of(blueprint: &Blueprint) -> Result<Self> {
        let missing =
            "the model has neither tokenizer.json nor vocab.txt; fetch one of them, or give ids instead of text";
        let json = blueprint.tokenizer().ok_or_else(|| Error::Tokenizer(missing.into()))?;
        let sentence = blueprint.sentence();
        Self::from_bytes(json, sentence.max_tokens(blueprint.arch()), sentence.lower_case)
    }

    /// The ids of a text.
    ///
    /// # Errors
    /// [`Error::Tokenizer`], for example for an unknown word where the tokenizer knows no unknown token.
    pub fn encode(&self, text: &str) -> Result<Tokens> {
        let encoding = self.inner.encode(text, true).map_err(|e| Error::Tokenizer(e.to_string()))?;
        Ok(Tokens { ids: encoding.get_ids().to_vec(), truncated: !encoding.get_overflowing().is_empty() })
    }
}

impl Model {
    /// One vector for each text, pooled and scaled as the folder says. Texts beyond the model's limit are cut, and say so.
    ///
    /// # Errors
    /// [`Error::Tokenizer`] where the folder has no tokenizer, a damaged one or another model's; as [`Model::embed_ids`].
    pub async fn embed(&self, texts: &[&str]) -> Result<Vec<Embedded>> {
        self.embed_in_batches(texts, usize::MAX).await
    }

    /// As [`Self::embed`], with at most `sequences` texts in one step: less memory, the same bits.
    pub async fn embed_in_batches(&self, texts: &[&str], sequences: usize) -> Result<Vec<Embedded>> {
        let tokenizer = self.blueprint().text_tokenizer()?;
        let tokens = texts.iter().map(|text| tokenizer.encode(text)).collect::<Result<Vec<_>>>()?;
        let vocab = self.blueprint().arch().vocab;
        if let Some(id) = tokens.iter().flat_map(|t| &t.ids).find(|&&id| id as usize >= vocab) {
            let why = format!(
                "it gives the id {id}, but the model has {vocab} words: this tokenizer does not fit this model; fetch both from one place"
            );
            return Err(Error::Tokenizer(why));
        }
        let (ids, truncated): (Vec<_>, Vec<_>) = tokens.into_iter().map(|t| (t.ids, t.truncated)).unzip();
        let vectors = self.embed_ids_in_batches(&ids, sequences).await?;
        let both = ids.iter().zip(truncated).zip(vectors);
        Ok(both.map(|((ids, truncated), embedding)| Embedded { tokens: ids.len(), truncated, embedding }).collect())
    }
}
