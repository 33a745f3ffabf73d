//! A library that behaves like a wgpu library: the caller's device, the caller's encoder, one submission.
//!
//! A renderer draws into a texture and a sentence encoder computes its vector in the same command encoder. The ids come
//! from a buffer of the caller's, and the vector stays in one: nothing is read back but what this example checks.

use wgformer::model::{Blueprint, Model};
use wgformer::{Capacity, Context, Role, Step};

const SIZE: u32 = 64;
const IDS: [u32; 7] = [2, 57, 13, 99, 41, 8, 3];

/// What one frame leaves behind: the picture's bytes and the sentence's vector.
pub struct Frame {
    pub pixels: Vec<u8>,
    pub vector: Vec<f32>,
    pub width: usize,
}

/// Draws and encodes in one submission on a device that the caller made.
pub async fn frame(device: &wgpu::Device, queue: &wgpu::Queue, dir: &str) -> Result<Frame, Box<dyn std::error::Error>> {
    // Once: the model, a session for up to 32 tokens, and the caller's own buffers.
    let gpu = Context::new(device, queue)?;
    let model = Model::build(&gpu, Blueprint::open(dir)?).await?;
    let plan = model.plan(Role::Full, model.blueprint().embedding(), Capacity::packed(32, 1))?;
    let mut session = model.session([plan]).await?;
    let width = model.blueprint().arch().encoder.as_ref().map_or(0, |stack| stack.width);
    let usage = wgpu::BufferUsages::COPY_SRC | wgpu::BufferUsages::COPY_DST;
    let buffer =
        |size| device.create_buffer(&wgpu::BufferDescriptor { label: None, size, usage, mapped_at_creation: false });
    let (ids, vector) = (buffer(4 * IDS.len() as u64), buffer(4 * width as u64));
    queue.write_buffer(&ids, 0, bytemuck::cast_slice(&IDS));

    // Each frame: the caller's encoder takes the picture, the ids, the forward pass and the vector.
    let mut encoder = device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
    let picture = draw(device, &mut encoder);
    let session_ids = session.buffer("ids").ok_or("no ids")?.clone();
    encoder.copy_buffer_to_buffer(&ids, 0, &session_ids, 0, ids.size());
    session.record(&mut encoder, Role::Full, &Step::packed(&[IDS.len()]))?;
    encoder.copy_buffer_to_buffer(session.buffer("embedding").ok_or("no embedding")?, 0, &vector, 0, vector.size());

    let pixels = gpu.read_later(&mut encoder, &picture, 0, picture.size());
    let floats = gpu.read_later(&mut encoder, &vector, 0, vector.size());
    queue.submit([encoder.finish()]);
    Ok(Frame { pixels: pixels.bytes(&gpu).await?, vector: floats.floats(&gpu).await?, width })
}

/// A render pass: a triangle over the lower left half of a texture, copied to a buffer.
fn draw(device: &wgpu::Device, encoder: &mut wgpu::CommandEncoder) -> wgpu::Buffer {
    let size = wgpu::Extent3d { width: SIZE, height: SIZE, depth_or_array_layers: 1 };
    let format = wgpu::TextureFormat::Rgba8Unorm;
    let texture = device.create_texture(&wgpu::TextureDescriptor {
        label: Some("picture"),
        size,
        mip_level_count: 1,
        sample_count: 1,
        dimension: wgpu::TextureDimension::D2,
        format,
        usage: wgpu::TextureUsages::RENDER_ATTACHMENT | wgpu::TextureUsages::COPY_SRC,
        view_formats: &[],
    });
    let module = device.create_shader_module(wgpu::ShaderModuleDescriptor {
        label: Some("triangle"),
        source: wgpu::ShaderSource::Wgsl(
            "@vertex fn vs(@builtin(vertex_index) i: u32) -> @builtin(position) vec4f {
                 let corner = vec2f(f32(i & 1u), f32(i >> 1u)) * 2.0 - 1.0;
                 return vec4f(corner, 0.0, 1.0);
             }
             @fragment fn fs() -> @location(0) vec4f { return vec4f(1.0, 0.5, 0.0, 1.0); }"
                .into(),
        ),
    });
    let pipeline = device.create_render_pipeline(&wgpu::RenderPipelineDescriptor {
        label: Some("triangle"),
        layout: None,
        vertex: wgpu::VertexState {
            module: &module,
            entry_point: Some("vs"),
            compilation_options: Default::default(),
            buffers: &[],
        },
        primitive: wgpu::PrimitiveState::default(),
        depth_stencil: None,
        multisample: wgpu::MultisampleState::default(),
        fragment: Some(wgpu::FragmentState {
            module: &module,
            entry_point: Some("fs"),
            compilation_options: Default::default(),
            targets: &[Some(format.into())],
        }),
        multiview_mask: None,
        cache: None,
    });
    let view = texture.create_view(&wgpu::TextureViewDescriptor::default());
    let attachment = wgpu::RenderPassColorAttachment {
        view: &view,
        depth_slice: None,
        resolve_target: None,
        ops: wgpu::Operations { load: wgpu::LoadOp::Clear(wgpu::Color::BLUE), store: wgpu::StoreOp::Store },
    };
    let mut pass = encoder.begin_render_pass(&wgpu::RenderPassDescriptor {
        label: Some("picture"),
        color_attachments: &[Some(attachment)],
        ..Default::default()
    });
    pass.set_pipeline(&pipeline);
    pass.draw(0..3, 0..1);
    drop(pass);
    let bytes = device.create_buffer(&wgpu::BufferDescriptor {
        label: Some("picture"),
        size: u64::from(4 * SIZE * SIZE),
        usage: wgpu::BufferUsages::COPY_DST | wgpu::BufferUsages::COPY_SRC,
        mapped_at_creation: false,
    });
    encoder.copy_texture_to_buffer(
        texture.as_image_copy(),
        wgpu::TexelCopyBufferInfo {
            buffer: &bytes,
            layout: wgpu::TexelCopyBufferLayout { offset: 0, bytes_per_row: Some(4 * SIZE), rows_per_image: None },
        },
        size,
    );
    bytes
}

#[allow(dead_code)] // The test includes this file for `frame`.
fn main() -> Result<(), Box<dyn std::error::Error>> {
    let instance = wgpu::Instance::default();
    let adapter = pollster::block_on(instance.request_adapter(&wgpu::RequestAdapterOptions::default()))?;
    let (device, queue) = pollster::block_on(adapter.request_device(&wgpu::DeviceDescriptor::default()))?;
    let dir = std::env::args().nth(1).unwrap_or_else(|| "tests/golden/bert-tiny".into());
    let frame = pollster::block_on(frame(&device, &queue, &dir))?;
    let at = |x: usize, y: usize| &frame.pixels[(y * SIZE as usize + x) * 4..][..4];
    println!(
        "on {}, with a default device: lower left {:?}, upper right {:?}",
        adapter.get_info().name,
        at(5, 58),
        at(58, 5)
    );
    println!("{} dimensions, the first {:.6?}", frame.width, &frame.vector[..5.min(frame.width)]);
    Ok(())
}
