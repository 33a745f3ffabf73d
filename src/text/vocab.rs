//! Tokens and their ids, both ways, and which of them are special.

use std::collections::{HashMap, HashSet};

use super::sorted::Sorted;
use crate::model::config::config_error;
use crate::{Error, Result};

/// More tokens than any model has.
const MAX_TOKENS: usize = 4 << 20;

/// A vocabulary. Special tokens are found in text as they stand, and left out of decoded text.
#[derive(Debug, Default)]
pub struct Vocab {
    ids: HashMap<String, u32>,
    texts: Vec<Option<Box<str>>>,
    special: HashSet<u32>,
    special_texts: Sorted,
    unknown: Option<u32>,
}

impl Vocab {
    /// Tokens by their ids. Where several have one id, the last is its text.
    ///
    /// # Errors
    /// [`Error::Tokenizer`] for an absurd id.
    pub fn new(tokens: impl IntoIterator<Item = (String, u32)>) -> Result<Self> {
        let mut this = Self::default();
        tokens.into_iter().try_for_each(|(text, id)| this.insert(text, id))?;
        Ok(this)
    }

    /// A JSON object from tokens to ids.
    pub fn from_json(file: &str, json: &[u8]) -> Result<Self> {
        let why = |e| format!("is not an object from tokens to ids ({e}); fetch it again");
        let ids: HashMap<String, u32> = serde_json::from_slice(json).map_err(|e| config_error(file, why(e)))?;
        let mut ids: Vec<_> = ids.into_iter().collect();
        ids.sort_unstable();
        Self::new(ids)
    }

    /// Adds a token.
    pub fn insert(&mut self, text: String, id: u32) -> Result<()> {
        let at = id as usize;
        if at >= MAX_TOKENS {
            return Err(Error::Tokenizer(format!("the token {text:?} has the id {id}, at most {MAX_TOKENS} is sane")));
        }
        if self.texts.len() <= at {
            self.texts.resize(at + 1, None);
        }
        self.texts[at] = Some(text.as_str().into());
        self.ids.insert(text, id);
        Ok(())
    }

    /// Says which tokens are special; those that the vocabulary lacks are not.
    pub fn mark_special<'a>(&mut self, texts: impl Iterator<Item = &'a str>) {
        let ids: Vec<u32> = texts.filter_map(|text| self.id(text)).collect();
        self.mark_special_ids(ids.into_iter());
    }

    /// As [`Self::mark_special`], by ids.
    pub fn mark_special_ids(&mut self, ids: impl Iterator<Item = u32>) {
        self.special.extend(ids);
        let text = |&id: &u32| Some((self.texts.get(id as usize)?.as_deref()?, id));
        self.special_texts = Sorted::new(self.special.iter().filter_map(text));
    }

    /// Says which token stands for all that the vocabulary lacks.
    ///
    /// # Errors
    /// [`Error::Tokenizer`] when the vocabulary lacks that token too.
    pub fn set_unknown(&mut self, text: &str) -> Result<()> {
        self.unknown = Some(self.require(text, "the unknown token")?);
        Ok(())
    }

    /// The id of a token, or of the unknown one.
    ///
    /// # Errors
    /// [`Error::Tokenizer`] where there is neither.
    pub fn id_or_unknown(&self, text: &str) -> Result<u32> {
        let why = || Error::Tokenizer(format!("it has no token for {text:?}, and none for what is unknown"));
        self.id(text).or(self.unknown).ok_or_else(why)
    }

    /// The id of a token that has to be there.
    pub fn require(&self, text: &str, what: &str) -> Result<u32> {
        let why = || Error::Tokenizer(format!("its vocabulary lacks {what}, {text:?}; are all files of one model?"));
        self.id(text).ok_or_else(why)
    }

    pub fn id(&self, text: &str) -> Option<u32> {
        self.ids.get(text).copied()
    }

    pub fn text(&self, id: u32) -> Option<&str> {
        self.texts.get(id as usize)?.as_deref()
    }

    pub fn is_special(&self, id: u32) -> bool {
        self.special.contains(&id)
    }

    /// One more than the greatest id.
    pub fn len(&self) -> usize {
        self.texts.len()
    }

    /// All tokens, by id.
    pub fn iter(&self) -> impl Iterator<Item = (&str, u32)> {
        self.texts.iter().zip(0..).filter_map(|(text, id)| Some((text.as_deref()?, id)))
    }

    /// Cuts a text at special tokens: the text before each, and its id; at last what follows them.
    pub fn split<'a>(&self, text: &'a str) -> Vec<(&'a str, Option<u32>)> {
        let mut parts = Vec::new();
        let (mut start, mut at) = (0, 0);
        while let Some(char) = text[at..].chars().next() {
            match self.special_texts.longest(&text[at..]) {
                Some((len, id)) => {
                    parts.push((&text[start..at], Some(id)));
                    at += len;
                    start = at;
                }
                None => at += char.len_utf8(),
            }
        }
        parts.push((&text[start..], None));
        parts
    }
}
