//! Texts by how well they go with a query: by a cross-encoder as sentence-transformers' `CrossEncoder.rank` does it, else by the
//! cosine of vectors.

use super::classify::scores;
use crate::model::Model;
use crate::model::arch::TaskKind;
use crate::{Error, Result};

/// A text's place.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Ranked {
    /// Which of the texts it is, counted from 0.
    pub index: usize,
    /// How well it goes with the query.
    pub score: f32,
    /// The text, or the query with it, was longer than the model's limit: it was cut.
    pub truncated: bool,
}

impl Model {
    /// The texts, best first: by a cross-encoder where the model is one, which is a classifier with one label (its activation as
    /// sentence-transformers', by default the sigmoid), else as [`Self::similarity`]. At most `sequences` share a step.
    ///
    /// # Errors
    /// [`Error::Unsupported`] for a classifier with several labels; as [`Self::classify_pairs`] and [`Model::embed`].
    pub async fn rerank(&self, query: &str, texts: &[&str], sequences: usize) -> Result<Vec<Ranked>> {
        let Some(task) = self.blueprint().arch().task.filter(|task| task.kind == TaskKind::Sequence) else {
            return self.similarity(query, texts, sequences).await;
        };
        if task.labels != 1 {
            let why = format!("the model has {} labels, a cross-encoder has one; see `classify --pairs`", task.labels);
            return Err(Error::Unsupported { what: "ranking by this classifier".into(), why });
        }
        let scoring = self.blueprint().labels().ranking()?;
        let mut all = Vec::with_capacity(texts.len());
        for part in texts.chunks(sequences.max(1)) {
            let pairs: Vec<_> = part.iter().map(|&text| (query, Some(text))).collect();
            let (logits, truncated) = self.text_logits(&pairs).await?;
            all.extend(scores(scoring, logits.concat()).into_iter().zip(truncated));
        }
        Ok(ranked(all))
    }

    /// The texts by the cosine of their vectors with the query's, best first; at most `sequences` share a step.
    ///
    /// # Errors
    /// As [`Model::embed`]; [`Error::NotFinite`] for a vector with numbers that are not finite.
    pub async fn similarity(&self, query: &str, texts: &[&str], sequences: usize) -> Result<Vec<Ranked>> {
        let all: Vec<&str> = [query].into_iter().chain(texts.iter().copied()).collect();
        let vectors = self.embed_in_batches(&all, sequences).await?;
        if let Some(at) = vectors.iter().position(|v| !v.embedding.iter().all(|x| x.is_finite())) {
            return Err(Error::NotFinite { prompt: at, tokens: vectors[at].tokens });
        }
        let Some((query, texts)) = vectors.split_first() else { return Ok(Vec::new()) };
        let score =
            |text: &super::Embedded| (cosine(&query.embedding, &text.embedding), query.truncated || text.truncated);
        Ok(ranked(texts.iter().map(score).collect()))
    }
}

fn ranked(scores: Vec<(f32, bool)>) -> Vec<Ranked> {
    let place = |(index, (score, truncated))| Ranked { index, score, truncated };
    let mut all: Vec<Ranked> = scores.into_iter().enumerate().map(place).collect();
    all.sort_by(|a, b| b.score.total_cmp(&a.score));
    all
}

/// The cosine of the angle between two vectors; 0 where one has no length.
fn cosine(a: &[f32], b: &[f32]) -> f32 {
    let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(&a, &b)| f64::from(a) * f64::from(b)).sum::<f64>();
    let lengths = (dot(a, a) * dot(b, b)).sqrt();
    if lengths > 0.0 { (dot(a, b) / lengths) as f32 } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cosines() {
        assert_eq!(cosine(&[1.0, 0.0], &[0.0, 3.0]), 0.0);
        assert_eq!(cosine(&[1.0, 2.0], &[-2.0, -4.0]), -1.0);
        assert_eq!(cosine(&[0.0, 0.0], &[1.0, 1.0]), 0.0);
        let order: Vec<usize> = ranked(vec![(0.1, false), (0.5, false), (0.1, true)]).iter().map(|r| r.index).collect();
        assert_eq!(order, [1, 0, 2]);
    }
}
