//! What is measured: ops of a shape, each beside the simplest body that computes it, and whole models.

use super::cost;
use super::job::{Job, Pass};
use super::shapes::{GPT2, MINILM, OPUS_MT, SMOLLM2, Shape};
use crate::graph::step::Step;
use crate::kernel::{
    Argmax, Attention, Embed, Gate, Keys, Layout, Matmul, Norm, Op, Pool, Qkv, Role, Softmax, Topk, View,
};
use crate::model::arch::{Activation, PoolMode};
use crate::verify::cases::{Case, Random};
use crate::weights::DType;

/// One measurement.
#[derive(Clone, Debug)]
pub struct Item {
    name: String,
    pub(super) what: What,
}

#[derive(Clone, Debug)]
pub(super) enum What {
    /// An op, as a plan would run it.
    Op(Case),
    /// The same problem, by the body that anyone would write first: `shaders/bench/plain_OP.wgsl`.
    Plain(Case),
    /// A model of some shape with random weights.
    Model(Shape, Pass),
}

/// Operations up to which a problem is worth the time that its plain body takes.
const PLAIN: f64 = 1e9;

/// Every item, in the order in which they are measured; an op comes after its plain body, `plain/` and its name, but for
/// the largest problems, which have none.
pub fn items() -> Vec<Item> {
    let mut all = Vec::new();
    for case in cases() {
        if cost::flops(&case.op, &case.step) <= PLAIN {
            all.push(Item { name: format!("plain/{}", case.name), what: What::Plain(case.clone()) });
        }
        all.push(Item::op(case));
    }
    let model = |name, shape, pass| Item { name, what: What::Model(shape, pass) };
    for (batch, len) in [(8, 128), (1, 128), (1, 16)] {
        let name = format!("encoder/{}/{batch}x{len}", MINILM.name);
        all.push(model(name, MINILM, Pass::Encoder { batch, len }));
    }
    for (name, padded) in [("mixed", false), ("padded", true)] {
        all.push(model(format!("encoder/{}/32-{name}", MINILM.name), MINILM, Pass::Mixed { padded }));
    }
    for shape in [OPUS_MT, GPT2, SMOLLM2] {
        let (name, len, keys) = (shape.name, 256, 64);
        all.push(model(format!("prefill/{name}/{len}"), shape, Pass::Prefill { len }));
        for (kind, beams) in [("decode", 1), ("beam4", 4)] {
            all.push(model(format!("{kind}/{name}/{keys}"), shape, Pass::Decode { beams, keys }));
        }
    }
    all
}

impl Item {
    pub(super) fn op(case: Case) -> Self {
        Self { name: case.name.clone(), what: What::Op(case) }
    }

    /// Kind, element type where it matters, shape.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Operations of its matmuls alone, a multiply-add counting as two.
    pub fn matmul_flops(&self) -> f64 {
        let job = self.job();
        job.ops().filter(|op| matches!(op, Op::Matmul(_))).map(|op| cost::flops(&op, &job.last().step)).sum()
    }

    /// Of a decoder's step for one sequence: its matmuls, each alone, with how many of it the step has.
    pub(super) fn matvecs(&self) -> Vec<(Item, usize)> {
        let mut all: Vec<(Item, usize)> = Vec::new();
        let What::Model(_, Pass::Decode { beams: 1, .. }) = self.what else { return all };
        for op in self.job().ops().filter(|op| matches!(op, Op::Matmul(_))) {
            let op = op.map(&mut |view| View::dense(view.rows, view.cols, view.dtype));
            let name = format!("{op:?}");
            match all.iter_mut().find(|(item, _)| item.name == name) {
                Some((_, count)) => *count += 1,
                None => all.push((Item::op(Case::rows(name, op)), 1)),
            }
        }
        all
    }

    /// A step of generation, whose time counts for one token.
    pub(super) fn is_token(&self) -> bool {
        matches!(self.what, What::Model(_, Pass::Decode { .. }))
    }

    pub(super) fn job(&self) -> Job {
        match &self.what {
            What::Op(case) | What::Plain(case) => Job::op(case),
            What::Model(shape, pass) => Job::pass(*shape, usize::MAX, *pass, 0),
        }
    }
}

/// The problems. They are drawn from MiniLM's and small decoders' layers, but for those that fill a GPU.
fn cases() -> Vec<Case> {
    use DType::{F16, F32};
    vec![
        matmul(F32, 1024, 1024, 1024),
        matmul(F32, 128, 1536, 384),
        matmul(F32, 16, 1536, 384),
        matmul(F16, 128, 1536, 384),
        matvec(F32, 4096, 4096),
        matvec(F16, 4096, 4096),
        attention(12, 32, 8, 128),
        attention(8, 64, 1, 2048),
        decode(12, 64, 256),
        decode(12, 64, 2048),
        softmax(1024, 1024),
        softmax(16, 128),
        norm(1024, 384),
        norm(16, 384),
        embed(8, 128),
        gate(1024, 1536),
        qkv(12, 4, 64, 1024),
        pool(8, 128, 384),
        argmax(8, 30522),
        topk(8, 8192, 5),
    ]
}

