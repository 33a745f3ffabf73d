//! Fused multi-head attention.

mod link;

use super::{Candidate, Checker, Choice, Dispatch, Reduce, Role, Tier, View, Work};
use crate::Result;
use crate::gpu::Caps;
use crate::gpu::link::Rows;
use crate::gpu::mirror;
use crate::graph::step::{Domain, tiles_word};

/// Where a query finds its keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum Keys {
    /// In the rows of its own sequence.
    #[default]
    Own,
    /// In the rows of its sequence's memory: cross-attention.
    Memory,
    /// In the KV cache, through the step's slot table.
    Table,
}

/// How alike a query and a key are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum Similarity {
    /// scale * (q . k), Vaswani et al. 2017.
    #[default]
    Dot,
    /// scale * (q . k) / (|q| |k|), each length at least 1e-8 as in PyTorch's `cosine_similarity`.
    Cosine,
}

op! {
    /// softmax(similarity(q, k) + bias) . v for each head, over the sequences of the step; no S x S matrix is made.
    ///
    /// Query head h uses key head h / (heads / kv_heads). A query with no key it may see gives zeros. With `weights`
    /// instead of `y` the op is a *tap*: it writes the softmax itself.
    Attention {
        reads {
            /// `[tokens, heads head_dim]` f32.
            q
            /// `[keys, kv_heads head_dim]` f32: tokens, memory or cache slots.
            k
            /// As k.
            v
        }
        optional {
            /// `[heads, 2 R + 1]` f32, added to the scores: column R + (key position - query position), clamped to the ends.
            bias
        }
        writes {}
        also {
            /// `[tokens, heads head_dim]` f32.
            y
            /// `[tokens, heads max_keys]` f32: row t holds, for each head, token t's weight for each key of its sequence,
            /// then zeros.
            weights
        }
        with {
            /// Query heads.
            heads: usize,
            /// Key and value heads; divides heads.
            kv_heads: usize,
            /// Width of a head, 1 to 256.
            head_dim: usize,
            /// Multiplies the similarity.
            scale: f32,
            /// Dot product or cosine.
            similarity: Similarity,
            /// No key after the query.
            causal: bool,
            /// No key farther than this from the query, by original positions.
            window: Option<u32>,
            /// Where the keys are.
            keys: Keys,
            /// Decides between the kernels for many queries and for few. In a plan `Full` stands for the plan's.
            role: Role,
        }
    }
}

impl<T> Attention<T> {
    /// Self-attention over whole sequences, scaled by 1 / sqrt(head_dim).
    pub fn new(q: T, k: T, v: T, y: T, heads: usize, head_dim: usize) -> Self {
        let scale = 1.0 / (head_dim.max(1) as f32).sqrt();
        let (similarity, keys, role) = Default::default();
        let (bias, y, weights, window) = (None, Some(y), None, None);
        Self {
            q,
            k,
            v,
            bias,
            y,
            weights,
            heads,
            kv_heads: heads,
            head_dim,
            scale,
            similarity,
            causal: false,
            window,
            keys,
            role,
        }
    }
}

/// The key of an attention kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Spec {
    body: Body,
    /// head_dim, rounded up.
    bucket: u32,
    similarity: Similarity,
    causal: bool,
    window: bool,
    bias: bool,
    keys: Keys,
    weights: bool,
    /// How k and v are read, and q by [`Spec::query`].
    rows: Rows,
    /// Rows of y are whole quads (`Body::Tile`, and `Body::Lanes` with mirrors).
    aligned: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Body {
    /// A query row for each invocation, keys and values through workgroup memory.
    Tile { unrolled: bool },
    /// A workgroup for one query row and head.
    Row { reduce: Reduce, unrolled: bool },
    /// So many panels of query rows, a row for each lane of a subgroup.
    Lanes { width: u32, panels: u32 },
    /// One query row and head, a key for each lane of a subgroup.
    RowLanes { width: u32 },
}

/// Query rows of one workgroup of `attention`.
const TILE: u32 = 64;

/// The widest heads for which lanes read numbers from buffers: of wider ones that is too much code.
const WIDEST_DIRECT: u32 = 64;

/// Invocations of a workgroup of `attention_row`: few workgroups run when there is one query, so these must be large.
const ROW: u32 = 256;

