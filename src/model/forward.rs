//! The one forward pass: an `Arch` becomes a graph. A layer is one screen.
//!
//! Tensor names are canonical (`encoder.3.self.qkv.weight`); a family's file says what a checkpoint calls them.

mod task;

use super::arch::{Activation, Arch, Head, PoolMode, Position, Stack};
use crate::graph::{Graph, Rows, Tensor};
use crate::kernel::{self, Attention, Batch, Gate, Keys, Layout, Matmul, Pool, Qkv, Role, Similarity};
use crate::weights::DType;

/// What a forward pass should leave in the session's persistent tensors.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Outputs {
    /// `hidden`: the encoder's last rows; `decoder.hidden`: the decoder's, before the head.
    pub hidden: bool,
    /// `pooler`: BERT's pooler over each sequence's first token.
    pub pooler: bool,
    /// `logits` of an encoder's task: a row for each token, or where it is of sequences for each of these.
    pub task: bool,
    /// `embedding`: one vector for each sequence, scaled to length 1 or not.
    pub embedding: Option<(PoolMode, bool)>,
    /// `encoder.N.self.weights`, `decoder.N.self.weights`, `decoder.N.cross.weights`: what every layer attends to, with room
    /// for so many keys a row.
    pub taps: Option<usize>,
    /// What a decoder makes of its `logits`.
    pub choice: Choice,
    /// The decoder's `Prefill` is whole sequences at once, without a cache (teacher forcing): every token has its original
    /// position, and leaves the hidden rows that `Head` takes.
    pub whole: bool,
}

impl Outputs {
    /// All that the heads of a model make.
    pub fn of_heads() -> Self {
        Self { hidden: true, pooler: true, task: true, ..Self::default() }
    }
}

/// What a decoder's graph makes of each row of `logits`.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Choice {
    /// The greedy `ids`, where the next step finds them.
    #[default]
    Argmax,
    /// Likewise, and their logits in `top.values`, so that the host sees a NaN.
    Greedy,
    /// The best `k`: `top.values`, `top.ids`, and in `top.lse` the log-sum-exp of `scale` times the row.
    Top {
        /// How many.
        k: usize,
        /// Above 0.
        scale: f32,
    },
}

/// Sizes of a session that a graph needs to know.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sizes {
    /// Rows of each layer's KV cache.
    pub slots: usize,
}

/// The graph of one role: `Full` is the encoder's pass (with a decoder too, it ends in the cross keys and values),
/// `Prefill` and `Decode` are the decoder's, and end in `logits` and the greedy `ids`, or in hidden rows where they are whole.
/// `Head` is a head as wide as the vocabulary by itself: `logits` of the first of each sequence's rows that the last pass has
/// left. Empty where the model lacks the role.
pub fn graph(arch: &Arch, role: Role, outputs: Outputs, sizes: Sizes, dtype: &dyn Fn(&str) -> DType) -> Graph {
    let mut b = Builder { g: Graph::new(), arch, role, outputs, sizes, dtype, layer: 0 };
    match (role, &arch.encoder, &arch.decoder) {
        (Role::Full, Some(encoder), decoder) => {
            let x = b.stack("encoder", encoder, None);
            let x = b.last_norm("encoder", encoder, x);
            b.encoder_outputs(x, encoder);
            if let Some(decoder) = decoder {
                b.cross_keys(x, decoder);
            }
        }
        (Role::Prefill | Role::Decode, encoder, Some(decoder)) => {
            let x = b.stack("decoder", decoder, encoder.as_ref());
            b.decoder_outputs(x, decoder);
        }
        (Role::Head, ..) => b.head(),
        _ => {}
    }
    b.g
}

struct Builder<'a> {
    g: Graph,
    arch: &'a Arch,
    role: Role,
    outputs: Outputs,
    sizes: Sizes,
    dtype: &'a dyn Fn(&str) -> DType,
    /// The layer at work.
    layer: usize,
}

/// What an attention may see.
struct Sight {
    keys: Keys,
    causal: bool,
    window: Option<u32>,
    bias: Option<Tensor>,
}

