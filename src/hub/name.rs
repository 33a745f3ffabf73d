//! Names of models on the hub.

use std::fmt;
use std::str::FromStr;

use super::hub;
use crate::{Error, Result};

/// The hub's own bound for each half.
const MAX: usize = 96;

/// `OWNER/MODEL` or `OWNER/MODEL@REVISION`, known to be safe in paths and addresses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Name {
    /// `OWNER/MODEL`.
    pub model: String,
    /// A branch, a tag or a commit: `main` where none was given.
    pub revision: String,
}

impl Name {
    /// Whether a text looks like a name on the hub, and not like a path: one `/` and no beginning that paths have.
    pub fn is_meant(text: &str) -> bool {
        let model = text.split('@').next().unwrap_or_default();
        let path = text.starts_with(['.', '/', '~', '\\']) || model.ends_with('/') || model.contains(['\\', ':']);
        !path && model.matches('/').count() == 1
    }

    fn is_good(&self) -> bool {
        let half = |half: &str| {
            let known = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
            let ends = half.starts_with(['-', '.']) || half.ends_with(['-', '.']);
            (1..=MAX).contains(&half.len())
                && half.chars().all(known)
                && !ends
                && !half.contains("--")
                && !half.contains("..")
        };
        // Tags may have other ends than names.
        let known = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '+');
        let part = |part: &str| !part.is_empty() && !part.starts_with('.') && part.chars().all(known);
        self.model.split('/').count() == 2 && self.model.split('/').all(half) && self.revision.split('/').all(part)
    }
}

impl FromStr for Name {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let (model, revision) = text.split_once('@').unwrap_or((text, "main"));
        let name = Self { model: model.to_owned(), revision: revision.to_owned() };
        match name.is_good() {
            true => Ok(name),
            false => Err(hub(
                text,
                "is neither a folder nor a name on the Hugging Face hub, which is OWNER/MODEL of letters, digits, '-', '_' \
                 and '.', and may end in @REVISION",
            )),
        }
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.revision.as_str() {
            "main" => f.write_str(&self.model),
            revision => write!(f, "{}@{revision}", self.model),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_what_is_none() {
        for (text, model, revision) in [
            ("sentence-transformers/all-MiniLM-L6-v2", "sentence-transformers/all-MiniLM-L6-v2", "main"),
            ("a/b@refs/pr/1", "a/b", "refs/pr/1"),
            ("a_1/b.c@v1.0", "a_1/b.c", "v1.0"),
        ] {
            let name: Name = text.parse().expect(text);
            assert_eq!((name.model.as_str(), name.revision.as_str()), (model, revision));
            assert!(Name::is_meant(text) && name.to_string() == text, "{name}");
        }
        for text in [
            "", "gpt2", "a/b/c", "../..", "a/..", "a/b c", "a/b\n", "/a", "a/", "a/-b", "a/b--c", "a/b@", "a/b@../x",
            "a/b@x//y", "a/b@/x", "a/b@x y", "\u{e9}/b", "a/b?c",
        ] {
            let error = text.parse::<Name>().expect_err(text).to_string();
            assert!(error.contains("OWNER/MODEL"), "{error}");
        }
        assert!(
            !["gpt2", "./a", "/a", "../..", "a/b/c", "a/", "c:/a", "~/a", "a\\b/c"].iter().any(|t| Name::is_meant(t))
        );
        // One of them is meant as a name, and is told what a name is.
        assert!(Name::is_meant("a/b c"));
    }
}
