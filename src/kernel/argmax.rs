//! The column of each row's greatest element.

use super::{Candidate, Checker, Dispatch, Reduce, Tier, View, Work};
use crate::Result;
use crate::gpu::Caps;
use crate::gpu::link::Link;
use crate::graph::step::Domain;
use crate::weights::DType;

op! {
    /// The column of each row's greatest element: greedy ids that stay on the GPU.
    ///
    /// The first of equals wins, and a NaN counts as the greatest, both as PyTorch has it.
    Argmax {
        reads {
            /// `[R, C]` f32, C below 2^24.
            x
        }
        optional {}
        writes {
            /// `[R, 1]` u32.
            ids
        }
        also {}
        with {}
    }
}

/// The key of an argmax kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Spec {
    reduce: Reduce,
}

/// Elements that an invocation has on their way at a time on a GPU.
const AHEAD: u32 = 16;

constants! {
    Constants { rows_at: u32, cols: u32, x_offset: u32, x_stride: u32, y_offset: u32, y_stride: u32, }
}

impl Spec {
    pub(super) fn tier(&self) -> Tier {
        self.reduce.tier()
    }

    pub(super) fn link(&self) -> Link {
        let link = self.reduce.link_wide(Link::new("argmax", Constants::WGSL), 256);
        self.reduce.link_best(link).number("AHEAD", if self.tier() == Tier::Software { 4 } else { AHEAD })
    }
}

impl Argmax<View> {
    pub(super) fn check(&self) -> Result<()> {
        let ck = Checker("argmax");
        ck.views(&self.args())?;
        ck.floats("x", &self.x, self.x.rows, self.x.cols)?;
        ck.ok("x", self.x.cols < 1 << 24, || "fewer than 2^24 columns".into(), || self.x.cols.to_string())?;
        ck.shape("ids", &self.ids, self.x.rows, 1)?;
        ck.dtype("ids", &self.ids, &[DType::U32])
    }

    pub(super) fn candidates(&self, caps: &Caps) -> Vec<Candidate> {
        Reduce::choices(caps).map(|(reduce, choice)| Candidate::new(Spec { reduce }, choice)).into()
    }

    pub(super) fn dispatch(&self, _: &super::Spec, domain: Domain) -> Dispatch {
        let ([x_offset, x_stride], [y_offset, y_stride]) = (self.x.words(), self.ids.words());
        let cols = self.x.cols as u32;
        let constants = Constants { rows_at: domain.word(), cols, x_offset, x_stride, y_offset, y_stride };
        Dispatch::new(&constants, Work::Rows { domain, per: 1, times: 1 })
    }
}
