//! Models: what a checkpoint's files say, in one vocabulary for all families.
//!
//! `config.json` becomes an [`arch::Arch`], a family's file names its tensors, and [`names::gather`] brings them in.

pub mod arch;
pub mod bert;
pub mod config;
pub mod forward;
#[cfg(test)]
mod mutations;
pub mod names;
pub mod sentence;
#[cfg(test)]
mod tests;

/// RoPE's table `[positions, dims]` (Su et al. 2021): the cosines of each position's angles, then their sines. Made on
/// the host in f64, since WGSL promises its `cos` and `sin` only to 2^-11.
pub fn rope_table(theta: f32, positions: usize, dims: usize) -> Vec<f32> {
    let angle = |p: usize, i: usize| p as f64 / f64::from(theta).powf(2.0 * i as f64 / dims as f64);
    let half = 0..dims / 2;
    (0..positions)
        .flat_map(|p| {
            let cos = half.clone().map(move |i| angle(p, i).cos() as f32);
            cos.chain(half.clone().map(move |i| angle(p, i).sin() as f32))
        })
        .collect()
}
