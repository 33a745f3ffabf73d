//! Texts and pairs of texts, and a classifier's labels for them, as Hugging Face's `text-classification` pipeline gives them.

use super::spans::{sigmoid, softmax};
use crate::Result;
use crate::model::arch::TaskKind;
use crate::model::labels::Scoring;
use crate::model::{Model, Sequence};

/// A label with its score.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Label {
    /// Its name in the folder's `id2label`.
    pub label: String,
    /// Its probability among all labels; where the folder's `problem_type` says that labels do not exclude each other, or
    /// where there is just one, its own; in a regression the number itself.
    pub score: f32,
}

/// A text's labels.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Classified {
    /// The text was longer than the model's limit: its end was cut off.
    pub truncated: bool,
    /// All labels, the best first.
    pub labels: Vec<Label>,
}

impl Model {
    /// The labels of each text. Texts beyond the model's limit are cut, and say so.
    ///
    /// # Errors
    /// [`crate::Error::Unsupported`] for a model without a head for classifying; as [`Model::embed`] and [`Model::logits`].
    pub async fn classify(&self, texts: &[&str]) -> Result<Vec<Classified>> {
        let texts: Vec<_> = texts.iter().map(|&text| (text, None)).collect();
        self.classified(&texts).await
    }

    /// The labels of each pair of texts, for example of a premise and a hypothesis. Of a pair beyond the model's limit the longer
    /// text is cut first. A pair whose second text is empty is the first by itself, as the pipeline has it.
    ///
    /// # Errors
    /// As [`Self::classify`]; [`crate::Error::Unsupported`] where the folder's tokenizer knows no pairs.
    pub async fn classify_pairs(&self, pairs: &[(&str, &str)]) -> Result<Vec<Classified>> {
        let pairs = pairs.iter().map(|&(first, second)| (first, Some(second).filter(|text| !text.is_empty())));
        let pairs: Vec<_> = pairs.collect();
        self.classified(&pairs).await
    }

    async fn classified(&self, texts: &[(&str, Option<&str>)]) -> Result<Vec<Classified>> {
        let (logits, truncated) = self.text_logits(texts).await?;
        let labels = self.blueprint().labels();
        let classified = |(row, truncated): (Vec<f32>, bool)| {
            let named = labels.names.iter().cloned().zip(scores(labels.scoring, row));
            let mut labels: Vec<Label> = named.map(|(label, score)| Label { label, score }).collect();
            labels.sort_by(|a, b| b.score.total_cmp(&a.score));
            Classified { truncated, labels }
        };
        Ok(logits.into_iter().zip(truncated).map(classified).collect())
    }

    /// What a classifier says of each text or pair, and whether it was cut.
    pub(super) async fn text_logits(&self, texts: &[(&str, Option<&str>)]) -> Result<(Vec<Vec<f32>>, Vec<bool>)> {
        self.blueprint().task(TaskKind::Sequence)?;
        let tokenizer = self.blueprint().text_tokenizer()?;
        let sequences = texts.iter().map(|&(first, second)| tokenizer.sequence(first, second));
        let (sequences, truncated): (Vec<Sequence>, Vec<bool>) =
            sequences.collect::<Result<Vec<_>>>()?.into_iter().unzip();
        Ok((self.logits(&sequences).await?, truncated))
    }
}

/// Scores of one row of logits.
pub(super) fn scores(scoring: Scoring, row: Vec<f32>) -> Vec<f32> {
    match scoring {
        Scoring::Raw => row,
        Scoring::Sigmoid => row.into_iter().map(sigmoid).collect(),
        Scoring::Softmax => softmax(&row),
    }
}
