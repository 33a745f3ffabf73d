//! Real models' shapes with random weights: no file is needed.

use half::f16;

use crate::Result;
use crate::graph::Graph;
use crate::kernel::Role;
use crate::model::arch::{Activation, Arch, Biases, Embed, Head, Mlp, Norm, Position, RopeScaling, Stack};
use crate::model::forward::{Outputs, Sizes, graph};
use crate::verify::zoo;
use crate::weights::{DType, HostTensor};

/// A model's shape.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shape {
    pub name: &'static str,
    arch: fn() -> Arch,
    /// Of its matrices.
    dtype: DType,
}

/// all-MiniLM-L6-v2, a BERT.
pub(super) const MINILM: Shape = Shape { name: "minilm-l6", arch: minilm, dtype: DType::F32 };
/// BERT-base, uncased.
pub(super) const BERT_BASE: Shape = Shape { name: "bert-base", arch: bert_base, dtype: DType::F32 };
/// ModernBERT-base.
pub(super) const MODERNBERT: Shape = Shape { name: "modernbert-base", arch: modernbert, dtype: DType::F32 };
/// Helsinki OPUS-MT, a Marian; this is the one from Chinese to English.
pub(super) const OPUS_MT: Shape = Shape { name: "opus-mt", arch: opus_mt, dtype: DType::F16 };
/// The smallest GPT-2.
pub(super) const GPT2: Shape = Shape { name: "gpt2", arch: gpt2, dtype: DType::F16 };
/// SmolLM2-135M, a Llama.
pub(super) const SMOLLM2: Shape = Shape { name: "smollm2-135m", arch: smollm2, dtype: DType::F16 };

impl Shape {
    /// The architecture, with so many layers at most in each stack.
    pub fn arch(&self, layers: usize) -> Arch {
        let mut arch = (self.arch)();
        for stack in [&mut arch.encoder, &mut arch.decoder].into_iter().flatten() {
            stack.layers = stack.layers.min(layers);
        }
        arch
    }

    /// The graph of a role of some such architecture.
    pub fn graph(&self, arch: &Arch, role: Role, outputs: Outputs, slots: usize) -> Graph {
        graph(arch, role, outputs, Sizes { slots }, &|_| self.dtype)
    }

    /// A weight by its name.
    pub fn weight(&self, name: &str, shape: [usize; 2]) -> Result<HostTensor> {
        let tensor = zoo::weight(name, shape)?;
        if self.dtype == DType::F32 || !name.ends_with(".weight") || name.ends_with("norm.weight") {
            return Ok(tensor);
        }
        let bytes = tensor.to_f32().into_iter().flat_map(|value| f16::from_f32(value).to_le_bytes()).collect();
        HostTensor::new(self.dtype, shape.into(), bytes)
    }

    /// The ids of one sequence.
    pub fn ids(&self, sequence: usize, len: usize) -> impl Iterator<Item = u32> {
        let vocab = (self.arch)().vocab;
        (0..len).map(move |i| ((sequence * 1009 + i * 7919) % vocab) as u32)
    }
}

fn minilm() -> Arch {
    bert(Stack { layers: 6, width: 384, ffn: 1536, ..heads(12, 12, 32) })
}

fn bert_base() -> Arch {
    bert(Stack { layers: 12, width: 768, ffn: 3072, ..heads(12, 12, 64) })
}

fn bert(sizes: Stack) -> Arch {
    let stack = Stack {
        norm: Norm { rms: false, eps: 1e-12, before: false },
        position: Position::Learned { max: 512, offset: 0, pads: None },
        embed_norm: true,
        ..sizes
    };
    Arch { vocab: 30522, encoder: Some(stack), embed: Embed { scale: 1.0, types: 2 }, ..Arch::default() }
}

fn modernbert() -> Arch {
    let stack = Stack {
        layers: 22,
        width: 768,
        ffn: 1152,
        norm: Norm { rms: false, eps: 1e-5, before: true },
        mlp: Mlp { act: Activation::Gelu, gated: true },
        position: Position::Rope { theta: 160_000.0, max: 8192, scaling: RopeScaling::None },
        local_rope: Some((10_000.0, RopeScaling::None)),
        // A layer that sees everything, then two that see so far to either side.
        windows: vec![None, Some(64), Some(64)],
        biases: Biases::NONE,
        embed_norm: true,
        first_norm: false,
        final_norm: true,
        ..heads(12, 12, 64)
    };
    Arch { vocab: 50368, encoder: Some(stack), embed: Embed { scale: 1.0, types: 0 }, ..Arch::default() }
}

fn opus_mt() -> Arch {
    let stack = Stack {
        layers: 6,
        width: 512,
        ffn: 2048,
        mlp: Mlp { act: Activation::Silu, gated: false },
        position: Position::Sinusoid { max: 512, offset: 0, closed: false, pads: None },
        ..heads(8, 8, 64)
    };
    let embed = Embed { scale: 512f32.sqrt(), types: 0 };
    let (encoder, decoder) = (Some(stack.clone()), Some(stack));
    Arch { vocab: 65001, encoder, decoder, embed, head: Head::Tied, head_bias: true, ..Arch::default() }
}

fn gpt2() -> Arch {
    let stack = Stack {
        layers: 12,
        width: 768,
        ffn: 3072,
        norm: Norm { rms: false, eps: 1e-5, before: true },
        mlp: Mlp { act: Activation::GeluTanh, gated: false },
        position: Position::Learned { max: 1024, offset: 0, pads: None },
        final_norm: true,
        ..heads(12, 12, 64)
    };
    Arch { vocab: 50257, decoder: Some(stack), head: Head::Tied, ..Arch::default() }
}

fn smollm2() -> Arch {
    let stack = Stack {
        layers: 30,
        width: 576,
        ffn: 1536,
        norm: Norm { rms: true, eps: 1e-5, before: true },
        mlp: Mlp { act: Activation::Silu, gated: true },
        position: Position::Rope { theta: 1e5, max: 8192, scaling: RopeScaling::None },
        biases: Biases::NONE,
        final_norm: true,
        ..heads(9, 3, 64)
    };
    Arch { vocab: 49152, decoder: Some(stack), head: Head::Tied, ..Arch::default() }
}

fn heads(heads: usize, kv_heads: usize, head_dim: usize) -> Stack {
    let mlp = Mlp { act: Activation::Gelu, gated: false };
    Stack { heads, kv_heads, head_dim, scale: 1.0 / (head_dim as f32).sqrt(), mlp, ..Stack::default() }
}
