//! Level 3: models from Hugging Face folders.
//!
//! `config.json` becomes an [`arch::Arch`], a family's file names its tensors, [`names::gather`] brings them in, and
//! [`forward::graph`] is the one forward pass.

pub mod arch;
pub mod bert;
mod blueprint;
pub mod config;
mod encode;
pub mod forward;
#[cfg(test)]
mod mutations;
pub mod names;
pub mod sentence;
#[cfg(test)]
mod tests;
mod tokenizer_files;

use std::sync::{Arc, Mutex, PoisonError};

pub use blueprint::{Blueprint, Files};
pub use encode::{Encoded, Padded};
pub use tokenizer_files::TokenizerFiles;

use crate::gpu::Context;
use crate::graph::{Capacity, Graph, Plan, Session, State, Step, Weights};
use crate::kernel::Role;
use crate::{Error, Result};
use forward::{Outputs, Sizes};

/// A model, on a GPU or on the CPU (the reference: slow, and for comparison). Cheap to clone.
#[derive(Clone, Debug)]
pub struct Model {
    blueprint: Arc<Blueprint>,
    device: Device,
}

#[derive(Clone, Debug)]
enum Device {
    Gpu(Context, Weights),
    Cpu(Arc<Mutex<State<f32>>>),
}

impl Model {
    /// Loads a Hugging Face folder onto a GPU.
    ///
    /// # Errors
    /// As [`Blueprint::open`]; [`Error::OutOfMemory`], [`Error::Limit`].
    #[cfg(not(target_arch = "wasm32"))]
    pub async fn load(gpu: &Context, dir: impl AsRef<std::path::Path>) -> Result<Self> {
        Self::build(gpu, Blueprint::open(dir)?).await
    }

    /// Loads a model from bytes onto a GPU.
    pub async fn from_bytes(gpu: &Context, files: Files) -> Result<Self> {
        Self::build(gpu, Blueprint::from_files(files)?).await
    }

    /// Builds a model on a GPU.
    pub async fn build(gpu: &Context, blueprint: Blueprint) -> Result<Self> {
        let roles: &[Role] =
            if blueprint.arch().decoder.is_some() { &[Role::Full, Role::Prefill, Role::Decode] } else { &[Role::Full] };
        let outputs = Outputs { hidden: true, pooler: true, ..Outputs::default() };
        let plan = |&role: &Role| {
            let graph = blueprint.graph(role, outputs, Sizes { slots: 1 });
            Plan::compile(gpu.caps(), &graph, role, Capacity { tokens: 1, sequences: 1, memory: 1, keys: 1 })
        };
        let plans = roles.iter().map(plan).collect::<Result<Vec<_>>>()?;
        let plans: Vec<&Plan> = plans.iter().collect();
        let weights = Weights::load(gpu, &plans, &|name, shape| blueprint.tensor(name, shape)).await?;
        Ok(Self { blueprint: Arc::new(blueprint), device: Device::Gpu(gpu.clone(), weights) })
    }

    /// Builds a model on the CPU: the same graph through the reference.
    pub fn on_cpu(blueprint: Blueprint) -> Self {
        Self { blueprint: Arc::new(blueprint), device: Device::Cpu(Arc::default()) }
    }

    /// What the folder said.
    pub fn blueprint(&self) -> &Blueprint {
        &self.blueprint
    }

    /// The GPU it is on, if it is on one.
    pub fn gpu(&self) -> Option<&Context> {
        match &self.device {
            Device::Gpu(gpu, _) => Some(gpu),
            Device::Cpu(_) => None,
        }
    }

    /// The plan for a role.
    ///
    /// # Errors
    /// [`Error::Unsupported`] for a model on the CPU; as [`Plan::compile`].
    pub fn plan(&self, role: Role, outputs: Outputs, capacity: Capacity) -> Result<Plan> {
        let Some(gpu) = self.gpu() else {
            return Err(Error::Unsupported { what: "a plan".into(), why: "the model is on the CPU".into() });
        };
        let graph = self.blueprint.graph(role, outputs, Sizes { slots: capacity.keys });
        Plan::compile(gpu.caps(), &graph, role, capacity)
    }

