//! The riskiest promise of the design, kept as a test: a decoder's prefill and decode plans over one session.
//!
//! Sixteen greedy tokens come out the same, to the last bit, as sixteen submissions, in one submission with the ids kept
//! on the GPU, beside another sequence whose beams are swapped through the slot table, and recorded in parts; and within
//! tolerance when the prefix is prefilled at once.

mod common;

use common::{Random, bits, block_on};
use wgformer::graph::{Rows, State};
use wgformer::kernel::{Attention, Keys};
use wgformer::model::arch::Arch;
use wgformer::model::forward::{Outputs, Sizes, graph};
use wgformer::weights::{DType, HostTensor};
use wgformer::{Capacity, Context, Graph, Plan, Role, Session, Step, Weights};

const KEYS: usize = 64;
const SEQUENCES: usize = 3;
const NEW: usize = 16;
const PROMPT: [u32; 5] = [7, 3, 11, 50, 2];

fn arch() -> Arch {
    common::decoder(2, KEYS)
}

fn source(name: &str, [rows, cols]: [usize; 2]) -> wgformer::Result<HostTensor> {
    let mut random = Random(name.bytes().map(u64::from).sum());
    let values: Vec<f32> = match name {
        "decoder.rope" => wgformer::model::rope_table(10000.0, rows, cols),
        _ => (0..rows * cols).map(|_| random.unit() * 0.6).collect(),
    };
    HostTensor::from_f32([rows, cols], &values)
}

struct Decoder {
    gpu: Context,
    weights: Weights,
    plans: [Plan; 2],
}

impl Decoder {
    fn new() -> Self {
        let gpu = common::context();
        let arch = arch();
        let sizes = Sizes { slots: SEQUENCES * KEYS };
        let capacity = |tokens| Capacity { tokens, sequences: SEQUENCES, memory: 0, keys: SEQUENCES * KEYS };
        let plan = |role, tokens| {
            let graph = graph(&arch, role, Outputs::default(), sizes, &|_| DType::F32);
            Plan::compile(gpu.caps(), &graph, role, capacity(tokens)).expect("a plan")
        };
        let plans = [plan(Role::Prefill, KEYS), plan(Role::Decode, SEQUENCES)];
        let weights = block_on(Weights::load(&gpu, &[&plans[0], &plans[1]], &source)).expect("weights");
        Self { gpu, weights, plans }
    }

    fn session(&self) -> Session {
        block_on(Session::new(&self.gpu, &self.weights, self.plans.clone())).expect("a session")
    }

    fn run<T>(&self, f: impl FnOnce(&mut wgpu::CommandEncoder) -> T) -> T {
        let mut encoder = self.gpu.device().create_command_encoder(&Default::default());
        let value = f(&mut encoder);
        self.gpu.queue().submit([encoder.finish()]);
        value
    }

    /// Logits of the first sequence after a submission.
    fn logits(&self, session: &Session) -> Vec<f32> {
        let buffer = session.buffer("logits").expect("logits");
        let later = self.run(|encoder| self.gpu.read_later(encoder, buffer, 0, 61 * 4));
        block_on(later.floats(&self.gpu)).expect("logits")
    }

    /// The greedy id of the first sequence.
    fn id(&self, session: &Session) -> u32 {
        let buffer = session.buffer("ids").expect("ids");
        let later = self.run(|encoder| self.gpu.read_later(encoder, buffer, 0, 4));
        bytemuck::pod_read_unaligned(&block_on(later.bytes(&self.gpu)).expect("ids"))
    }
}

/// The step in which a sequence's token at `position` is computed; slot = position.
fn one(position: usize) -> Step {
    let mut step = Step::default();
    step.push_cached(1, &(0..=position as u32).collect::<Vec<_>>());
    step
}

/// Feeds the prompt token by token, then decodes; returns all logits and the ids chosen.
fn by_submissions(d: &Decoder, parts: Option<usize>) -> (Vec<Vec<f32>>, Vec<u32>) {
    let mut session = d.session();
    let (mut logits, mut ids) = (Vec::new(), Vec::new());
    for position in 0..PROMPT.len() + NEW {
        let mut step = one(position);
        step.ids = PROMPT.get(position).map(|&id| vec![id]);
        match parts {
            None => d.run(|encoder| session.record(encoder, Role::Decode, &step)).expect("recorded"),
            Some(count) => {
                let mut cursor = d.run(|encoder| session.begin(encoder, Role::Decode, &step)).expect("begun");
                while cursor.remaining() > 0 {
                    d.run(|encoder| cursor.record(encoder, count)).expect("recorded");
                }
            }
        }
        logits.push(d.logits(&session));
        ids.push(d.id(&session));
    }
    (logits, ids)
}