constants! {
    Constants {
        heads: u32, group: u32, head_dim: u32, scale: f32, window: u32, reach: u32, keys: u32, tiles_at: u32,
        key_rows: u32, q_offset: u32, q_stride: u32, k_offset: u32, k_stride: u32, v_offset: u32, v_stride: u32,
        b_offset: u32, b_stride: u32, y_offset: u32, y_stride: u32,
    }
}

fn bucket(head_dim: usize) -> u32 {
    let step = if head_dim <= 64 { 16 } else { 32 };
    (head_dim as u32).next_multiple_of(step)
}

/// Panels of rows of `attention_lanes`: what caches of 32 KiB for data and for instructions hold, in tiles of a height
/// that steps know.
fn panels(bucket: u32, width: u32) -> u32 {
    let fit = match bucket {
        0..=64 => 4,
        65..=128 => 2,
        _ => 1,
    };
    fit.max(8 / width)
}

impl Spec {
    pub(super) fn tier(&self) -> Tier {
        match self.body {
            Body::Tile { .. } => Tier::Baseline,
            Body::Row { reduce, .. } => reduce.tier(),
            Body::Lanes { .. } | Body::RowLanes { .. } => Tier::Software,
        }
    }

    /// Query rows of one workgroup.
    pub(crate) fn height(&self) -> u32 {
        match self.body {
            Body::Tile { .. } => TILE,
            Body::Row { .. } | Body::RowLanes { .. } => 1,
            Body::Lanes { width, panels } => width * panels,
        }
    }

    /// How q is read. A single row of it is read once, for which no copy pays.
    fn query(&self) -> Rows {
        match (self.body, self.rows) {
            (Body::RowLanes { .. }, Rows::Mirror) => Rows::Quads,
            (_, rows) => rows,
        }
    }

    /// The argument is read through a mirror.
    pub(super) fn mirrors(&self, argument: &str) -> bool {
        match argument {
            "q" => self.query() == Rows::Mirror,
            "k" | "v" => self.rows == Rows::Mirror,
            _ => false,
        }
    }

    /// It reads each key once, so that mirrors pay only where they stand from step to step; but wide heads are too much
    /// code without.
    pub(in crate::kernel) fn wants_standing(&self) -> bool {
        self.rows == Rows::Mirror && matches!(self.body, Body::RowLanes { .. }) && self.bucket <= WIDEST_DIRECT
    }
}

impl Attention<View> {
    pub(super) fn check(&self) -> Result<()> {
        let ck = Checker("attention");
        ck.views(&self.args())?;
        let (h, kv, d) = (self.heads, self.kv_heads, self.head_dim);
        ck.ok("head_dim", (1..=256).contains(&d), || "1 to 256".into(), || d.to_string())?;
        let grouped = h >= 1 && kv >= 1 && h % kv == 0;
        ck.ok("kv_heads", grouped, || format!("a divisor of {h} heads"), || kv.to_string())?;
        ck.floats("q", &self.q, self.q.rows, h * d)?;
        ck.floats("k", &self.k, self.k.rows, kv * d)?;
        ck.floats("v", &self.v, self.k.rows, kv * d)?;
        ck.ok("y", self.y.is_some() != self.weights.is_some(), || "y or weights".into(), || "both or none".into())?;
        if let Some(y) = &self.y {
            ck.floats("y", y, self.q.rows, h * d)?;
        }
        if let Some(w) = &self.weights {
            ck.floats("weights", w, self.q.rows, w.cols / h * h)?;
        }
        let Some(bias) = &self.bias else { return Ok(()) };
        ck.floats("bias", bias, h, bias.cols)?;
        ck.ok("bias", bias.cols % 2 == 1, || "an odd number of columns".into(), || bias.cols.to_string())
    }

