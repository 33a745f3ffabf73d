//! Text in, vectors out.

use crate::Result;
use crate::model::Model;

/// The vector of a text.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Embedded {
    /// How many tokens the model saw, special ones included.
    pub tokens: usize,
    /// The text was longer than the model's limit: its end was cut off.
    pub truncated: bool,
    /// As many numbers as the model is wide.
    pub embedding: Vec<f32>,
}

impl Model {
    /// One vector for each text, pooled and scaled as the folder says. Texts beyond the model's limit are cut, and say so.
    ///
    /// # Errors
    /// [`crate::Error::Tokenizer`] where the folder has no tokenizer, a damaged one or another model's; as
    /// [`Model::embed_ids`].
    pub async fn embed(&self, texts: &[&str]) -> Result<Vec<Embedded>> {
        self.embed_in_batches(texts, usize::MAX).await
    }

    /// As [`Self::embed`], with at most `sequences` texts in one step: less memory, the same bits.
    pub async fn embed_in_batches(&self, texts: &[&str], sequences: usize) -> Result<Vec<Embedded>> {
        let tokenizer = self.blueprint().text_tokenizer()?;
        let tokens = texts.iter().map(|text| tokenizer.encode(text)).collect::<Result<Vec<_>>>()?;
        let (ids, truncated): (Vec<_>, Vec<_>) = tokens.into_iter().map(|t| (t.ids, t.truncated)).unzip();
        let vectors = self.embed_ids_in_batches(&ids, sequences).await?;
        let both = ids.iter().zip(truncated).zip(vectors);
        Ok(both.map(|((ids, truncated), embedding)| Embedded { tokens: ids.len(), truncated, embedding }).collect())
    }
}
