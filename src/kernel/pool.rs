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

/// Invocations of a GPU's workgroup.
const GROUP: u32 = 256;
/// Tokens that an invocation of a GPU has on their way at a time.
const AHEAD: u32 = 8;

constants! {
    Constants { rows_at: u32, cols: u32, x_offset: u32, x_stride: u32, y_offset: u32, y_stride: u32, }
}

impl Spec {
    pub(super) fn tier(&self) -> Tier {
        self.reduce.tier()
    }

    pub(super) fn link(&self) -> Link {
        let lone = "fn share(value: f32, in: Invocation) {}\nfn shared_at(value: f32, i: u32) -> f32 { return value; }\nfn share_end() {}";
        let link = self.reduce.link_wide(Link::new("pool", Constants::WGSL), GROUP);
        let link = match self.tier() {
            Tier::Software => link.line(lone).number("AHEAD", 1),
            _ => link.part("parts/share").number("AHEAD", AHEAD),
        };
        link.number("COLUMNS", self.columns())
            .number("LANES", self.group() / self.columns())
            .flag("WHOLE", self.whole())
            .number("MODE", self.mode as u32)
            .flag("NORMALIZE", self.normalize)
    }

    fn group(&self) -> u32 {
        if let Reduce::Lanes(width) = self.reduce { width } else { GROUP }
    }

    /// A workgroup has all columns of a sequence: for the length of the vector, or since one more costs more than it saves.
    fn whole(&self) -> bool {
        self.normalize || self.tier() == Tier::Software
    }

    /// Columns that a workgroup has at a time. Where there are many workgroups, each has few columns and more invocations for
    /// the tokens of each.
    fn columns(&self) -> u32 {
        match self.mode {
            PoolMode::Cls | PoolMode::Last => self.group(),
            _ if self.whole() => self.group().min(128),
            _ => 32,
        }
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

    pub(super) fn dispatch(&self, spec: &super::Spec, domain: Domain) -> Dispatch {
        let ([x_offset, x_stride], [y_offset, y_stride]) = (self.x.words(), self.y.words());
        let cols = self.y.cols as u32;
        let constants = Constants { rows_at: domain.word(), cols, x_offset, x_stride, y_offset, y_stride };
        let super::Spec::Pool(spec) = spec else { return Dispatch::default() };
        let times = if spec.whole() { 1 } else { cols.div_ceil(spec.columns()) };
        Dispatch::new(&constants, Work::Sequences { times })
    }
}
