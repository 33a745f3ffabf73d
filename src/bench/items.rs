//! What is measured: ops of a shape, each as a graph of its own, and whole encoders.

use super::Ceilings;
use crate::graph::{Capacity, Graph, Rows, Step};
use crate::kernel::{Attention, Keys, Matmul, Role};
use crate::model::arch::{Activation, Arch, Embed, Head, Mlp, Norm, Position, Stack};
use crate::model::forward::{Outputs, Sizes, graph};
use crate::weights::DType;

/// One measurement.
#[derive(Clone, Copy, Debug)]
pub(super) enum Item {
    /// y `[m, n]` = x `[m, k]` . W^T.
    Matmul { m: usize, n: usize, k: usize, dtype: DType, role: Role },
    /// Whole sequences over their own keys.
    Attention { batch: usize, len: usize, heads: usize, head_dim: usize },
    /// One query over a KV cache.
    Decode { keys: usize, heads: usize, head_dim: usize },
    /// MiniLM-L6 with random weights.
    Encoder { batch: usize, len: usize },
}

/// All that a session needs to run an item.
pub(super) struct Job {
    pub graph: Graph,
    pub role: Role,
    pub capacity: Capacity,
    pub step: Step,
    /// Persistent tensors that are filled beforehand.
    pub inputs: Vec<(&'static str, Vec<f32>)>,
    pub output: &'static str,
    /// Elements of the output.
    pub len: usize,
}

const WIDTH: usize = 384;
const LAYERS: usize = 6;
const FFN: usize = 1536;
const VOCAB: usize = 30522;

/// Every item, in the order in which they are measured.
pub(super) fn all() -> Vec<Item> {
    use DType::{F16, F32};
    let matmul = |m, n, k, dtype| Item::Matmul { m, n, k, dtype, role: Role::Full };
    let matvec = |dtype| Item::Matmul { m: 1, n: 4096, k: 4096, dtype, role: Role::Decode };
    vec![
        matmul(1024, 1024, 1024, F32),
        matmul(128, 1536, 384, F32),
        matmul(16, 1536, 384, F32),
        matmul(1024, 1024, 1024, F16),
        matvec(F32),
        matvec(F16),
        Item::Attention { batch: 8, len: 128, heads: 12, head_dim: 32 },
        Item::Attention { batch: 1, len: 2048, heads: 8, head_dim: 64 },
        Item::Decode { keys: 2048, heads: 8, head_dim: 64 },
        Item::Encoder { batch: 8, len: 128 },
        Item::Encoder { batch: 1, len: 128 },
        Item::Encoder { batch: 1, len: 16 },
    ]
}

impl Item {
    pub fn name(&self) -> String {
        match self {
            Self::Matmul { m, n, k, dtype, role: Role::Decode } => format!("matvec/{dtype}/{m}x{n}x{k}"),
            Self::Matmul { m, n, k, dtype, .. } => format!("matmul/{dtype}/{m}x{n}x{k}"),
            Self::Attention { batch, len, heads, head_dim } => {
                format!("attention/f32/{batch}x{len}x{heads}x{head_dim}")
            }
            Self::Decode { keys, heads, head_dim } => format!("attention-decode/f32/1x{keys}x{heads}x{head_dim}"),
            Self::Encoder { batch, len } => format!("encoder/minilm-l6/{batch}x{len}"),
        }
    }

    /// The element type of its weight matrices.
    pub fn dtype(&self) -> DType {
        match self {
            Self::Matmul { dtype, .. } => *dtype,
            _ => DType::F32,
        }
    }

    /// Operations: a multiply-add counts as two, and nothing else counts.
    pub fn flops(&self) -> f64 {
        match *self {
            Self::Matmul { m, n, k, .. } => 2.0 * (m * n * k) as f64,
            Self::Attention { batch, len, heads, head_dim } => 4.0 * (batch * len * len * heads * head_dim) as f64,
            Self::Decode { keys, heads, head_dim } => 4.0 * (keys * heads * head_dim) as f64,
            Self::Encoder { batch, len } => {
                let token = 2 * (4 * WIDTH * WIDTH + 2 * WIDTH * FFN) + 4 * len * WIDTH;
                (LAYERS * batch * len * token) as f64
            }
        }
    }

    /// Bytes that must be read and written at least, where memory is what limits.
    pub fn bytes(&self) -> Option<f64> {
        match *self {
            Self::Matmul { m, n, k, dtype, role: Role::Decode } => {
                Some((n * k * dtype.size() + 4 * m * (n + k)) as f64)
            }
            Self::Decode { keys, heads, head_dim } => Some((4 * heads * head_dim * (2 * keys + 2)) as f64),
            _ => None,
        }
    }

