//! MiniLM-L6's shape with random weights: no file is needed.

use super::items::Job;
use crate::Result;
use crate::graph::step::Step;
use crate::kernel::Role;
use crate::model::arch::{Activation, Arch, Embed, Mlp, Norm, Position, Stack};
use crate::model::forward::{Outputs, Sizes, graph};
use crate::verify::zoo;
use crate::weights::{DType, HostTensor};

pub(super) const VOCAB: usize = 30522;
pub(super) const WIDTH: usize = 384;

/// The encoder's pass over `batch` sequences of `len` tokens; it leaves `hidden`.
pub(super) fn job(batch: usize, len: usize) -> Job {
    let stack = Stack {
        layers: 6,
        width: WIDTH,
        heads: 12,
        kv_heads: 12,
        head_dim: 32,
        ffn: 1536,
        norm: Norm { rms: false, eps: 1e-12, before: false },
        mlp: Mlp { act: Activation::Gelu, gated: false },
        position: Position::Learned { max: 512, offset: 0 },
        scale: 1.0 / 32f32.sqrt(),
        embed_norm: true,
        ..Stack::default()
    };
    let embed = Embed { scale: 1.0, types: 2 };
    let arch = Arch { vocab: VOCAB, encoder: Some(stack), embed, ..Arch::default() };
    let outputs = Outputs { hidden: true, ..Outputs::default() };
    let graph = graph(&arch, Role::Full, outputs, Sizes::default(), &|_| DType::F32);
    let step = Step::packed(&vec![len; batch]).with_ids((0..batch).flat_map(|sequence| ids(sequence, len)).collect());
    Job { graph, role: Role::Full, step }
}

/// The ids of one sequence.
pub(super) fn ids(sequence: usize, len: usize) -> impl Iterator<Item = u32> {
    (0..len).map(move |i| ((sequence * 1009 + i * 7919) % VOCAB) as u32)
}

/// A weight by its name.
pub(super) fn weight(name: &str, shape: [usize; 2]) -> Result<HostTensor> {
    zoo::weight(name, shape)
}
