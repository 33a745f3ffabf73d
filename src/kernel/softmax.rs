//! Softmax over rows.

use super::spec::Width;
use super::{Candidate, Checker, Dispatch, Reduce, Tier, View, Work};
use crate::Result;
use crate::gpu::Caps;
use crate::gpu::link::{Link, Rows};
use crate::graph::step::Domain;
use crate::weights::DType;

op! {
    /// y = softmax(scale * x) over each row, stable by subtracting the row's maximum.
    ///
    /// Columns at or beyond a row's length, or in a causal row's future, get 0; a row with no column left is all zeros.
    Softmax {
        reads {
            /// `[R, C]` f32.
            x
        }
        optional {
            /// `[R, 1]` u32: how many columns of each row count.
            lengths
        }
        writes {
            /// `[R, C]` f32.
            y
        }
        also {}
        with {
            /// Multiplies x first.
            scale: f32,
            /// Rows come in groups of so many queries; row i of a group sees the first `C - causal + i + 1` columns.
            causal: Option<u32>,
        }
    }
}

impl<T> Softmax<T> {
    /// Plain softmax.
    pub fn new(x: T, y: T) -> Self {
        Self { x, lengths: None, y, scale: 1.0, causal: None }
    }
}

/// The key of a softmax kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Spec {
    reduce: Reduce,
    width: Width,
    /// How the lanes of a software adapter read x and write y.
    rows: Rows,
    lengths: bool,
    causal: bool,
}

constants! {
    Constants {
        rows_at: u32, cols: u32, x_offset: u32, x_stride: u32, y_offset: u32, y_stride: u32, l_offset: u32, l_stride: u32,
        scale: f32, causal: u32, rows_each: u32,
    }
}

impl Spec {
    pub(super) fn tier(&self) -> Tier {
        self.reduce.tier()
    }

    pub(super) fn link(&self) -> Link {
        let lengths = match self.lengths {
            true => {
                "@group(0) @binding(3) var<storage, read> lengths: array<u32>;\nfn length_of(row: u32) -> u32 { return min(c.cols, lengths[c.l_offset + row * c.l_stride]); }"
            }
            false => "fn length_of(row: u32) -> u32 { return c.cols; }",
        };
        let link = match self.reduce {
            Reduce::Lanes(_) => self
                .reduce
                .link(Link::new("softmax_lanes", Constants::WGSL))
                .part("parts/power")
                .quads("x", 2, self.rows)
                .put("y", 4, self.rows == Rows::Quads),
            _ => self.width.link(self.reduce, Link::new("softmax", Constants::WGSL)),
        };
        link.line(lengths).flag("CAUSAL", self.causal).part("parts/counted")
    }
}

impl Softmax<View> {
    pub(super) fn check(&self) -> Result<()> {
        let ck = Checker("softmax");
        ck.views(&self.args())?;
        let (r, c) = (self.x.rows, self.x.cols);
        ck.floats("x", &self.x, r, c)?;
        ck.floats("y", &self.y, r, c)?;
        if let Some(lengths) = &self.lengths {
            ck.shape("lengths", lengths, r, 1)?;
            ck.dtype("lengths", lengths, &[DType::U32])?;
        }
        let causal = self.causal.unwrap_or(1);
        ck.ok("causal", (1..=c as u32).contains(&causal), || format!("1 to {c} rows a group"), || causal.to_string())
    }

    pub(super) fn candidates(&self, caps: &Caps) -> Vec<Candidate> {
        let (lengths, causal) = (self.lengths.is_some(), self.causal.is_some());
        let aligned = self.x.aligned() && self.y.aligned();
        let spec = |reduce: Reduce| Spec {
            reduce,
            width: Width::of(reduce, self.x.cols),
            rows: Rows::direct(aligned && reduce.tier() == Tier::Software),
            lengths,
            causal,
        };
        Reduce::choices(caps).map(|(reduce, choice)| Candidate::new(spec(reduce), choice)).into()
    }

    pub(super) fn dispatch(&self, spec: &super::Spec, domain: Domain) -> Dispatch {
        let ([x_offset, x_stride], [y_offset, y_stride]) = (self.x.words(), self.y.words());
        let [l_offset, l_stride] = self.lengths.map_or([0; 2], |v| v.words());
        // Of narrow rows a software adapter's workgroup takes some, since each workgroup has its cost; of wide ones it would
        // take more turns than lavapipe allows (see verify's cases).
        let lanes = spec.tier() == Tier::Software;
        let per = if lanes && self.x.cols <= 1024 { 4 } else { 1 };
        let constants = Constants {
            rows_at: domain.word(),
            cols: self.x.cols as u32,
            x_offset,
            x_stride,
            y_offset,
            y_stride,
            l_offset,
            l_stride,
            scale: self.scale,
            causal: self.causal.unwrap_or(1),
            rows_each: per,
        };
        Dispatch::new(&constants, Work::Rows { domain, per, times: 1 })
    }
}