    /// What it reaches of the ceiling that limits it.
    pub fn share(&self, seconds: f64, ceilings: &Ceilings) -> f64 {
        match self.bytes() {
            Some(bytes) => bytes / seconds * 1e-9 / ceilings.read_gbps,
            None => self.flops() / seconds * 1e-9 / ceilings.fma_gflops,
        }
    }

    pub fn job(&self) -> Job {
        match *self {
            Self::Matmul { m, n, k, dtype, role } => matmul(m, n, k, dtype, role),
            Self::Attention { batch, len, heads, head_dim } => attention(batch, len, heads, head_dim),
            Self::Decode { keys, heads, head_dim } => decode(keys, heads, head_dim),
            Self::Encoder { batch, len } => encoder(batch, len),
        }
    }
}

fn matmul(m: usize, n: usize, k: usize, dtype: DType, role: Role) -> Job {
    let mut graph = Graph::new();
    let (x, y) = (graph.persistent("x", Rows::TOKENS, k), graph.persistent("y", Rows::TOKENS, n));
    let w = graph.weight("w", n, k, dtype);
    graph.push("matmul", Matmul { role, ..Matmul::new(x, w, y) });
    Job {
        graph,
        role,
        capacity: Capacity::packed(m, 1),
        step: Step::rows(m),
        inputs: vec![("x", noise(m * k, 1))],
        output: "y",
        len: m * n,
    }
}

/// Queries, keys and values lie side by side, as a projection leaves them.
fn attention(batch: usize, len: usize, heads: usize, head_dim: usize) -> Job {
    let (mut graph, width, tokens) = (Graph::new(), heads * head_dim, batch * len);
    let (qkv, y) = (graph.persistent("qkv", Rows::TOKENS, 3 * width), graph.persistent("y", Rows::TOKENS, width));
    let (q, k, v) = (qkv.columns(0, width), qkv.columns(width, width), qkv.columns(2 * width, width));
    graph.push("attention", Attention::new(q, k, v, y, heads, head_dim));
    Job {
        graph,
        role: Role::Full,
        capacity: Capacity::packed(tokens, batch),
        step: Step::packed(&vec![len; batch]),
        inputs: vec![("qkv", noise(3 * width * tokens, 2))],
        output: "y",
        len: tokens * width,
    }
}

fn decode(keys: usize, heads: usize, head_dim: usize) -> Job {
    let (mut graph, width) = (Graph::new(), heads * head_dim);
    let (q, y) = (graph.persistent("q", Rows::TOKENS, width), graph.persistent("y", Rows::TOKENS, width));
    let cache = graph.persistent("cache", Rows::Fixed(keys), 2 * width);
    let op = Attention::new(q, cache.columns(0, width), cache.columns(width, width), y, heads, head_dim);
    graph.push("attention", Attention { causal: true, keys: Keys::Table, role: Role::Decode, ..op });
    let mut step = Step::default();
    step.push_cached(1, &(0..keys as u32).collect::<Vec<_>>());
    Job {
        graph,
        role: Role::Decode,
        capacity: Capacity { tokens: 1, sequences: 1, memory: 0, keys },
        step,
        inputs: vec![("q", noise(width, 3)), ("cache", noise(2 * width * keys, 4))],
        output: "y",
        len: width,
    }
}

fn encoder(batch: usize, len: usize) -> Job {
    let stack = Stack {
        layers: LAYERS,
        width: WIDTH,
        heads: 12,
        kv_heads: 12,
        head_dim: 32,
        ffn: FFN,
        norm: Norm { rms: false, eps: 1e-12, before: false },
        mlp: Mlp { act: Activation::Gelu, gated: false },
        position: Position::Learned { max: 512, offset: 0 },
        scale: 1.0 / 32f32.sqrt(),
        biases: true,
        embed_norm: true,
        final_norm: false,
    };
    let arch = Arch {
        vocab: VOCAB,
        encoder: Some(stack),
        decoder: None,
        embed: Embed { scale: 1.0, types: 2 },
        pooler: false,
        head: Head::None,
        pad_token: None,
    };
    let outputs = Outputs { hidden: true, ..Outputs::default() };
    let ids = (0..batch * len).map(|i| (i * 7919 % VOCAB) as u32).collect();
    Job {
        graph: graph(&arch, Role::Full, outputs, Sizes::default(), &|_| DType::F32),
        role: Role::Full,
        capacity: Capacity::packed(batch * len, batch),
        step: Step::packed(&vec![len; batch]).with_ids(ids),
        inputs: Vec::new(),
        output: "hidden",
        len: batch * len * WIDTH,
    }
}

/// Numbers from -2 to 2 that repeat nowhere near.
fn noise(len: usize, salt: u64) -> Vec<f32> {
    (0..len as u64).map(|i| (scatter(i, salt) >> 40) as f32 / (1u64 << 22) as f32 - 2.0).collect()
}

/// SplitMix64.
pub(super) fn scatter(index: u64, salt: u64) -> u64 {
    let state = (index + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(salt << 48);
    let z = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