fn matrix(rows: usize, cols: usize) -> View {
    View::dense(rows, cols, DType::F32)
}

fn product(dtype: DType, m: usize, n: usize, k: usize, role: Role) -> Matmul<View> {
    Matmul { role, ..Matmul::new(matrix(m, k), View::dense(n, k, dtype), matrix(m, n)) }
}

fn matmul(dtype: DType, m: usize, n: usize, k: usize) -> Case {
    Case::rows(format!("matmul/{dtype}/{m}x{n}x{k}"), product(dtype, m, n, k, Role::Full))
}

fn matvec(dtype: DType, n: usize, k: usize) -> Case {
    Case::rows(format!("matvec/{dtype}/1x{n}x{k}"), product(dtype, 1, n, k, Role::Decode))
}

fn attention(heads: usize, head_dim: usize, batch: usize, len: usize) -> Case {
    let rows = matrix(batch * len, heads * head_dim);
    let shape = if batch == 1 { len.to_string() } else { format!("{batch}x{len}") };
    let op = Attention::new(rows, rows, rows, rows, heads, head_dim);
    Case::new(format!("attention/{heads}x{head_dim}/{shape}"), op, Step::packed(&vec![len; batch]))
}

/// One query over a KV cache.
fn decode(heads: usize, head_dim: usize, keys: usize) -> Case {
    let (row, cache) = (matrix(1, heads * head_dim), matrix(keys, heads * head_dim));
    let op = Attention::new(row, cache, cache, row, heads, head_dim);
    let mut step = Step::default();
    step.push_cached(1, &(0..keys as u32).collect::<Vec<_>>());
    let name = format!("attention/decode/{heads}x{head_dim}/{keys}");
    Case::new(name, Attention { causal: true, keys: Keys::Table, role: Role::Decode, ..op }, step)
}

fn softmax(rows: usize, cols: usize) -> Case {
    Case::rows(format!("softmax/{rows}x{cols}"), Softmax::new(matrix(rows, cols), matrix(rows, cols)))
}

fn norm(rows: usize, cols: usize) -> Case {
    let (x, row) = (matrix(rows, cols), Some(matrix(1, cols)));
    let op = Norm { weight: row, bias: row, ..Norm::new(x, x, 1e-5) };
    Case::rows(format!("norm/{rows}x{cols}"), op)
}

fn embed(batch: usize, len: usize) -> Case {
    let (vocab, width, tokens) = (30522, 384, batch * len);
    let op = Embed {
        ids: View::dense(tokens, 1, DType::U32),
        word: matrix(vocab, width),
        position: Some(matrix(len, width)),
        kind: Some(matrix(2, width)),
        y: matrix(tokens, width),
        scale: 1.0,
        vocab,
        base: 0,
        layout: Layout::Nk,
    };
    let mut random = Random::new("ids");
    let ids: Vec<u32> = (0..tokens).map(|_| (random.next() % vocab as u64) as u32).collect();
    Case::new(format!("embed/{batch}x{len}x{width}"), op, Step::packed(&vec![len; batch])).words("ids", &ids)
}

fn gate(rows: usize, cols: usize) -> Case {
    let op = Gate { x: matrix(rows, 2 * cols), y: matrix(rows, cols), act: Activation::Silu };
    Case::rows(format!("gate/{rows}x{cols}"), op)
}

fn qkv(heads: usize, kv_heads: usize, head_dim: usize, tokens: usize) -> Case {
    let op = Qkv {
        x: matrix(tokens, (heads + 2 * kv_heads) * head_dim),
        q_norm: None,
        k_norm: None,
        rope: Some(matrix(tokens, head_dim)),
        q: matrix(tokens, heads * head_dim),
        cache: matrix(tokens, 2 * kv_heads * head_dim),
        heads,
        kv_heads,
        head_dim,
        eps: 1e-6,
        interleaved: false,
    };
    let mut step = Step::packed(&[tokens]);
    step.slots = (0..tokens as u32).collect();
    Case::new(format!("qkv/{heads}+{kv_heads}x{head_dim}/{tokens}"), op, step)
}

fn pool(batch: usize, len: usize, cols: usize) -> Case {
    let op = Pool { x: matrix(batch * len, cols), y: matrix(batch, cols), mode: PoolMode::Mean, normalize: false };
    Case::new(format!("pool/{batch}x{len}x{cols}"), op, Step::packed(&vec![len; batch]))
}

fn argmax(rows: usize, cols: usize) -> Case {
    let op = Argmax { x: matrix(rows, cols), ids: View::dense(rows, 1, DType::U32) };
    Case::rows(format!("argmax/{rows}x{cols}"), op)
}

fn topk(rows: usize, cols: usize, k: usize) -> Case {
    let (values, ids, lse) = (matrix(rows, k), View::dense(rows, k, DType::U32), Some(matrix(rows, 1)));
    Case::rows(format!("topk/{rows}x{cols}/{k}"), Topk { x: matrix(rows, cols), values, ids, lse, scale: 1.0 })
}
