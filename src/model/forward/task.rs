//! The heads of an encoder.

use super::Builder;
use crate::graph::{Rows, Tensor};
use crate::kernel::{Matmul, Pool};
use crate::model::arch::{Activation, Head, PoolMode, Stack, Task, TaskKind};

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

    /// The logits of masked words where each sequence of the step begins, in rows that an encoder's pass has left.
    pub(super) fn picked_words(&mut self, encoder: &Stack) {
        let Some(task) = self.arch.task.filter(|task| task.kind == TaskKind::Words) else { return };
        let x = self.g.persistent("hidden", Rows::TOKENS, encoder.width);
        let first = self.pool("head.first", x, PoolMode::Cls);
        self.task(task, encoder, first, None);
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
}
