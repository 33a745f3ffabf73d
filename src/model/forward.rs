//! The one forward pass: an `Arch` becomes a graph. A layer is one screen.
//!
//! Tensor names are canonical (`encoder.3.self.qkv.weight`); a family's file says what a checkpoint calls them.

use super::arch::{Activation, Arch, Head, Norm, PoolMode, Position, Stack};
use crate::graph::{Graph, Kind, Rows, Tensor};
use crate::kernel::{self, Argmax, Attention, Batch, Gate, Keys, Layout, Matmul, Pool, Qkv, Role, Similarity, Topk};
use crate::weights::DType;

/// What a forward pass should leave in the session's persistent tensors.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Outputs {
    /// `hidden`: the encoder's last rows.
    pub hidden: bool,
    /// `pooler`: BERT's pooler over each sequence's first token.
    pub pooler: bool,
    /// `embedding`: one vector for each sequence, scaled to length 1 or not.
    pub embedding: Option<(PoolMode, bool)>,
    /// `attention.encoder.N` and so on: the weights of every layer, with room for so many keys a row.
    pub taps: Option<usize>,
    /// What a decoder makes of its `logits`.
    pub choice: Choice,
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
/// `Prefill` and `Decode` are the decoder's, and end in `logits` and the greedy `ids`.
pub fn graph(arch: &Arch, role: Role, outputs: Outputs, sizes: Sizes, dtype: &dyn Fn(&str) -> DType) -> Graph {
    let mut b = Builder { g: Graph::new(), arch, role, outputs, sizes, dtype };
    match (role, &arch.encoder, &arch.decoder) {
        (Role::Full, Some(encoder), decoder) => {
            let x = b.stack("encoder", encoder, None);
            b.encoder_outputs(x, encoder);
            if let Some(decoder) = decoder {
                b.cross_keys(x, decoder);
            }
        }
        (_, encoder, Some(decoder)) => {
            let x = b.stack("decoder", decoder, encoder.as_ref());
            b.logits(x, decoder);
        }
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
}

impl Builder<'_> {
    /// Embeddings, layers, last norm.
    fn stack(&mut self, side: &str, stack: &Stack, memory: Option<&Stack>) -> Tensor {
        let mut x = self.embed(side, stack);
        for i in 0..stack.layers {
            x = self.layer(&format!("{side}.{i}"), stack, memory, x);
        }
        if stack.final_norm { self.norm(&format!("{side}.norm"), stack.norm, stack.biases, x) } else { x }
    }

    /// Vaswani et al. 2017, figure 1: self-attention, cross-attention where there is a memory, feed-forward; each with a
    /// residual, and its norm before or after.
    fn layer(&mut self, at: &str, stack: &Stack, memory: Option<&Stack>, x: Tensor) -> Tensor {
        let x = self.block(&format!("{at}.self"), stack, x, |b, at, h, x| {
            let a = b.self_attention(at, stack, h);
            b.linear(&format!("{at}.out"), stack.biases, a, stack.width, Activation::None, Some(x))
        });
        let x = match memory {
            None => x,
            Some(_) => self.block(&format!("{at}.cross"), stack, x, |b, at, h, x| {
                let a = b.cross_attention(at, stack, h);
                b.linear(&format!("{at}.out"), stack.biases, a, stack.width, Activation::None, Some(x))
            }),
        };
        self.block(&format!("{at}.mlp"), stack, x, |b, at, h, x| {
            let u = b.feed(at, stack, h);
            b.linear(&format!("{at}.down"), stack.biases, u, stack.width, Activation::None, Some(x))
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
            let h = self.norm(&name, stack.norm, stack.biases, x);
            f(self, at, h, x)
        } else {
            let y = f(self, at, x, x);
            self.norm(&name, stack.norm, stack.biases, y)
        }
    }

    fn embed(&mut self, side: &str, stack: &Stack) -> Tensor {
        let (vocab, width) = (self.arch.vocab, stack.width);
        let prefix = if self.arch.encoder.is_some() && side == "decoder" { "decoder.embed" } else { "embed" };
        let word = self.table("embed.word.weight", vocab, width);
        let position = match stack.position {
            Position::Learned { max, offset } => {
                Some(self.table(&format!("{prefix}.position.weight"), max + offset, width).below(offset))
            }
            Position::Rope { .. } => None,
        };
        let kinds = if side == "encoder" { self.arch.embed.types } else { 0 };
        let kind = (kinds > 0).then(|| self.table("embed.type.weight", kinds, width));
        let ids = self.g.ids();
        let y = self.g.transient(prefix, Rows::TOKENS, width);
        let scale = self.arch.embed.scale;
        self.g.push(prefix, kernel::Embed { ids, word, position, kind, y, scale, vocab, base: 0 });
        if stack.embed_norm { self.norm(&format!("{prefix}.norm"), stack.norm, true, y) } else { y }
    }

    fn self_attention(&mut self, at: &str, stack: &Stack, h: Tensor) -> Tensor {
        let (q_cols, kv_cols) = (stack.heads * stack.head_dim, stack.kv_heads * stack.head_dim);
        let cached = self.role != Role::Full;
        let qkv = self.linear(&format!("{at}.qkv"), stack.biases, h, q_cols + 2 * kv_cols, Activation::None, None);
        let rope = match stack.position {
            Position::Rope { max, .. } => {
                let side = at.split('.').next().unwrap_or_default();
                Some(self.g.weight(format!("{side}.rope"), max, stack.head_dim, DType::F32))
            }
            Position::Learned { .. } => None,
        };
        let (q, k, v) = if cached || rope.is_some() {
            let q = self.g.transient(format!("{at}.q"), Rows::TOKENS, q_cols);
            let cache = match cached {
                true => self.g.persistent(format!("{at}.cache"), Rows::Fixed(self.sizes.slots), 2 * kv_cols),
                false => self.g.transient(format!("{at}.kv"), Rows::TOKENS, 2 * kv_cols),
            };
            let (heads, kv_heads, head_dim) = (stack.heads, stack.kv_heads, stack.head_dim);
            let (q_norm, k_norm, eps, interleaved) = (None, None, stack.norm.eps, false);
            let op = Qkv { x: qkv, q_norm, k_norm, rope, q, cache, heads, kv_heads, head_dim, eps, interleaved };
            self.g.push(format!("{at}.split"), op);
            (q, cache.columns(0, kv_cols), cache.columns(kv_cols, kv_cols))
        } else {
            (qkv.columns(0, q_cols), qkv.columns(q_cols, kv_cols), qkv.columns(q_cols + kv_cols, kv_cols))
        };
        let keys = if cached { Keys::Table } else { Keys::Own };
        self.attention(at, stack, (q, k, v), keys)
    }

    fn cross_attention(&mut self, at: &str, stack: &Stack, h: Tensor) -> Tensor {
        let (q_cols, kv_cols) = (stack.heads * stack.head_dim, stack.kv_heads * stack.head_dim);
        let q = self.linear(&format!("{at}.q"), stack.biases, h, q_cols, Activation::None, None);
        let kv = self.g.persistent(format!("{at}.memory"), Rows::MEMORY, 2 * kv_cols);
        self.attention(at, stack, (q, kv.columns(0, kv_cols), kv.columns(kv_cols, kv_cols)), Keys::Memory)
    }

    /// Attention, and its tap where one is asked for.
    fn attention(&mut self, at: &str, stack: &Stack, (q, k, v): (Tensor, Tensor, Tensor), keys: Keys) -> Tensor {
        let y = self.g.transient(format!("{at}.context"), Rows::TOKENS, q.cols());
        let op = Attention {
            bias: None,
            y: Some(y),
            weights: None,
            heads: stack.heads,
            kv_heads: stack.kv_heads,
            head_dim: stack.head_dim,
            scale: stack.scale,
            similarity: Similarity::Dot,
            causal: keys == Keys::Table,
            window: None,
            keys,
            role: self.role,
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
            return self.linear(&format!("{at}.up"), stack.biases, h, stack.ffn, act, None);
        }
        let x = self.linear(&format!("{at}.up"), stack.biases, h, 2 * stack.ffn, Activation::None, None);
        let y = self.g.transient(format!("{at}.gate"), Rows::TOKENS, stack.ffn);
        self.g.push(format!("{at}.gate"), Gate { x, y, act });
        y
    }

    fn encoder_outputs(&mut self, x: Tensor, stack: &Stack) {
        let width = stack.width;
        if self.outputs.hidden {
            self.g.keep(x, "hidden");
        }
        if self.outputs.pooler && self.arch.pooler {
            let first = self.g.transient("pooler.first", Rows::SEQUENCES, width);
            self.g.push("pooler.first", Pool { x, y: first, mode: PoolMode::Cls, normalize: false });
            let y = self.g.persistent("pooler", Rows::SEQUENCES, width);
            self.linear_into("pooler", true, first, y, Activation::Tanh, None);
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
            self.linear_into(&format!("decoder.{i}.cross.kv"), decoder.biases, x, y, Activation::None, None);
        }
    }

    /// Logits of each sequence's last row only, and their greedy ids, where the next step finds them.
    fn logits(&mut self, x: Tensor, stack: &Stack) {
        let rows = if self.role == Role::Decode { Rows::TOKENS } else { Rows::SEQUENCES };
        let last = match self.role {
            Role::Decode => x,
            _ => {
                let y = self.g.transient("head.last", rows, stack.width);
                self.g.push("head.last", Pool { x, y, mode: PoolMode::Last, normalize: false });
                y
            }
        };
        let name = match self.arch.head {
            Head::None => return,
            Head::Tied => "embed.word.weight",
            Head::Untied => "head.weight",
        };
        let w = self.table(name, self.arch.vocab, stack.width);
        let y = self.g.persistent("logits", rows, self.arch.vocab);
        self.g.push("head", Matmul { role: self.role, ..Matmul::new(last, w, y) });
        self.choose(y, rows);
    }

    fn choose(&mut self, x: Tensor, rows: Rows) {
        let mut tensor = |name, cols, dtype| self.g.tensor(Kind::Persistent, name, rows, cols, dtype);
        match self.outputs.choice {
            Choice::Argmax => {
                let ids = tensor("ids", 1, DType::U32);
                self.g.push("argmax", Argmax { x, ids });
            }
            Choice::Greedy => {
                let (values, ids) = (tensor("top.values", 1, DType::F32), tensor("ids", 1, DType::U32));
                self.g.push("top", Topk { x, values, ids, lse: None, scale: 1.0 });
            }
            Choice::Top { k, scale } => {
                let (values, ids) = (tensor("top.values", k, DType::F32), tensor("top.ids", k, DType::U32));
                let lse = Some(tensor("top.lse", 1, DType::F32));
                self.g.push("top", Topk { x, values, ids, lse, scale });
            }
        }
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
        let bias = bias.then(|| self.g.weight(format!("{at}.bias"), 1, y.cols(), DType::F32));
        let (layout, batch, role) = (Layout::Nk, Batch::default(), self.role);
        self.g.push(at, Matmul { x, w, bias, residual, y, act, layout, batch, role });
    }

    fn norm(&mut self, at: &str, norm: Norm, bias: bool, x: Tensor) -> Tensor {
        let rows = self.g.tensors()[x.id()].rows;
        let weight = Some(self.g.weight(format!("{at}.weight"), 1, x.cols(), DType::F32));
        let bias = (bias && !norm.rms).then(|| self.g.weight(format!("{at}.bias"), 1, x.cols(), DType::F32));
        let y = self.g.transient(at, rows, x.cols());
        self.g.push(at, kernel::Norm { x, residual: None, weight, bias, y, sum: None, eps: norm.eps, rms: norm.rms });
        y
    }

    /// A matrix in the checkpoint's own type.
    fn table(&mut self, name: &str, rows: usize, cols: usize) -> Tensor {
        self.g.weight(name, rows, cols, (self.dtype)(name))
    }
}
