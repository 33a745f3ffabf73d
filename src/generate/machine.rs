//! Where steps are computed: a session on a GPU, or the reference on the CPU.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::{Mutex, PoisonError};

use super::rows::Rows;
use super::{Inputs, Settings};
use crate::gpu::readback::Download;
use crate::gpu::{Caps, Context};
use crate::graph::{Capacity, Graph, Plan, Session, State, Step};
use crate::kernel::{Role, topk};
use crate::model::Blueprint;
use crate::model::arch::Arch;
use crate::model::forward::{Choice, Outputs, Sizes};
use crate::model::padded::{STEP_TOKENS, chunks, most_sequences, most_tokens};
use crate::reference::Tensor;
use crate::{Error, Result};

/// What a batch needs of a device.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Job {
    /// How the decoder's graph ends.
    pub choice: Choice,
    /// Whole rows of logits come back with every step.
    pub whole: bool,
    /// Texts whose prompts are fed together.
    pub chunks: Vec<Range<usize>>,
    /// How prompts are fed: a decoder that reads only its start token beside a source needs no plan for more than one.
    pub prompts: Role,
    /// Rows of each layer's cache: prompts, then a row for each new token of each beam.
    slots: usize,
    vocab: usize,
    capacities: Vec<(Role, Capacity)>,
}

impl Job {
    pub fn new(arch: &Arch, inputs: Inputs<'_>, settings: &Settings, limits: &[usize]) -> Self {
        let (vocab, beams) = (arch.vocab, settings.num_beams);
        let lengths: Vec<usize> = inputs.prompts.iter().map(Vec::len).collect();
        let chunks = chunks(lengths.iter().copied(), STEP_TOKENS, usize::MAX);
        let prompt = most_tokens(&chunks, &lengths);
        let memory = inputs.sources.iter().map(Vec::len).sum();
        let (rows, keys) = (beams * lengths.len(), beams * limits.iter().sum::<usize>());
        let new: usize = limits.iter().zip(&lengths).map(|(limit, length)| limit - length).sum();
        let sequences = most_sequences(&chunks);
        let mut capacities =
            vec![(Role::Decode, Capacity { tokens: rows.max(1), sequences: rows.max(1), memory, keys: keys.max(1) })];
        if memory > 0 {
            capacities.push((Role::Full, Capacity::packed(memory, lengths.len())));
        }
        let prompts =
            if memory > 0 && lengths.iter().all(|&length| length == 1) { Role::Decode } else { Role::Prefill };
        if prompts == Role::Prefill {
            capacities.push((Role::Prefill, Capacity { tokens: prompt, sequences, memory, keys: prompt }));
        }
        let slots = lengths.iter().sum::<usize>() + beams * new;
        let whole = settings.repetition_penalty != 1.0;
        Self { choice: choice(settings, vocab), whole, chunks, prompts, slots: slots.max(1), vocab, capacities }
    }

    /// The graph of each role, with its capacity.
    pub fn graphs<'a>(&'a self, blueprint: &'a Blueprint) -> impl Iterator<Item = (Role, Capacity, Graph)> + 'a {
        let outputs = Outputs { choice: self.choice, ..Outputs::default() };
        let graph = move |role| blueprint.graph(role, outputs, Sizes { slots: self.slots });
        self.capacities.iter().map(move |&(role, capacity)| (role, capacity, graph(role)))
    }

    /// The plan of each role.
    pub fn plans(&self, caps: &Caps, blueprint: &Blueprint) -> Result<Vec<Plan>> {
        self.graphs(blueprint).map(|(role, capacity, graph)| Plan::compile(caps, &graph, role, capacity)).collect()
    }
}

/// So many of each row's best that they tell in most steps.
fn choice(settings: &Settings, vocab: usize) -> Choice {
    if settings.is_plain_greedy() {
        return Choice::Greedy;
    }
    let wanted = match (settings.do_sample, settings.top_k) {
        (false, _) if settings.num_beams > 1 => settings.candidates(),
        (false, _) => 1,
        (true, 0) => topk::MOST,
        (true, k) => k,
    };
    let k = wanted.saturating_add(settings.most_banned()).min(topk::MOST).min(vocab);
    let scale = if settings.do_sample { 1.0 / settings.temperature } else { 1.0 };
    Choice::Top { k, scale }
}

/// A device at work on a job.
pub(crate) struct Machine<'a> {
    device: Device<'a>,
    k: usize,
    vocab: usize,
    choice: Choice,
}

enum Device<'a> {
    Gpu(&'a Context, Box<Session>),
    Cpu(Cpu<'a>),
}

/// The reference, with persistent tensors of this job's own.
struct Cpu<'a> {
    state: &'a Mutex<State<f32>>,
    persistent: HashMap<String, Tensor<f32>>,
    graphs: Vec<(Role, Graph)>,
    blueprint: &'a Blueprint,
}

impl<'a> Machine<'a> {
    /// A GPU's, around a session of the job's plans.
    pub fn gpu(gpu: &'a Context, session: Session, job: &Job) -> Self {
        Self::of(Device::Gpu(gpu, Box::new(session)), job)
    }

    /// The CPU's; weights that are loaded stay in the state.
    pub fn cpu(state: &'a Mutex<State<f32>>, blueprint: &'a Blueprint, job: &Job) -> Self {
        let graphs = job.graphs(blueprint).map(|(role, _, graph)| (role, graph)).collect();
        Self::of(Device::Cpu(Cpu { state, persistent: HashMap::new(), graphs, blueprint }), job)
    }

