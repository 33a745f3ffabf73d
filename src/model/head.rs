//! Heads as wide as a vocabulary at work: over the rows that a pass has left, so many at a time.

use std::ops::Range;

use super::forward::Outputs;
use super::padded::places;
use super::{Model, Run};
use crate::Result;
use crate::graph::{Capacity, Span, Step};
use crate::kernel::Role;

/// Bytes of logits that are computed and read back at once, at most: a device's memory does not grow with the text.
const PART_BYTES: usize = 64 << 20;

/// A head as wide as the vocabulary, of a run.
#[derive(Clone, Copy, Debug)]
pub(super) struct WordHead {
    /// Its logits of a row.
    pub cols: usize,
    /// Rows at a time.
    rows: usize,
}

impl Model {
    /// A head of so many logits, for up to so many rows of a step.
    pub(super) fn head(&self, cols: usize, rows: usize) -> WordHead {
        // A part may begin with a row that nobody asked for.
        let fit = (self.binding_bytes().min(PART_BYTES) / (4 * cols)).saturating_sub(1);
        WordHead { cols, rows: rows.min(fit).max(1) }
    }
}

impl WordHead {
    /// What [`Model::run`] wants, where the rows are those of steps of this capacity.
    pub fn role(self, left: Capacity) -> (Role, Outputs, Capacity) {
        (Role::Head, Outputs::default(), Capacity::packed(left.tokens, self.rows + 1))
    }
}

impl Run<'_> {
    /// What a head says of some rows, ascending, that a step of so many tokens has left: `each` gets them one by one, with
    /// their place among `rows`.
    pub(super) async fn head(
        &mut self,
        head: WordHead,
        tokens: u32,
        rows: &[usize],
        mut each: impl FnMut(usize, &[f32]) -> Result<()>,
    ) -> Result<()> {
        for (part, group) in rows.chunks(head.rows).enumerate() {
            let (step, before) = cut(group, tokens);
            let tensors = self.steps(&[(Role::Head, &step)], &["logits"]).await?;
            let logits = tensors.iter().flat_map(|logits| logits.chunks(head.cols));
            for (i, row) in logits.skip(before).take(group.len()).enumerate() {
                each(part * head.rows + i, row)?;
            }
        }
        Ok(())
    }

    /// What a head says of all tokens of a chunk, spread over the padded `[batch, len, cols]`.
    pub(super) async fn spread_head(
        &mut self,
        head: WordHead,
        out: &mut [f32],
        (len, columns): (usize, &[Vec<usize>]),
        chunk: Range<usize>,
    ) -> Result<()> {
        let places: Vec<usize> = places(len, columns, chunk).collect();
        let rows: Vec<usize> = (0..places.len()).collect();
        let put = |i: usize, row: &[f32]| {
            out[places[i] * head.cols..][..head.cols].copy_from_slice(row);
            Ok(())
        };
        self.head(head, rows.len() as u32, &rows, put).await
    }
}

/// The tokens of a step cut before each of these rows, so that each is the first of a part, and the parts before them.
fn cut(rows: &[usize], tokens: u32) -> (Step, usize) {
    let rows: Vec<u32> = rows.iter().map(|&row| row as u32).collect();
    let starts: Vec<u32> = [0].into_iter().filter(|_| rows.first() != Some(&0)).chain(rows.iter().copied()).collect();
    let ends = starts.iter().skip(1).copied().chain([tokens]);
    let spans = starts.iter().zip(ends).map(|(&start, end)| Span { start, len: end - start, ..Span::default() });
    (Step { spans: spans.collect(), ..Step::default() }, starts.len() - rows.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_begin_at_the_rows() {
        let spans = |rows: &[usize], tokens| {
            let (step, before) = cut(rows, tokens);
            (step.spans.iter().map(|s| (s.start, s.len)).collect::<Vec<_>>(), before)
        };
        assert_eq!(spans(&[2, 3, 7], 9), (vec![(0, 2), (2, 1), (3, 4), (7, 2)], 1));
        assert_eq!(spans(&[0, 8], 9), (vec![(0, 8), (8, 1)], 0));
    }
}
