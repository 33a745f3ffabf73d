//! Text in, text out: the tokenizers of model folders, in front of [`Model::embed_ids`](crate::model::Model::embed_ids)
//! and its kin.
//!
//! A folder's `tokenizer.json` is read by the `tokenizers` crate. Where there is none, older files are read here:
//! SentencePiece models, `vocab.txt`, `vocab.json` with or without `merges.txt`, or the characters that `config.json` lists.

mod answer;
mod byte_level;
mod characters;
mod classify;
mod embed;
mod fill_mask;
mod folder;
mod json;
mod language;
mod pieces;
mod rerank;
mod sentencepiece;
mod sorted;
mod spans;
mod stream;
mod tag;
mod vocab;
pub mod wordpiece;

pub use answer::{Answer, AnswerOptions, Answers};
pub use classify::{Classified, Label};
pub use embed::Embedded;
pub use fill_mask::{Filled, Fillings};
pub use language::TargetToken;
pub use rerank::Ranked;
pub use stream::Stream;
pub use tag::{Aggregation, Entity, Tagged};

use characters::Characters;
use json::Json;
use language::{Languages, Scheme};
use pieces::Pieces;
use spans::Marks;

use crate::model::{Blueprint, TokenizerFiles};
use crate::{Error, Result};

/// A model's tokenizer: special tokens in, no padding, texts cut to the model's limit.
#[derive(Debug)]
pub struct Tokenizer {
    kind: Kind,
    /// Special ids before and after a text; `tokenizer.json` has its own, unless it has languages.
    prefix: Vec<u32>,
    suffix: Vec<u32>,
    languages: Languages,
    max_tokens: usize,
    /// How many words the model has.
    vocab: usize,
    /// How many types of tokens it tells apart.
    types: usize,
    marks: Marks,
    clean_up: bool,
}

#[derive(Debug)]
enum Kind {
    Json(Box<Json>),
    Pieces(Box<Pieces>),
    Characters(Box<Characters>),
}

/// A text as the model sees it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tokens {
    /// Token ids, special ones included.
    pub ids: Vec<u32>,
    /// The text was longer than the model's limit: its end was cut off.
    pub truncated: bool,
}

/// What a model reads, or what it writes: some use different tokens for the two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// What the encoder reads; all there is in a model with one stack.
    Source,
    /// What the decoder of a model with two writes.
    Target,
}

impl Tokenizer {
    fn new(kind: Kind) -> Self {
        Self {
            kind,
            prefix: Vec::new(),
            suffix: Vec::new(),
            languages: Languages::default(),
            max_tokens: usize::MAX,
            vocab: usize::MAX,
            types: 1,
            marks: Marks::default(),
            clean_up: false,
        }
    }

    /// A tokenizer from `tokenizer.json`. What that file says of padding and of the greatest length is replaced: texts
    /// are cut to `max_tokens`. With `lower_case` they are lower-cased first, as sentence-transformers' `do_lower_case`.
    ///
    /// # Errors
    /// [`Error::Tokenizer`] when the file is damaged, or `max_tokens` leaves no room beside the special tokens.
    pub fn from_bytes(json: &[u8], max_tokens: usize, lower_case: bool) -> Result<Self> {
        let mut json = Json::from_bytes(json)?;
        if lower_case {
            json.lower_case();
        }
        Self::new(Kind::Json(Box::new(json))).with_limits(max_tokens, usize::MAX)
    }

    /// A tokenizer from a folder's files, without limits of a model.
    ///
    /// # Errors
    /// As [`Self::of`].
    pub fn from_files(files: &TokenizerFiles) -> Result<Self> {
        folder::tokenizer(files)
    }

