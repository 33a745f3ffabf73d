//! What happens to queries, keys and values between their matmul and attention.

use super::{Candidate, Checker, Dispatch, Reduce, Tier, View, Work};
use crate::Result;
use crate::gpu::Caps;
use crate::gpu::link::Link;
use crate::graph::step::Domain;

op! {
    /// Splits the fused projection into queries, keys and values; normalises query and key heads (Qwen3), rotates them
    /// (RoPE, Su et al. 2021), and stores keys and values in the cache at the step's slots.
    ///
    /// The rotation table is made on the host, since WGSL promises its `cos` and `sin` only to 2^-11.
    Qkv {
        reads {
            /// `[tokens, (heads + 2 kv_heads) head_dim]` f32: queries, keys, values.
            x
        }
        optional {
            /// `[1, head_dim]` f32: RMS norm of each query head.
            q_norm
            /// `[1, head_dim]` f32: RMS norm of each key head.
            k_norm
            /// `[positions, rotary]` f32: the cosines of a position's angles, then their sines.
            rope
        }
        writes {
            /// `[tokens, heads head_dim]` f32.
            q
            /// `[slots, 2 kv_heads head_dim]` f32: keys, then values.
            cache
        }
        also {}
        with {
            /// Query heads.
            heads: usize,
            /// Key and value heads.
            kv_heads: usize,
            /// Width of a head.
            head_dim: usize,
            /// Of the head norms.
            eps: f32,
            /// Pairs are (2i, 2i + 1), not (i, i + rotary / 2).
            interleaved: bool,
        }
    }
}

/// The key of a qkv kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Spec {
    reduce: Reduce,
    q_norm: bool,
    k_norm: bool,
    rope: bool,
    interleaved: bool,
}

constants! {
    Constants {
        rows_at: u32, heads: u32, kv_heads: u32, head_dim: u32, rotary: u32, positions: u32, slots: u32,
        x_offset: u32, x_stride: u32, qn_offset: u32, kn_offset: u32, rope_offset: u32, rope_stride: u32,
        q_offset: u32, q_stride: u32, kv_offset: u32, kv_stride: u32, eps: f32,
    }
}

/// Invocations of a workgroup where an op without norms has one for each pair of a token's elements.
const FLAT_WIDTH: u32 = 128;

impl Spec {
    pub(super) fn tier(&self) -> Tier {
        self.reduce.tier()
    }

    /// There is nothing to add up, so no workgroup need be a head's.
    fn flat(&self) -> bool {
        !self.q_norm && !self.k_norm && self.tier() != Tier::Software
    }

    pub(super) fn link(&self) -> Link {
        self.reduce
            .link_wide(Link::new("qkv", Constants::WGSL), if self.flat() { FLAT_WIDTH } else { 64 })
            .flag("FLAT", self.flat())
            .optional("q_norm", self.q_norm.then_some(3), "1.0")
            .optional("k_norm", self.k_norm.then_some(4), "1.0")
            .optional("rope", self.rope.then_some(5), "0.0")
            .flag("Q_NORM", self.q_norm)
            .flag("K_NORM", self.k_norm)
            .flag("ROPE", self.rope)
            .flag("INTERLEAVED", self.interleaved)
    }
}

impl Qkv<View> {
    pub(super) fn check(&self) -> Result<()> {
        let ck = Checker("qkv");
        ck.views(&self.args())?;
        let (h, kv, d) = (self.heads, self.kv_heads, self.head_dim);
        ck.ok("head_dim", (1..=256).contains(&d), || "1 to 256".into(), || d.to_string())?;
        ck.floats("x", &self.x, self.q.rows, (h + 2 * kv) * d)?;
        ck.floats("q", &self.q, self.q.rows, h * d)?;
        ck.floats("cache", &self.cache, self.cache.rows, 2 * kv * d)?;
        for (what, view) in [("q_norm", &self.q_norm), ("k_norm", &self.k_norm)] {
            view.as_ref().map_or(Ok(()), |v| ck.floats(what, v, 1, d))?;
        }
        let Some(rope) = &self.rope else { return Ok(()) };
        ck.floats("rope", rope, rope.rows, rope.cols)?;
        let ok = rope.cols % 2 == 0 && rope.cols <= d && rope.rows >= 1;
        ck.ok("rope", ok, || format!("an even number of columns up to {d}"), || rope.cols.to_string())
    }

    pub(super) fn candidates(&self, caps: &Caps) -> Vec<Candidate> {
        let spec = |reduce| Spec {
            reduce,
            q_norm: self.q_norm.is_some(),
            k_norm: self.k_norm.is_some(),
            rope: self.rope.is_some(),
            interleaved: self.interleaved,
        };
        Reduce::choices(caps).map(|(reduce, choice)| Candidate::new(spec(reduce), choice)).into()
    }

    pub(super) fn dispatch(&self, spec: &super::Spec, domain: Domain) -> Dispatch {
        let at = |view: &Option<View>| view.map_or([0; 2], |v| v.words());
        let ([x_offset, x_stride], [q_offset, q_stride]) = (self.x.words(), self.q.words());
        let ([qn_offset, _], [kn_offset, _]) = (at(&self.q_norm), at(&self.k_norm));
        let ([rope_offset, rope_stride], [kv_offset, kv_stride]) = (at(&self.rope), self.cache.words());
        let constants = Constants {
            rows_at: domain.word(),
            heads: self.heads as u32,
            kv_heads: self.kv_heads as u32,
            head_dim: self.head_dim as u32,
            rotary: self.rope.map_or(0, |v| v.cols as u32),
            positions: self.rope.map_or(1, |v| v.rows as u32),
            slots: self.cache.rows as u32,
            x_offset,
            x_stride,
            qn_offset,
            kn_offset,
            rope_offset,
            rope_stride,
            q_offset,
            q_stride,
            kv_offset,
            kv_stride,
            eps: self.eps,
        };
        let super::Spec::Qkv(spec) = spec else { return Dispatch::default() };
        let heads = constants.heads + 2 * constants.kv_heads;
        let units = heads * (constants.head_dim - constants.rotary / 2);
        let times = if spec.flat() { units.div_ceil(FLAT_WIDTH) } else { heads };
        Dispatch::new(&constants, Work::Rows { domain, per: 1, times })
    }
}
