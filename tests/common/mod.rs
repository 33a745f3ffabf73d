//! What tests share: a device, and a way to wait. A machine without an adapter fails the tests, it does not skip them.
#![allow(dead_code)]

use wgformer::Context;
use wgformer::model::arch::{Activation, Arch, Biases, Head, Mlp, Norm, Position, RopeScaling, Stack};

/// The adapter that the tests run on: the best one, or the one whose name contains `WGFORMER_ADAPTER`.
pub fn adapter() -> wgpu::Adapter {
    let instance = wgpu::Instance::default();
    let wanted = std::env::var("WGFORMER_ADAPTER").unwrap_or_default().to_lowercase();
    let mut all = pollster::block_on(instance.enumerate_adapters(wgpu::Backends::all()));
    all.retain(|a| a.get_info().name.to_lowercase().contains(&wanted));
    all.sort_by_key(|a| a.get_info().device_type == wgpu::DeviceType::Cpu);
    all.into_iter().next().expect("no adapter: `cargo xtask test` installs a software one")
}

/// A device with what wgformer wants.
pub fn device() -> (wgpu::Device, wgpu::Queue) {
    let adapter = adapter();
    let (required_features, required_limits) = wgformer::wanted(&adapter);
    let descriptor = wgpu::DeviceDescriptor { required_features, required_limits, ..Default::default() };
    pollster::block_on(adapter.request_device(&descriptor)).expect("the adapter gave no device")
}

/// A context on [`device`].
pub fn context() -> Context {
    let (device, queue) = device();
    Context::new(&device, &queue).expect("a device with the wanted limits")
}

#[allow(unused_imports)]
pub use pollster::block_on;

/// The goldens of models with a decoder, folders of `tests/golden/`.
pub const DECODERS: [&str; 14] = [
    "bart",
    "mbart",
    "marian",
    "m2m100",
    "t5",
    "t5-gated",
    "mt5",
    "gpt2",
    "gpt2-layers",
    "llama3",
    "llama-linear",
    "mistral",
    "qwen2",
    "qwen3",
];

/// A small decoder of Llama's kind.
pub fn decoder(layers: usize, positions: usize) -> Arch {
    let stack = Stack {
        layers,
        width: 48,
        heads: 4,
        kv_heads: 2,
        head_dim: 12,
        ffn: 80,
        norm: Norm { rms: true, eps: 1e-5, before: true },
        mlp: Mlp { act: Activation::Silu, gated: true },
        position: Position::Rope { theta: 10000.0, max: positions, scaling: RopeScaling::None },
        scale: 1.0 / 12f32.sqrt(),
        biases: Biases::NONE,
        final_norm: true,
        ..Stack::default()
    };
    Arch { vocab: 61, decoder: Some(stack), head: Head::Untied, ..Arch::default() }
}

/// Bits, for comparisons that allow no rounding.
pub fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|v| v.to_bits()).collect()
}

/// Small deterministic numbers.
pub struct Random(pub u64);

impl Random {
    /// The next of SplitMix64's.
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Uniform in -1 .. 1.
    pub fn unit(&mut self) -> f32 {
        (self.next() >> 40) as f32 / (1u64 << 23) as f32 - 1.0
    }

    /// Uniform below `n`.
    pub fn below(&mut self, n: usize) -> usize {
        (self.next() % n as u64) as usize
    }
}

/// A weight of a random model: the same for the same name and shape. Norm weights lie around 1.
pub fn random_weight(name: &str, shape: [usize; 2]) -> wgformer::Result<wgformer::weights::HostTensor> {
    let [rows, cols] = shape;
    let mut random = Random(name.bytes().fold(7u64, |h, b| h.wrapping_mul(31).wrapping_add(u64::from(b))));
    let spread = if rows == 1 { 0.3 } else { 2.0 / (cols as f32).sqrt() };
    let mean = if name.ends_with("norm.weight") { 1.0 } else { 0.0 };
    let values: Vec<f32> = match name.ends_with("rope") {
        true => wgformer::model::rope_table(10000.0, rows, cols),
        false => (0..rows * cols).map(|_| mean + spread * random.unit()).collect(),
    };
    wgformer::weights::HostTensor::from_f32(shape, &values)
}