    /// The tokenizer of a model folder.
    ///
    /// # Errors
    /// [`Error::Tokenizer`] where the folder has none or its files are damaged; [`Error::Config`] for damaged settings;
    /// [`Error::Unsupported`] for a kind of tokenizer that is not read.
    pub fn of(blueprint: &Blueprint) -> Result<Self> {
        let sentence = blueprint.sentence();
        let mut this = folder::tokenizer(blueprint.tokenizer_files())?;
        match &mut this.kind {
            Kind::Json(json) if sentence.lower_case => json.lower_case(),
            _ => {}
        }
        this.types = blueprint.arch().embed.types;
        this.with_limits(sentence.max_tokens(blueprint.arch()), blueprint.arch().vocab)
    }

    /// Cuts texts to `max_tokens`, and refuses ids from `vocab` on.
    fn with_limits(mut self, max_tokens: usize, vocab: usize) -> Result<Self> {
        let special = self.specials();
        if max_tokens <= special {
            let why = format!("the model takes {max_tokens} tokens, the special ones alone are {special}");
            return Err(Error::Tokenizer(why));
        }
        (self.max_tokens, self.vocab) = (max_tokens, vocab);
        Ok(self)
    }

    /// How many special tokens a source text gets.
    fn specials(&self) -> usize {
        match &self.kind {
            Kind::Json(json) if self.languages.scheme == Scheme::None => json.specials(),
            _ => self.prefix.len() + self.suffix.len() + usize::from(self.languages.scheme != Scheme::None),
        }
    }

    /// Chooses languages for a model that has several, by its own codes (`en_XX`, `eng_Latn`, `en`, `fra`); what is `None`
    /// stays as the folder says.
    ///
    /// # Errors
    /// [`Error::Input`] for a language that the model lacks, with those that it has.
    pub fn with_languages(mut self, source: Option<&str>, target: Option<&str>) -> Result<Self> {
        self.languages.choose(source, target)?;
        Ok(self)
    }

    /// The codes of the languages that can be chosen; empty for most models.
    pub fn languages(&self) -> Vec<&str> {
        self.languages.codes().collect()
    }

    /// How the decoder is told the target language, where it is.
    pub fn target_token(&self) -> Option<TargetToken> {
        self.languages.target_token()
    }

    /// The ids of a text, for the encoder, or for the decoder of a model that has nothing else.
    ///
    /// # Errors
    /// [`Error::Tokenizer`], for example for an unknown word where the tokenizer knows no unknown token, or for an id that
    /// the model does not have; [`Error::Input`] for a language code in the text that the model lacks.
    pub fn encode(&self, text: &str) -> Result<Tokens> {
        match &self.kind {
            Kind::Json(json) if self.languages.scheme == Scheme::None => {
                let (ids, truncated) = json.encode(text, self.max_tokens)?;
                self.fit(Tokens { ids, truncated })
            }
            _ => {
                let (code, text) = self.languages.take(text)?;
                let (before, after) = self.languages.around();
                let head = code.into_iter().chain(before).chain(self.prefix.iter().copied()).collect();
                self.framed(head, self.ids(text, Side::Source)?, self.suffix.iter().copied().chain(after).collect())
            }
        }
    }

    /// The ids of a text that the decoder of a model with two stacks would write, its end included; what starts the decoder
    /// is not.
    ///
    /// # Errors
    /// As [`Self::encode`].
    pub fn encode_target(&self, text: &str) -> Result<Tokens> {
        if matches!(self.kind, Kind::Json(_)) && self.languages.scheme == Scheme::None {
            return self.encode(text);
        }
        let first = match self.target_token() {
            Some(TargetToken::First(id)) => Some(id),
            _ => None,
        };
        let head = first.into_iter().chain(self.prefix.iter().copied()).collect();
        self.framed(head, self.ids(text, Side::Target)?, self.suffix.clone())
    }

    /// The ids of a text that has all its special tokens written out, as a chat template does: none is added, nothing cut.
    ///
    /// # Errors
    /// As [`Self::encode`].
    pub fn encode_plain(&self, text: &str) -> Result<Vec<u32>> {
        let ids = self.ids(text, Side::Source)?;
        Ok(self.fit(Tokens { ids, truncated: false })?.ids)
    }