impl Builder<'_> {
    /// Embeddings and layers.
    fn stack(&mut self, side: &str, stack: &Stack, memory: Option<&Stack>) -> Tensor {
        let mut x = self.embed(side, stack);
        for i in 0..stack.layers {
            self.layer = i;
            x = self.layer(&format!("{side}.{i}"), stack, memory, x);
        }
        x
    }

    fn last_norm(&mut self, side: &str, stack: &Stack, x: Tensor) -> Tensor {
        if stack.final_norm { self.norm(&format!("{side}.norm"), stack, x) } else { x }
    }

    /// Vaswani et al. 2017, figure 1: self-attention, cross-attention where there is a memory, feed-forward; each with a
    /// residual, and its norm before or after.
    fn layer(&mut self, at: &str, stack: &Stack, memory: Option<&Stack>, x: Tensor) -> Tensor {
        let x = self.block(&format!("{at}.self"), stack, x, |b, at, h, x| {
            let a = b.self_attention(at, stack, h);
            b.linear(&format!("{at}.out"), stack.biases.out, a, stack.width, Activation::None, Some(x))
        });
        let x = match memory {
            None => x,
            Some(_) => self.block(&format!("{at}.cross"), stack, x, |b, at, h, x| {
                let a = b.cross_attention(at, stack, h);
                b.linear(&format!("{at}.out"), stack.biases.out, a, stack.width, Activation::None, Some(x))
            }),
        };
        self.block(&format!("{at}.mlp"), stack, x, |b, at, h, x| {
            let u = b.feed(at, stack, h);
            b.linear(&format!("{at}.down"), stack.biases.mlp, u, stack.width, Activation::None, Some(x))
        })
    }

    /// A block with its norm: `f` gets the block's input and the residual to add.
    fn block(
        &mut self,
        at: &str,
        stack: &Stack,
        x: Tensor,
        f: impl FnOnce(&mut Self, &str, Tensor, Tensor) -> Tensor,
    ) -> Tensor {
        let name = format!("{at}.norm");
        if stack.norm.before {
            let bare = self.layer == 0 && !stack.first_norm && at.ends_with(".self");
            let h = if bare { x } else { self.norm(&name, stack, x) };
            f(self, at, h, x)
        } else {
            let y = f(self, at, x, x);
            self.norm(&name, stack, y)
        }
    }

    fn embed(&mut self, side: &str, stack: &Stack) -> Tensor {
        let (vocab, width) = (self.arch.vocab, self.arch.embed_width.unwrap_or(stack.width));
        let prefix = if self.arch.encoder.is_some() && side == "decoder" { "decoder.embed" } else { "embed" };
        let word = self.table("embed.word.weight", vocab, width);
        let position = match stack.position {
            Position::Learned { max, offset, pads: None } => Some((max + offset, offset)),
            Position::Learned { max, pads, .. } | Position::Sinusoid { max, pads, .. } => {
                Some((max + usize::from(pads.is_some()), 0))
            }
            Position::Rope { .. } | Position::None => None,
        };
        let position =
            position.map(|(rows, below)| self.table(&format!("{prefix}.position.weight"), rows, width).below(below));
        let kinds = if side == "encoder" { self.arch.embed.types } else { 0 };
        let kind = (kinds > 0).then(|| self.table("embed.type.weight", kinds, width));
        let (position, kind) = if stack.counts_apart() { (None, position) } else { (position, kind) };
        let ids = self.g.ids();
        let y = self.g.transient(prefix, Rows::TOKENS, width);
        let scale = self.arch.embed.scale;
        self.g.push(prefix, kernel::Embed { ids, word, position, kind, y, scale, vocab, base: 0, layout: Layout::Nk });
        let y = if stack.embed_norm { self.norm(&format!("{prefix}.norm"), stack, y) } else { y };
        match self.arch.embed_width {
            Some(_) => self.linear(&format!("{prefix}.project"), true, y, stack.width, Activation::None, None),
            None => y,
        }
    }

    fn self_attention(&mut self, at: &str, stack: &Stack, h: Tensor) -> Tensor {
        let (q_cols, kv_cols) = (stack.heads * stack.head_dim, stack.kv_heads * stack.head_dim);
        let side = at.split('.').next().unwrap_or_default();
        let cached = self.role != Role::Full && !self.outputs.whole;
        let x = self.linear(&format!("{at}.qkv"), stack.biases.qkv, h, q_cols + 2 * kv_cols, Activation::None, None);
        let window = stack.window(self.layer);
        let local = if window.is_some() && stack.local_rope.is_some() { ".local" } else { "" };
        let rope = match stack.position {
            Position::Rope { max, .. } => {
                Some(self.g.weight(format!("{side}{local}.rope"), max, stack.head_dim, DType::F32))
            }
            _ => None,
        };
        let (q, k, v) = if cached || rope.is_some() || stack.qk_norm {
            let q = self.g.transient(format!("{at}.q"), Rows::TOKENS, q_cols);
            let cache = match cached {
                true => self.g.persistent(format!("{at}.cache"), Rows::Fixed(self.sizes.slots), 2 * kv_cols),
                false => self.g.transient(format!("{at}.kv"), Rows::TOKENS, 2 * kv_cols),
            };
            let (heads, kv_heads, head_dim) = (stack.heads, stack.kv_heads, stack.head_dim);
            let (q_norm, k_norm) = (self.head_norm(at, "q", stack), self.head_norm(at, "k", stack));
            let (eps, interleaved) = (stack.norm.eps, false);
            let op = Qkv { x, q_norm, k_norm, rope, q, cache, heads, kv_heads, head_dim, eps, interleaved };
            self.g.push(format!("{at}.split"), op);
            (q, cache.columns(0, kv_cols), cache.columns(kv_cols, kv_cols))
        } else {
            (x.columns(0, q_cols), x.columns(q_cols, kv_cols), x.columns(q_cols + kv_cols, kv_cols))
        };
        let bias = stack
            .buckets
            .map(|buckets| self.g.weight(format!("{side}.buckets"), stack.heads, 2 * buckets.distance + 1, DType::F32));
        let keys = if cached { Keys::Table } else { Keys::Own };
        self.attention(at, stack, (q, k, v), Sight { keys, causal: self.role != Role::Full, window, bias })
    }

    fn head_norm(&mut self, at: &str, which: &str, stack: &Stack) -> Option<Tensor> {
        stack.qk_norm.then(|| self.vector(&format!("{at}.{which}_norm.weight"), stack.head_dim))
    }

    fn cross_attention(&mut self, at: &str, stack: &Stack, h: Tensor) -> Tensor {
        let (q_cols, kv_cols) = (stack.heads * stack.head_dim, stack.kv_heads * stack.head_dim);
        let q = self.linear(&format!("{at}.q"), stack.biases.qkv, h, q_cols, Activation::None, None);
        let kv = self.g.persistent(format!("{at}.memory"), Rows::MEMORY, 2 * kv_cols);
        let sight = Sight { keys: Keys::Memory, causal: false, window: None, bias: None };
        self.attention(at, stack, (q, kv.columns(0, kv_cols), kv.columns(kv_cols, kv_cols)), sight)
    }

    /// Attention, and its tap where one is asked for.
    fn attention(&mut self, at: &str, stack: &Stack, (q, k, v): (Tensor, Tensor, Tensor), sight: Sight) -> Tensor {
        let y = self.g.transient(format!("{at}.context"), Rows::TOKENS, q.cols());
        let op = Attention {
            bias: sight.bias,
            y: Some(y),
            weights: None,
            heads: stack.heads,
            kv_heads: stack.kv_heads,
            head_dim: stack.head_dim,
            scale: stack.scale(self.layer),
            similarity: Similarity::Dot,
            causal: sight.causal,
            window: sight.window,
            keys: sight.keys,
            role: if stack.has_few_keys() { Role::Decode } else { self.role },
            q,
            k,
            v,
        };
        self.g.push(format!("{at}.attention"), op.clone());
        if let Some(most) = self.outputs.taps {
            let weights = self.g.persistent(format!("{at}.weights"), Rows::TOKENS, stack.heads * most);
            self.g.push(format!("{at}.tap"), Attention { y: None, weights: Some(weights), ..op });
        }
        y
    }

    fn feed(&mut self, at: &str, stack: &Stack, h: Tensor) -> Tensor {
        let act = stack.mlp.act;
        if !stack.mlp.gated {
            return self.linear(&format!("{at}.up"), stack.biases.mlp, h, stack.ffn, act, None);
        }
        let x = self.linear(&format!("{at}.up"), stack.biases.mlp, h, 2 * stack.ffn, Activation::None, None);
        let y = self.g.transient(format!("{at}.gate"), Rows::TOKENS, stack.ffn);
        self.g.push(format!("{at}.gate"), Gate { x, y, act });
        y
    }

    fn encoder_outputs(&mut self, x: Tensor, stack: &Stack) {
        let width = stack.width;
        if self.outputs.hidden {
            self.g.keep(x, "hidden");
        }
        let pooler = ((self.outputs.pooler || self.outputs.task) && self.arch.pooler).then(|| self.pooler(x));
        if let (true, Some(task)) = (self.outputs.task, self.arch.task) {
            self.task(task, stack, x, pooler);
        }
        if let Some((mode, normalize)) = self.outputs.embedding {
            let y = self.g.persistent("embedding", Rows::SEQUENCES, width);
            self.g.push("embedding", Pool { x, y, mode, normalize });
        }
    }

    /// Keys and values of the memory for every layer of the decoder, computed once for a source.
    fn cross_keys(&mut self, x: Tensor, decoder: &Stack) {
        let kv_cols = 2 * decoder.kv_heads * decoder.head_dim;
        for i in 0..decoder.layers {
            let y = self.g.persistent(format!("decoder.{i}.cross.memory"), Rows::TOKENS, kv_cols);
            self.linear_into(&format!("decoder.{i}.cross.kv"), decoder.biases.qkv, x, y, Activation::None, None);
        }
    }

    /// Hidden rows where they are asked for, logits, and their greedy ids, where the next step finds them. A prefill has
    /// logits for each sequence's last row only, or where it is whole none, but the rows that the head takes.
    fn decoder_outputs(&mut self, x: Tensor, stack: &Stack) {
        let (scaled, hidden) = (self.arch.head_scale != 1.0, self.outputs.hidden || self.outputs.whole);
        let mut last = x;
        if hidden || !scaled {
            last = self.last_norm("decoder", stack, x);
        }
        if hidden {
            self.g.keep(last, "decoder.hidden");
        }
        if self.arch.head == Head::None {
            return;
        }
        if scaled {
            // The final norm once more, its weight times the scale.
            last = self.norm("head.norm", stack, x);
        }
        if self.outputs.whole {
            if scaled {
                self.g.keep(last, "head.hidden");
            }
            return;
        }
        let mut rows = Rows::TOKENS;
        if self.role == Role::Prefill {
            rows = Rows::SEQUENCES;
            let y = self.g.transient("head.last", rows, stack.width);
            self.g.push("head.last", Pool { x: last, y, mode: PoolMode::Last, normalize: false });
            last = y;
        }
        let y = self.logits(last, self.arch.vocab);
        self.choose(y, rows);
    }

    /// act(x . W^T + bias) + residual, in rows as many as x has.
    fn linear(
        &mut self,
        at: &str,
        bias: bool,
        x: Tensor,
        cols: usize,
        act: Activation,
        residual: Option<Tensor>,
    ) -> Tensor {
        let rows = self.g.tensors()[x.id()].rows;
        let y = self.g.transient(at, rows, cols);
        self.linear_into(at, bias, x, y, act, residual);
        y
    }

    fn linear_into(&mut self, at: &str, bias: bool, x: Tensor, y: Tensor, act: Activation, residual: Option<Tensor>) {
        let w = self.table(&format!("{at}.weight"), y.cols(), x.cols());
        let bias = bias.then(|| self.vector(&format!("{at}.bias"), y.cols()));
        let (layout, batch, role) = (Layout::Nk, Batch::default(), self.role);
        self.g.push(at, Matmul { x, w, bias, residual, y, act, layout, batch, role });
    }

    fn norm(&mut self, at: &str, stack: &Stack, x: Tensor) -> Tensor {
        let (rows, rms, eps) = (self.g.tensors()[x.id()].rows, stack.norm.rms, stack.norm.eps);
        let weight = Some(self.vector(&format!("{at}.weight"), x.cols()));
        let bias = (!rms && stack.biases.norm).then(|| self.vector(&format!("{at}.bias"), x.cols()));
        let y = self.g.transient(at, rows, x.cols());
        self.g.push(at, kernel::Norm { x, residual: None, weight, bias, y, sum: None, eps, rms });
        y
    }

    /// A row of f32, whatever the checkpoint's type.
    fn vector(&mut self, name: &str, cols: usize) -> Tensor {
        let name = self.owned(name);
        self.g.weight(name, 1, cols, DType::F32)
    }

    /// A matrix in the checkpoint's own type.
    fn table(&mut self, name: &str, rows: usize, cols: usize) -> Tensor {
        let name = self.owned(name);
        let dtype = (self.dtype)(&name);
        self.g.weight(name, rows, cols, dtype)
    }

    /// What the weight of a layer that shares it is called: by its set instead of the layer.
    fn owned(&self, name: &str) -> String {
        let rest = name.strip_prefix(&format!("encoder.{}.", self.layer));
        match (rest, &self.arch.encoder) {
            (Some(rest), Some(stack)) => format!("encoder.{}.{rest}", stack.weights_of(self.layer)),
            _ => name.to_owned(),
        }
    }
}
