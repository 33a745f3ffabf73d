//! Attention step by step: make a query of each word, compare it with every word, turn the similarities into weights that
//! sum to 1, and take the weighted sum of the words. Then the same in one fused call.
//!
//! The comparison is once the dot product (Vaswani et al. 2017) and once the cosine. Every step is an op of its own, recorded
//! into one encoder over the caller's buffers, and is printed.

use wgformer::kernel::{Attention, Layout, Matmul, Norm, Similarity, Softmax};
use wgformer::{Context, Slice};
use wgpu::util::DeviceExt;

const WORDS: [&str; 6] = ["the", "cat", "slept", "because", "it", "purred"];
const N: usize = WORDS.len();
const D: usize = 4;
/// A vector for each word, in four directions that mean: thing, doing, animal, grammar.
const VECTORS: [f32; N * D] = [
    0.1, 0.0, 0.0, 1.0, // the
    1.2, 0.1, 1.6, 0.0, // cat
    0.1, 1.4, 0.5, 0.0, // slept
    0.0, 0.3, 0.0, 1.2, // because
    0.9, 0.0, 0.3, 0.8, // it
    0.0, 1.3, 0.9, 0.1, // purred
];
/// What a word asks for, `[D, D]`: a thing asks for animals, a doing for things, an animal for doings, grammar for itself.
const QUERY: [f32; D * D] = [
    0.0, 2.0, 0.0, 0.0, // thing, asked for by doing
    0.0, 0.0, 1.5, 0.0, // doing, asked for by animal
    2.5, 0.0, 0.0, 0.0, // animal, asked for by thing
    0.0, 0.0, 0.0, 0.8, // grammar, asked for by grammar
];

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let instance = wgpu::Instance::default();
    let adapter = pollster::block_on(instance.request_adapter(&wgpu::RequestAdapterOptions::default()))?;
    let (device, queue) = pollster::block_on(adapter.request_device(&wgpu::DeviceDescriptor::default()))?;
    let gpu = Context::new(&device, &queue)?;
    let vectors = buffer(&gpu, &VECTORS);
    let matrix = buffer(&gpu, &QUERY);
    let (x, w) = (Slice::new(&vectors, N, D), Slice::new(&matrix, D, D));

    let queries = buffer(&gpu, &[0.0; N * D]);
    let q = Slice::new(&queries, N, D);
    let mut encoder = device.create_command_encoder(&Default::default());
    gpu.record(&mut encoder, &Matmul::new(x, w, q))?;
    queue.submit([encoder.finish()]);
    print("query = vector . W", &["thing", "doing", "animal", "grammar"], &read(&gpu, &queries)?);

    // A cosine is at most 1, so it is multiplied to tell words apart; a dot product is divided as it grows with D.
    for (similarity, scale) in [(Similarity::Dot, 1.0 / (D as f32).sqrt()), (Similarity::Cosine, 6.0)] {
        let stepwise = step_by_step(&gpu, q, x, similarity, scale)?;
        let fused = fused(&gpu, q, x, similarity, scale)?;
        let apart = stepwise.iter().zip(&fused).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        println!("{similarity:?}: one fused call gives the same context vectors, {apart:e} apart at most\n");
        // The two add in different orders.
        assert!(apart < 1e-5, "step by step and fused disagree");
    }
    Ok(())
}

/// The context vectors, by one op for each step.
fn step_by_step(gpu: &Context, q: Slice, x: Slice, similarity: Similarity, scale: f32) -> wgformer::Result<Vec<f32>> {
    let [q_unit, k_unit] = [(); 2].map(|()| buffer(gpu, &[0.0; N * D]));
    let [scores, weights] = [(); 2].map(|()| buffer(gpu, &[0.0; N * N]));
    let context = buffer(gpu, &[0.0; N * D]);
    let (s, p, y) = (Slice::new(&scores, N, N), Slice::new(&weights, N, N), Slice::new(&context, N, D));
    let mut encoder = gpu.device().create_command_encoder(&Default::default());
    let (q, k, scale) = match similarity {
        Similarity::Dot => (q, x, scale),
        Similarity::Cosine => {
            // RMS norm makes every length sqrt(D), so a product of two is D times their cosine.
            let (q_unit, k_unit) = (Slice::new(&q_unit, N, D), Slice::new(&k_unit, N, D));
            gpu.record(&mut encoder, &Norm { rms: true, ..Norm::new(q, q_unit, 0.0) })?;
            gpu.record(&mut encoder, &Norm { rms: true, ..Norm::new(x, k_unit, 0.0) })?;
            (q_unit, k_unit, scale / D as f32)
        }
    };
    // similarity[i, j] = query i . word j
    gpu.record(&mut encoder, &Matmul::new(q, k, s))?;
    // weight[i, ..] = softmax(scale similarity[i, ..])
    gpu.record(&mut encoder, &Softmax { scale, ..Softmax::new(s, p) })?;
    // context i = sum over j of weight[i, j] word j
    gpu.record(&mut encoder, &Matmul { layout: Layout::Kn, ..Matmul::new(p, x, y) })?;
    gpu.queue().submit([encoder.finish()]);

    let (scores, weights) = (read(gpu, &scores)?, read(gpu, &weights)?);
    let scores: Vec<f32> = scores.iter().map(|score| score * scale).collect();
    print(&format!("{similarity:?}: similarity of the query (row) with each word, scaled"), &WORDS, &scores);
    print("weights = softmax(similarity); each row sums to 1", &WORDS, &weights);
    let context = read(gpu, &context)?;
    print("context = weighted sum of the words", &["thing", "doing", "animal", "grammar"], &context);
    for (word, row) in WORDS.iter().zip(weights.chunks(N)) {
        assert!((row.iter().sum::<f32>() - 1.0).abs() < 1e-5, "the weights of {word} do not sum to 1");
    }
    Ok(context)
}

/// The same in one call: no matrix of scores is ever stored.
fn fused(gpu: &Context, q: Slice, x: Slice, similarity: Similarity, scale: f32) -> wgformer::Result<Vec<f32>> {
    let context = buffer(gpu, &[0.0; N * D]);
    let mut encoder = gpu.device().create_command_encoder(&Default::default());
    let op = Attention { similarity, scale, ..Attention::new(q, x, x, Slice::new(&context, N, D), 1, D) };
    gpu.record(&mut encoder, &op)?;
    gpu.queue().submit([encoder.finish()]);
    read(gpu, &context)
}

fn buffer(gpu: &Context, values: &[f32]) -> wgpu::Buffer {
    let usage = wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_SRC;
    let contents = bytemuck::cast_slice(values);
    gpu.device().create_buffer_init(&wgpu::util::BufferInitDescriptor { label: None, contents, usage })
}

fn read(gpu: &Context, buffer: &wgpu::Buffer) -> wgformer::Result<Vec<f32>> {
    let mut encoder = gpu.device().create_command_encoder(&Default::default());
    let later = gpu.read_later(&mut encoder, buffer, 0, buffer.size());
    gpu.queue().submit([encoder.finish()]);
    pollster::block_on(later.floats(gpu))
}

/// A row for each word.
fn print(what: &str, columns: &[&str], values: &[f32]) {
    println!("{what}\n{:8}{}", "", columns.iter().map(|name| format!("{name:>8}")).collect::<String>());
    for (word, row) in WORDS.iter().zip(values.chunks(columns.len())) {
        println!("{word:8}{}", row.iter().map(|v| format!("{v:8.3}")).collect::<String>());
    }
    println!();
}
