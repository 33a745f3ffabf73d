//! A result is judged before it is timed: sampled elements in f64, a whole small encoder by the reference.

use super::items::{Item, Job, scatter};
use crate::graph::{Source, State};
use crate::{Error, Result};

/// Elements of a matmul, and rows of an attention's heads, that are recomputed.
const SAMPLES: u64 = 300;
const ROWS: u64 = 60;
/// Tokens up to which a whole encoder is recomputed.
const SMALL: usize = 16;

/// # Errors
/// [`Error::Wrong`] names the first wrong element.
pub(super) fn check(item: &Item, job: &Job, got: &[f32], source: Source<'_>) -> Result<()> {
    let name = item.name();
    if let Some(at) = got.iter().position(|value| !value.is_finite()) {
        return Err(Error::Wrong { what: name, why: format!("element {at} is {}", got[at]) });
    }
    let judge = |at: usize, want: f64, allowed: f64| {
        let value = f64::from(got[at]);
        if (value - want).abs() <= allowed {
            return Ok(());
        }
        let why = format!("element {at} is {value}, the reference says {want}, {allowed:e} more or less");
        Err(Error::Wrong { what: name.clone(), why })
    };
    match *item {
        Item::Matmul { n, k, .. } => {
            let (x, w) = (&job.inputs[0].1, source("w", [n, k])?.to_f32());
            for at in samples(got.len(), SAMPLES, 1) {
                let (row, col) = (&x[at / n * k..][..k], &w[at % n * k..][..k]);
                let terms = || row.iter().zip(col).map(|(&a, &b)| f64::from(a) * f64::from(b));
                judge(at, terms().sum(), 1e-5 * terms().map(f64::abs).sum::<f64>())?;
            }
            Ok(())
        }
        Item::Attention { len, heads, head_dim, .. } => {
            let (qkv, width) = (&job.inputs[0].1, heads * head_dim);
            for at in samples(got.len() / head_dim, ROWS, 2) {
                let (token, head) = (at / heads, at % heads * head_dim);
                let rows = token / len * len..token / len * len + len;
                let part = |row: usize, which: usize| &qkv[row * 3 * width + which * width + head..][..head_dim];
                let pairs = rows.map(|row| (part(row, 1), part(row, 2)));
                attend(part(token, 0), pairs, |i, want, allowed| judge(at * head_dim + i, want, allowed))?;
            }
            Ok(())
        }
        Item::Decode { keys, heads, head_dim } => {
            let (q, cache, width) = (&job.inputs[0].1, &job.inputs[1].1, heads * head_dim);
            for head in (0..width).step_by(head_dim) {
                let part = |row: usize, which: usize| &cache[row * 2 * width + which * width + head..][..head_dim];
                let pairs = (0..keys).map(|row| (part(row, 0), part(row, 1)));
                attend(&q[head..][..head_dim], pairs, |i, want, allowed| judge(head + i, want, allowed))?;
            }
            Ok(())
        }
        Item::Encoder { batch, len } if batch * len <= SMALL => {
            let mut state = State::<f32>::new();
            state.run(&job.graph, &job.step, source)?;
            let want = state.get(job.output).map_or(&[] as &[f32], |tensor| tensor.floats());
            if want.len() != got.len() {
                let why = format!("{} elements, the reference has {}", got.len(), want.len());
                return Err(Error::Wrong { what: name.clone(), why });
            }
            want.iter().enumerate().try_for_each(|(at, &w)| judge(at, w.into(), 1e-4 * (1.0 + f64::from(w.abs()))))
        }
        Item::Encoder { .. } => Ok(()),
    }
}

/// Some indices below `len`, the first and the last among them.
fn samples(len: usize, count: u64, salt: u64) -> impl Iterator<Item = usize> {
    (0..count).map(move |i| (scatter(i, salt) % len as u64) as usize).chain([0, len - 1])
}

/// Softmax attention of one query; the callback judges each element.
fn attend<'a>(
    q: &[f32],
    pairs: impl Iterator<Item = (&'a [f32], &'a [f32])>,
    judge: impl Fn(usize, f64, f64) -> Result<()>,
) -> Result<()> {
    let dot = |k: &[f32]| q.iter().zip(k).map(|(&a, &b)| f64::from(a) * f64::from(b)).sum::<f64>();
    let scale = 1.0 / (q.len() as f64).sqrt();
    let scored: Vec<_> = pairs.map(|(k, v)| (scale * dot(k), v)).collect();
    let most = scored.iter().map(|(score, _)| *score).fold(f64::NEG_INFINITY, f64::max);
    let total: f64 = scored.iter().map(|(score, _)| (score - most).exp()).sum();
    for i in 0..q.len() {
        let terms = || scored.iter().map(|(score, v)| (score - most).exp() / total * f64::from(v[i]));
        judge(i, terms().sum(), 1e-5 * terms().map(f64::abs).sum::<f64>())?;
    }
    Ok(())
}
