//! An adapter's own ceilings, each the best of several kernels: a kernel's speed is told as a share of them.

use std::time::Duration;

use super::kernel::Kernel;
use crate::{Context, Result};

/// What an adapter reaches when it does nothing else.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Ceilings {
    /// f32 multiply-adds, two operations each, in 10^9 operations per second.
    pub fma_gflops: f64,
    /// A buffer copied by a kernel: bytes read and written, in 10^9 per second.
    pub copy_gbps: f64,
    /// Memory that is only read, from a buffer or a storage texture, in 10^9 bytes per second.
    pub read_gbps: f64,
}

/// Bytes that the copying and reading kernels work on, where the device's limits allow it: more than caches hold.
const BYTES: u64 = 64 << 20;
const BYTES_GPU: u64 = 512 << 20;
/// Each kernel's time is the least of so many: on a machine that others use, too, short and many finds a quiet moment.
const REPEATS: usize = 30;
/// A submission should take so long: a GPU needs some microseconds to begin, and some milliseconds to reach its clock.
const SUBMISSION: Duration = Duration::from_millis(4);

/// Measures them: about two seconds on a software adapter.
///
/// # Errors
/// [`crate::Error::DeviceLost`], or what wgpu says of a kernel.
pub fn ceilings(gpu: &Context) -> Result<Ceilings> {
    let width = gpu.caps().lanes().unwrap_or(256);
    let (copy_gbps, mut read_gbps) = buffer_rates(gpu, width)?;
    // Textures are where software adapters read fastest; a GPU's would have to be as large as its buffers.
    if gpu.caps().cpu {
        read_gbps = read_gbps.max(texture_rate(gpu, width)?);
    }
    Ok(Ceilings { fma_gflops: fma_rate(gpu, width)?, copy_gbps, read_gbps })
}

fn fma_rate(gpu: &Context, width: u32) -> Result<f64> {
    // Enough invocations for any device; turns of the loop so that a software adapter needs some milliseconds.
    let (groups, fma) = if gpu.caps().cpu { (256, 2048 * 64) } else { (4096, 128 * 64) };
    let out = storage(gpu, u64::from(groups * width) * 4)?;
    let mut best = 0.0f64;
    for (file, chains, turn) in
        [("bench/fma_vec4", 0, 16 * 4), ("bench/fma_scalar", 16, 16 * 16), ("bench/fma_scalar", 12, 16 * 12)]
    {
        let rounds = fma / turn;
        let numbers = [("WG", width), ("ROUNDS", rounds), ("CHAINS", chains)];
        let kernel = Kernel::new(gpu, file, &numbers, &[entry(0, &out)])?;
        let flops = 2.0 * f64::from(groups * width) * f64::from(rounds) * f64::from(turn);
        best = best.max(flops / seconds(gpu, &kernel, groups)? * 1e-9);
    }
    Ok(best)
}

/// Copying, and reading from a buffer.
fn buffer_rates(gpu: &Context, width: u32) -> Result<(f64, f64)> {
    const GROUPS: u32 = 1024;
    let limits = &gpu.caps().limits;
    let most = limits.max_storage_buffer_binding_size.min(limits.max_buffer_size).min(BYTES_GPU);
    // Whole turns of the kernels' loops.
    let bytes = if gpu.caps().cpu { BYTES } else { (most / BYTES).max(1) * BYTES };
    let (source, copy) = (storage(gpu, bytes)?, storage(gpu, bytes)?);
    let numbers = [("WG", width)];
    let kernel = Kernel::new(gpu, "bench/copy", &numbers, &[entry(0, &copy), entry(1, &source)])?;
    let copy = 2.0 * bytes as f64 / seconds(gpu, &kernel, GROUPS)? * 1e-9;
    let sums = storage(gpu, u64::from(GROUPS * width) * 4)?;
    let kernel = Kernel::new(gpu, "bench/read_buffer", &numbers, &[entry(0, &sums), entry(1, &source)])?;
    Ok((copy, bytes as f64 / seconds(gpu, &kernel, GROUPS)? * 1e-9))
}

fn texture_rate(gpu: &Context, width: u32) -> Result<f64> {
    // Whole turns of the kernel's loops, up to 64 invocations wide.
    const WIDE: u32 = 3 * 8 * 64;
    let groups = BYTES as u32 / 16 / WIDE / 8;
    let rows = 8 * groups;
    let texture = gpu.texture("read", WIDE, rows, wgpu::TextureFormat::Rgba32Float)?;
    let view = texture.create_view(&Default::default());
    let texels = wgpu::BindGroupEntry { binding: 1, resource: wgpu::BindingResource::TextureView(&view) };
    let sums = storage(gpu, u64::from(groups * width) * 4)?;
    let kernel = Kernel::new(gpu, "bench/read_texture", &[("WG", width)], &[entry(0, &sums), texels])?;
    Ok(16.0 * f64::from(rows * WIDE) / seconds(gpu, &kernel, groups)? * 1e-9)
}

/// Written once, so that its pages are there.
fn storage(gpu: &Context, size: u64) -> Result<wgpu::Buffer> {
    gpu.buffer_of("ceilings", &vec![0; size as usize], wgpu::BufferUsages::STORAGE)
}

fn entry(binding: u32, buffer: &wgpu::Buffer) -> wgpu::BindGroupEntry<'_> {
    wgpu::BindGroupEntry { binding, resource: buffer.as_entire_binding() }
}

/// The least time of one dispatch, an empty submission's taken off.
fn seconds(gpu: &Context, kernel: &Kernel, groups: u32) -> Result<f64> {
    let once = |count| {
        let mut encoder = gpu.device().create_command_encoder(&Default::default());
        kernel.record(&mut encoder, groups, count);
        gpu.submit_and_wait(encoder)
    };
    let (mut count, mut work, mut idle) = (1, once(1)?, once(0)?);
    while work < SUBMISSION && count < 1 << 12 {
        count *= 2;
        work = once(count)?;
    }
    for _ in 0..REPEATS {
        (work, idle) = (work.min(once(count)?), idle.min(once(0)?));
    }
    Ok(work.saturating_sub(idle).as_secs_f64().max(1e-9) / count as f64)
}
