//! Models with a decoder against PyTorch in float64: small models with wide weights, so that every mistake shows.

mod common;

use common::{DECODERS, block_on};
use wgformer::model::arch::{Activation, Arch, Biases, Head, Position, RopeScaling, Stack};
use wgformer::model::forward::Outputs;
use wgformer::model::{Blueprint, Files, Forced, Model, Padded};
use wgformer::weights::{Checkpoint, Values, write_safetensors};
use wgformer::{Capacity, Context, Role, Step};

/// f32 moves these models by up to 2.5e-5, the smallest flip by twice this at least.
const TOLERANCE: f32 = 2e-4;

struct Golden {
    name: &'static str,
    source: Option<Padded>,
    target: Padded,
    tensors: Checkpoint,
}

impl Golden {
    fn open(name: &'static str) -> Self {
        let tensors = Checkpoint::open(format!("tests/golden/{name}/golden.safetensors")).expect("a golden");
        let batch = |ids: &str, mask: &str| {
            let (shape, ids) = tensors.get_i64(ids).expect("ids");
            let (_, mask) = tensors.get_i64(mask).expect("mask");
            Padded { batch: shape[0], len: shape[1], ids, mask, types: vec![] }
        };
        let first = batch("input_ids", "attention_mask");
        let (source, target) = match tensors.contains("decoder_input_ids") {
            true => (Some(first), batch("decoder_input_ids", "decoder_attention_mask")),
            false => (None, first),
        };
        Self { name, source, target, tensors }
    }

    fn blueprint(&self) -> Blueprint {
        Blueprint::open(format!("tests/golden/{}", self.name)).expect("a blueprint")
    }

    fn forward(&self, model: &Model, attentions: bool) -> wgformer::Result<Forced> {
        block_on(model.forward(self.source.as_ref(), &self.target, attentions))
    }

    /// The largest difference over real rows; an output that is not finite, missing or too much is infinitely far.
    fn distance(&self, got: &Forced) -> f32 {
        let mut worst = self.rows("last_hidden_state", &got.last_hidden_state, &self.target);
        worst = worst.max(got.logits.as_ref().map_or(f32::INFINITY, |got| self.rows("logits", got, &self.target)));
        let mut kinds = vec![("attentions", &got.decoder_attentions, &self.target)];
        if let (Some(source), Some(got_hidden)) = (&self.source, &got.encoder_last_hidden_state) {
            worst = worst.max(self.rows("encoder_last_hidden_state", got_hidden, source));
            kinds[0].0 = "decoder_attentions";
            kinds.push(("encoder_attentions", &got.encoder_attentions, source));
            kinds.push(("cross_attentions", &got.cross_attentions, &self.target));
        }
        for (kind, got, queries) in kinds {
            let layers = self.tensors.names().filter(|name| name.starts_with(&format!("{kind}."))).count();
            if layers != got.len() {
                return f32::INFINITY;
            }
            let layer = |(i, got): (usize, &Vec<f32>)| self.rows(&format!("{kind}.{i}"), got, queries);
            worst = got.iter().enumerate().map(layer).fold(worst, f32::max);
        }
        worst
    }

    /// Rows of `[batch, len, columns]`, or of `[batch, heads, len, columns]`; padded ones must be zeros.
    fn rows(&self, name: &str, got: &[f32], batch: &Padded) -> f32 {
        let want = self.tensors.get(name).expect(name);
        let columns = want.shape.last().copied().unwrap_or(1);
        let heads = if want.shape.len() == 4 { want.shape[1] } else { 1 };
        let want = want.to_f32();
        if want.len() != got.len() {
            return f32::INFINITY;
        }
        let mut worst = 0f32;
        for (row, (want, got)) in want.chunks(columns).zip(got.chunks(columns)).enumerate() {
            let counts = batch.mask[row / (heads * batch.len) * batch.len + row % batch.len] == 1;
            for (a, b) in want.iter().zip(got) {
                let apart = if counts { (a - b).abs() } else { b.abs() };
                worst = if apart.is_finite() { worst.max(apart) } else { f32::INFINITY };
            }
        }
        worst
    }
}

