//! Source and target languages: tokens around the text, or at the start of what is decoded.

use std::collections::BTreeMap;

use crate::{Error, Result};

/// How a family is told its languages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Scheme {
    /// Not at all, or in words of the text.
    #[default]
    None,
    /// `>>fra<<` before the text is the target (Marian).
    Before,
    /// The source's token ends the text, the target's starts the decoder (mBART).
    After,
    /// The source's token begins the text, the target's is the first that is decoded (mBART-50, M2M100, NLLB).
    Around,
}

/// The token by which the decoder is told the target language.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TargetToken {
    /// It takes the place of `decoder_start_token_id`.
    Start(u32),
    /// It is forced to be the first token after the start.
    First(u32),
}

/// The languages a tokenizer knows, and those chosen.
#[derive(Debug, Default)]
pub struct Languages {
    pub scheme: Scheme,
    codes: BTreeMap<String, u32>,
    source: Option<u32>,
    target: Option<u32>,
}

impl Languages {
    /// Those among the given tokens that are language codes.
    pub fn new<'a>(scheme: Scheme, tokens: impl Iterator<Item = (&'a str, u32)>) -> Self {
        let code = |(token, id): (&str, u32)| Some((code(scheme, token)?.to_owned(), id));
        Self { scheme, codes: tokens.filter_map(code).collect(), ..Self::default() }
    }

    pub fn codes(&self) -> impl Iterator<Item = &str> {
        self.codes.keys().map(String::as_str)
    }

    pub fn ids(&self) -> impl Iterator<Item = u32> {
        self.codes.values().copied()
    }

    /// Chooses; what is `None` stays as it was.
    pub fn choose(&mut self, source: Option<&str>, target: Option<&str>) -> Result<()> {
        if let Some(source) = source {
            if matches!(self.scheme, Scheme::Before | Scheme::None) {
                return Err(lacks(source, "the model is not told its source language; leave that out"));
            }
            self.source = Some(self.id(source)?);
        }
        if let Some(target) = target {
            self.target = Some(self.id(target)?);
        }
        Ok(())
    }

    fn id(&self, code: &str) -> Result<u32> {
        if let Some(&id) = self.codes.get(code) {
            return Ok(id);
        }
        if self.codes.is_empty() {
            return Err(lacks(code, "its tokenizer has no language codes; leave the language out"));
        }
        let known: Vec<&str> = self.codes().collect();
        Err(lacks(code, &format!("it has {}", known.join(", "))))
    }

    /// Takes a code off the text's beginning, where the scheme has it there; else the chosen target's.
    ///
    /// # Errors
    /// [`Error::Input`] for a code that the model lacks.
    pub fn take<'a>(&self, text: &'a str) -> Result<(Option<u32>, &'a str)> {
        if self.scheme != Scheme::Before || self.codes.is_empty() {
            return Ok((None, text));
        }
        let written = text.strip_prefix(">>").and_then(|rest| rest.split_once("<<"));
        match written.filter(|(code, _)| !code.is_empty() && !code.contains(char::is_whitespace)) {
            Some((code, rest)) => Ok((Some(self.id(code)?), rest)),
            None => Ok((self.target, text)),
        }
    }

    /// What goes before and after a source's ids.
    pub fn around(&self) -> (Option<u32>, Option<u32>) {
        match self.scheme {
            Scheme::Around => (self.source, None),
            Scheme::After => (None, self.source),
            Scheme::Before | Scheme::None => (None, None),
        }
    }

    pub fn target_token(&self) -> Option<TargetToken> {
        match self.scheme {
            Scheme::Around => self.target.map(TargetToken::First),
            Scheme::After => self.target.map(TargetToken::Start),
            Scheme::Before | Scheme::None => None,
        }
    }
}

fn lacks(code: &str, why: &str) -> Error {
    Error::input("language", format!("the model has no {code:?}: {why}"))
}

/// A language's code, if a token is one.
fn code(scheme: Scheme, token: &str) -> Option<&str> {
    match scheme {
        Scheme::None => None,
        Scheme::Before => token.strip_prefix(">>")?.strip_suffix("<<").filter(|code| !code.is_empty()),
        Scheme::After | Scheme::Around => {
            let inner = token.strip_prefix("__").and_then(|token| token.strip_suffix("__"));
            inner.or_else(|| {
                // en_XX, eng_Latn
                let (language, script) = token.split_once('_')?;
                let letters = |text: &str| text.bytes().all(|b| b.is_ascii_alphabetic());
                let fits = letters(language) && letters(script);
                (fits && (2..=3).contains(&language.len()) && (2..=4).contains(&script.len())).then_some(token)
            })
        }
    }
}
