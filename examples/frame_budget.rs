//! A render loop that lets an encoder have 2 ms of each frame until it is done.
//!
//! Each frame draws, then records as many dispatches of one replay as its budget holds, by what the ops took before
//! (`Session::profile`), corrected by what the last frames really took. The answer is the same bits as in one go. A dispatch
//! cannot be split: where a single one takes longer than the budget, as it may on the CPU, it has a frame for itself, and that
//! frame is counted.
//!
//! `cargo run --release --example frame_budget -- [WIDTH]`: a model so wide, else 128.

use wgformer::model::forward::Outputs;
use wgformer::model::{Blueprint, Files, Model};
use wgformer::weights::{Values, write_safetensors};
use wgformer::{Capacity, Context, Role, Session, Step};

const BUDGET_MS: f64 = 2.0;
const LAYERS: usize = 12;
const TOKENS: usize = 64;
const VOCAB: usize = 1000;

type Failure = Box<dyn std::error::Error>;

/// A BERT of random weights: its `config.json`, and a checkpoint with a BERT's names.
fn files(width: usize) -> Result<Files, Failure> {
    let config = format!(
        r#"{{"model_type": "bert", "vocab_size": {VOCAB}, "hidden_size": {width}, "num_hidden_layers": {LAYERS},
            "num_attention_heads": 4, "intermediate_size": {}, "max_position_embeddings": {TOKENS}, "hidden_act": "gelu"}}"#,
        4 * width
    );
    let mut shapes = vec![
        ("embeddings.word_embeddings.weight".to_owned(), vec![VOCAB, width]),
        ("embeddings.position_embeddings.weight".into(), vec![TOKENS, width]),
        ("embeddings.token_type_embeddings.weight".into(), vec![2, width]),
    ];
    let mut module = |name: String, shape: &[usize]| {
        shapes.push((format!("{name}.weight"), shape.to_vec()));
        shapes.push((format!("{name}.bias"), vec![shape[0]]));
    };
    module("embeddings.LayerNorm".into(), &[width]);
    for layer in (0..LAYERS).map(|i| format!("encoder.layer.{i}")) {
        for part in ["attention.self.query", "attention.self.key", "attention.self.value", "attention.output.dense"] {
            module(format!("{layer}.{part}"), &[width, width]);
        }
        module(format!("{layer}.attention.output.LayerNorm"), &[width]);
        module(format!("{layer}.intermediate.dense"), &[4 * width, width]);
        module(format!("{layer}.output.dense"), &[width, 4 * width]);
        module(format!("{layer}.output.LayerNorm"), &[width]);
    }
    let mut seed = 1_u64;
    let mut random = || {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 40) as f32 / (1 << 24) as f32 - 0.5
    };
    let values: Vec<Vec<f32>> =
        shapes.iter().map(|(_, shape)| (0..shape.iter().product()).map(|_| random()).collect()).collect();
    let tensors: Vec<_> = shapes
        .iter()
        .zip(&values)
        .map(|((name, shape), values)| (name.as_str(), shape.as_slice(), Values::F32(values)))
        .collect();
    let weights = vec![("model.safetensors".into(), write_safetensors(&tensors)?)];
    Ok(Files { texts: [("config.json".to_owned(), config)].into(), weights, ..Files::default() })
}

/// What a frame needs, made once.
struct Frames<'a> {
    gpu: &'a Context,
    picture: wgpu::TextureView,
    queries: wgpu::QuerySet,
    stamps: wgpu::Buffer,
}

