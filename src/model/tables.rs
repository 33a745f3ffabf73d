//! Tensors that no checkpoint holds, or not so: tables of positions, made on the host in f64, since WGSL promises its
//! `cos` and `sin` only to 2^-11.

use super::arch::{Buckets, RopeScaling};
use crate::Result;
use crate::weights::HostTensor;

/// RoPE's table `[positions, dims]` (Su et al. 2021): the cosines of each position's angles, then their sines.
pub fn rope_table(theta: f32, positions: usize, dims: usize) -> Vec<f32> {
    scaled_rope_table(theta, RopeScaling::None, positions, dims)
}

/// [`rope_table`] with its angles slowed down.
pub(super) fn scaled_rope_table(theta: f32, scaling: RopeScaling, positions: usize, dims: usize) -> Vec<f32> {
    let angle = |i: usize| slowed(f64::from(theta).powf(-2.0 * i as f64 / dims as f64), scaling);
    let angles: Vec<f64> = (0..dims / 2).map(angle).collect();
    let row = |p: usize| {
        let part = |f: fn(f64) -> f64| angles.iter().map(move |angle| f(p as f64 * angle) as f32);
        part(f64::cos).chain(part(f64::sin))
    };
    (0..positions).flat_map(row).collect()
}

/// An angle for each position, by the scaling.
fn slowed(angle: f64, scaling: RopeScaling) -> f64 {
    match scaling {
        RopeScaling::None => angle,
        RopeScaling::Linear(factor) => angle / f64::from(factor),
        RopeScaling::Llama3 { factor, low, high, original } => {
            let [factor, low, high] = [factor, low, high].map(f64::from);
            let turns = original as f64 * angle / std::f64::consts::TAU;
            let kept = ((turns - low) / (high - low)).clamp(0.0, 1.0);
            angle * (kept + (1.0 - kept) / factor)
        }
    }
}

/// Of a learned table the positions, from row `offset` on, and then the row before them: that of tokens that are not
/// counted.
pub(super) fn pads_last(table: &HostTensor, positions: usize, offset: usize) -> Result<HostTensor> {
    let cols = table.len() / (positions + offset).max(1);
    let row = cols * table.dtype.size();
    let from = table.bytes().get(offset.saturating_sub(1) * row..).unwrap_or_default();
    let (pads, rest) = from.split_at(row.min(from.len()));
    HostTensor::new(table.dtype, vec![positions + 1, cols], [rest, pads].concat())
}

/// Sines and then cosines `[positions, dims]` of positions from `first` on. The angles fall from 1 to 1/10,000, or where
/// the table is not `closed` to a step before it. Of an odd number of columns the last is 0, or if not `closed` the sines
/// have one more.
pub(super) fn sinusoids(positions: usize, first: usize, dims: usize, closed: bool) -> Vec<f32> {
    let half = dims / 2;
    let steps = if closed { half.saturating_sub(1).max(1) as f64 } else { dims as f64 / 2.0 };
    let angles: Vec<f64> = (0..dims - half).map(|i| 10_000f64.powf(-(i as f64) / steps)).collect();
    let sines = if closed { half } else { dims - half };
    let row = |p: usize| {
        let part = |f: fn(f64) -> f64, n: usize| angles[..n].iter().map(move |angle| f(p as f64 * angle) as f32);
        part(f64::sin, sines).chain(part(f64::cos, half)).chain(std::iter::repeat(0.0)).take(dims)
    };
    (first..first + positions).flat_map(row).collect()
}

/// T5's bias `[heads, 2 distance + 1]`, key position minus query position from `-distance` to `distance`, out of the
/// stored `[buckets, heads]`.
pub(super) fn bucket_table(stored: &[f32], heads: usize, buckets: Buckets, causal: bool) -> Vec<f32> {
    let column = |h: usize| {
        let reach = buckets.distance as i64;
        (-reach..=reach).map(move |far| stored[bucket(far, buckets, causal) * heads + h])
    };
    (0..heads).flat_map(column).collect()
}

/// The bucket of a distance (Raffel et al. 2019, and the code of T5).
fn bucket(far: i64, Buckets { count, distance }: Buckets, causal: bool) -> usize {
    let (buckets, base) = match (causal, far > 0) {
        (true, _) => (count, 0),
        (false, later) => (count / 2, if later { count / 2 } else { 0 }),
    };
    let far = if causal { (-far).max(0) } else { far.abs() } as usize;
    let exact = buckets / 2;
    if far < exact {
        return base + far;
    }
    // In f32 as there: a distance on the edge of two buckets falls where it fell in training.
    let ratio = (far as f32 / exact as f32).ln() / (distance as f64 / exact as f64).ln() as f32;
    base + (exact + (ratio * (buckets - exact) as f32) as usize).min(buckets - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of T5's own 32 buckets up to 128: see `tests/golden/` for tables as a whole.
    #[test]
    fn buckets_widen_and_end() {
        let of = |far, causal| bucket(far, Buckets { count: 32, distance: 128 }, causal);
        assert_eq!([0, -1, -7, -8, -11, -12, -127, -5000].map(|far| of(far, false)), [0, 1, 7, 8, 8, 9, 15, 15]);
        assert_eq!([1, 7, 8, 128].map(|far| of(far, false)), [17, 23, 24, 31]);
        assert_eq!([3, 0, -15, -16, -128, -5000].map(|far| of(far, true)), [0, 0, 15, 16, 31, 31]);
    }

    #[test]
    fn llamas_scaling_leaves_fast_angles_and_divides_slow_ones() {
        let scaling = RopeScaling::Llama3 { factor: 8.0, low: 1.0, high: 4.0, original: 8192 };
        let turning = |turns: f64| turns * std::f64::consts::TAU / 8192.0;
        let times = |turns: f64| slowed(turning(turns), scaling) / turning(turns);
        assert_eq!((times(4.5), times(0.5)), (1.0, 1.0 / 8.0));
        assert!((times(2.5) - 0.5625).abs() < 1e-12);
    }

    #[test]
    fn odd_widths_have_a_column_for_each() {
        for closed in [false, true] {
            assert_eq!(sinusoids(3, 1, 5, closed).len(), 15);
        }
        let row = sinusoids(1, 1, 3, false);
        assert_eq!(row[..1], [1f32.sin()]);
        assert_eq!((row[2], sinusoids(1, 1, 3, true)), (1f32.cos(), vec![1f32.sin(), 1f32.cos(), 0.0]));
    }
}
