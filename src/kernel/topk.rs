//! The best of each row's elements, and the row's log-sum-exp.

use super::{Candidate, Checker, Dispatch, Reduce, Tier, View, Work};
use crate::Result;
use crate::gpu::Caps;
use crate::gpu::link::Link;
use crate::graph::step::Domain;
use crate::weights::DType;

/// The most that a row is asked for.
pub const MOST: usize = 128;

op! {
    /// The k best of each row with their columns, in descending order, and the row's log-sum-exp: what beam search and
    /// sampling need of a row of logits, so that the vocabulary stays on the GPU.
    ///
    /// Of equals the one with the lower column comes first; a NaN counts as the greatest, as with [`super::Argmax`], so
    /// whoever reads `values` sees it.
    Topk {
        reads {
            /// `[R, C]` f32, C below 2^24.
            x
        }
        optional {}
        writes {
            /// `[R, k]` f32, k at most [`MOST`] and at most C.
            values
            /// `[R, k]` u32: their columns.
            ids
        }
        also {
            /// `[R, 1]` f32: log(sum of exp(scale * x)), stable by subtracting the maximum.
            lse
        }
        with {
            /// Multiplies x in `lse` only; above 0.
            scale: f32,
        }
    }
}

/// The key of a top-k kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Spec {
    reduce: Reduce,
    lse: bool,
}

/// Elements that an invocation has on their way at a time on a GPU.
const AHEAD: u32 = 8;

constants! {
    Constants {
        rows_at: u32, cols: u32, k: u32, x_offset: u32, x_stride: u32, v_offset: u32, v_stride: u32,
        i_offset: u32, i_stride: u32, l_offset: u32, l_stride: u32, scale: f32,
    }
}

impl Spec {
    pub(super) fn tier(&self) -> Tier {
        self.reduce.tier()
    }

    pub(super) fn link(&self) -> Link {
        let link = self.reduce.link_wide(Link::new("topk", Constants::WGSL), 256).part("parts/power");
        let link = self.reduce.link_best(link);
        // A workgroup has 1024 parts, a subgroup of 8 has 256.
        let (parts, ahead) = if self.tier() == Tier::Software { (32, 4) } else { (4, AHEAD) };
        let put = match self.lse {
            true => {
                "@group(0) @binding(5) var<storage, read_write> lse: array<f32>;\nfn lse_put(i: u32, value: f32) { lse[i] = value; }"
            }
            false => "fn lse_put(i: u32, value: f32) {}",
        };
        link.number("PARTS", parts).number("AHEAD", ahead).flag("LSE", self.lse).line(put)
    }
}

impl Topk<View> {
    pub(super) fn check(&self) -> Result<()> {
        let ck = Checker("topk");
        ck.views(&self.args())?;
        let (rows, cols, k) = (self.x.rows, self.x.cols, self.values.cols);
        ck.floats("x", &self.x, rows, cols)?;
        ck.ok("x", cols < 1 << 24, || "fewer than 2^24 columns".into(), || cols.to_string())?;
        let most = MOST.min(cols);
        ck.ok("values", (1..=most).contains(&k), || format!("1 to {most} columns"), || k.to_string())?;
        ck.floats("values", &self.values, rows, k)?;
        ck.shape("ids", &self.ids, rows, k)?;
        ck.dtype("ids", &self.ids, &[DType::U32])?;
        if let Some(lse) = &self.lse {
            ck.floats("lse", lse, rows, 1)?;
        }
        let scale = self.scale;
        ck.ok("scale", scale > 0.0 && scale.is_finite(), || "a number above 0".into(), || scale.to_string())
    }

    pub(super) fn candidates(&self, caps: &Caps) -> Vec<Candidate> {
        let spec = |reduce| Spec { reduce, lse: self.lse.is_some() };
        Reduce::choices(caps).map(|(reduce, choice)| Candidate::new(spec(reduce), choice)).into()
    }

    pub(super) fn dispatch(&self, _: &super::Spec, domain: Domain) -> Dispatch {
        let [x_offset, x_stride] = self.x.words();
        let ([v_offset, v_stride], [i_offset, i_stride]) = (self.values.words(), self.ids.words());
        let [l_offset, l_stride] = self.lse.map_or([0; 2], |v| v.words());
        let constants = Constants {
            rows_at: domain.word(),
            cols: self.x.cols as u32,
            k: self.values.cols as u32,
            x_offset,
            x_stride,
            v_offset,
            v_stride,
            i_offset,
            i_stride,
            l_offset,
            l_stride,
            scale: self.scale,
        };
        Dispatch::new(&constants, Work::Rows { domain, per: 1, times: 1 })
    }
}