    fn ids(&self, text: &str, side: Side) -> Result<Vec<u32>> {
        match &self.kind {
            Kind::Json(json) => json.ids(text),
            Kind::Pieces(pieces) => pieces.ids(text, side),
            Kind::Characters(characters) => characters.ids(text, side),
        }
    }

    fn framed(&self, mut ids: Vec<u32>, text: Vec<u32>, tail: Vec<u32>) -> Result<Tokens> {
        let room = self.max_tokens.saturating_sub(ids.len() + tail.len());
        let truncated = text.len() > room;
        ids.extend(text.into_iter().take(room).chain(tail));
        self.fit(Tokens { ids, truncated })
    }

    fn fit(&self, tokens: Tokens) -> Result<Tokens> {
        self.fit_ids(&tokens.ids)?;
        Ok(tokens)
    }

    /// A tokenizer of another model shows in ids that this one does not have.
    fn fit_ids(&self, ids: &[u32]) -> Result<()> {
        match ids.iter().find(|&&id| id as usize >= self.vocab) {
            None => Ok(()),
            Some(id) => {
                let why = format!(
                    "it gives the id {id}, but the model has {} words: this tokenizer does not fit this model; fetch both from one place",
                    self.vocab
                );
                Err(Error::Tokenizer(why))
            }
        }
    }

    /// The text of ids that a model wrote. Special tokens are left out, and so are ids that the tokenizer lacks.
    ///
    /// # Errors
    /// [`Error::Tokenizer`] when `tokenizer.json`'s own decoder fails.
    pub fn decode(&self, ids: &[u32]) -> Result<String> {
        let text = match &self.kind {
            Kind::Json(json) => json.decode(ids)?,
            Kind::Pieces(pieces) => pieces.decode(ids),
            Kind::Characters(characters) => characters.decode(ids),
        };
        Ok(self.cleaned(text))
    }

    fn cleaned(&self, text: String) -> String {
        if self.clean_up { clean_up(text) } else { text }
    }

    /// Decodes ids one by one, as they come.
    pub fn stream(&self) -> Stream<'_> {
        Stream::new(self)
    }

    /// How much of a decoded text stays the same whatever follows.
    fn sure(&self, text: &str) -> usize {
        // An incomplete character is shown as this one.
        let whole = text.trim_end_matches('\u{fffd}').len();
        if !self.clean_up {
            return whole;
        }
        // A space goes away when the right three characters follow it.
        let tail = text[..whole].char_indices().rev().take(3);
        tail.filter(|&(_, char)| char == ' ').map(|(at, _)| at).min().unwrap_or(whole)
    }

    /// A token as the vocabulary spells it, for showing.
    pub fn token(&self, id: u32, side: Side) -> Option<String> {
        match &self.kind {
            Kind::Json(json) => json.token(id),
            Kind::Pieces(pieces) => pieces.vocab(side).text(id).map(str::to_owned),
            Kind::Characters(characters) => characters.vocab(side).text(id).map(str::to_owned),
        }
    }

    /// A token's id on the source's side.
    pub fn id(&self, token: &str) -> Option<u32> {
        match &self.kind {
            Kind::Json(json) => json.id(token),
            Kind::Pieces(pieces) => pieces.vocab.id(token),
            Kind::Characters(characters) => characters.source.id(token),
        }
    }
}

/// Takes away the spaces that a word tokenizer put before punctuation, as Hugging Face's `clean_up_tokenization` does.
fn clean_up(text: String) -> String {
    const JOINED: [(&str, &str); 10] = [
        (" .", "."),
        (" ?", "?"),
        (" !", "!"),
        (" ,", ","),
        (" ' ", "'"),
        (" n't", "n't"),
        (" 'm", "'m"),
        (" 's", "'s"),
        (" 've", "'ve"),
        (" 're", "'re"),
    ];
    JOINED.iter().fold(text, |text, (apart, joined)| text.replace(apart, joined))
}
