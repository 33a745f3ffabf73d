//! Level 3: models from Hugging Face folders.
//!
//! `config.json` becomes an [`arch::Arch`], a family's file names its tensors, [`names::gather`] brings them in, and
//! [`forward::graph`] is the one forward pass.

mod albert;
pub mod arch;
mod bart;
mod bert;
mod blueprint;
pub mod config;
mod distilbert;
mod electra;
mod encode;
mod fairseq;
mod family;
pub mod forward;
mod gpt2;
mod head;
pub mod labels;
mod llama;
mod logits;
mod m2m100;
mod marian;
mod mistral;
mod modernbert;
mod modules;
mod mpnet;
#[cfg(test)]
mod mutations;
pub mod names;
pub(crate) mod padded;
mod qwen;
mod roberta;
pub mod sentence;
mod t5;
mod tables;
mod task;
mod teacher;
#[cfg(test)]
mod tests;
pub(crate) mod tokenizer_files;
mod warm;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

pub use blueprint::{Blueprint, Files};
pub use encode::Encoded;
pub use logits::Sequence;
pub use padded::Padded;
pub use tables::rope_table;
pub use teacher::Forced;
pub use tokenizer_files::TokenizerFiles;

use crate::gpu::Context;
use crate::graph::{Capacity, Graph, Plan, Session, State, Step, Weights};
use crate::kernel::Role;
use crate::reference::Tensor;
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
        let roles = blueprint.arch().roles();
        let outputs = Outputs::of_heads();
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

    /// The CPU's weights, if it is there.
    pub(crate) fn state(&self) -> Option<&Mutex<State<f32>>> {
        match &self.device {
            Device::Gpu(..) => None,
            Device::Cpu(state) => Some(state),
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

    /// A run of some roles, each with what it leaves behind and the most that a step of it holds.
    async fn run(&self, roles: &[(Role, Outputs, Capacity)]) -> Result<Run<'_>> {
        Ok(match &self.device {
            Device::Gpu(gpu, _) => {
                let plans = roles.iter().map(|&(role, outputs, capacity)| self.plan(role, outputs, capacity));
                Run::Gpu(gpu, Box::new(self.session(plans.collect::<Result<Vec<_>>>()?).await?))
            }
            Device::Cpu(state) => {
                let graph = |&(role, outputs, capacity): &(Role, Outputs, Capacity)| {
                    (role, self.blueprint.graph(role, outputs, Sizes { slots: capacity.keys }))
                };
                let graphs = roles.iter().map(graph).collect();
                Run::Cpu(Cpu { blueprint: &self.blueprint, state, graphs, persistent: HashMap::new() })
            }
        })
    }
}

/// Steps of some roles on whichever device the model is. What a step leaves behind, the next one finds.
enum Run<'a> {
    Gpu(&'a Context, Box<Session>),
    Cpu(Cpu<'a>),
}

/// The reference, with persistent tensors of this run's own.
struct Cpu<'a> {
    blueprint: &'a Blueprint,
    state: &'a Mutex<State<f32>>,
    graphs: Vec<(Role, Graph)>,
    persistent: HashMap<String, Tensor<f32>>,
}

impl Run<'_> {
    /// Runs steps, one after the other, and then reads persistent tensors back.
    async fn steps(&mut self, steps: &[(Role, &Step)], names: &[&str]) -> Result<Vec<Vec<f32>>> {
        match self {
            Self::Gpu(gpu, session) => {
                let mut encoder = gpu.device().create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
                for &(role, step) in steps {
                    session.record(&mut encoder, role, step)?;
                }
                let mut later = Vec::with_capacity(names.len());
                for name in names {
                    let buffer = session.buffer(name).ok_or_else(|| unknown(name))?;
                    later.push(gpu.read_later(&mut encoder, buffer, 0, buffer.size()));
                }
                gpu.queue().submit([encoder.finish()]);
                let mut tensors = Vec::with_capacity(later.len());
                for download in later {
                    tensors.push(download.floats(gpu).await?);
                }
                Ok(tensors)
            }
            Self::Cpu(cpu) => {
                steps.iter().try_for_each(|&(role, step)| cpu.run(role, step))?;
                // A tensor without rows is not kept.
                let tensor = |name: &&str| cpu.persistent.get(*name).map_or_else(Vec::new, |t| t.floats().to_vec());
                Ok(names.iter().map(tensor).collect())
            }
        }
    }
}

impl Cpu<'_> {
    fn run(&mut self, role: Role, step: &Step) -> Result<()> {
        let graph = self.graphs.iter().find(|(r, _)| *r == role);
        let (_, graph) = graph.ok_or_else(|| unknown(&format!("{role:?}")))?;
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        // Others may use the same weights between two steps, with persistent tensors of their own.
        state.swap(&mut self.persistent);
        let result = state.run(graph, step, &|name, shape| self.blueprint.tensor(name, shape));
        state.swap(&mut self.persistent);
        result
    }
}

fn unknown(name: &str) -> Error {
    Error::Unsupported { what: name.to_owned(), why: "the model's graph has no such thing".into() }
}
