//! y = act(x . W^T + bias) + residual.

use super::{Candidate, Checker, Choice, Dispatch, Reduce, Role, Tier, View, Work};
use crate::Result;
use crate::gpu::Caps;
use crate::gpu::link::{Link, Rows};
use crate::gpu::mirror;
use crate::gpu::pack::{packed_fits, packed_format};
use crate::graph::step::Domain;
use crate::model::arch::Activation;
use crate::weights::DType;

/// How a weight matrix lies in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum Layout {
    /// `[N, K]`, as PyTorch's `Linear` stores it.
    #[default]
    Nk,
    /// `[K, N]`, as GPT-2's `Conv1D` stores it, or a plain right-hand operand.
    Kn,
    /// Packed for a software adapter's texture units, made by `Context::pack_weight`.
    Packed,
}

/// Several products of the same shape: elements from one operand to the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Batch {
    /// How many.
    pub count: usize,
    /// Elements from one x to the next.
    pub x: usize,
    /// Elements from one w to the next; 0 shares it.
    pub w: usize,
    /// Elements from one y to the next.
    pub y: usize,
}

impl Default for Batch {
    fn default() -> Self {
        Self { count: 1, x: 0, w: 0, y: 0 }
    }
}

op! {
    /// Matrix product with everything that usually follows it: y = act(x . W^T + bias) + residual.
    ///
    /// Accumulates in f32 whatever the weights are. With a [`Batch`], `x`, `w` and `y` describe the first product.
    Matmul {
        reads {
            /// `[M, K]` f32.
            x
            /// `[N, K]`, or `[K, N]` by `layout`; f32, f16 or bf16.
            w
        }
        optional {
            /// `[1, N]` f32.
            bias
            /// `[M, N]` f32, added after the activation.
            residual
        }
        writes {
            /// `[M, N]` f32.
            y
        }
        also {}
        with {
            /// Applied after the bias.
            act: Activation,
            /// How `w` lies.
            layout: Layout,
            /// Several products at once.
            batch: Batch,
            /// Decides between the kernels for many rows and for few.
            role: Role,
        }
    }
}

impl<T> Matmul<T> {
    /// y = x . W^T.
    pub fn new(x: T, w: T, y: T) -> Self {
        let (act, layout, batch, role) = Default::default();
        Self { x, w, bias: None, residual: None, y, act, layout, batch, role }
    }
}

/// The key of a matmul kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Spec {
    body: Body,
    weight: DType,
    kn: bool,
    act: Activation,
    bias: bool,
    residual: bool,
    /// How `Body::Lanes` reads x.
    x: Rows,
    /// Rows of y, bias and residual are whole quads (`Body::Lanes` with mirrors).
    aligned: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Body {
    /// Tiles of 64 x 64 through workgroup memory.
    Tile,
    /// A workgroup for four outputs of one row.
    Row(Reduce),
    /// So many rows by 8 columns for each lane, weights from a texture.
    Lanes { width: u32, rows: u32 },
}

/// Outputs of one workgroup of `matvec`.
const ROW_COLS: u32 = 4;
/// Rows and columns of a tile of `matmul`.
const TILE: u32 = 64;
/// Rows of a tile of `matmul_lanes`: each loads its columns once, so taller ones are faster (4, 8, 16: 0.37, 0.48 and 0.55
/// of the FMA ceiling) until the loop outgrows the instruction cache. A sum is the same chain in all.
pub(crate) const LANE_ROWS: [u32; 4] = [1, 4, TALLEST / 2, TALLEST];
const TALLEST: u32 = 16;

constants! {
    Constants {
        rows_at: u32, n: u32, k: u32,
        x_offset: u32, x_stride: u32, w_offset: u32, w_stride: u32, y_offset: u32, y_stride: u32,
        b_offset: u32, r_offset: u32, r_stride: u32,
        batches: u32, x_batch: u32, w_batch: u32, y_batch: u32,
    }
}

impl Spec {
    pub(super) fn tier(&self) -> Tier {
        match self.body {
            Body::Tile => Tier::Baseline,
            Body::Row(reduce) => reduce.tier(),
            Body::Lanes { .. } => Tier::Software,
        }
    }

    pub(super) fn texture(&self) -> Option<wgpu::TextureFormat> {
        matches!(self.body, Body::Lanes { .. }).then(|| packed_format(self.weight))
    }

    pub(super) fn mirrors(&self, argument: &str) -> bool {
        self.x == Rows::Mirror && (argument == "x" || argument == "residual" && self.aligned)
    }

    pub(super) fn link(&self) -> Link {
        let link = match self.body {
            Body::Tile => Link::new("matmul", Constants::WGSL).number("TILE", TILE),
            Body::Row(reduce) => reduce.link(Link::new("matvec", Constants::WGSL)).number("COLS", ROW_COLS),
            Body::Lanes { width, rows } => return self.link_lanes(width, rows).activation(self.act),
        };
        link.weight("w", 3, self.weight)
            .flag("W_KN", self.kn)
            .optional("bias", self.bias.then_some(4), "0.0")
            .optional("residual", self.residual.then_some(5), "0.0")
            .activation(self.act)
    }

    fn link_lanes(&self, width: u32, rows: u32) -> Link {
        // Rows that the lanes hold at once, with at least two quads each.
        let held = rows.min(width / 2);
        let (y, outs) = (self.aligned, Rows::direct(self.aligned));
        let residual = if self.mirrors("residual") { Rows::Mirror } else { outs };
        let part = match self.weight {
            DType::F32 | DType::U32 => "parts/texel_f32",
            DType::F16 => "parts/texel_f16",
            DType::BF16 => "parts/texel_bf16",
        };
        Link::new("matmul_lanes", Constants::WGSL)
            .number("WG", width)
            .number("ROWS", rows)
            .number("HELD", held)
            .number("PANELS", rows / held)
            .number("PAIRS", width / held / 2)
            .part(part)
            .quads("x", 2, self.x)
            .optional_quads("bias", self.bias.then_some(4), outs, "0.0")
            .optional_quads("residual", self.residual.then_some(5), residual, "0.0")
            .put("y", 6, y)
    }
}