impl<'a> Frames<'a> {
    fn new(gpu: &'a Context) -> Result<Self, Failure> {
        if !gpu.caps().features.contains(wgpu::Features::TIMESTAMP_QUERY_INSIDE_ENCODERS) {
            return Err(
                "this adapter has no timestamps (TIMESTAMP_QUERY_INSIDE_ENCODERS) to measure frames with".into()
            );
        }
        let device = gpu.device();
        let picture = device.create_texture(&wgpu::TextureDescriptor {
            label: Some("picture"),
            size: wgpu::Extent3d { width: 256, height: 256, depth_or_array_layers: 1 },
            mip_level_count: 1,
            sample_count: 1,
            dimension: wgpu::TextureDimension::D2,
            format: wgpu::TextureFormat::Rgba8Unorm,
            usage: wgpu::TextureUsages::RENDER_ATTACHMENT,
            view_formats: &[],
        });
        let ty = wgpu::QueryType::Timestamp;
        let queries = device.create_query_set(&wgpu::QuerySetDescriptor { label: Some("share"), ty, count: 2 });
        let usage = wgpu::BufferUsages::QUERY_RESOLVE | wgpu::BufferUsages::COPY_SRC;
        let descriptor = wgpu::BufferDescriptor { label: Some("share"), size: 16, usage, mapped_at_creation: false };
        let stamps = device.create_buffer(&descriptor);
        Ok(Self { gpu, picture: picture.create_view(&Default::default()), queries, stamps })
    }

    /// One frame: the picture, then what `record` records. Milliseconds of the GPU's that this took.
    ///
    /// Timestamps have submissions of their own, since Mesa's software driver puts them off within one, past the dispatches
    /// that follow.
    async fn frame(
        &self,
        number: usize,
        record: impl FnOnce(&mut wgpu::CommandEncoder) -> wgformer::Result<()>,
    ) -> Result<f64, Failure> {
        let (gpu, queue) = (self.gpu, self.gpu.queue());
        let encoder = || gpu.device().create_command_encoder(&Default::default());
        let [mut before, mut share, mut after] = [encoder(), encoder(), encoder()];
        self.draw(&mut before, number);
        before.write_timestamp(&self.queries, 0);
        record(&mut share)?;
        after.write_timestamp(&self.queries, 1);
        after.resolve_query_set(&self.queries, 0..2, &self.stamps, 0);
        let later = gpu.read_later(&mut after, &self.stamps, 0, 16);
        for part in [before, share, after] {
            queue.submit([part.finish()]);
        }
        let ticks: Vec<u64> = bytemuck::pod_collect_to_vec(&later.bytes(gpu).await?);
        Ok(ticks[1].saturating_sub(ticks[0]) as f64 * f64::from(queue.get_timestamp_period()) * 1e-6)
    }

    /// What a frame takes that leaves the encoder nothing.
    async fn idle(&self) -> Result<f64, Failure> {
        let mut times = [0.0; 5];
        for (number, time) in times.iter_mut().enumerate() {
            *time = self.frame(number, |_| Ok(())).await?;
        }
        times.sort_by(f64::total_cmp);
        Ok(times[2])
    }

    /// A colour that changes.
    fn draw(&self, encoder: &mut wgpu::CommandEncoder, number: usize) {
        let clear = wgpu::Color { r: (number % 60) as f64 / 60.0, g: 0.2, b: 0.4, a: 1.0 };
        let ops = wgpu::Operations { load: wgpu::LoadOp::Clear(clear), store: wgpu::StoreOp::Store };
        let view = &self.picture;
        let attachment = wgpu::RenderPassColorAttachment { view, depth_slice: None, resolve_target: None, ops };
        encoder.begin_render_pass(&wgpu::RenderPassDescriptor {
            label: Some("picture"),
            color_attachments: &[Some(attachment)],
            ..Default::default()
        });
    }
}

/// How many of the next dispatches fit into so many milliseconds, and what they should take: one at least.
fn fit(times: &[f64], slower: f64, room: f64) -> (usize, f64) {
    let (mut count, mut expected) = (1, times[0]);
    while times.get(count).is_some_and(|next| (expected + next) * slower < room) {
        expected += times[count];
        count += 1;
    }
    (count, expected)
}

async fn hidden(gpu: &Context, session: &Session, mut encoder: wgpu::CommandEncoder) -> Result<Vec<u8>, Failure> {
    let buffer = session.buffer("hidden").ok_or("no hidden rows")?;
    let later = gpu.read_later(&mut encoder, buffer, 0, buffer.size());
    gpu.queue().submit([encoder.finish()]);
    Ok(later.bytes(gpu).await?)
}

