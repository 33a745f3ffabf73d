//! Whether an adapter keeps a NaN. WGSL lets it assume that there are none; only where it keeps them do we promise to.

use crate::gpu::Context;
use crate::{Error, Result};

const SOURCE: &str = "
@group(0) @binding(0) var<storage, read_write> x: array<f32>;
@compute @workgroup_size(1)
fn main() {
    x[1] = x[0] * 2.0;
    x[2] = fma(x[0], 2.0, 1.0);
    x[3] = exp(x[0] - 1.0);
    x[4] = 1.0 / sqrt(x[0] + 1.0);
}
";

/// Runs a NaN through what kernels do with numbers: whether this adapter keeps it.
///
/// # Errors
/// [`Error::Gpu`], [`Error::DeviceLost`], [`Error::OutOfMemory`].
pub async fn keeps_nan(gpu: &Context) -> Result<bool> {
    let device = gpu.device();
    let scope = device.push_error_scope(wgpu::ErrorFilter::Validation);
    let source = wgpu::ShaderSource::Wgsl(SOURCE.into());
    let module = device.create_shader_module(wgpu::ShaderModuleDescriptor { label: Some("probe"), source });
    let pipeline = device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
        label: Some("probe"),
        layout: None,
        module: &module,
        entry_point: Some("main"),
        compilation_options: Default::default(),
        cache: None,
    });
    let usage = wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_SRC;
    let buffer = gpu.buffer_of("probe", bytemuck::cast_slice(&[f32::NAN, 0.0, 0.0, 0.0, 0.0]), usage)?;
    let group = device.create_bind_group(&wgpu::BindGroupDescriptor {
        label: Some("probe"),
        layout: &pipeline.get_bind_group_layout(0),
        entries: &[wgpu::BindGroupEntry { binding: 0, resource: buffer.as_entire_binding() }],
    });
    let mut encoder = device.create_command_encoder(&Default::default());
    let mut pass = encoder.begin_compute_pass(&Default::default());
    pass.set_pipeline(&pipeline);
    pass.set_bind_group(0, &group, &[]);
    pass.dispatch_workgroups(1, 1, 1);
    drop(pass);
    let download = gpu.read_later(&mut encoder, &buffer, 0, buffer.size());
    gpu.queue().submit([encoder.finish()]);
    if let Some(error) = scope.pop().await {
        return Err(Error::Gpu { what: "the NaN probe".into(), why: error.to_string() });
    }
    Ok(download.floats(gpu).await?.iter().all(|v| v.is_nan()))
}