#[test]
fn logits_states_and_attentions_are_pytorchs() {
    let gpu = common::context();
    for name in DECODERS {
        let golden = Golden::open(name);
        for model in
            [block_on(Model::build(&gpu, golden.blueprint())).expect("a model"), Model::on_cpu(golden.blueprint())]
        {
            let got = golden.forward(&model, true).expect("forced");
            let apart = golden.distance(&got);
            println!("{name}, {}: {apart:e}", if model.gpu().is_some() { "GPU" } else { "CPU" });
            assert!(apart < TOLERANCE / 2.0, "{name}: off by {apart}");
            let untapped = golden.forward(&model, false).expect("forced");
            let bits = |forced: &Forced| common::bits(forced.logits.as_deref().unwrap_or_default());
            assert_eq!(bits(&untapped), bits(&got), "{name}: taps change bits");
            assert!(untapped.decoder_attentions.is_empty());
        }
    }
}

#[test]
fn a_sequence_does_not_depend_on_what_shares_its_batch() {
    let gpu = common::context();
    for name in ["m2m100", "llama3", "t5"] {
        let golden = Golden::open(name);
        let model = block_on(Model::build(&gpu, golden.blueprint())).expect("a model");
        let all = golden.forward(&model, false).expect("forced");
        let row = |batch: &Padded, row: usize| {
            let of = |list: &[i64]| list[row * batch.len..][..batch.len].to_vec();
            Padded { batch: 1, len: batch.len, ids: of(&batch.ids), mask: of(&batch.mask), types: vec![] }
        };
        let whole = common::bits(&all.logits.expect("logits"));
        for (i, whole) in whole.chunks(whole.len() / golden.target.batch).enumerate() {
            let source = golden.source.as_ref().map(|source| row(source, i));
            let alone = block_on(model.forward(source.as_ref(), &row(&golden.target, i), false)).expect("forced");
            assert_eq!(common::bits(&alone.logits.expect("logits")), whole, "{name}, row {i}");
        }
    }
}