async fn run(gpu: &Context, width: usize) -> Result<(), Failure> {
    let model = Model::build(gpu, Blueprint::from_files(files(width)?)?).await?;
    let outputs = Outputs { hidden: true, ..Outputs::default() };
    let plan = model.plan(Role::Full, outputs, Capacity::packed(TOKENS, 1))?;
    let mut session = model.session([plan]).await?;
    let step = Step::packed(&[TOKENS]).with_ids((0..TOKENS as u32).map(|i| i * 37 % VOCAB as u32).collect());
    let encoder = || gpu.device().create_command_encoder(&Default::default());

    // In one go: the answer, and everything is compiled.
    let mut whole = encoder();
    session.record(&mut whole, Role::Full, &step)?;
    let want = hidden(gpu, &session, whole).await?;
    let times: Vec<f64> = session.profile(Role::Full, &step, 5).await?.iter().map(|op| op.ms).collect();
    // What is left of it must not be taken for the answer.
    let mut first = encoder();
    first.clear_buffer(session.buffer("hidden").ok_or("no hidden rows")?, 0, None);
    let frames = Frames::new(gpu)?;
    let idle = frames.idle().await?;
    let mut cursor = session.begin(&mut first, Role::Full, &step)?;
    gpu.queue().submit([first.finish()]);

    let (mut shares, mut lonely, mut slower) = (Vec::new(), 0, 1.0_f64);
    while cursor.remaining() > 0 {
        // Much is left free, since no two frames are the same.
        let (count, expected) = fit(&times[times.len() - cursor.remaining()..], slower, 0.6 * BUDGET_MS - idle);
        let share = frames.frame(shares.len(), |encoder| cursor.record(encoder, count)).await?;
        // What took longer is believed at once, what took less only slowly.
        slower = ((share - idle) / expected.max(0.01)).min(4.0).max(0.8 * slower);
        lonely += usize::from(share > BUDGET_MS && count == 1);
        shares.push(share);
    }
    let got = hidden(gpu, &session, encoder()).await?;
    report(&times, &shares, lonely);
    match got == want {
        true => println!("the answer is the same bits as in one go"),
        false => return Err("the answer is not that of one go".into()),
    }
    Ok(())
}

fn report(times: &[f64], shares: &[f64], lonely: usize) {
    let most = |list: &[f64]| list.iter().copied().fold(0.0, f64::max);
    let (ops, longest, all) = (times.len(), most(times), times.iter().sum::<f64>());
    println!("{LAYERS} layers, {TOKENS} tokens: {ops} dispatches, {all:.1} ms in all, the longest {longest:.2} ms");
    let average = shares.iter().sum::<f64>() / shares.len() as f64;
    println!(
        "{} frames, each with {BUDGET_MS} ms for it: by timestamps the worst share is {:.2} ms, the average {average:.2} ms",
        shares.len(),
        most(shares)
    );
    match shares.iter().filter(|&&share| share > BUDGET_MS).count() {
        0 => println!("no frame went over"),
        over => println!("{over} frames went over, {lonely} of them with a single dispatch, which cannot be split"),
    }
}

fn main() -> Result<(), Failure> {
    let width = std::env::args().nth(1).map_or(Ok(128), |width| width.parse())?;
    let instance = wgpu::Instance::default();
    let adapter = pollster::block_on(instance.request_adapter(&wgpu::RequestAdapterOptions::default()))?;
    let (required_features, required_limits) = wgformer::wanted(&adapter);
    let descriptor = wgpu::DeviceDescriptor { required_features, required_limits, ..Default::default() };
    let (device, queue) = pollster::block_on(adapter.request_device(&descriptor))?;
    let gpu = Context::new(&device, &queue)?;
    println!("on {}, {width} wide", adapter.get_info().name);
    pollster::block_on(run(&gpu, width))
}
