//! Layer norm and RMS norm.

use super::{Candidate, Checker, Dispatch, Reduce, Tier, View, Work};
use crate::Result;
use crate::gpu::Caps;
use crate::gpu::link::Link;
use crate::graph::step::Domain;

op! {
    /// Layer norm (Ba et al. 2016) or RMS norm (Zhang and Sennrich 2019) over each row of x + residual.
    ///
    /// The variance is the mean of squared distances from the mean, in a pass of its own, so that a large mean costs no
    /// precision.
    Norm {
        reads {
            /// `[R, C]` f32.
            x
        }
        optional {
            /// `[R, C]` f32, added to x first.
            residual
            /// `[1, C]` f32.
            weight
            /// `[1, C]` f32.
            bias
        }
        writes {
            /// `[R, C]` f32.
            y
        }
        also {
            /// `[R, C]` f32: x + residual, handed on.
            sum
        }
        with {
            /// Added to the variance (or the mean square).
            eps: f32,
            /// RMS norm.
            rms: bool,
        }
    }
}

impl<T> Norm<T> {
    /// A plain layer norm.
    pub fn new(x: T, y: T, eps: f32) -> Self {
        Self { x, residual: None, weight: None, bias: None, y, sum: None, eps, rms: false }
    }
}

/// The key of a norm kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Spec {
    reduce: Reduce,
    rms: bool,
    residual: bool,
    weight: bool,
    bias: bool,
    sum: bool,
}

constants! {
    Constants {
        rows_at: u32, cols: u32, x_offset: u32, x_stride: u32, r_offset: u32, r_stride: u32, w_offset: u32, b_offset: u32,
        y_offset: u32, y_stride: u32, s_offset: u32, s_stride: u32, eps: f32,
    }
}

impl Spec {
    pub(super) fn tier(&self) -> Tier {
        self.reduce.tier()
    }

    pub(super) fn link(&self) -> Link {
        let sum = match self.sum {
            true => {
                "@group(0) @binding(7) var<storage, read_write> sum: array<f32>;\nfn put_sum(i: u32, value: f32) { sum[i] = value; }"
            }
            false => "fn put_sum(i: u32, value: f32) {}",
        };
        self.reduce
            .link(Link::new("norm", Constants::WGSL))
            .optional("residual", self.residual.then_some(3), "0.0")
            .optional("weight", self.weight.then_some(4), "1.0")
            .optional("bias", self.bias.then_some(5), "0.0")
            .line(sum)
            .flag("RMS", self.rms)
    }
}

impl Norm<View> {
    pub(super) fn check(&self) -> Result<()> {
        let ck = Checker("norm");
        ck.views(&self.args())?;
        let (r, c) = (self.x.rows, self.x.cols);
        ck.floats("x", &self.x, r, c)?;
        ck.floats("y", &self.y, r, c)?;
        for (what, view) in [("residual", &self.residual), ("sum", &self.sum)] {
            view.as_ref().map_or(Ok(()), |v| ck.floats(what, v, r, c))?;
        }
        for (what, view) in [("weight", &self.weight), ("bias", &self.bias)] {
            view.as_ref().map_or(Ok(()), |v| ck.floats(what, v, 1, c))?;
        }
        let eps = self.eps;
        ck.ok("eps", eps.is_finite() && eps >= 0.0, || "a number of 0 or more".into(), || eps.to_string())
    }

    pub(super) fn candidates(&self, caps: &Caps) -> Vec<Candidate> {
        let spec = |reduce| Spec {
            reduce,
            rms: self.rms,
            residual: self.residual.is_some(),
            weight: self.weight.is_some(),
            bias: self.bias.is_some(),
            sum: self.sum.is_some(),
        };
        Reduce::choices(caps).map(|(reduce, choice)| Candidate::new(spec(reduce), choice)).into()
    }

    pub(super) fn dispatch(&self, _: &super::Spec, domain: Domain) -> Dispatch {
        let at = |view: &Option<View>| view.map_or([0; 2], |v| v.words());
        let ([x_offset, x_stride], [y_offset, y_stride]) = (self.x.words(), self.y.words());
        let ([r_offset, r_stride], [s_offset, s_stride]) = (at(&self.residual), at(&self.sum));
        let ([w_offset, _], [b_offset, _]) = (at(&self.weight), at(&self.bias));
        let constants = Constants {
            rows_at: domain.word(),
            cols: self.x.cols as u32,
            x_offset,
            x_stride,
            r_offset,
            r_stride,
            w_offset,
            b_offset,
            y_offset,
            y_stride,
            s_offset,
            s_stride,
            eps: self.eps,
        };
        Dispatch::new(&constants, Work::Rows { domain, per: 1, times: 1 })
    }
}
