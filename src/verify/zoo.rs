//! The three models that are verified whole: an encoder, a decoder with its cache, an encoder-decoder.

use crate::Result;
use crate::gpu::Caps;
use crate::graph::{Capacity, Graph, Plan, Step};
use crate::kernel::Role;
use crate::model::arch::{Activation, Arch, Biases, Embed, Head, Mlp, Norm, PoolMode, Position, RopeScaling, Stack};
use crate::model::forward::{Choice, Outputs, Sizes, graph};
use crate::model::rope_table;
use crate::weights::{DType, HostTensor};

const KEYS: usize = 24;
const SEQUENCES: usize = 3;

/// A model with the steps that it is put through.
pub(super) struct Specimen {
    pub name: &'static str,
    pub arch: Arch,
    pub steps: Vec<(Role, Step)>,
}

impl Specimen {
    pub fn graph(&self, role: Role) -> Graph {
        let outputs = Outputs {
            hidden: self.arch.decoder.is_none(),
            pooler: self.arch.pooler,
            task: false,
            embedding: self.arch.decoder.is_none().then_some((PoolMode::Mean, true)),
            taps: Some(KEYS),
            // Both ways to greedy ids.
            choice: if self.arch.encoder.is_some() { Choice::Greedy } else { Choice::Argmax },
            whole: false,
        };
        graph(&self.arch, role, outputs, Sizes { slots: SEQUENCES * KEYS }, &|_| DType::F32)
    }

    pub fn plans(&self, caps: &Caps) -> Result<Vec<Plan>> {
        let all = [Role::Full, Role::Prefill, Role::Decode];
        let roles = all.into_iter().filter(|role| self.steps.iter().any(|(r, _)| r == role));
        let capacity = Capacity { tokens: KEYS, sequences: SEQUENCES, memory: KEYS, keys: SEQUENCES * KEYS };
        roles.map(|role| Plan::compile(caps, &self.graph(role), role, capacity)).collect()
    }

    /// What the end is judged by.
    pub fn outputs(&self, role: Role) -> &'static [&'static str] {
        match role {
            Role::Full if self.arch.decoder.is_some() => &["decoder.1.cross.memory"],
            Role::Full => &["hidden", "pooler", "embedding"],
            _ => &["logits"],
        }
    }
}

pub(super) fn all() -> [Specimen; 3] {
    [encoder(), decoder(), encoder_decoder()]
}

/// BERT's shape, on a batch with a hole in its positions.
fn encoder() -> Specimen {
    let stack = Stack { embed_norm: true, ..stack(Position::Learned { max: KEYS, offset: 0, pads: None }) };
    let arch = Arch { embed: Embed { scale: 1.0, types: 2 }, pooler: true, ..arch(Some(stack), None) };
    let mut step = Step::default();
    step.push(&[0, 1, 2, 4, 5, 6, 7]);
    step.push(&[3]);
    step.push(&[0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
    step.types = (0..18).map(|t| u32::from(t % 5 == 1)).collect();
    Specimen { name: "encoder", arch, steps: vec![(Role::Full, step.with_ids(ids(18, 3)))] }
}

/// Llama's shape: a prefix of two sequences, then three greedy steps whose ids stay on the GPU.
fn decoder() -> Specimen {
    let stack = Stack {
        kv_heads: 1,
        norm: Norm { rms: true, eps: 1e-5, before: true },
        mlp: Mlp { act: Activation::Silu, gated: true },
        biases: Biases::NONE,
        final_norm: true,
        ..stack(Position::Rope { theta: 10000.0, max: KEYS, scaling: RopeScaling::None })
    };
    let arch = Arch { head: Head::Untied, ..arch(None, Some(stack)) };
    let slots = |sequence: usize, keys: usize| (0..keys).map(|k| (sequence * KEYS + k) as u32).collect::<Vec<_>>();
    let mut prefill = Step::default();
    prefill.push_cached(5, &slots(0, 5));
    prefill.push_cached(3, &slots(1, 3));
    let mut steps = vec![(Role::Prefill, prefill.with_ids(ids(8, 1)))];
    for more in 1..=3 {
        let mut step = Step::default();
        step.push_cached(1, &slots(0, 5 + more));
        step.push_cached(1, &slots(1, 3 + more));
        steps.push((Role::Decode, step));
    }
    Specimen { name: "decoder", arch, steps }
}

/// BART's shape: two sources of unequal length, a start token each, two greedy steps.
fn encoder_decoder() -> Specimen {
    let side = |embed_norm| Stack { embed_norm, ..stack(Position::Learned { max: KEYS, offset: 2, pads: None }) };
    let arch =
        Arch { embed: Embed { scale: 6.0, types: 0 }, head: Head::Tied, ..arch(Some(side(true)), Some(side(true))) };
    let memory = [9, 4];
    let mut steps = vec![(Role::Full, Step::packed(&memory).with_ids(ids(13, 2)))];
    for keys in 1..=3 {
        let mut step = Step::default();
        for sequence in 0..2 {
            step.push_cached(1, &(0..keys).map(|k| (sequence * KEYS + k) as u32).collect::<Vec<_>>());
        }
        let role = if keys == 1 { Role::Prefill } else { Role::Decode };
        step.ids = (keys == 1).then(|| vec![2, 2]);
        steps.push((role, step.with_memory(&memory)));
    }
    Specimen { name: "encoder-decoder", arch, steps }
}

fn arch(encoder: Option<Stack>, decoder: Option<Stack>) -> Arch {
    Arch { vocab: 53, encoder, decoder, ..Arch::default() }
}

fn stack(position: Position) -> Stack {
    Stack {
        layers: 2,
        width: 36,
        heads: 3,
        kv_heads: 3,
        head_dim: 12,
        ffn: 50,
        norm: Norm { rms: false, eps: 1e-5, before: false },
        mlp: Mlp { act: Activation::Gelu, gated: false },
        position,
        scale: 0.3,
        ..Stack::default()
    }
}

fn ids(count: usize, salt: usize) -> Vec<u32> {
    (0..count).map(|i| ((i * 17 + salt * 11) % 53) as u32).collect()
}

/// A weight of any of them: wide enough that a mistake shows; norms lie around 1.
pub(crate) fn weight(name: &str, [rows, cols]: [usize; 2]) -> Result<HostTensor> {
    if name.ends_with(".rope") {
        return HostTensor::from_f32([rows, cols], &rope_table(10000.0, rows, cols));
    }
    // SplitMix64 from a hash of the name.
    let mut state = name.bytes().fold(7u64, |h, b| h.wrapping_mul(31).wrapping_add(b.into()));
    let mut unit = || {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        ((z ^ (z >> 31)) >> 40) as f32 / (1u64 << 23) as f32 - 1.0
    };
    let (mean, spread) = match (rows, name.ends_with("norm.weight")) {
        (1, true) => (1.0, 0.3),
        (1, false) => (0.0, 0.3),
        _ => (0.0, 2.0 / (cols as f32).sqrt()),
    };
    let values: Vec<f32> = (0..rows * cols).map(|_| mean + spread * unit()).collect();
    HostTensor::from_f32([rows, cols], &values)
}