impl Matmul<View> {
    fn sizes(&self) -> (usize, usize, usize) {
        (self.x.rows, self.y.cols, self.x.cols)
    }

    pub(super) fn check(&self) -> Result<()> {
        let ck = Checker("matmul");
        let (m, n, k) = self.sizes();
        ck.views(&self.args())?;
        ck.floats("x", &self.x, m, k)?;
        match self.layout {
            Layout::Nk | Layout::Packed => ck.shape("w", &self.w, n, k)?,
            Layout::Kn => ck.shape("w", &self.w, k, n)?,
        }
        ck.dtype("w", &self.w, &[DType::F32, DType::F16, DType::BF16])?;
        ck.floats("y", &self.y, m, n)?;
        if let Some(bias) = &self.bias {
            ck.floats("bias", bias, 1, n)?;
        }
        if let Some(residual) = &self.residual {
            ck.floats("residual", residual, m, n)?;
        }
        ck.ok("batch", self.batch.count >= 1, || "at least one product".into(), || "0".into())?;
        let strided = self.batch.count > 1;
        ck.ok("batch", !strided || self.residual.is_none(), || "no residual".into(), || "a residual".into())?;
        let apart = !strided || self.batch.y >= self.y.end() - self.y.offset;
        ck.ok("batch", apart, || "outputs that do not overlap".into(), || format!("a stride of {}", self.batch.y))
    }

    /// Elements between the end of the first product's operand and that of the last one's.
    pub(super) fn beyond(&self, argument: &str) -> usize {
        let Batch { count, x, w, y } = self.batch;
        let stride = match argument {
            "x" => x,
            "w" => w,
            "y" => y,
            _ => 0,
        };
        count.saturating_sub(1).saturating_mul(stride)
    }

    pub(super) fn candidates(&self, caps: &Caps) -> Vec<Candidate> {
        let spec = |body| Spec {
            body,
            weight: self.w.dtype,
            kn: self.layout == Layout::Kn,
            act: self.act,
            bias: self.bias.is_some(),
            residual: self.residual.is_some(),
            x: Rows::Scalar,
            aligned: false,
        };
        let plain = |choice: Choice| match self.layout {
            Layout::Packed => Err("the weight is packed into a texture".into()),
            _ => choice,
        };
        let tile = Candidate::new(spec(Body::Tile), plain(Ok(())));
        let rows = Reduce::choices(caps).map(|(r, choice)| Candidate::new(spec(Body::Row(r)), plain(choice)));
        let mut all: Vec<_> = rows.into();
        all.insert(if self.role == Role::Decode { all.len() } else { 0 }, tile);
        let outs = [Some(self.y), self.bias, self.residual];
        let aligned = outs.iter().flatten().all(View::aligned);
        let rows = LANE_ROWS.into_iter().find(|&rows| self.x.rows <= rows as usize).unwrap_or(TALLEST);
        let body = Body::Lanes { width: *caps.lanes().as_ref().unwrap_or(&8), rows };
        let lanes = |x, choice: Choice| {
            let aligned = aligned && x == Rows::Mirror;
            Candidate::new(Spec { x, aligned, ..spec(body) }, self.lanes(caps).and(choice))
        };
        // A residual that is not made of quads is read from its buffer.
        let residual = self.residual.filter(|_| aligned).map_or(Ok(()), |v| mirror::fits(caps, &v));
        let mirrored = mirror::fits(caps, &self.x).and(residual);
        all.splice(0..0, [lanes(Rows::Mirror, mirrored), lanes(Rows::Scalar, Ok(()))]);
        all
    }

    /// Whether the packed kernel can be used.
    fn lanes(&self, caps: &Caps) -> Choice {
        let (_, n, k) = self.sizes();
        match self.layout {
            Layout::Packed if self.batch.count > 1 => Err("packed weights come one at a time".into()),
            Layout::Packed => packed_fits(caps, n, k, self.w.dtype),
            _ => caps.lanes().and(Err("the weight is not packed".into())),
        }
    }

    pub(super) fn dispatch(&self, spec: &super::Spec, domain: Domain) -> Dispatch {
        let super::Spec::Matmul(spec) = spec else { return Dispatch::default() };
        let (_, n, k) = self.sizes();
        let [b_offset, _] = self.bias.map_or([0; 2], |v| v.words());
        let [r_offset, r_stride] = self.residual.map_or([0; 2], |v| v.words());
        let ([x_offset, x_stride], [w_offset, w_stride]) = (self.x.words(), self.w.words());
        let [y_offset, y_stride] = self.y.words();
        let Batch { count, x, w, y } = self.batch;
        let constants = Constants {
            rows_at: domain.word(),
            n: n as u32,
            k: k as u32,
            x_offset,
            x_stride,
            w_offset,
            w_stride,
            y_offset,
            y_stride,
            b_offset,
            r_offset,
            r_stride,
            batches: count as u32,
            x_batch: x as u32,
            w_batch: w as u32,
            y_batch: y as u32,
        };
        let (per, columns) = match spec.body {
            Body::Tile => (TILE, TILE),
            Body::Row(_) => (1, ROW_COLS),
            Body::Lanes { width, rows } => (rows, 8 * width),
        };
        let times = (n as u32).div_ceil(columns) * count as u32;
        Dispatch::new(&constants, Work::Rows { domain, per, times })
    }
}
