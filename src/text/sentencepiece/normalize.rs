//! SentencePiece's normaliser: rewriting by longest match, and spaces made visible.
//!
//! The rules are a double-array trie over UTF-8 (Aoe 1989, in darts-clone's layout) whose values are offsets into a list of
//! replacements, each ended by a zero byte. A file's rules are not trusted: a step outside the array ends the match.

use super::proto::Proto;
use super::{SPACE, wrong};
use crate::Result;
use crate::text::sorted::Sorted;

/// Rules are short; a trie that goes round in circles is not followed for ever.
const MAX_RULE: usize = 1024;

#[derive(Debug, Default)]
pub struct Normalizer {
    trie: Vec<u32>,
    replacements: String,
    /// Stays as it is, whatever the rules say.
    fixed: Sorted,
    dummy_prefix: bool,
    trim: bool,
    escape: bool,
    space_is_suffix: bool,
}

impl Normalizer {
    pub fn new(proto: &Proto, fixed: Sorted) -> Result<Self> {
        let (trie, replacements) = split(&proto.charsmap)?;
        let &Proto { dummy_prefix, trim, escape, space_is_suffix, .. } = proto;
        Ok(Self { trie, replacements, fixed, dummy_prefix, trim, escape, space_is_suffix })
    }

    /// A text as the pieces spell it.
    pub fn normalize(&self, text: &str) -> String {
        let space = if self.escape { SPACE } else { " " };
        let mut out = String::with_capacity(text.len() + space.len());
        let mut rest = text;
        if self.trim {
            while let Some((" ", after)) = self.step(rest) {
                rest = after;
            }
        }
        if rest.is_empty() {
            return out;
        }
        let dummy = |out: &mut String, here: bool| {
            if self.dummy_prefix && here {
                out.push_str(space);
            }
        };
        dummy(&mut out, !self.space_is_suffix);
        let mut after_space = self.trim;
        while let Some((mut part, after)) = self.step(rest) {
            rest = after;
            if after_space {
                part = part.trim_start_matches(' ');
            }
            if !part.is_empty() {
                part.split(' ').enumerate().for_each(|(i, word)| {
                    out.push_str(if i > 0 { space } else { "" });
                    out.push_str(word);
                });
                after_space = self.trim && part.ends_with(' ');
            }
        }
        if self.trim {
            out.truncate(out.trim_end_matches(space).len());
        }
        dummy(&mut out, self.space_is_suffix);
        out
    }

    /// What the text's beginning becomes, and what follows it; `None` at the end.
    fn step<'a>(&'a self, text: &'a str) -> Option<(&'a str, &'a str)> {
        let own = text.chars().next()?.len_utf8();
        if let Some((len, _)) = self.fixed.longest(text) {
            return Some(text.split_at(len));
        }
        Some(self.rule(text).unwrap_or_else(|| text.split_at(own)))
    }

    /// The longest rule that the text begins with: its replacement, and the text after it.
    fn rule<'a>(&'a self, text: &'a str) -> Option<(&'a str, &'a str)> {
        let unit = |at: usize| self.trie.get(at).copied();
        let mut at = offset(unit(0)?);
        let mut found = None;
        for (i, &byte) in text.as_bytes().iter().enumerate().take(MAX_RULE) {
            at ^= usize::from(byte);
            let Some(node) = unit(at).filter(|node| node & (1 << 31 | 255) == u32::from(byte)) else { break };
            at ^= offset(node);
            if node >> 8 & 1 == 1 {
                found = unit(at).map(|leaf| ((leaf & i32::MAX as u32) as usize, i + 1)).or(found);
            }
        }
        let (value, len) = found?;
        let replacement = self.replacements.get(value..)?.split('\0').next()?;
        Some((replacement, text.get(len..)?))
    }
}

/// Where a node's children are, relative to it.
fn offset(unit: u32) -> usize {
    ((unit >> 10) << ((unit & 1 << 9) >> 6)) as usize
}

/// The trie and the replacements: the trie's length in bytes comes first.
fn split(charsmap: &[u8]) -> Result<(Vec<u32>, String)> {
    let Some((len, rest)) = charsmap.split_first_chunk::<4>() else {
        return match charsmap {
            [] => Ok(Default::default()),
            _ => Err(wrong("its normaliser's rules are cut short")),
        };
    };
    let len = u32::from_le_bytes(*len) as usize;
    let (trie, replacements) = rest
        .split_at_checked(len)
        .filter(|_| len.is_multiple_of(4))
        .ok_or_else(|| wrong("its normaliser's rules are shorter than they say"))?;
    let units = trie.chunks_exact(4).map(|unit| unit.iter().rev().fold(0, |word, &byte| word << 8 | u32::from(byte)));
    let replacements = std::str::from_utf8(replacements).map_err(|_| wrong("a replacement of its is not UTF-8"))?;
    if replacements.split('\0').any(|replacement| replacement.len() > MAX_RULE) {
        return Err(wrong("a replacement of its is absurdly long"));
    }
    Ok((units.collect(), replacements.to_owned()))
}
