//! Gated activations.

use super::spec::Columns;
use super::{Candidate, Checker, Dispatch, Tier, View, Work};
use crate::Result;
use crate::gpu::Caps;
use crate::gpu::link::Link;
use crate::graph::step::Domain;
use crate::model::arch::Activation;

op! {
    /// y = act(first half of x) * second half of x (Shazeer 2020, GLU variants), the halves coming from one matmul.
    Gate {
        reads {
            /// `[R, 2C]` f32.
            x
        }
        optional {}
        writes {
            /// `[R, C]` f32.
            y
        }
        also {}
        with {
            /// Applied to the first half.
            act: Activation,
        }
    }
}

/// The key of a gate kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Spec {
    act: Activation,
    columns: Columns,
}

constants! {
    Constants { rows_at: u32, cols: u32, x_offset: u32, x_stride: u32, y_offset: u32, y_stride: u32, }
}

impl Spec {
    pub(super) fn tier(&self) -> Tier {
        self.columns.tier()
    }

    pub(super) fn link(&self) -> Link {
        self.columns.link(Link::new("gate", Constants::WGSL)).activation(self.act)
    }
}

impl Gate<View> {
    pub(super) fn check(&self) -> Result<()> {
        let ck = Checker("gate");
        ck.views(&self.args())?;
        ck.floats("x", &self.x, self.y.rows, 2 * self.y.cols)?;
        ck.floats("y", &self.y, self.y.rows, self.y.cols)
    }

    pub(super) fn candidates(&self, caps: &Caps) -> Vec<Candidate> {
        Columns::choices(caps).map(|(columns, choice)| Candidate::new(Spec { act: self.act, columns }, choice)).into()
    }

    pub(super) fn dispatch(&self, spec: &super::Spec, domain: Domain) -> Dispatch {
        let ([x_offset, x_stride], [y_offset, y_stride]) = (self.x.words(), self.y.words());
        let cols = self.y.cols as u32;
        let constants = Constants { rows_at: domain.word(), cols, x_offset, x_stride, y_offset, y_stride };
        let super::Spec::Gate(spec) = spec else { return Dispatch::default() };
        Dispatch::new(&constants, Work::Rows { domain, per: 1, times: spec.columns.times(cols) })
    }
}
