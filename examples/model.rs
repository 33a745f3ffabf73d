//! Level 3: a model from a Hugging Face folder.
//!
//! `cargo run --release --example model -- DIR` embeds a few lists of token ids and prints their cosines.

use wgformer::model::Model;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let dir = std::env::args().nth(1).unwrap_or_else(|| "tests/golden/bert-tiny".into());
    let (device, queue) = pollster::block_on(open())?;
    let gpu = wgformer::Context::new(&device, &queue)?;
    let model = pollster::block_on(Model::load(&gpu, dir))?;
    let texts = [vec![101, 2008, 2003, 1037, 3407, 2711, 102], vec![101, 2008, 2003, 1037, 3407, 3899, 102]];
    let texts = texts.map(|ids| ids.into_iter().map(|id: u32| id % model.blueprint().arch().vocab as u32).collect());
    let vectors = pollster::block_on(model.embed_ids(&texts))?;
    println!("{} dimensions, the first begins {:.6?}", vectors[0].len(), &vectors[0][..5]);
    let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(x, y)| x * y).sum::<f32>();
    let length = |a: &[f32]| dot(a, a).sqrt();
    println!("cosine {:.5}", dot(&vectors[0], &vectors[1]) / length(&vectors[0]) / length(&vectors[1]));
    Ok(())
}

async fn open() -> Result<(wgpu::Device, wgpu::Queue), Box<dyn std::error::Error>> {
    let instance = wgpu::Instance::default();
    let adapter = instance.request_adapter(&wgpu::RequestAdapterOptions::default()).await?;
    let (required_features, required_limits) = wgformer::wanted(&adapter);
    let descriptor = wgpu::DeviceDescriptor { required_features, required_limits, ..Default::default() };
    Ok(adapter.request_device(&descriptor).await?)
}