    /// A session of the caller's own, for recording into the caller's encoder.
    pub async fn session(&self, plans: impl IntoIterator<Item = Plan>) -> Result<Session> {
        match &self.device {
            Device::Gpu(gpu, weights) => Session::new(gpu, weights, plans).await,
            Device::Cpu(_) => {
                Err(Error::Unsupported { what: "a session".into(), why: "the model is on the CPU".into() })
            }
        }
    }

    fn encoder(&self) -> Result<&arch::Stack> {
        let why = || "the model has no encoder".into();
        self.blueprint.arch().encoder.as_ref().ok_or_else(|| Error::Unsupported { what: "encoding".into(), why: why() })
    }

    /// Bytes that one binding may hold.
    fn binding_bytes(&self) -> usize {
        let limits = |gpu: &Context| gpu.caps().limits.max_storage_buffer_binding_size;
        self.gpu().map_or(usize::MAX, |gpu| usize::try_from(limits(gpu)).unwrap_or(usize::MAX))
    }

    async fn run(&self, role: Role, outputs: Outputs, capacity: Capacity) -> Result<Run<'_>> {
        Ok(match &self.device {
            Device::Gpu(gpu, _) => {
                let plan = self.plan(role, outputs, capacity)?;
                Run::Gpu(gpu, role, Box::new(self.session([plan]).await?))
            }
            Device::Cpu(state) => {
                let graph = self.blueprint.graph(role, outputs, Sizes { slots: capacity.keys });
                Run::Cpu(&self.blueprint, state, graph)
            }
        })
    }
}

/// Steps of one role on whichever device the model is.
enum Run<'a> {
    Gpu(&'a Context, Role, Box<Session>),
    Cpu(&'a Blueprint, &'a Mutex<State<f32>>, Graph),
}

impl Run<'_> {
    /// Runs a step, and reads persistent tensors back.
    async fn step(&mut self, step: &Step, names: &[&str]) -> Result<Vec<Vec<f32>>> {
        match self {
            Self::Gpu(gpu, role, session) => {
                let mut encoder = gpu.device().create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
                session.record(&mut encoder, *role, step)?;
                let buffers = names.iter().filter_map(|name| session.buffer(name));
                let later: Vec<_> = buffers.map(|b| gpu.read_later(&mut encoder, b, 0, b.size())).collect();
                gpu.queue().submit([encoder.finish()]);
                let mut tensors = Vec::with_capacity(later.len());
                for download in later {
                    tensors.push(download.floats(gpu).await?);
                }
                Ok(tensors)
            }
            Self::Cpu(blueprint, state, graph) => {
                let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
                state.run(graph, step, &|name, shape| blueprint.tensor(name, shape))?;
                let tensor = |name: &&str| state.get(name).map_or_else(Vec::new, |t| t.floats().to_vec());
                Ok(names.iter().map(tensor).collect())
            }
        }
    }
}

/// RoPE's table `[positions, dims]` (Su et al. 2021): the cosines of each position's angles, then their sines. Made on
/// the host in f64, since WGSL promises its `cos` and `sin` only to 2^-11.
pub fn rope_table(theta: f32, positions: usize, dims: usize) -> Vec<f32> {
    let angle = |p: usize, i: usize| p as f64 / f64::from(theta).powf(2.0 * i as f64 / dims as f64);
    let half = 0..dims / 2;
    (0..positions)
        .flat_map(|p| {
            let cos = half.clone().map(move |i| angle(p, i).cos() as f32);
            cos.chain(half.clone().map(move |i| angle(p, i).sin() as f32))
        })
        .collect()
}
