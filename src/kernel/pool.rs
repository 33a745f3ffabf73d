//! One vector for each sequence.

use super::{Candidate, Checker, Dispatch, Reduce, Tier, View, Work};
use crate::Result;
use crate::gpu::Caps;
use crate::gpu::link::Link;
use crate::graph::step::Domain;
use crate::model::arch::PoolMode;

op! {
    /// One vector for each sequence of the step, optionally scaled to length 1 (as sentence-transformers does it: divided
    /// by its L2 norm, or by 1e-12 if that is greater). An empty sequence gives zeros.
    Pool {
        reads {
            /// `[tokens, C]` f32.
            x
        }
        optional {}
        writes {
            /// `[sequences, C]` f32.
            y
        }
        also {}
        with {
            /// Which rows make the vector.
            mode: PoolMode,
            /// Scale to length 1.
            normalize: bool,
        }
    }
}

/// The key of a pool kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Spec {
    reduce: Reduce,
    mode: PoolMode,
    normalize: bool,
}

constants! {
    Constants { rows_at: u32, cols: u32, x_offset: u32, x_stride: u32, y_offset: u32, y_stride: u32, }
}

impl Spec {
    pub(super) fn tier(&self) -> Tier {
        self.reduce.tier()
    }

    pub(super) fn link(&self) -> Link {
        let link = self.reduce.link(Link::new("pool", Constants::WGSL));
        link.number("MODE", self.mode as u32).flag("NORMALIZE", self.normalize)
    }
}

impl Pool<View> {
    pub(super) fn check(&self) -> Result<()> {
        let ck = Checker("pool");
        ck.views(&self.args())?;
        ck.floats("x", &self.x, self.x.rows, self.y.cols)?;
        ck.floats("y", &self.y, self.y.rows, self.y.cols)
    }

    pub(super) fn candidates(&self, caps: &Caps) -> Vec<Candidate> {
        let spec = |reduce| Spec { reduce, mode: self.mode, normalize: self.normalize };
        Reduce::choices(caps).map(|(reduce, choice)| Candidate::new(spec(reduce), choice)).into()
    }

    pub(super) fn dispatch(&self, _: &super::Spec, domain: Domain) -> Dispatch {
        let ([x_offset, x_stride], [y_offset, y_stride]) = (self.x.words(), self.y.words());
        let cols = self.y.cols as u32;
        let constants = Constants { rows_at: domain.word(), cols, x_offset, x_stride, y_offset, y_stride };
        Dispatch::new(&constants, Work::Sequences { times: 1 })
    }
}
