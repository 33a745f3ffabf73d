//! Drawing a token.

use super::Settings;
use super::rows::Row;
use super::rules::Verdict;

/// A number from 0 to below 1 for the token at `position` of text number `index`: SplitMix64 (Steele et al. 2014), seeked
/// instead of stepped, so that a text depends on nothing else that is drawn.
pub(super) fn uniform(seed: u64, index: usize, position: usize) -> f64 {
    let stream = mix(seed.wrapping_add((index as u64).wrapping_mul(GOLDEN)));
    let bits = mix(stream.wrapping_add((position as u64 + 1).wrapping_mul(GOLDEN)));
    (bits >> 11) as f64 / (1u64 << 53) as f64
}

const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

fn mix(z: u64) -> u64 {
    let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

impl Settings {
    /// Draws from a row by temperature, `top_k` and `top_p`, in this order, with `u` of [`uniform`]. `None` where the row
    /// does not tell.
    pub(super) fn draw(&self, row: &Row<'_>, text: &[u32], verdict: &Verdict, u: f64) -> Option<Option<u32>> {
        let most = if self.top_k == 0 { usize::MAX } else { self.top_k };
        // Without `top_k`, what is here may do: their share of the sum is known, if none is banned or penalised.
        let partial = self.top_k == 0
            && row.whole.is_none()
            && verdict.banned.is_empty()
            && verdict.forced.is_empty()
            && self.repetition_penalty == 1.0;
        let count = if partial { row.values.len() } else { most };
        let mut best = self.best(row, text, verdict, count, 0.0)?;
        let temperature = if verdict.forced.is_empty() { self.temperature } else { 1.0 };
        best.iter_mut().for_each(|(score, _)| *score /= temperature);
        let Some(&(top, _)) = best.first() else { return Some(None) };
        let mass = |score: f32| f64::from(score - top).exp();
        let here: f64 = best.iter().map(|&(score, _)| mass(score)).sum();
        let complete = !partial || best.len() == row.vocab;
        let total = if complete { here } else { f64::from(row.lse - top).exp().max(here) };
        // Tokens are kept while those before them have less than `top_p`.
        let (mut kept, mut before) = (0, 0.0);
        while kept < best.len() && before < f64::from(self.top_p) * total {
            before += mass(best[kept].0);
            kept += 1;
        }
        let enough = complete || before >= f64::from(self.top_p) * total;
        if !enough && self.top_p < 1.0 {
            return None;
        }
        let share = if enough { before } else { total };
        let mut left = u * share;
        for &(score, id) in &best[..kept] {
            left -= mass(score);
            if left < 0.0 {
                return Some(Some(id));
            }
        }
        // Rounding may leave a little; or it is a token that is not here.
        enough.then(|| best[..kept].last().map(|&(_, id)| id))
    }
}
