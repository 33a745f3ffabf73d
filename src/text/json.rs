//! `tokenizer.json`, by the `tokenizers` crate.

use tokenizers::models::ModelWrapper;
use tokenizers::normalizers::{Lowercase, Sequence};
use tokenizers::{NormalizerWrapper, PostProcessor, TruncationDirection};

use crate::{Error, Result};

/// A `tokenizer.json` without its padding and truncation.
pub struct Json {
    inner: tokenizers::Tokenizer,
    /// Which end of a long text is cut.
    side: TruncationDirection,
}

impl std::fmt::Debug for Json {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Json").field("side", &self.side).finish_non_exhaustive()
    }
}

impl Json {
    pub fn from_bytes(json: &[u8]) -> Result<Self> {
        let broken = |e: String| Error::Tokenizer(format!("tokenizer.json cannot be read ({e}); fetch it again"));
        // `tokenizers` panics on some damage, half a file for example: JSON is checked first, and the rest is caught.
        serde_json::from_slice::<serde::de::IgnoredAny>(json).map_err(|e| broken(e.to_string()))?;
        let parse = || tokenizers::Tokenizer::from_bytes(json).map_err(|e| broken(e.to_string()));
        let mut inner = std::panic::catch_unwind(parse).map_err(|_| broken("a part of it is damaged".into()))??;
        let side = inner.get_truncation().map_or(TruncationDirection::Right, |own| own.direction);
        inner.with_truncation(None).map_err(|e| Error::Tokenizer(e.to_string()))?.with_padding(None);
        Ok(Self { inner, side })
    }

    /// Lower-cases texts before anything else.
    pub fn lower_case(&mut self) {
        let own = self.inner.get_normalizer().cloned();
        let both = [NormalizerWrapper::Lowercase(Lowercase)].into_iter().chain(own).collect();
        self.inner.with_normalizer(Some(Sequence::new(both)));
    }

    /// How many special tokens a text gets.
    pub fn specials(&self) -> usize {
        self.inner.get_post_processor().map_or(0, |post| post.added_tokens(false))
    }

    /// Ids with special tokens, and whether the text was cut.
    pub fn encode(&self, text: &str, max_tokens: usize) -> Result<(Vec<u32>, bool)> {
        let said = |e: tokenizers::Error| Error::Tokenizer(e.to_string());
        let mut encoding = self.inner.encode(text, false).map_err(said)?;
        let room = max_tokens.saturating_sub(self.specials());
        let cut = encoding.len() > room;
        if cut {
            encoding.truncate(room, 0, self.side);
        }
        let encoding = self.inner.post_process(encoding, None, true).map_err(said)?;
        Ok((encoding.get_ids().to_vec(), cut))
    }

    /// Ids without special tokens.
    pub fn ids(&self, text: &str) -> Result<Vec<u32>> {
        let encoding = self.inner.encode(text, false).map_err(|e| Error::Tokenizer(e.to_string()))?;
        Ok(encoding.get_ids().to_vec())
    }

    pub fn decode(&self, ids: &[u32]) -> Result<String> {
        self.inner.decode(ids, true).map_err(|e| Error::Tokenizer(format!("tokenizer.json cannot decode: {e}")))
    }

    pub fn token(&self, id: u32) -> Option<String> {
        self.inner.id_to_token(id)
    }

    pub fn id(&self, token: &str) -> Option<u32> {
        self.inner.token_to_id(token)
    }

    /// The special tokens.
    pub fn special(&self) -> Vec<(String, u32)> {
        let added = self.inner.get_added_tokens_decoder();
        added.into_iter().filter(|(_, token)| token.special).map(|(id, token)| (token.content, id)).collect()
    }

    /// Whether it joins pairs of bytes or characters: its spaces are in the tokens then, and none may be cleaned up.
    pub fn is_bpe(&self) -> bool {
        matches!(self.inner.get_model(), ModelWrapper::BPE(_))
    }
}
