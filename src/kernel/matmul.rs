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
            /// Decides between the kernels for many rows and for few. In a plan `Full` stands for the plan's.
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
    /// How x is read; [`Rows::Quads`] also tells that rows of `[N, K]` are whole quads.
    x: Rows,
    /// Rows of y, bias and residual are whole quads; not told where x is read element by element.
    aligned: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Body {
    /// Tiles of so many rows through workgroup memory: one of [`TILES`]. Software adapters would take seconds to compile
    /// its loop over the depth unrolled, GPUs are a sixth slower without.
    Tile { rows: u32, unrolled: bool },
    /// A workgroup for some outputs of so many rows.
    Row { reduce: Reduce, rows: u32, columns: u32 },
    /// So many rows by 8 columns for each lane, weights from a texture.
    Lanes { width: u32, rows: u32 },
}

/// Tiles of `matmul`: rows, columns, depth of a block, rows of an invocation (it has four columns). Lower ones give more
/// workgroups and wait less for memory, higher ones load less. The blocks fill 16 KiB at most, the default limit.
const TILES: [[u32; 4]; 3] = [[16, 32, 64, 2], [32, 32, 32, 4], [64, 64, 32, 8]];
/// Workgroups for which the next higher tile is taken: a large GPU has some 130 cores.
const ENOUGH: usize = 96;
/// Rows of a tile of `matmul_lanes`: each loads its columns once, so taller ones are faster (4, 8, 16: 0.37, 0.48 and 0.55
/// of the FMA ceiling) until the loop outgrows the instruction cache. A sum is the same chain in all.
pub(crate) const LANE_ROWS: [u32; 4] = [1, FEW, TALLEST / 2, TALLEST];
const FEW: u32 = 4;
const TALLEST: u32 = 16;
/// Elements of a weight with which up to [`SHORT`] rows take 0.15 ms in tiles of [`FEW`], half as much again as in the tallest.
const SMALL: usize = 1 << 17;
/// The most rows for which small weights have a tile of their own.
pub(crate) const SHORT: usize = 24;

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
            Body::Tile { .. } => Tier::Baseline,
            Body::Row { reduce, .. } => reduce.tier(),
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
            Body::Tile { rows, unrolled } => self.outs(link_tile(tile(rows), unrolled)),
            Body::Row { reduce, rows, columns } => reduce
                .link(Link::new("matvec", Constants::WGSL))
                .number("ROWS", rows)
                .number("COLS", columns)
                .optional("bias", self.bias.then_some(4), "0.0")
                .optional("residual", self.residual.then_some(5), "0.0"),
            Body::Lanes { width, rows } => return self.link_lanes(width, rows).activation(self.act),
        };
        let link = match self.kn {
            true => link.weight("w", 3, self.weight).part("parts/column_kn"),
            false => link.weight_quads("w", 3, self.weight, self.x == Rows::Quads).part("parts/column_nk"),
        };
        link.quads("x", 2, self.x).activation(self.act)
    }

    /// y and what is added to it.
    fn outs(&self, link: Link) -> Link {
        let outs = Rows::direct(self.aligned);
        let residual = if self.mirrors("residual") { Rows::Mirror } else { outs };
        link.optional_quads("bias", self.bias.then_some(4), outs, "0.0")
            .optional_quads("residual", self.residual.then_some(5), residual, "0.0")
            .put("y", 6, self.aligned)
    }

    fn link_lanes(&self, width: u32, rows: u32) -> Link {
        // A texel holds one quad of f32 or two of halves, and 32 texels a turn are as much as drivers compile soon.
        let (part, least) = match self.weight {
            DType::F32 | DType::U32 => ("parts/texel_f32", 2),
            DType::F16 => ("parts/texel_f16", 1),
            DType::BF16 => ("parts/texel_bf16", 1),
        };
        // Rows that the lanes have room for at once, with at least two quads each.
        let held = rows.max(least).min(width / 2);
        let link = Link::new("matmul_lanes", Constants::WGSL)
            .number("WG", width)
            .number("ROWS", rows)
            .number("HELD", held)
            .number("PANELS", rows.div_ceil(held))
            .number("PAIRS", width / held / 2)
            .part(part)
            .quads("x", 2, self.x);
        self.outs(link)
    }
}

/// The tile of so many rows.
fn tile(rows: u32) -> [u32; 4] {
    TILES.into_iter().find(|tile| tile[0] == rows).unwrap_or(TILES[0])
}

