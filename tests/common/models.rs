//! Real checkpoints, which are not stored here, and what PyTorch answers with them. Both packages' tests include this file.
#![allow(dead_code)]

use std::path::{Path, PathBuf};

use serde::Deserialize;

/// The folder of a checkpoint: in `WGFORMER_MODELS`, or where `cargo xtask test` puts it.
pub fn checkpoint(name: &str) -> PathBuf {
    let models = std::env::var_os("WGFORMER_MODELS").unwrap_or_else(|| "target/models".into());
    let path = project().join(models).join(name);
    let hint = "`cargo xtask test` brings it, or: python3 tests/golden/fetch.py target/models; WGFORMER_MODELS names \
                another folder";
    assert!(path.is_dir(), "there is no {}: {hint}", path.display());
    path
}

/// A golden's file.
pub fn golden_json<T: for<'a> Deserialize<'a>>(name: &str) -> T {
    let text = std::fs::read_to_string(project().join("tests/golden").join(name)).expect(name);
    serde_json::from_str(&text).expect(name)
}

/// The workspace: tests of its packages run in different folders.
fn project() -> &'static Path {
    let mut above = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors();
    above.find(|dir| dir.join("tests/golden").is_dir()).expect("the project")
}

/// A sentence of `opus-zh-en.json`.
#[derive(Deserialize)]
pub struct Sentence {
    pub source: String,
    pub input_ids: Vec<u32>,
    pub greedy: String,
    /// From the start token to the end token.
    pub greedy_ids: Vec<u32>,
    pub beam4: String,
    pub beam4_ids: Vec<u32>,
}

impl Sentence {
    /// All of them.
    pub fn all() -> Vec<Self> {
        let all: Vec<Self> = golden_json("opus-zh-en.json");
        assert_eq!(all.len(), 6);
        all
    }

    /// Ids and text, greedy or by four beams.
    pub fn translation(&self, beams: usize) -> (&[u32], &str) {
        match beams {
            1 => (&self.greedy_ids, &self.greedy),
            4 => (&self.beam4_ids, &self.beam4),
            _ => panic!("{beams} beams"),
        }
    }
}

/// A model of one-digit arithmetic: its folder, what it is asked, what is right.
pub struct Operation {
    pub folder: PathBuf,
    pub asked: Vec<String>,
    pub right: Vec<String>,
}

impl Operation {
    /// All that the four models know: 100 sums, 100 products, 55 differences without a sign, 90 quotients with remainders.
    pub fn all() -> [Self; 4] {
        let of = |name: &str, sign: char, answer: fn(u32, u32) -> Option<String>| {
            let pairs = (0..10).flat_map(|a| (0..10).map(move |b| (a, b)));
            let known = pairs.filter_map(|(a, b)| Some((format!("{a}{sign}{b}="), answer(a, b)?)));
            let (asked, right) = known.unzip();
            Self { folder: checkpoint("mathformer").join(name), asked, right }
        };
        [
            of("addformer", '+', |a, b| Some((a + b).to_string())),
            of("mulformer", '*', |a, b| Some((a * b).to_string())),
            of("subformer", '-', |a, b| Some(a.checked_sub(b)?.to_string())),
            of("divformer", '/', |a, b| Some(format!("Q{}R{}", a.checked_div(b)?, a % b))),
        ]
    }
}
