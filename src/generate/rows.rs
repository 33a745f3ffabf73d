//! What comes back of a step: a few numbers of each row of logits, and the rows themselves only where they are asked for.

/// The best logits of some rows.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Rows {
    /// Logits of each row that are here.
    pub k: usize,
    /// Logits that each row has.
    pub vocab: usize,
    /// `[rows, k]`, descending.
    pub values: Vec<f32>,
    /// `[rows, k]`: their ids.
    pub ids: Vec<u32>,
    /// The log-sum-exp of each row; none for greedy steps.
    pub lse: Vec<f32>,
    /// `[rows, vocab]`, where the whole rows were asked for.
    pub whole: Option<Vec<f32>>,
}

/// One of them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Row<'a> {
    pub vocab: usize,
    pub values: &'a [f32],
    pub ids: &'a [u32],
    pub lse: f32,
    pub whole: Option<&'a [f32]>,
}

impl Rows {
    /// A row; `None` where there are fewer.
    pub fn row(&self, i: usize) -> Option<Row<'_>> {
        let part = i * self.k..(i + 1) * self.k;
        Some(Row {
            vocab: self.vocab,
            values: self.values.get(part.clone())?,
            ids: self.ids.get(part)?,
            lse: self.lse.get(i).copied().unwrap_or(0.0),
            whole: match &self.whole {
                Some(whole) => Some(whole.get(i * self.vocab..(i + 1) * self.vocab)?),
                None => None,
            },
        })
    }
}

impl Row<'_> {
    /// Neither a NaN nor an infinity among the logits: a NaN is the greatest of its row, and both show in the sum.
    pub fn is_finite(&self) -> bool {
        self.values.first().is_some_and(|value| value.is_finite()) && self.lse.is_finite()
    }
}
