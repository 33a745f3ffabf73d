//! An adapter's own ceilings, each the best of several kernels: a kernel's speed is told as a share of them.

use std::time::{Duration, Instant};

use wgpu::util::DeviceExt;

use crate::gpu::link::bench_source;
use crate::{Context, Result};

/// What an adapter reaches when it does nothing else. Native only: it reads a clock.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Ceilings {
    /// f32 multiply-adds, two operations each, in 10^9 operations per second.
    pub fma_gflops: f64,
    /// A buffer copied by a kernel: bytes read and written, in 10^9 per second.
    pub copy_gbps: f64,
    /// Memory that is only read, from a buffer or a storage texture, in 10^9 bytes per second.
    pub read_gbps: f64,
}

/// Bytes that the copying and reading kernels work on: more than caches hold, less than any device's limits.
const BYTES: u64 = 64 << 20;
/// Each kernel's time is the least of so many.
const REPEATS: usize = 5;

/// Measures them: about a second on a software adapter.
///
/// # Errors
/// Whatever wgpu reports when it cannot wait for the device.
pub async fn ceilings(gpu: &Context) -> Result<Ceilings> {
    let width = gpu.caps().lanes().unwrap_or(64);
    let mut best = Ceilings::default();
    // Enough invocations for any device; rounds so that a software adapter needs some milliseconds.
    let (groups, rounds) = if gpu.caps().cpu { (256, 4096) } else { (16_384, 512) };
    for (file, chains, work) in
        [("bench/fma_vec4", 0, 16 * 4), ("bench/fma_scalar", 16, 16 * 16), ("bench/fma_scalar", 12, 16 * 12)]
    {
        let numbers = [("WG", width), ("ROUNDS", rounds), ("CHAINS", chains)];
        let kernel = Kernel::new(gpu, file, &numbers, u64::from(groups * width) * 4, None);
        let seconds = kernel.seconds(gpu, groups)?;
        let flops = 2.0 * f64::from(groups * width) * f64::from(rounds) * f64::from(work);
        best.fma_gflops = best.fma_gflops.max(flops / seconds * 1e-9);
    }
    let source = gpu.device().create_buffer(&wgpu::BufferDescriptor {
        label: Some("read"),
        size: BYTES,
        usage: wgpu::BufferUsages::STORAGE,
        mapped_at_creation: false,
    });
    let numbers = [("WG", width)];
    let buffer = wgpu::BindingResource::Buffer(source.as_entire_buffer_binding());
    let kernel = Kernel::new(gpu, "bench/copy", &numbers, BYTES, Some(buffer.clone()));
    best.copy_gbps = 2.0 * BYTES as f64 / kernel.seconds(gpu, 1024)? * 1e-9;
    let kernel = Kernel::new(gpu, "bench/read_buffer", &numbers, 1024 * u64::from(width) * 4, Some(buffer));
    best.read_gbps = BYTES as f64 / kernel.seconds(gpu, 1024)? * 1e-9;
    // 2048 texels of 16 bytes in each of 2048 rows.
    let rows = (BYTES / 16 / 2048) as u32;
    let texture = gpu.device().create_texture(&wgpu::TextureDescriptor {
        label: Some("read"),
        size: wgpu::Extent3d { width: 2048, height: rows, depth_or_array_layers: 1 },
        mip_level_count: 1,
        sample_count: 1,
        dimension: wgpu::TextureDimension::D2,
        format: wgpu::TextureFormat::Rgba32Float,
        usage: wgpu::TextureUsages::STORAGE_BINDING,
        view_formats: &[],
    });
    let view = texture.create_view(&Default::default());
    let view = wgpu::BindingResource::TextureView(&view);
    let kernel = Kernel::new(gpu, "bench/read_texture", &numbers, u64::from(rows * width) * 4, Some(view));
    best.read_gbps = best.read_gbps.max(BYTES as f64 / kernel.seconds(gpu, rows)? * 1e-9);
    Ok(best)
}

struct Kernel {
    pipeline: wgpu::ComputePipeline,
    group: wgpu::BindGroup,
}

impl Kernel {
    fn new(
        gpu: &Context,
        file: &'static str,
        numbers: &[(&'static str, u32)],
        out: u64,
        input: Option<wgpu::BindingResource<'_>>,
    ) -> Self {
        let device = gpu.device();
        let source = wgpu::ShaderSource::Wgsl(bench_source(file, numbers).into());
        let descriptor = wgpu::ShaderModuleDescriptor { label: Some(file), source };
        // SAFETY: each kernel's indices stay within the buffers made above for its grid.
        let module = unsafe { device.create_shader_module_trusted(descriptor, wgpu::ShaderRuntimeChecks::unchecked()) };
        let pipeline = device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
            label: Some(file),
            layout: None,
            module: &module,
            entry_point: Some("main"),
            compilation_options: Default::default(),
            cache: None,
        });
        let out = device.create_buffer_init(&wgpu::util::BufferInitDescriptor {
            label: Some(file),
            contents: &vec![0; out as usize],
            usage: wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_SRC,
        });
        let mut entries = vec![wgpu::BindGroupEntry { binding: 0, resource: out.as_entire_binding() }];
        entries.extend(input.map(|resource| wgpu::BindGroupEntry { binding: 1, resource }));
        let layout = pipeline.get_bind_group_layout(0);
        let group = device.create_bind_group(&wgpu::BindGroupDescriptor {
            label: Some(file),
            layout: &layout,
            entries: &entries,
        });
        Self { pipeline, group }
    }

    /// The least time of one dispatch, an empty submission's taken off.
    fn seconds(&self, gpu: &Context, groups: u32) -> Result<f64> {
        self.once(gpu, groups)?;
        let (mut work, mut idle) = (Duration::MAX, Duration::MAX);
        for _ in 0..REPEATS {
            work = work.min(self.once(gpu, groups)?);
            idle = idle.min(self.once(gpu, 0)?);
        }
        Ok(work.saturating_sub(idle).as_secs_f64().max(1e-9))
    }

    fn once(&self, gpu: &Context, groups: u32) -> Result<Duration> {
        let start = Instant::now();
        let mut encoder = gpu.device().create_command_encoder(&Default::default());
        if groups > 0 {
            let mut pass = encoder.begin_compute_pass(&Default::default());
            pass.set_pipeline(&self.pipeline);
            pass.set_bind_group(0, &self.group, &[]);
            pass.dispatch_workgroups(groups, 1, 1);
        }
        gpu.queue().submit([encoder.finish()]);
        // A future that polls takes a core from a software adapter, so this waits in earnest.
        let waited = gpu.device().poll(wgpu::PollType::wait_indefinitely());
        waited.map_err(|e| crate::Error::DeviceLost(e.to_string()))?;
        Ok(start.elapsed())
    }
}