fn link_tile([rows, columns, depth, each]: [u32; 4], unrolled: bool) -> Link {
    let link = Link::new("matmul", Constants::WGSL)
        .number("WG", rows / each * columns / 4)
        .number("TILE_M", rows)
        .number("TILE_N", columns)
        .number("DEPTH", depth)
        .number("EACH_M", each)
        .number("QUADS_M", each.div_ceil(4))
        .number("W_BLOCKS", columns / rows);
    if unrolled { link.unrolled("DEEP", depth / 4).unrolled("four()", 4) } else { link }
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
        let tile = Body::Tile { rows: self.tile_rows(), unrolled: !caps.cpu };
        let tiles = self.in_buffers(tile, Ok(()));
        let row = |(reduce, choice)| self.in_buffers(self.row(reduce), choice);
        let rows = Reduce::choices(caps).into_iter().flat_map(row);
        let mut all: Vec<_> = self.packed(caps).into();
        if self.role == Role::Decode {
            all.extend(rows.chain(tiles));
        } else {
            all.extend(tiles.into_iter().chain(rows));
        }
        all
    }

    fn spec(&self, body: Body, x: Rows) -> Spec {
        let outs = [Some(self.y), self.bias, self.residual];
        Spec {
            body,
            weight: self.w.dtype,
            kn: self.layout == Layout::Kn,
            act: self.act,
            bias: self.bias.is_some(),
            residual: self.residual.is_some(),
            x,
            aligned: x != Rows::Scalar
                && !matches!(body, Body::Row { .. })
                && outs.iter().flatten().all(View::aligned)
                && self.batch.y.is_multiple_of(4),
        }
    }

    /// Of few columns two at once make enough workgroups. When decoding, some rows share what is read of w: beams do.
    fn row(&self, reduce: Reduce) -> Body {
        let columns = if self.y.cols < 2048 { 2 } else { 4 };
        // An invocation for each output.
        let most = if let Reduce::Lanes(width) = reduce { width / columns } else { 4 };
        let shares = self.role == Role::Decode && self.x.rows > 1;
        Body::Row { reduce, rows: if shares { most } else { 1 }, columns }
    }

    /// The highest tile of which there are enough to keep a large GPU busy, and of which the rows fill more than half.
    fn tile_rows(&self) -> u32 {
        let (m, n, _) = self.sizes();
        let enough = |[rows, columns, ..]: [u32; 4]| {
            let (rows, columns) = (rows as usize, columns as usize);
            let tiles = m.div_ceil(rows).saturating_mul(n.div_ceil(columns)).saturating_mul(self.batch.count);
            tiles >= ENOUGH && m > rows / 2
        };
        TILES.into_iter().rev().find(|tile| enough(*tile)).unwrap_or(TILES[0])[0]
    }

    /// A body over the buffers: by quads where x and w are made of them, or else element by element; the same sums.
    fn in_buffers(&self, body: Body, choice: Choice) -> [Candidate; 2] {
        let choice = match self.layout {
            Layout::Packed => Err("the weight is packed into a texture".into()),
            _ => choice,
        };
        let w = self.layout == Layout::Kn || self.w.aligned() && self.batch.w.is_multiple_of(4);
        let (quads, scalars) = match w && self.x.aligned() && self.batch.x.is_multiple_of(4) {
            true => (Ok(()), Err(mirror::WHOLE_QUADS.into())),
            false => (Err(mirror::UNALIGNED.into()), Ok(())),
        };
        [
            Candidate::new(self.spec(body, Rows::Quads), choice.clone().and(quads)),
            Candidate::new(self.spec(body, Rows::Scalar), choice.and(scalars)),
        ]
    }

    /// The software tier's, for packed weights.
    fn packed(&self, caps: &Caps) -> [Candidate; 2] {
        let (m, n, k) = self.sizes();
        // A driver takes longer to compile another tile than thousands of products with a small weight would save.
        let small = m <= SHORT && n.saturating_mul(k) <= SMALL;
        let rows = if small { FEW } else { LANE_ROWS.into_iter().find(|&rows| m <= rows as usize).unwrap_or(TALLEST) };
        let body = Body::Lanes { width: *caps.lanes().as_ref().unwrap_or(&8), rows };
        let lanes = |x, choice: Choice| Candidate::new(self.spec(body, x), self.lanes(caps).and(choice));
        // A residual that is not made of quads is read from its buffer.
        let aligned = self.spec(body, Rows::Mirror).aligned;
        let residual = self.residual.filter(|_| aligned).map_or(Ok(()), |v| mirror::fits(caps, &v));
        let mirrored = mirror::fits(caps, &self.x).and(residual);
        let direct = if mirrored.is_ok() { Err(mirror::WHOLE_QUADS.into()) } else { Ok(()) };
        [lanes(Rows::Mirror, mirrored), lanes(Rows::Scalar, direct)]
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
            Body::Tile { rows, .. } => (rows, tile(rows)[1]),
            Body::Row { rows, columns, .. } => (rows, columns),
            Body::Lanes { width, rows } => (rows, 8 * width),
        };
        let times = (n as u32).div_ceil(columns) * count as u32;
        Dispatch::new(&constants, Work::Rows { domain, per, times })
    }
}
