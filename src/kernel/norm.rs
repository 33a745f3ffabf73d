//! Layer norm and RMS norm.

use super::spec::Width;
use super::{Candidate, Checker, Dispatch, Reduce, Tier, View, Work};
use crate::Result;
use crate::gpu::Caps;
use crate::gpu::link::{Link, Rows};
use crate::gpu::mirror;
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
    width: Width,
    rms: bool,
    residual: bool,
    weight: bool,
    bias: bool,
    sum: bool,
    /// How the lanes of a software adapter read x and residual.
    rows: Rows,
    /// Rows of the other arguments are whole quads, for those lanes with mirrors.
    aligned: bool,
}

/// Rows of one workgroup of `norm_lanes`.
const LANE_ROWS: u32 = 4;

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

    /// The argument is read through a mirror.
    pub(super) fn mirrors(&self, argument: &str) -> bool {
        self.rows == Rows::Mirror && matches!(argument, "x" | "residual")
    }

    fn link_lanes(&self, width: u32) -> Link {
        let others = Rows::direct(self.aligned);
        let link = Link::new("norm_lanes", Constants::WGSL)
            .number("WG", width)
            .number("ROWS", LANE_ROWS)
            .flag("RMS", self.rms)
            .quads("x", 2, self.rows)
            .optional_quads("residual", self.residual.then_some(3), self.rows, "0.0")
            .optional_quads("weight", self.weight.then_some(4), others, "1.0")
            .optional_quads("bias", self.bias.then_some(5), others, "0.0")
            .put("y", 6, self.aligned);
        match self.sum {
            true => link.put("sum", 7, self.aligned),
            false => link.line("fn sum_put(row: u32, at: u32, end: u32, value: vec4f) {}"),
        }
    }

    pub(super) fn link(&self) -> Link {
        if let Reduce::Lanes(width) = self.reduce {
            return self.link_lanes(width);
        }
        let sum = match self.sum {
            true => {
                "@group(0) @binding(7) var<storage, read_write> sum: array<f32>;\nfn put_sum(i: u32, value: f32) { sum[i] = value; }"
            }
            false => "fn put_sum(i: u32, value: f32) {}",
        };
        self.width
            .link(self.reduce, Link::new("norm", Constants::WGSL))
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
            width: Width::of(reduce, self.x.cols),
            rms: self.rms,
            residual: self.residual.is_some(),
            weight: self.weight.is_some(),
            bias: self.bias.is_some(),
            sum: self.sum.is_some(),
            rows: Rows::Scalar,
            aligned: false,
        };
        let inputs = [Some(self.x), self.residual];
        let others = [Some(self.y), self.sum, self.weight, self.bias];
        let aligned = others.iter().flatten().all(View::aligned);
        let mirrored = inputs.iter().flatten().try_for_each(|v| mirror::fits(caps, v));
        let [lanes, subgroup, workgroup] = Reduce::choices(caps);
        let lane = |rows, choice| {
            let aligned = aligned && rows == Rows::Mirror;
            Candidate::new(Spec { rows, aligned, ..spec(lanes.0) }, lanes.1.clone().and(choice))
        };
        let other = |(reduce, choice)| Candidate::new(spec(reduce), choice);
        vec![lane(Rows::Mirror, mirrored), lane(Rows::Scalar, Ok(())), other(subgroup), other(workgroup)]
    }

    pub(super) fn dispatch(&self, spec: &super::Spec, domain: Domain) -> Dispatch {
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
        let lanes = matches!(spec, super::Spec::Norm(Spec { reduce: Reduce::Lanes(_), .. }));
        Dispatch::new(&constants, Work::Rows { domain, per: if lanes { LANE_ROWS } else { 1 }, times: 1 })
    }
}
