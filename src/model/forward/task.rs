//! Heads: those of an encoder, the ones as wide as a vocabulary by themselves, and what is made of a decoder's.

use super::{Builder, Choice};
use crate::graph::{Kind, Rows, Tensor};
use crate::kernel::{Argmax, Matmul, Pool, Topk};
use crate::model::arch::{Activation, Head, PoolMode, Stack, Task, TaskKind};
use crate::weights::DType;

impl Builder<'_> {
    /// BERT's pooler.
    pub(super) fn pooler(&mut self, x: Tensor) -> Tensor {
        let first = self.pool("pooler.first", x, PoolMode::Cls);
        let y = self.g.persistent("pooler", Rows::SEQUENCES, x.cols());
        self.linear_into("pooler", true, first, y, Activation::Tanh, None);
        y
    }

    /// A row for each sequence.
    fn pool(&mut self, at: &str, x: Tensor, mode: PoolMode) -> Tensor {
        let y = self.g.transient(at, Rows::SEQUENCES, x.cols());
        self.g.push(at, Pool { x, y, mode, normalize: false });
        y
    }

    /// The logits of words where each sequence of the step begins, in rows that a pass has left.
    pub(super) fn head(&mut self) {
        let arch = self.arch;
        match (&arch.encoder, &arch.decoder, arch.task) {
            (_, Some(decoder), _) if arch.head != Head::None => {
                let left = if arch.head_scale == 1.0 { "decoder.hidden" } else { "head.hidden" };
                let x = self.picked(left, decoder);
                self.logits(x, arch.vocab);
            }
            (Some(encoder), None, Some(task)) if task.kind == TaskKind::Words => {
                let x = self.picked("hidden", encoder);
                self.task(task, encoder, x, None);
            }
            _ => {}
        }
    }

    /// The first of each sequence's rows, of those that a stack has left.
    fn picked(&mut self, left: &str, stack: &Stack) -> Tensor {
        let x = self.g.persistent(left, Rows::TOKENS, stack.width);
        self.pool("head.first", x, PoolMode::Cls)
    }

    /// The logits of a task.
    pub(super) fn task(&mut self, task: Task, stack: &Stack, x: Tensor, pooler: Option<Tensor>) {
        let mut h = match (task.kind, task.dense, pooler) {
            (TaskKind::Sequence, None, Some(pooler)) => pooler,
            (TaskKind::Sequence, ..) => self.pool("head.first", x, task.pool),
            _ => x,
        };
        if let Some(dense) = task.dense {
            // The table of words is as wide as their embeddings.
            let narrow = self.arch.embed_width.filter(|_| task.kind == TaskKind::Words);
            h = self.linear("head.dense", dense.bias, h, narrow.unwrap_or(x.cols()), dense.act, None);
            if dense.norm {
                h = self.norm("head.norm", stack, h);
            }
        }
        self.logits(h, task.labels);
    }

    /// x . W^T by the head's table, and its bias.
    pub(super) fn logits(&mut self, x: Tensor, cols: usize) -> Tensor {
        let rows = self.g.tensors()[x.id()].rows;
        let name = if self.arch.head == Head::Tied { "embed.word.weight" } else { "head.weight" };
        let w = self.table(name, cols, x.cols());
        let y = self.g.persistent("logits", rows, cols);
        let bias = self.arch.head_bias.then(|| self.vector("head.bias", cols));
        self.g.push("head", Matmul { role: self.role, bias, ..Matmul::new(x, w, y) });
        y
    }

    /// What the host wants of each row of a decoder's logits.
    pub(super) fn choose(&mut self, x: Tensor, rows: Rows) {
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
}