    fn of(device: Device<'a>, job: &Job) -> Self {
        let k = if let Choice::Top { k, .. } = job.choice { k } else { 1 };
        Self { device, k, vocab: job.vocab, choice: job.choice }
    }

    /// The encoder's pass: the cross keys and values of all sources.
    pub async fn encode(&mut self, step: Step) -> Result<()> {
        self.replay(Role::Full, &[step], |_| Vec::new()).await.map(drop)
    }

    /// Computes steps, one after the other in one submission, and brings back each one's rows.
    pub async fn steps(&mut self, role: Role, steps: &[Step], whole: bool) -> Result<Vec<Rows>> {
        let (k, vocab, choice) = (self.k, self.vocab, self.choice);
        let wanted = |rows: usize| {
            let mut parts = match choice {
                Choice::Top { .. } => vec![("top.values", rows * k), ("top.ids", rows * k), ("top.lse", rows)],
                _ => vec![("top.values", rows), ("ids", rows)],
            };
            parts.extend(whole.then_some(("logits", rows * vocab)));
            parts
        };
        let mut words = self.replay(role, steps, wanted).await?.into_iter();
        let rows = steps.iter().map(|step| {
            let rows = step.spans.len();
            let mut take = |count: usize| words.by_ref().take(count).collect::<Vec<u32>>();
            let floats = |words: Vec<u32>| words.into_iter().map(f32::from_bits).collect::<Vec<f32>>();
            let (values, ids) = (floats(take(rows * k)), take(rows * k));
            let lse = floats(take(if matches!(choice, Choice::Top { .. }) { rows } else { 0 }));
            let whole = whole.then(|| floats(take(rows * vocab)));
            Rows { k, vocab, values, ids, lse, whole }
        });
        Ok(rows.collect())
    }

    /// The logits of so many rows of the last step.
    pub async fn logits(&mut self, rows: usize) -> Result<Vec<f32>> {
        let count = rows * self.vocab;
        let words = match &mut self.device {
            Device::Gpu(gpu, session) => {
                let download = gpu.download(4 * count as u64);
                let mut encoder = gpu.device().create_command_encoder(&Default::default());
                read(session, &mut encoder, &download, 0, &[("logits", count)]);
                gpu.queue().submit([encoder.finish()]);
                bytemuck::pod_collect_to_vec(&download.bytes(gpu).await?)
            }
            Device::Cpu(cpu) => cpu.words("logits", count),
        };
        Ok(words.into_iter().map(f32::from_bits).collect())
    }

    /// Replays steps, and brings the wanted words of persistent tensors back after each: names and counts for its rows.
    async fn replay(
        &mut self,
        role: Role,
        steps: &[Step],
        wanted: impl Fn(usize) -> Vec<(&'static str, usize)>,
    ) -> Result<Vec<u32>> {
        match &mut self.device {
            Device::Gpu(gpu, session) => {
                let count = |step: &Step| wanted(step.spans.len()).iter().map(|(_, count)| count).sum::<usize>();
                let download = gpu.download(4 * steps.iter().map(count).sum::<usize>() as u64);
                let mut encoder = gpu.device().create_command_encoder(&Default::default());
                let mut at = 0;
                for step in steps {
                    session.record(&mut encoder, role, step)?;
                    at = read(session, &mut encoder, &download, at, &wanted(step.spans.len()));
                }
                gpu.queue().submit([encoder.finish()]);
                let bytes = if at > 0 { download.bytes(gpu).await? } else { Vec::new() };
                Ok(bytemuck::pod_collect_to_vec(&bytes))
            }
            Device::Cpu(cpu) => {
                let mut words = Vec::new();
                for step in steps {
                    cpu.run(role, step)?;
                    let parts = wanted(step.spans.len());
                    words.extend(parts.into_iter().flat_map(|(name, count)| cpu.words(name, count)));
                }
                Ok(words)
            }
        }
    }
}

/// Records copies of persistent tensors' first words, one after the other from a byte of the download; the byte after.
fn read(
    session: &Session,
    encoder: &mut wgpu::CommandEncoder,
    download: &Download,
    mut at: u64,
    parts: &[(&str, usize)],
) -> u64 {
    for &(name, count) in parts {
        if let Some(buffer) = session.buffer(name) {
            download.copy(encoder, buffer, 0, at, 4 * count as u64);
        }
        at += 4 * count as u64;
    }
    at
}

impl Cpu<'_> {
    fn run(&mut self, role: Role, step: &Step) -> Result<()> {
        let Some((_, graph)) = self.graphs.iter().find(|(of, _)| *of == role) else {
            return Err(Error::Unsupported { what: format!("{role:?}"), why: "the job has no graph for it".into() });
        };
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        // Others may use the same weights between two steps, with persistent tensors of their own.
        state.swap(&mut self.persistent);
        let result = state.run(graph, step, &|name, shape| self.blueprint.tensor(name, shape));
        state.swap(&mut self.persistent);
        result
    }

    /// A persistent tensor's first elements, as bits.
    fn words(&self, name: &str, count: usize) -> Vec<u32> {
        match self.persistent.get(name) {
            Some(Tensor::Floats(values)) => values.iter().take(count).map(|v| v.to_bits()).collect(),
            Some(Tensor::Words(words)) => words.iter().take(count).copied().collect(),
            None => vec![0; count],
        }
    }
}
