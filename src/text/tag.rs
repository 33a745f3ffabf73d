//! Words and what they are, as Hugging Face's `token-classification` pipeline groups them.
//!
//! One thing differs: the pipeline joins the tokens of a word to text, and then these texts as if they were tokens, which
//! spoils them for some tokenizers. Here an entity's tokens are joined once.

use super::spans::{Spans, best, characters, softmax};
use super::{Side, Tokenizer};
use crate::Result;
use crate::model::arch::TaskKind;
use crate::model::{Model, Sequence};

/// How the tokens of a word agree on a label.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Aggregation {
    /// They need not: a word may be cut in two.
    Simple,
    /// As the first says.
    #[default]
    First,
    /// As the mean of their probabilities says.
    Average,
    /// As the one that is surest says.
    Max,
}

/// Neighbouring words with one label.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Entity {
    /// Their label in the folder's `id2label`, without the `B-` (begins) or `I-` (goes on) before it.
    pub label: String,
    /// The mean of the words' probabilities.
    pub score: f32,
    /// Their tokens, joined; `start..end` is what they are in the text.
    pub word: String,
    /// The first character, counted from 0 in characters (Unicode scalar values), not bytes.
    pub start: usize,
    /// The character after the last.
    pub end: usize,
}

/// A text's entities.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Tagged {
    /// The text was longer than the model's limit: its end was cut off.
    pub truncated: bool,
    /// All but those with the label `O`, in the order of the text.
    pub entities: Vec<Entity>,
}

/// A token or a word.
struct Part {
    tokens: Vec<String>,
    scores: Vec<f32>,
    start: usize,
    end: usize,
    /// It goes on with the word before it.
    goes_on: bool,
}

impl Model {
    /// The entities of each text. Texts beyond the model's limit are cut, and say so.
    ///
    /// # Errors
    /// [`crate::Error::Unsupported`] for a model without a head for tagging, and for a tokenizer that does not know where in
    /// the text its tokens are; as [`Model::embed`] and [`Model::logits`].
    pub async fn tag(&self, texts: &[&str], aggregation: Aggregation) -> Result<Vec<Tagged>> {
        let task = self.blueprint().task(TaskKind::Tokens)?;
        let tokenizer = self.blueprint().text_tokenizer()?;
        let spans = texts.iter().map(|text| tokenizer.spans(text, None)).collect::<Result<Vec<_>>>()?;
        let sequences: Vec<Sequence> = spans.iter().map(|spans| spans.sequence.clone()).collect();
        let logits = self.logits(&sequences).await?;
        let names = &self.blueprint().labels().names;
        let tagged = |((text, spans), logits): ((&&str, &Spans), Vec<f32>)| {
            let tokens = tokens(tokenizer, text, spans, logits.chunks(task.labels));
            let words = if aggregation == Aggregation::Simple { tokens } else { words(tokens, aggregation) };
            let entities = group(tokenizer, names, &words)?;
            Ok(Tagged { truncated: spans.truncated, entities })
        };
        texts.iter().zip(&spans).zip(logits).map(tagged).collect()
    }
}

/// The text's own tokens.
fn tokens<'a>(tokenizer: &Tokenizer, text: &str, spans: &Spans, rows: impl Iterator<Item = &'a [f32]>) -> Vec<Part> {
    let (ids, prefix) = (spans.encoding.get_ids(), tokenizer.continuing_prefix());
    let texts: Vec<char> = text.chars().collect();
    let special = spans.encoding.get_special_tokens_mask();
    let part = |(i, row): (usize, &[f32])| {
        let (start, end) = spans.encoding.get_offsets()[i];
        let own = characters(text, start, end);
        let token = tokenizer.token(ids[i], Side::Source).unwrap_or_default();
        let unknown = tokenizer.marks.unknown == Some(ids[i]);
        let goes_on = match prefix {
            _ if unknown => false,
            // Written with the prefix, a token is longer than its text.
            Some(_) => token.chars().count() != own.chars().count(),
            None => start > 0 && !texts[start - 1..texts.len().min(start + 1)].contains(&' '),
        };
        Part { tokens: vec![if unknown { own } else { token }], scores: softmax(row), start, end, goes_on }
    };
    rows.enumerate().filter(|(i, _)| special[*i] == 0).map(part).collect()
}

/// Tokens become words.
fn words(tokens: Vec<Part>, aggregation: Aggregation) -> Vec<Part> {
    let mut groups: Vec<Vec<Part>> = Vec::new();
    for token in tokens {
        match groups.last_mut() {
            Some(group) if token.goes_on => group.push(token),
            _ => groups.push(vec![token]),
        }
    }
    groups.into_iter().filter_map(|group| word(group, aggregation)).collect()
}

fn word(group: Vec<Part>, aggregation: Aggregation) -> Option<Part> {
    let (first, last) = (group.first()?, group.last()?);
    let surest = |part: &Part| part.scores[best(&part.scores)];
    let scores = match aggregation {
        Aggregation::Average => {
            let mean = |i: usize| group.iter().map(|part| part.scores[i]).sum::<f32>() / group.len() as f32;
            (0..first.scores.len()).map(mean).collect()
        }
        Aggregation::Max => group.iter().rev().max_by(|a, b| surest(a).total_cmp(&surest(b)))?.scores.clone(),
        Aggregation::First | Aggregation::Simple => first.scores.clone(),
    };
    let (start, end) = (first.start, last.end);
    Some(Part { scores, start, end, goes_on: false, tokens: group.into_iter().flat_map(|part| part.tokens).collect() })
}

/// Neighbours of one label become entities; those that are none of interest are left out.
fn group(tokenizer: &Tokenizer, names: &[String], words: &[Part]) -> Result<Vec<Entity>> {
    let label = |part: &Part| names.get(best(&part.scores)).map_or("", String::as_str);
    let joins = |a: &Part, b: &Part| {
        let ((_, tag), (begins, next)) = (split(label(a)), split(label(b)));
        tag == next && !begins
    };
    let mut entities = Vec::new();
    for group in words.chunk_by(joins) {
        let ([first, ..], [.., last]) = (group, group) else { continue };
        // What stands before the first dash is no part of the name.
        let name = label(first).split_once('-').map_or(label(first), |(_, name)| name);
        if name == "O" {
            continue;
        }
        let score = group.iter().map(|part| part.scores[best(&part.scores)]).sum::<f32>() / group.len() as f32;
        let word = tokenizer.join(group.iter().flat_map(|part| part.tokens.iter().cloned()).collect())?;
        entities.push(Entity { label: name.to_owned(), score, word, start: first.start, end: last.end });
    }
    Ok(entities)
}

/// Whether a label begins an entity, and which.
fn split(label: &str) -> (bool, &str) {
    match (label.strip_prefix("B-"), label.strip_prefix("I-")) {
        (Some(tag), _) => (true, tag),
        (None, Some(tag)) => (false, tag),
        (None, None) => (false, label),
    }
}
