//! A sequence's answer does not depend, in a single bit, on what shares its step, where it lies, how it was padded, or
//! where its replay was split.

mod common;

use common::{Random, bits, block_on};
use wgformer::model::arch::{Activation, Arch, Embed, Mlp, Norm, PoolMode, Position, Stack};
use wgformer::model::forward::{Outputs, Sizes, graph};
use wgformer::weights::DType;
use wgformer::{Capacity, Context, Plan, Role, Session, Step, Weights};

const MOST: usize = 300;
const WIDTH: usize = 40;

fn arch() -> Arch {
    let stack = Stack {
        layers: 2,
        width: WIDTH,
        heads: 2,
        kv_heads: 2,
        head_dim: 20,
        ffn: 72,
        norm: Norm { rms: false, eps: 1e-6, before: false },
        mlp: Mlp { act: Activation::Gelu, gated: false },
        position: Position::Learned { max: MOST + 50, offset: 0, pads: None },
        scale: 0.3,
        embed_norm: true,
        ..Stack::default()
    };
    Arch { vocab: 97, encoder: Some(stack), embed: Embed { scale: 1.0, types: 2 }, pooler: true, ..Arch::default() }
}

/// Tokens with their positions, which may have holes and need not start at 0.
#[derive(Clone)]
struct Sequence {
    ids: Vec<u32>,
    positions: Vec<u32>,
}

fn draw(random: &mut Random, len: usize) -> Sequence {
    let ids = (0..len).map(|_| random.below(97) as u32).collect();
    let mut position = random.below(10) as u32;
    let mut next = || {
        let here = position;
        // A hole now and then, while the table lasts.
        position += if random.below(9) == 0 && position < 340 - len as u32 { 2 } else { 1 };
        here
    };
    let positions = (0..len).map(|_| next().min((MOST + 49) as u32)).collect();
    Sequence { ids, positions }
}

fn step(sequences: &[&Sequence]) -> Step {
    let mut step = Step::default();
    sequences.iter().for_each(|s| step.push(&s.positions));
    step.with_ids(sequences.iter().flat_map(|s| s.ids.clone()).collect())
}

struct Encoder {
    gpu: Context,
    session: Session,
}

impl Encoder {
    fn new(capacity: Capacity) -> Self {
        let gpu = common::context();
        let outputs =
            Outputs { hidden: true, pooler: true, embedding: Some((PoolMode::Mean, true)), ..Outputs::default() };
        let graph = graph(&arch(), Role::Full, outputs, Sizes::default(), &|_| DType::F32);
        let plan = Plan::compile(gpu.caps(), &graph, Role::Full, capacity).expect("a plan");
        let weights = block_on(Weights::load(&gpu, &[&plan], &common::random_weight)).expect("weights");
        let session = block_on(Session::new(&gpu, &weights, [plan])).expect("a session");
        Self { gpu, session }
    }

    /// Hidden rows and embeddings, recorded in parts of so many dispatches, a submission each.
    fn run(&mut self, step: &Step, parts: &[usize]) -> (Vec<f32>, Vec<f32>) {
        let mut encoder = self.gpu.device().create_command_encoder(&Default::default());
        let mut cursor = self.session.begin(&mut encoder, Role::Full, step).expect("begun");
        for &count in parts {
            cursor.record(&mut encoder, count).expect("recorded");
            let full = std::mem::replace(&mut encoder, self.gpu.device().create_command_encoder(&Default::default()));
            self.gpu.queue().submit([full.finish()]);
        }
        assert_eq!(cursor.remaining(), 0);
        let read = |encoder: &mut _, name, bytes| {
            self.gpu.read_later(encoder, self.session.buffer(name).expect("a tensor"), 0, bytes as u64)
        };
        let hidden = read(&mut encoder, "hidden", step.tokens() as usize * WIDTH * 4);
        let embedding = read(&mut encoder, "embedding", step.spans.len() * WIDTH * 4);
        self.gpu.queue().submit([encoder.finish()]);
        (block_on(hidden.floats(&self.gpu)).expect("floats"), block_on(embedding.floats(&self.gpu)).expect("floats"))
    }
}

#[test]
fn a_sequence_is_the_same_in_a_hundred_packings() {
    let mut random = Random(2026);
    let lengths = [1, 1, 2, 3, 7, 8, 9, 15, 16, 17, 31, 33, 63, 64, 65, 100, 127, 128, 129, 200, 255, 257, 299, 300];
    let sequences: Vec<Sequence> = lengths.iter().map(|&len| draw(&mut random, len)).collect();
    let mut encoder = Encoder::new(Capacity::packed(16 * MOST, 16));
    let alone: Vec<_> = sequences.iter().map(|s| encoder.run(&step(&[s]), &[usize::MAX])).collect();
    assert!(alone.iter().all(|(hidden, _)| hidden.iter().all(|x| x.is_finite())));
    for packing in 0..100 {
        let count = 1 + random.below(16);
        let drawn: Vec<usize> = (0..count).map(|_| random.below(sequences.len())).collect();
        let together: Vec<&Sequence> = drawn.iter().map(|&i| &sequences[i]).collect();
        let (hidden, embedding) = encoder.run(&step(&together), &[usize::MAX]);
        let mut row = 0;
        for (place, &i) in drawn.iter().enumerate() {
            let end = row + sequences[i].ids.len();
            let here = format!("packing {packing}: sequence {i} of {} tokens at place {place} of {drawn:?}", end - row);
            assert_eq!(bits(&hidden[row * WIDTH..end * WIDTH]), bits(&alone[i].0), "{here}");
            assert_eq!(bits(&embedding[place * WIDTH..][..WIDTH]), bits(&alone[i].1), "{here}: embedding");
            row = end;
        }
    }
}

#[test]
fn a_replay_may_be_split_after_every_op() {
    let mut random = Random(5);
    let sequences: Vec<Sequence> = [19, 1, 70].iter().map(|&len| draw(&mut random, len)).collect();
    let step = step(&sequences.iter().collect::<Vec<_>>());
    let mut encoder = Encoder::new(Capacity::packed(128, 4));
    let whole = encoder.run(&step, &[usize::MAX]);
    let ops = encoder.session.plan(Role::Full).expect("a plan").len();
    assert!(ops > 10);
    for split in 1..ops {
        let parts = encoder.run(&step, &[split, usize::MAX]);
        assert_eq!(bits(&whole.0), bits(&parts.0), "split after op {split}");
        assert_eq!(bits(&whole.1), bits(&parts.1), "split after op {split}: embedding");
    }
    let single = encoder.run(&step, &vec![1; ops]);
    assert_eq!(bits(&whole.0), bits(&single.0), "an op at a time");
}