    pub(super) fn candidates(&self, caps: &Caps) -> Vec<Candidate> {
        let whole = [self.q, self.k, self.v].iter().all(|v| self.quads(v));
        let spec = |body| Spec {
            body,
            bucket: bucket(self.head_dim),
            similarity: self.similarity,
            causal: self.causal,
            window: self.window.is_some(),
            bias: self.bias.is_some(),
            keys: self.keys,
            weights: self.weights.is_some(),
            rows: Rows::Scalar,
            aligned: false,
        };
        // Software adapters take long to compile what is unrolled, and gain nothing by it.
        let unrolled = !caps.cpu;
        let row = |reduce| {
            let spec = Spec { rows: Rows::direct(whole), ..spec(Body::Row { reduce, unrolled }) };
            Candidate::new(spec, if reduce == Reduce::Subgroup { caps.subgroups() } else { Ok(()) })
        };
        let width = *caps.lanes().as_ref().unwrap_or(&8);
        let mut rows = self.lanes(caps, spec(Body::RowLanes { width }));
        rows.extend([row(Reduce::Subgroup), row(Reduce::Workgroup)]);
        if self.weights.is_some() {
            return rows;
        }
        let panels = panels(bucket(self.head_dim), width);
        let mut tiles = self.lanes(caps, spec(Body::Lanes { width, panels }));
        // An invocation keeps query and output in registers: of wider heads they would spill.
        let narrow = if self.head_dim <= 128 { Ok(()) } else { Err("the head is wider than 128".into()) };
        let aligned = self.y.is_some_and(|y| self.quads(&y));
        tiles
            .push(Candidate::new(Spec { rows: Rows::direct(whole), aligned, ..spec(Body::Tile { unrolled }) }, narrow));
        match self.role {
            Role::Decode => [rows, tiles].concat(),
            Role::Full | Role::Prefill | Role::Head => [tiles, rows].concat(),
        }
    }

    /// Heads of a view begin and end on multiples of 4 elements.
    fn quads(&self, view: &View) -> bool {
        view.aligned() && self.head_dim.is_multiple_of(4)
    }

    /// The kernels of the software tier: reading mirrors; for a single row also the buffers by quads; or else number by
    /// number.
    fn lanes(&self, caps: &Caps, spec: Spec) -> Vec<Candidate> {
        let tile = matches!(spec.body, Body::Lanes { .. });
        let cosine = tile && self.similarity == Similarity::Cosine;
        let able = match caps.lanes() {
            Ok(_) if cosine => Err("lanes that own rows compute no cosines".into()),
            other => other.map(drop),
        };
        let candidate = |spec, choice: Choice| Candidate::new(spec, able.clone().and(choice));
        let inputs = [&self.q, &self.k, &self.v];
        let wide = spec.bucket > WIDEST_DIRECT;
        let whole = match inputs.iter().all(|v| self.quads(v)) {
            true => Ok(()),
            false => Err(mirror::UNALIGNED.to_owned()),
        };
        let mirrored = inputs.iter().try_for_each(|v| mirror::fits(caps, v)).and(whole.clone());
        let aligned = tile && self.y.as_ref().is_some_and(|y| self.quads(y));
        let mut all = vec![candidate(Spec { rows: Rows::Mirror, aligned, ..spec }, mirrored.clone())];
        let direct = if tile { mirrored } else { whole };
        if !tile && !wide {
            all.push(candidate(Spec { rows: Rows::Quads, ..spec }, direct.clone()));
        }
        // Numbers read one by one are so much code that drivers take seconds: so the tile is low, the head narrow.
        let body = match spec.body {
            Body::Lanes { width, .. } => Body::Lanes { width, panels: (8 / width).max(1) },
            body => body,
        };
        let scalar = match direct {
            _ if wide => Err("heads this wide are read through mirrors only".into()),
            Ok(()) => Err(mirror::WHOLE_QUADS.into()),
            Err(_) => Ok(()),
        };
        all.push(candidate(Spec { body, rows: Rows::Scalar, ..spec }, scalar));
        all
    }

    pub(super) fn dispatch(&self, spec: &super::Spec, _: Domain) -> Dispatch {
        let super::Spec::Attention(spec) = spec else { return Dispatch::default() };
        let ([q_offset, q_stride], [k_offset, k_stride]) = (self.q.words(), self.k.words());
        let ([v_offset, v_stride], [b_offset, b_stride]) = (self.v.words(), self.bias.map_or([0; 2], |v| v.words()));
        let [y_offset, y_stride] = self.y.or(self.weights).map_or([0; 2], |v| v.words());
        let constants = Constants {
            heads: self.heads as u32,
            group: (self.heads / self.kv_heads.max(1)) as u32,
            head_dim: self.head_dim as u32,
            scale: self.scale,
            window: self.window.unwrap_or(0),
            reach: self.bias.map_or(0, |v| v.cols as u32 / 2),
            keys: self.weights.map_or(0, |v| (v.cols / self.heads) as u32),
            tiles_at: tiles_word(spec.height()),
            key_rows: self.k.rows as u32,
            q_offset,
            q_stride,
            k_offset,
            k_stride,
            v_offset,
            v_stride,
            b_offset,
            b_stride,
            y_offset,
            y_stride,
        };
        Dispatch::new(&constants, Work::Tiles { height: spec.height(), times: self.heads as u32 })
    }
}