/// What is misread, and how.
type Flip<T> = (&'static str, fn(&mut T));

/// Fields of a whole architecture, misread.
const FLIPS: [Flip<Arch>; 5] = [
    ("embedding scale", |a| a.embed.scale *= 1.1),
    ("head", |a| a.head = if a.head == Head::Tied { Head::Untied } else { Head::Tied }),
    ("head bias", |a| a.head_bias = !a.head_bias),
    ("head scale", |a| a.head_scale = if a.head_scale == 1.0 { 1.1 } else { 1.0 }),
    ("vocabulary", |a| a.vocab -= 1),
];

/// Fields of a stack, misread.
const STACK_FLIPS: [Flip<Stack>; 24] = [
    ("eps", |s| s.norm.eps = 10.0 * s.norm.eps + 0.01),
    ("rms", |s| s.norm.rms = !s.norm.rms),
    ("norm placement", |s| s.norm.before = !s.norm.before),
    ("scale", |s| s.scale *= 1.1),
    ("scale by layer", |s| s.scale_by_layer ^= s.layers > 1),
    ("activation", |s| {
        s.mlp.act = if s.mlp.act == Activation::Gelu { Activation::GeluTanh } else { Activation::Gelu };
    }),
    ("gate", |s| s.mlp.gated = !s.mlp.gated),
    ("layers", |s| s.layers -= 1),
    ("heads", |s| {
        let width = s.heads * s.head_dim;
        (s.heads, s.kv_heads, s.head_dim) = (1, 1, width);
    }),
    ("more heads", |s| (s.heads, s.kv_heads, s.head_dim) = (2 * s.heads, 2 * s.kv_heads, s.head_dim / 2)),
    ("key heads", |s| s.kv_heads = if s.kv_heads == s.heads { 1 } else { s.heads }),
    ("width", |s| s.width += 4),
    ("feed-forward width", |s| s.ffn -= 1),
    ("biases of q, k, v", |s| s.biases = Biases { qkv: !s.biases.qkv, ..s.biases }),
    ("bias after attention", |s| s.biases.out = !s.biases.out),
    ("biases of the feed-forward block", |s| s.biases.mlp = !s.biases.mlp),
    ("query and key norms", |s| s.qk_norm = !s.qk_norm),
    ("embedding norm", |s| s.embed_norm = !s.embed_norm),
    ("last norm", |s| s.final_norm = !s.final_norm),
    ("windows", |s| s.windows = if s.windows.iter().any(Option::is_some) { vec![] } else { vec![Some(2)] }),
    ("a wider window", |s| match &mut s.windows[..] {
        [] => s.windows = vec![Some(3)],
        windows => windows.iter_mut().for_each(|w| *w = w.map(|w| w + 1)),
    }),
    ("order of windows", |s| match s.windows.len() {
        0 | 1 => s.windows = vec![Some(1), None],
        _ => s.windows.reverse(),
    }),
    ("buckets", |s| s.buckets.iter_mut().for_each(|b| b.count -= 2)),
    ("bucket distance", |s| s.buckets.iter_mut().for_each(|b| b.distance += 5)),
];

/// Ways to misread the positions; those that change nothing here are of other families.
const POSITIONS: [Flip<Position>; 7] = [
    ("position offset", |p| match p {
        Position::Learned { max, offset, .. } => (*max, *offset) = (*max - 1, *offset + 1),
        Position::Sinusoid { offset, .. } => *offset += 1,
        _ => {}
    }),
    ("sinusoids", |p| {
        if let Position::Sinusoid { closed, .. } = p {
            *closed = !*closed;
        }
    }),
    ("padding", |p| {
        if let Position::Sinusoid { pads, .. } = p {
            *pads = if pads.is_none() { Some(9) } else { None };
        }
    }),
    ("theta", |p| {
        if let Position::Rope { theta, .. } = p {
            *theta *= 1.5;
        }
    }),
    ("rope scaling", |p| {
        if let Position::Rope { scaling, .. } = p {
            *scaling = if *scaling == RopeScaling::None { RopeScaling::Linear(1.5) } else { RopeScaling::None };
        }
    }),
    ("rope factor", |p| {
        if let Position::Rope { scaling: RopeScaling::Linear(factor) | RopeScaling::Llama3 { factor, .. }, .. } = p {
            *factor *= 1.5;
        }
    }),
    ("rope turns", |p| {
        if let Position::Rope { scaling: RopeScaling::Llama3 { low, high, .. }, .. } = p {
            (*low, *high) = (*low * 1.5, *high * 1.5);
        }
    }),
];

/// Every misreading that is one, of either stack.
fn misread(right: &Arch) -> Vec<(String, Arch)> {
    let mut all = Vec::new();
    for (what, flip) in FLIPS {
        let mut arch = right.clone();
        flip(&mut arch);
        all.push((what.to_owned(), arch));
    }
    type Side = (&'static str, fn(&mut Arch) -> Option<&mut Stack>);
    let sides: [Side; 2] = [("encoder", |a| a.encoder.as_mut()), ("decoder", |a| a.decoder.as_mut())];
    for (side, stack) in sides {
        for (what, flip) in STACK_FLIPS {
            let mut arch = right.clone();
            stack(&mut arch).into_iter().for_each(flip);
            all.push((format!("{side}: {what}"), arch));
        }
        for (what, flip) in POSITIONS {
            let mut arch = right.clone();
            stack(&mut arch).into_iter().for_each(|s| flip(&mut s.position));
            all.push((format!("{side}: {what}"), arch));
        }
    }
    all.retain(|(_, arch)| arch != right);
    all
}

#[test]
fn every_misread_field_shows() {
    for name in DECODERS {
        let golden = Golden::open(name);
        // mBART's head is stored once more, so whether it is tied makes no difference there.
        let differs = |what: &str| name != "mbart" || what != "head";
        for (what, arch) in misread(golden.blueprint().arch()).into_iter().filter(|(what, _)| differs(what)) {
            let model = Model::on_cpu(golden.blueprint().with_arch(arch).expect("a blueprint"));
            // A tensor that no longer fits is as good as a wrong number.
            let Ok(got) = golden.forward(&model, true) else { continue };
            let apart = golden.distance(&got);
            assert!(apart > 2.0 * TOLERANCE, "{name}: {what} misread moves it by {apart} only");
        }
    }
}

/// A golden's folder from bytes, one tensor changed first.
fn changed(name: &str, tensor: &str, change: impl Fn(&mut Vec<f32>)) -> wgformer::Result<Blueprint> {
    let dir = format!("tests/golden/{name}");
    let checkpoint = Checkpoint::open(&dir).expect("a checkpoint");
    let read = |name: &str| {
        let stored = checkpoint.get(name).expect(name);
        let mut values = stored.to_f32();
        if name == tensor {
            change(&mut values);
        }
        (name.to_owned(), stored.shape, values)
    };
    let tensors: Vec<_> = checkpoint.names().map(read).collect();
    let list: Vec<_> = tensors.iter().map(|(n, s, v)| (n.as_str(), s.as_slice(), Values::F32(v))).collect();
    let config = std::fs::read_to_string(format!("{dir}/config.json")).expect("a config");
    Blueprint::from_files(Files {
        texts: [("config.json".to_owned(), config)].into(),
        weights: vec![("model.safetensors".into(), write_safetensors(&list).expect("bytes"))],
        tokenizer: None,
        ..Files::default()
    })
}

#[test]
fn copies_are_the_same_or_refused() {
    let copy = "model.encoder.embed_tokens.weight";
    assert!(changed("mbart", copy, |_| {}).is_ok());
    let error = changed("mbart", copy, |values| values[5] += 1.0).expect_err("a differing copy");
    assert!(error.to_string().contains(copy) && error.to_string().contains("model.shared.weight"), "{error}");
    // A head that differs is a head of its own, whatever config.json says of ties.
    let blueprint = changed("mbart", "lm_head.weight", |values| values.iter_mut().for_each(|v| *v = -*v));
    let blueprint = blueprint.expect("a blueprint");
    assert_eq!(blueprint.arch().head, Head::Untied);
    let golden = Golden::open("mbart");
    let got = golden.forward(&Model::on_cpu(blueprint), true).expect("forced");
    assert!(golden.distance(&got) > 0.1);
}

/// The first row (which is not padded) through the cache: some tokens at once, then one by one.
fn cached(gpu: &Context, golden: &Golden) -> Vec<f32> {
    let model = block_on(Model::build(gpu, golden.blueprint())).expect("a model");
    let arch = model.blueprint().arch();
    let (len, memory) = (golden.target.len, golden.source.as_ref().map_or(0, |source| source.len));
    let capacity = Capacity { tokens: len.max(memory), sequences: 1, memory, keys: len };
    let plans = arch.roles().iter().map(|&role| model.plan(role, Outputs::default(), capacity).expect("a plan"));
    let mut session = block_on(model.session(plans.collect::<Vec<_>>())).expect("a session");
    let ids = |batch: &Padded| batch.ids[..batch.len].iter().map(|&id| id as u32).collect::<Vec<_>>();
    let positions = |stack: &Option<Stack>, batch: &Padded| {
        stack.as_ref().expect("a stack").position.of_row(0, &batch.ids[..batch.len])
    };
    let mut steps = Vec::new();
    if let Some(source) = &golden.source {
        let mut step = Step::default();
        step.push(&positions(&arch.encoder, source));
        steps.push((Role::Full, step.with_ids(ids(source))));
    }
    let (ids, positions) = (ids(&golden.target), positions(&arch.decoder, &golden.target));
    let slots: Vec<u32> = (0..len as u32).collect();
    for (first, end) in std::iter::once((0, 4)).chain((4..len).map(|at| (at, at + 1))) {
        let mut step = Step::default();
        step.push_cached(end - first, &slots[..end]);
        step.positions = positions[first..end].to_vec();
        let role = if first == 0 { Role::Prefill } else { Role::Decode };
        steps.push((role, step.with_ids(ids[first..end].to_vec()).with_memory(&[memory])));
    }
    let mut logits = Vec::new();
    for (role, step) in steps {
        let mut encoder = gpu.device().create_command_encoder(&Default::default());
        session.record(&mut encoder, role, &step).expect("recorded");
        let buffer = session.buffer("logits").expect("logits");
        let later = gpu.read_later(&mut encoder, buffer, 0, 4 * arch.vocab as u64);
        gpu.queue().submit([encoder.finish()]);
        let row = block_on(later.floats(gpu)).expect("logits");
        logits.extend(if role == Role::Full { vec![] } else { row });
    }
    logits
}

#[test]
fn the_cache_gives_the_same_logits() {
    let gpu = common::context();
    for name in DECODERS {
        let golden = Golden::open(name);
        let want = golden.tensors.get("logits").expect("logits").to_f32();
        let columns = want.len() / golden.target.batch / golden.target.len;
        let want = &want[3 * columns..golden.target.len * columns];
        let got = cached(&gpu, &golden);
        assert_eq!(got.len(), want.len());
        let apart = want.iter().zip(&got).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        println!("{name}: {apart:e}");
        assert!(apart < TOLERANCE && got.iter().all(|x| x.is_finite()), "{name}: off by {apart}");
    }
}
