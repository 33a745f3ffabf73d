//! What a session replays, and what has to come before: an op alone, or a model's pass.

use super::shapes::Shape;
use crate::graph::{Capacity, Graph, Kind, Rows, Step};
use crate::kernel::{Op, Role, View};
use crate::model::forward::{Choice, Outputs};
use crate::verify::cases::Case;

/// A pass over some sequences.
#[derive(Clone, Copy, Debug)]
pub(super) enum Pass {
    /// An encoder's, which leaves `hidden`: so many sequences of so many tokens.
    Encoder { batch: usize, len: usize },
    /// An encoder's over sequences of mixed lengths, or as many that are padded to the longest.
    Mixed { padded: bool },
    /// One sequence that is read at once: a decoder's prompt, or an encoder-decoder's source with its cross keys.
    Prefill { len: usize },
    /// A decoder's step: the last key of so many, for each beam; beams share all keys but the last.
    Decode { beams: usize, keys: usize },
}

impl Pass {
    /// Tokens of each sequence of an encoder.
    pub fn lengths(self) -> Vec<usize> {
        /// How many sequences of mixed lengths, and the longest.
        const MIXED: (usize, usize) = (32, 200);
        let (batch, longest) = MIXED;
        match self {
            Self::Encoder { batch, len } => vec![len; batch],
            Self::Mixed { padded: true } => vec![longest; batch],
            // From 1 to the longest, evenly spread, in no order.
            Self::Mixed { padded: false } => {
                (0..batch).map(|i| 1 + i * 11 % batch * (longest - 1) / (batch - 1)).collect()
            }
            Self::Prefill { .. } | Self::Decode { .. } => Vec::new(),
        }
    }
}

/// Tokens of an encoder-decoder's source when it decodes.
const SOURCE: usize = 32;

/// One graph with its step.
pub(super) struct Stage {
    pub graph: Graph,
    pub role: Role,
    pub step: Step,
}

/// Stages of one session: the last is replayed, the others come once before it.
pub(super) struct Job {
    pub stages: Vec<Stage>,
    /// Whose weights it takes; an op's are the case's.
    pub shape: Option<Shape>,
}

impl Job {
    /// The stage that is replayed.
    pub fn last(&self) -> &Stage {
        &self.stages[self.stages.len() - 1]
    }

    /// Its ops.
    pub fn ops(&self) -> impl Iterator<Item = Op<View>> {
        let Stage { graph, step, .. } = self.last();
        let capacity = Capacity::of(step);
        graph.ops().iter().map(move |(_, op)| op.map(&mut |tensor| graph.view(tensor, &capacity)))
    }

    /// A graph of one op: what a model would have loaded are weights, everything else is persistent.
    pub fn op(case: &Case) -> Self {
        let mut graph = Graph::new();
        let tensors: Vec<_> = case
            .op
            .args()
            .into_iter()
            .map(|arg| {
                let View { rows, cols, dtype, .. } = *arg.handle;
                let kind = if is_weight(arg.name) { Kind::Weight } else { Kind::Persistent };
                graph.tensor(kind, arg.name, Rows::Fixed(rows), cols, dtype)
            })
            .collect();
        let mut next = 0..;
        let op = case.op.map(&mut |_| tensors[next.next().unwrap_or(0)]);
        let role = match &op {
            Op::Matmul(op) => op.role,
            Op::Attention(op) => op.role,
            _ => Role::Full,
        };
        graph.push(case.op.name(), op);
        Self { stages: vec![Stage { graph, role, step: case.step.clone() }], shape: None }
    }

    /// A pass of a model that has so many layers at most; ids are those of the sequences from `first` on.
    pub fn pass(shape: Shape, layers: usize, pass: Pass, first: usize) -> Self {
        let arch = shape.arch(layers);
        let ids = |lengths: &[usize]| lengths.iter().zip(first..).flat_map(|(&len, i)| shape.ids(i, len)).collect();
        let stage = |role, outputs, slots, step| Stage { graph: shape.graph(&arch, role, outputs, slots), role, step };
        let outputs = |beams| Outputs {
            choice: if beams > 1 { Choice::Top { k: 2 * beams, scale: 1.0 } } else { Choice::Greedy },
            ..Outputs::default()
        };
        let source = |len| stage(Role::Full, Outputs::default(), 0, Step::packed(&[len]).with_ids(ids(&[len])));
        let prompt = |len: usize, slots, memory: &[usize], beams| {
            let mut step = Step::default();
            step.push_cached(len, &(0..len as u32).collect::<Vec<_>>());
            stage(Role::Prefill, outputs(beams), slots, step.with_ids(ids(&[len])).with_memory(memory))
        };
        let stages = match pass {
            Pass::Encoder { .. } | Pass::Mixed { .. } => {
                let lengths = pass.lengths();
                let hidden = Outputs { hidden: true, ..Outputs::default() };
                vec![stage(Role::Full, hidden, 0, Step::packed(&lengths).with_ids(ids(&lengths)))]
            }
            Pass::Prefill { len } if arch.encoder.is_some() => vec![source(len)],
            Pass::Prefill { len } => vec![prompt(len, len, &[], 1)],
            Pass::Decode { beams, keys } => {
                let memory = vec![SOURCE; if arch.encoder.is_some() { beams } else { 0 }];
                let slots = keys - 1 + beams;
                let mut step = Step::default();
                for beam in 0..beams {
                    step.push_cached(1, &(0..keys as u32 - 1).chain([(keys - 1 + beam) as u32]).collect::<Vec<_>>());
                }
                let mut step = step.with_ids(ids(&vec![1; beams])).with_memory(&memory);
                step.spans.iter_mut().for_each(|span| span.memory_start = 0);
                let mut stages = Vec::from_iter((!memory.is_empty()).then(|| source(SOURCE)));
                stages.push(prompt(keys - 1, slots, &memory[..memory.len().min(1)], beams));
                stages.push(stage(Role::Decode, outputs(beams), slots, step));
                stages
            }
        };
        Self { stages, shape: Some(shape) }
    }
}

fn is_weight(argument: &str) -> bool {
    ["w", "word", "position", "kind", "weight", "bias", "rope"].contains(&argument)
}
