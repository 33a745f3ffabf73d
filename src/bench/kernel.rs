//! A kernel outside the registry.

use crate::gpu::link::bench_source;
use crate::gpu::{gpu_error, now_or_never};
use crate::{Context, Result};

/// A shader of `shaders/bench/` over some resources.
pub(super) struct Kernel {
    pipeline: wgpu::ComputePipeline,
    group: wgpu::BindGroup,
}

impl Kernel {
    /// Compiles it without bounds checks, as the registry's kernels are: its indices must lie within the resources.
    pub fn new(
        gpu: &Context,
        file: &'static str,
        numbers: &[(&'static str, u32)],
        entries: &[wgpu::BindGroupEntry<'_>],
    ) -> Result<Self> {
        let device = gpu.device();
        let scope = device.push_error_scope(wgpu::ErrorFilter::Validation);
        let source = wgpu::ShaderSource::Wgsl(bench_source(file, numbers).into());
        let descriptor = wgpu::ShaderModuleDescriptor { label: Some(file), source };
        // SAFETY: the shaders compute their indices from the invocation and from `numbers`, which say how large the
        // resources are; but for an embedding's ids, which the bench itself draws from the vocabulary.
        let module = unsafe { device.create_shader_module_trusted(descriptor, wgpu::ShaderRuntimeChecks::unchecked()) };
        let pipeline = device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
            label: Some(file),
            layout: None,
            module: &module,
            entry_point: Some("main"),
            compilation_options: Default::default(),
            cache: None,
        });
        let layout = pipeline.get_bind_group_layout(0);
        let group =
            device.create_bind_group(&wgpu::BindGroupDescriptor { label: Some(file), layout: &layout, entries });
        match now_or_never(scope.pop()).flatten() {
            Some(error) => Err(gpu_error(file, error)),
            None => Ok(Self { pipeline, group }),
        }
    }

    /// Records `count` dispatches of so many workgroups, one after the other.
    pub fn record(&self, encoder: &mut wgpu::CommandEncoder, groups: u32, count: usize) {
        let mut pass = encoder.begin_compute_pass(&Default::default());
        pass.set_pipeline(&self.pipeline);
        pass.set_bind_group(0, &self.group, &[]);
        for _ in 0..count {
            pass.dispatch_workgroups(groups, 1, 1);
        }
    }
}
