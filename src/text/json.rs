//! `tokenizer.json`, by the `tokenizers` crate.

use tokenizers::models::ModelWrapper;
use tokenizers::normalizers::{Lowercase, Sequence};
use tokenizers::utils::truncation::{TruncationParams, TruncationStrategy, truncate_encodings};
use tokenizers::{
    AddedToken, Decoder, Encoding, NormalizerWrapper, PostProcessor, PostProcessorWrapper, TruncationDirection,
};

use crate::{Error, Result};

/// A `tokenizer.json` without its padding and truncation.
pub struct Json {
    inner: tokenizers::Tokenizer,
    /// What puts special tokens around a text. The tokenizer is without it, since it would move offsets once more.
    post: Option<PostProcessorWrapper>,
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
        let post = inner.get_post_processor().cloned();
        inner.with_post_processor(None::<PostProcessorWrapper>);
        Ok(Self { inner, post, side })
    }

    /// Lower-cases texts before anything else.
    pub fn lower_case(&mut self) {
        let own = self.inner.get_normalizer().cloned();
        let both = [NormalizerWrapper::Lowercase(Lowercase)].into_iter().chain(own).collect();
        self.inner.with_normalizer(Some(Sequence::new(both)));
    }

    /// Finds the mask in text as it stands, where the vocabulary has it but the file does not say so.
    pub fn add_mask(&mut self, mask: &str, takes_space: bool) {
        let known = self.inner.get_added_tokens_decoder().values().any(|token| token.content == mask);
        if !known && self.id(mask).is_some() {
            self.inner.add_special_tokens(&[AddedToken::from(mask, true).lstrip(takes_space)]);
        }
    }

    /// How many special tokens a text gets.
    pub fn specials(&self) -> usize {
        self.post.as_ref().map_or(0, |post| post.added_tokens(false))
    }

    /// How many special tokens a pair of texts gets.
    fn pair_specials(&self) -> usize {
        self.post.as_ref().map_or(0, |post| post.added_tokens(true))
    }

    /// A text or two, token by token, with offsets in characters, and whether tokens were cut: the longer text's first.
    pub fn spans(&self, first: &str, second: Option<&str>, max_tokens: usize) -> Result<(Encoding, bool)> {
        let specials = if second.is_some() { self.pair_specials() } else { self.specials() };
        let room = max_tokens.saturating_sub(specials);
        if room == 0 {
            let why = format!("the model takes {max_tokens} tokens, the special ones of a pair alone are {specials}");
            return Err(Error::Tokenizer(why));
        }
        let first = self.bare(first)?;
        let second = second.map(|text| self.bare(text)).transpose()?;
        let cut = first.len() + second.as_ref().map_or(0, Encoding::len) > room;
        let strategy = TruncationStrategy::LongestFirst;
        let params = TruncationParams { direction: self.side, max_length: room, strategy, stride: 0 };
        let (mut first, mut second) = truncate_encodings(first, second, &params).map_err(said)?;
        // What was cut off would be framed, too.
        first.take_overflowing();
        second.iter_mut().for_each(|second| drop(second.take_overflowing()));
        Ok((self.frame(first, second)?, cut))
    }

    /// A question with each window of a context that is too long to go whole. Neighbouring windows share `overlap(room)` tokens,
    /// which must be fewer than the `room` tokens of a window.
    pub fn windows(
        &self,
        question: &str,
        context: &str,
        max_tokens: usize,
        overlap: impl FnOnce(usize) -> Result<usize>,
    ) -> Result<Vec<Encoding>> {
        let (question, mut context) = (self.bare(question)?, self.bare(context)?);
        let room = max_tokens.saturating_sub(self.pair_specials() + question.len());
        if context.len() > room {
            context.truncate(room, overlap(room)?, TruncationDirection::Right);
        }
        let rest = context.take_overflowing();
        let pair = |context| self.frame(question.clone(), Some(context));
        [context].into_iter().chain(rest).map(pair).collect()
    }

    /// A text's tokens without special ones; offsets are in characters.
    fn bare(&self, text: &str) -> Result<Encoding> {
        self.inner.encode_char_offsets(text, false).map_err(said)
    }

    /// A text's tokens, or two texts', with special ones.
    fn frame(&self, first: Encoding, second: Option<Encoding>) -> Result<Encoding> {
        if let Some(post) = &self.post {
            return post.process(first, second, true).map_err(said);
        }
        let mut first = first;
        if let Some(mut second) = second {
            first.set_sequence_id(0);
            second.set_sequence_id(1);
            first.merge_with(second, false);
        }
        Ok(first)
    }

    /// What marks a token that goes on with a word, in models that mark it.
    pub fn continuing_prefix(&self) -> Option<&str> {
        let prefix = match self.inner.get_model() {
            ModelWrapper::WordPiece(model) => Some(model.continuing_subword_prefix.as_str()),
            ModelWrapper::BPE(model) => model.continuing_subword_prefix.as_deref(),
            _ => None,
        };
        prefix.filter(|prefix| !prefix.is_empty())
    }

    /// The text of tokens that are spelled as in the vocabulary.
    pub fn join(&self, tokens: Vec<String>) -> Result<String> {
        match self.inner.get_decoder() {
            Some(decoder) => decoder.decode(tokens).map_err(said),
            None => Ok(tokens.join(" ")),
        }
    }

    /// Ids with special tokens, and whether the text was cut.
    pub fn encode(&self, text: &str, max_tokens: usize) -> Result<(Vec<u32>, bool)> {
        let mut encoding = self.inner.encode(text, false).map_err(said)?;
        let room = max_tokens.saturating_sub(self.specials());
        let cut = encoding.len() > room;
        if cut {
            encoding.truncate(room, 0, self.side);
        }
        Ok((self.frame(encoding, None)?.get_ids().to_vec(), cut))
    }

    /// Ids without special tokens.
    pub fn ids(&self, text: &str) -> Result<Vec<u32>> {
        let encoding = self.inner.encode(text, false).map_err(said)?;
        Ok(encoding.get_ids().to_vec())
    }

    pub fn decode(&self, ids: &[u32]) -> Result<String> {
        self.decoded(ids, true)
    }

    /// As [`Self::decode`], special tokens included.
    pub fn decode_all(&self, ids: &[u32]) -> Result<String> {
        self.decoded(ids, false)
    }

    fn decoded(&self, ids: &[u32], skip_special: bool) -> Result<String> {
        let said = |e| Error::Tokenizer(format!("tokenizer.json cannot decode: {e}"));
        self.inner.decode(ids, skip_special).map_err(said)
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

fn said(e: tokenizers::Error) -> Error {
    Error::Tokenizer(e.to_string())
}
