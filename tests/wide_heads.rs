//! Logits of one sequence that no binding holds: they come in parts, the same bits as at once.

mod common;

use common::{bits, block_on};
use wgformer::model::forward::{Outputs, Sizes};
use wgformer::model::{Blueprint, Files, Model, Padded, Sequence};
use wgformer::weights::{Checkpoint, Values, write_safetensors};
use wgformer::{Capacity, Context, Error, Plan, Role};

const VOCAB: usize = 4000;
/// Three rows of logits and the one that a part may begin with; all other tensors fit.
const BINDING: u64 = 64 << 10;
const LEN: usize = 16;

/// A golden's model with more words.
fn blueprint(name: &str) -> Blueprint {
    let dir = format!("tests/golden/{name}");
    let checkpoint = Checkpoint::open(&dir).expect("a checkpoint");
    let widen = |name: &str| {
        let mut stored = checkpoint.get(name).expect(name);
        let mut values = stored.to_f32();
        if let Some(words) = stored.shape.iter_mut().find(|size| **size == 53) {
            *words = VOCAB;
            let more = values.len() / 53 * VOCAB;
            values = (0..more).map(|i| values[i % values.len()] * (1.5 - i as f32 / more as f32)).collect();
        }
        (name.to_owned(), stored.shape, values)
    };
    // But for GPT-2's masks, which are bytes.
    let names = checkpoint.names().filter(|name| !name.ends_with(".attn.bias"));
    let tensors: Vec<_> = names.map(widen).collect();
    let list: Vec<_> = tensors.iter().map(|(n, s, v)| (n.as_str(), s.as_slice(), Values::F32(v))).collect();
    let config = std::fs::read_to_string(format!("{dir}/config.json")).expect("a config");
    let config = config.replace("\"vocab_size\": 53", &format!("\"vocab_size\": {VOCAB}"));
    let weights = vec![("model.safetensors".into(), write_safetensors(&list).expect("bytes"))];
    Blueprint::from_files(Files { texts: [("config.json".to_owned(), config)].into(), weights, ..Files::default() })
        .expect(name)
}

fn small_bindings() -> Context {
    let adapter = common::adapter();
    let (required_features, mut required_limits) = wgformer::wanted(&adapter);
    required_limits.max_storage_buffer_binding_size = BINDING;
    let descriptor = wgpu::DeviceDescriptor { required_features, required_limits, ..Default::default() };
    let (device, queue) = block_on(adapter.request_device(&descriptor)).expect("a device");
    Context::new(&device, &queue).expect("a context")
}

/// The model on small bindings, on large ones, and on the CPU.
fn models(name: &str) -> [Model; 3] {
    let on = |gpu: &Context| block_on(Model::build(gpu, blueprint(name))).expect(name);
    [on(&small_bindings()), on(&common::context()), Model::on_cpu(blueprint(name))]
}

/// Two rows, one with padding on the left and a hole.
fn batch(seed: u64) -> Padded {
    let mut random = common::Random(seed);
    let mut mask = vec![1; 2 * LEN];
    [0, 1, 5].into_iter().for_each(|column| mask[LEN + column] = 0);
    let ids = (0..2 * LEN).map(|_| 5 + random.below(VOCAB - 5) as i64).collect();
    Padded { batch: 2, len: LEN, ids, mask, types: vec![] }
}

/// The same bits on both devices, the CPU's numbers, and nothing at padded rows.
fn same(name: &str, [small, large, cpu]: [&[f32]; 3], width: usize) {
    assert_eq!(small.len(), 2 * LEN * width, "{name}");
    assert_eq!(bits(small), bits(large), "{name}: parts change bits");
    let apart = small.iter().zip(cpu).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    println!("{name}: {apart:e}");
    assert!(small.len() == cpu.len() && apart < 1e-4 && small.iter().all(|x| x.is_finite()), "{name}: off by {apart}");
    for (row, values) in small.chunks(width).enumerate() {
        let padded = [LEN, LEN + 1, LEN + 5].contains(&row);
        assert_eq!(values.iter().all(|&x| x == 0.0), padded, "{name}, row {row}");
    }
}

#[test]
fn words_of_an_encoder_come_in_parts() {
    for name in ["roberta-words", "modernbert-words"] {
        let models = models(name);
        let capacity = Capacity::packed(LEN, 1);
        let graph = models[0].blueprint().graph(Role::Full, Outputs::of_heads(), Sizes::default());
        let caps = models[0].gpu().expect("a GPU").caps();
        assert!(matches!(Plan::compile(caps, &graph, Role::Full, capacity), Err(Error::Limit { .. })));

        let all = models.each_ref().map(|model| block_on(model.encode(&batch(1), false)).expect(name));
        let logits = all.each_ref().map(|encoded| encoded.logits.as_deref().expect("logits"));
        same(name, logits, VOCAB);
        let width = all[0].last_hidden_state.len() / 2 / LEN;
        same(name, all.each_ref().map(|encoded| encoded.last_hidden_state.as_slice()), width);

        let ids: Vec<u32> = batch(1).ids[..LEN].iter().map(|&id| id as u32).collect();
        let alone = block_on(models[0].logits(&[Sequence { ids, types: vec![] }])).expect(name);
        assert_eq!(bits(&alone[0]), bits(&logits[0][..LEN * VOCAB]), "{name}");
    }
}

#[test]
fn logits_of_decoders_come_in_parts() {
    for name in ["gpt2", "llama3", "bart", "t5"] {
        let models = models(name);
        let source = models[0].blueprint().arch().encoder.is_some().then(|| batch(2));
        let forward = |model: &Model| block_on(model.forward(source.as_ref(), &batch(1), false)).expect(name);
        let all = models.each_ref().map(forward);
        same(name, all.each_ref().map(|forced| forced.logits.as_deref().expect("logits")), VOCAB);
        let width = all[0].last_hidden_state.len() / 2 / LEN;
        same(name, all.each_ref().map(|forced| forced.last_hidden_state.as_slice()), width);
    }
}

/// What a layer attends to comes whole.
#[test]
fn attention_weights_beyond_a_binding_say_what_to_do() {
    let [small, large, _] = models("t5");
    let long = Padded { batch: 1, len: 100, ids: vec![7; 100], ..Padded::default() };
    let short = Padded { batch: 1, len: 2, ids: vec![7; 2], ..Padded::default() };
    let forward = |model: &Model, attentions| block_on(model.forward(Some(&long), &short, attentions));
    assert!(forward(&small, false).is_ok() && forward(&large, true).is_ok());
    let error = forward(&small, true).expect_err("3 heads of 100 x 100");
    assert!(matches!(error, Error::Limit { have: BINDING, .. }), "{error}");
    assert!(error.to_string().contains("shorter sequences"), "{error}");
}