#[test]
fn decoding_is_the_same_however_it_is_recorded() {
    let d = Decoder::new();
    let (logits, ids) = by_submissions(&d, None);
    let distinct: std::collections::HashSet<_> = ids.iter().collect();
    assert!(distinct.len() > 4, "a decoder that says {ids:?} tests little");
    assert!(logits.iter().flatten().all(|x| x.is_finite()));

    // One submission; ids never leave the GPU.
    let mut session = d.session();
    let mut later = Vec::new();
    d.run(|encoder| {
        for position in 0..PROMPT.len() + NEW {
            let mut step = one(position);
            step.ids = PROMPT.get(position).map(|&id| vec![id]);
            session.record(encoder, Role::Decode, &step).expect("recorded");
            later.push(d.gpu.read_later(encoder, session.buffer("logits").expect("logits"), 0, 61 * 4));
        }
    });
    for (i, (want, got)) in logits.iter().zip(later).enumerate() {
        let got = block_on(got.floats(&d.gpu)).expect("logits");
        assert_eq!(bits(want), bits(&got), "one submission, step {i}");
    }

    // In parts of one and of seven dispatches, each in a submission of its own.
    for count in [1, 7] {
        let (parts, _) = by_submissions(&d, Some(count));
        for (i, (want, got)) in logits.iter().zip(&parts).enumerate() {
            assert_eq!(bits(want), bits(got), "parts of {count}, step {i}");
        }
    }
}

#[test]
fn a_prefilled_prefix_gives_the_same_answer_within_tolerance() {
    let d = Decoder::new();
    let (logits, ids) = by_submissions(&d, None);
    let mut session = d.session();
    let slots: Vec<u32> = (0..PROMPT.len() as u32).collect();
    let mut step = Step::default().with_ids(PROMPT.to_vec());
    step.push_cached(PROMPT.len(), &slots);
    d.run(|encoder| session.record(encoder, Role::Prefill, &step)).expect("prefilled");
    // What the CPU says, which tells a decoder that forgets from one that remembers.
    let whole = graph(&arch(), Role::Prefill, Outputs::default(), Sizes { slots: SEQUENCES * KEYS }, &|_| DType::F32);
    let mut state = State::<f64>::new();
    state.run(&whole, &step, &source).expect("the reference");
    for (got, want) in logits[PROMPT.len() - 1].iter().zip(state.get("logits").expect("logits").floats()) {
        assert!((f64::from(*got) - want).abs() < 1e-4, "{got} and not {want}");
    }
    for i in PROMPT.len() - 1..PROMPT.len() + NEW {
        if i >= PROMPT.len() {
            d.run(|encoder| session.record(encoder, Role::Decode, &one(i))).expect("recorded");
        }
        let got = d.logits(&session);
        let worst = got.iter().zip(&logits[i]).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(worst < 1e-4, "step {i}: off by {worst}");
        assert_eq!(d.id(&session), ids[i], "step {i}");
    }
}

/// The KV cache of another session, brought over by the caller: whoever settles it finds what was there.
#[test]
fn a_cache_that_was_kept_goes_on_in_another_session() {
    let d = Decoder::new();
    let mut first = d.session();
    let mut prompt = Step::default().with_ids(PROMPT.to_vec());
    prompt.push_cached(PROMPT.len(), &(0..PROMPT.len() as u32).collect::<Vec<_>>());
    d.run(|encoder| first.record(encoder, Role::Prefill, &prompt)).expect("prefilled");
    let mut second = d.session();
    let step = one(PROMPT.len()).with_ids(vec![5]);
    d.run(|encoder| second.record(encoder, Role::Decode, &step)).expect("recorded");
    let forgetful = d.logits(&second);
    d.run(|encoder| {
        for layer in 0..2 {
            let name = format!("decoder.{layer}.self.cache");
            let (from, to) = (first.buffer(&name).expect("a cache"), second.buffer(&name).expect("a cache").clone());
            encoder.copy_buffer_to_buffer(from, 0, &to, 0, to.size());
            second.settle(encoder, &name);
        }
        first.record(encoder, Role::Decode, &step).expect("recorded");
        second.record(encoder, Role::Decode, &step).expect("recorded");
    });
    assert_eq!(bits(&d.logits(&first)), bits(&d.logits(&second)));
    assert_ne!(bits(&forgetful), bits(&d.logits(&second)), "a cache that changes nothing tests nothing");
}

