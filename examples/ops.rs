//! Level 1: single ops over the caller's own buffers, recorded into the caller's own encoder.
//!
//! y = gelu(x . W^T + bias), then softmax over its rows; nothing is submitted until the caller submits.

use wgformer::kernel::{Matmul, Softmax};
use wgformer::model::arch::Activation;
use wgformer::{Context, Slice};
use wgpu::util::DeviceExt;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let instance = wgpu::Instance::default();
    let adapter = pollster::block_on(instance.request_adapter(&wgpu::RequestAdapterOptions::default()))?;
    let (device, queue) = pollster::block_on(adapter.request_device(&wgpu::DeviceDescriptor::default()))?;
    let gpu = Context::new(&device, &queue)?;

    let buffer = |values: &[f32]| {
        let usage = wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_SRC;
        device.create_buffer_init(&wgpu::util::BufferInitDescriptor {
            label: None,
            contents: bytemuck::cast_slice(values),
            usage,
        })
    };
    let x = buffer(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]); // [2, 3]
    let w = buffer(&[1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0, 1.0, 1.0, 1.0]); // [4, 3]
    let bias = buffer(&[0.5, 0.5, 0.5, -9.0]);
    let (y, p) = (buffer(&[0.0; 8]), buffer(&[0.0; 8]));

    let (x, w, bias) = (Slice::new(&x, 2, 3), Slice::new(&w, 4, 3), Slice::new(&bias, 1, 4));
    let (y_slice, p_slice) = (Slice::new(&y, 2, 4), Slice::new(&p, 2, 4));
    let mut encoder = device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
    gpu.record(&mut encoder, &Matmul { bias: Some(bias), act: Activation::Gelu, ..Matmul::new(x, w, y_slice) })?;
    gpu.record(&mut encoder, &Softmax::new(y_slice, p_slice))?;
    let (y, p) = (gpu.read_later(&mut encoder, &y, 0, 32), gpu.read_later(&mut encoder, &p, 0, 32));
    queue.submit([encoder.finish()]);

    println!("gelu(x W^T + bias) {:.4?}", pollster::block_on(y.floats(&gpu))?);
    println!("softmax of its rows {:.4?}", pollster::block_on(p.floats(&gpu))?);
    Ok(())
}