/// Keys and values that no plan of the session writes are read as they are at each step.
#[test]
fn keys_that_the_caller_writes_are_found() {
    const DIM: usize = 16;
    let gpu = common::context();
    let mut g = Graph::new();
    let mut matrix = |name, rows| g.persistent(name, Rows::Fixed(rows), DIM);
    let (q, k, v, y) = (matrix("q", 1), matrix("k", 8), matrix("v", 8), matrix("y", 1));
    let op = Attention { causal: true, keys: Keys::Table, ..Attention::new(q, k, v, y, 1, DIM) };
    g.push("attention", op);
    let step = one(2);
    let plan = Plan::compile(gpu.caps(), &g, Role::Decode, Capacity::of(&step)).expect("a plan");
    let weights = block_on(Weights::load(&gpu, &[&plan], &source)).expect("no weights");
    let mut session = block_on(Session::new(&gpu, &weights, [plan])).expect("a session");
    // Equal keys: the answer is the mean of the values.
    let mut answer = |value: f32, settled: bool| {
        let buffer = session.buffer("v").expect("v");
        gpu.queue().write_buffer(buffer, 0, bytemuck::cast_slice(&[value; 8 * DIM]));
        let mut encoder = gpu.device().create_command_encoder(&Default::default());
        if settled {
            session.settle(&mut encoder, "v");
        }
        session.record(&mut encoder, Role::Decode, &step).expect("recorded");
        let later = gpu.read_later(&mut encoder, session.buffer("y").expect("y"), 0, 4 * DIM as u64);
        gpu.queue().submit([encoder.finish()]);
        block_on(later.floats(&gpu)).expect("y")
    };
    for (value, settled) in [(1.0, false), (2.0, false), (3.0, true), (4.0, true)] {
        assert_eq!(answer(value, settled), [value; DIM]);
    }
}

#[test]
fn beams_reorder_through_the_table_and_neighbours_change_nothing() {
    let d = Decoder::new();
    let (logits, ids) = by_submissions(&d, None);
    let mut session = d.session();
    // Sequence A beside two beams of B: slot = position for A, KEYS + position * 2 + beam for B's.
    let mut beams: [Vec<u32>; 2] = [Vec::new(), Vec::new()];
    let mut a: Vec<u32> = Vec::new();
    let at = [PROMPT.as_slice(), &ids[PROMPT.len() - 1..]].concat();
    for position in 0..PROMPT.len() + NEW {
        let p = position as u32;
        a.push(p);
        beams.iter_mut().zip(0..).for_each(|(beam, b)| beam.push(KEYS as u32 + p * 2 + b));
        let mut step = Step::default();
        step.push_cached(1, &a);
        beams.iter().for_each(|beam| step.push_cached(1, beam));
        // The beams' tokens differ, so that a swap that failed would show.
        let step = step.with_ids(vec![at[position], (p * 7 + 1) % 61, (p * 5 + 2) % 61]);
        d.run(|encoder| session.record(encoder, Role::Decode, &step)).expect("recorded");
        assert_eq!(bits(&d.logits(&session)), bits(&logits[position]), "beside beams, step {position}");
        if position % 3 == 2 {
            beams.swap(0, 1);
        }
    }
    // The first beam, replayed alone with the tokens that its slots hold, ends in the same logits.
    let buffer = session.buffer("logits").expect("logits");
    let later = d.run(|encoder| d.gpu.read_later(encoder, buffer, 0, 61 * 4 * 3));
    let all = block_on(later.floats(&d.gpu)).expect("logits");
    let last = PROMPT.len() + NEW - 1;
    // Undo the last swap if there was one: rows were written before it.
    let order = if last % 3 == 2 { 1 } else { 0 };
    let mut alone = d.session();
    for (position, slot) in beams[order].iter().enumerate() {
        let slot = slot - KEYS as u32;
        let (p, beam) = (slot / 2, slot % 2);
        // Rows follow the swaps, and a slot's parity tells which row wrote it.
        let id = if beam == 0 { (p * 7 + 1) % 61 } else { (p * 5 + 2) % 61 };
        let step = one(position).with_ids(vec![id]);
        d.run(|encoder| alone.record(encoder, Role::Decode, &step)).expect("recorded");
    }
    assert_eq!(bits(&d.logits(&alone)), bits(&all[61..122]), "the first beam alone");
}
