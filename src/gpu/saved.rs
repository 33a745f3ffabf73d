//! Compiled kernels between two runs of a program: the driver's pipeline cache, with a header that tells whose it is.
//!
//! Drivers read such data as it is, so it has to be what the same driver gave. The header says so before the driver sees it:
//! a mark, this format's version, who wrote it (crate, adapter and driver), how long it is, and a checksum.

use super::Context;
use crate::Result;
use crate::gpu::context::now_or_never;

const MARK: &[u8; 8] = b"WGFORMER";
const VERSION: u32 = 1;

/// Why saved kernels are not used. Nothing is lost by it but time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unusable {
    /// They are cut off, or some of their bytes are not what they were, or they never were kernels.
    Damaged,
    /// They are of another adapter, another driver or another version of this crate.
    Stale,
}

impl std::fmt::Display for Unusable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Damaged => "they are damaged",
            Self::Stale => "they are of another version, adapter or driver",
        })
    }
}

impl Context {
    /// As [`Context::new`], with kernels that an earlier run compiled: the bytes of [`Context::pipeline_cache_data`].
    /// Where they cannot be used it tells why, and starts without them. Whatever is compiled from now on is kept too.
    ///
    /// It does nothing where the device was made without `PIPELINE_CACHE` (only Vulkan has it; see [`crate::wanted`]).
    ///
    /// # Safety
    /// Drivers trust such bytes. `saved` must come from [`Context::pipeline_cache_data`], by a way on which nobody could
    /// forge them: what befell them by accident is recognised, malice is not.
    ///
    /// # Errors
    /// As [`Context::new`].
    pub unsafe fn with_pipeline_cache(
        device: &wgpu::Device,
        queue: &wgpu::Queue,
        saved: Option<&[u8]>,
    ) -> Result<(Self, Option<Unusable>)> {
        if !device.features().contains(wgpu::Features::PIPELINE_CACHE) {
            return Ok((Self::new(device, queue)?, None));
        }
        let read = saved.map(|bytes| unwrap(bytes, &writer(&device.adapter_info())));
        let (data, mut why) = match read {
            Some(Ok(data)) => (Some(data), None),
            Some(Err(why)) => (None, Some(why)),
            None => (None, None),
        };
        // SAFETY: the header says that this driver gave the bytes, and the caller that nobody forged them.
        let mut cache = unsafe { make(device, data) };
        if cache.is_none() && data.is_some() {
            why = Some(Unusable::Stale);
            // SAFETY: no bytes.
            cache = unsafe { make(device, None) };
        }
        Ok((Self::build(device, queue, false, None, cache)?, why))
    }

    /// The kernels compiled so far, in the driver's form, for [`Context::with_pipeline_cache`]; `None` where the context was made
    /// without, or where the driver gives nothing.
    pub fn pipeline_cache_data(&self) -> Option<Vec<u8>> {
        let data = self.pipeline_cache()?.get_data()?;
        Some(wrap(&data, &writer(&self.device().adapter_info())))
    }
}

/// A pipeline cache of the driver's, if it takes the bytes.
///
/// # Safety
/// As `wgpu::Device::create_pipeline_cache`.
unsafe fn make(device: &wgpu::Device, data: Option<&[u8]>) -> Option<wgpu::PipelineCache> {
    let scope = device.push_error_scope(wgpu::ErrorFilter::Validation);
    let descriptor = wgpu::PipelineCacheDescriptor { label: Some("wgformer"), data, fallback: false };
    // SAFETY: the caller's.
    let cache = unsafe { device.create_pipeline_cache(&descriptor) };
    now_or_never(scope.pop()).flatten().is_none().then_some(cache)
}

/// Who writes and reads: what a driver's compiled kernels depend on.
fn writer(info: &wgpu::AdapterInfo) -> String {
    let wgpu::AdapterInfo { name, vendor, device, backend, driver, driver_info, .. } = info;
    let (version, bits) = (env!("CARGO_PKG_VERSION"), usize::BITS);
    format!("{version} {bits} {backend} {vendor} {device} {name}\n{driver}\n{driver_info}")
}

fn wrap(data: &[u8], writer: &str) -> Vec<u8> {
    let mut bytes = MARK.to_vec();
    bytes.extend(VERSION.to_le_bytes());
    for part in [writer.as_bytes(), data] {
        bytes.extend((part.len() as u64).to_le_bytes());
        bytes.extend(part);
    }
    bytes.extend(checksum(&bytes).to_le_bytes());
    bytes
}

/// The data of bytes that this writer wrapped.
fn unwrap<'a>(bytes: &'a [u8], writer: &str) -> Result<&'a [u8], Unusable> {
    let (rest, sum) = bytes.split_last_chunk().ok_or(Unusable::Damaged)?;
    if checksum(rest) != u64::from_le_bytes(*sum) {
        return Err(Unusable::Damaged);
    }
    let rest = rest.strip_prefix(MARK).ok_or(Unusable::Damaged)?;
    let rest = rest.strip_prefix(&VERSION.to_le_bytes()).ok_or(Unusable::Stale)?;
    let (of, rest) = part(rest).ok_or(Unusable::Damaged)?;
    let (data, rest) = part(rest).ok_or(Unusable::Damaged)?;
    match () {
        _ if !rest.is_empty() => Err(Unusable::Damaged),
        _ if of != writer.as_bytes() => Err(Unusable::Stale),
        _ => Ok(data),
    }
}

/// Bytes with their length before them, and what follows.
fn part(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = bytes.split_first_chunk()?;
    rest.split_at_checked(usize::try_from(u64::from_le_bytes(*length)).ok()?)
}

/// FNV-1a: every single byte that is changed changes it.
fn checksum(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |sum, &byte| (sum ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_befalls_bytes_is_recognised() {
        let bytes = wrap(b"kernels", "me");
        assert_eq!(unwrap(&bytes, "me"), Ok(&b"kernels"[..]));
        assert_eq!(unwrap(&bytes, "you"), Err(Unusable::Stale));
        assert_eq!(unwrap(&wrap(b"", "me"), "me"), Ok(&b""[..]));
        for at in 0..bytes.len() {
            assert_eq!(unwrap(&bytes[..at], "me"), Err(Unusable::Damaged), "{at} bytes");
            for flip in [1, 0x80, 0xff] {
                let mut bytes = bytes.clone();
                bytes[at] ^= flip;
                assert_eq!(unwrap(&bytes, "me"), Err(Unusable::Damaged), "byte {at}");
            }
        }
        let mut longer = bytes.clone();
        longer.push(0);
        assert_eq!(unwrap(&longer, "me"), Err(Unusable::Damaged));
        // A later format says so itself.
        let mut later = bytes[..bytes.len() - 8].to_vec();
        later[8] += 1;
        later.extend(checksum(&later).to_le_bytes());
        assert_eq!(unwrap(&later, "me"), Err(Unusable::Stale));
    }

    /// On any adapter that has one.
    #[test]
    fn kernels_of_an_earlier_context() {
        use crate::graph::{Capacity, Graph, Plan, Rows};
        use crate::kernel::{Role, Softmax};
        pollster::block_on(async {
            let adapter = wgpu::Instance::default().request_adapter(&Default::default()).await.expect("an adapter");
            let (required_features, required_limits) = crate::wanted(&adapter);
            let descriptor = wgpu::DeviceDescriptor { required_features, required_limits, ..Default::default() };
            let (device, queue) = adapter.request_device(&descriptor).await.expect("a device");
            // SAFETY: the bytes come from a context, changed in ways that the header tells.
            let open =
                |saved: Option<&[u8]>| unsafe { Context::with_pipeline_cache(&device, &queue, saved) }.expect("one");
            assert_eq!(Context::new(&device, &queue).expect("a context").pipeline_cache_data(), None);
            if !required_features.contains(wgpu::Features::PIPELINE_CACHE) {
                assert_eq!(open(Some(b"no kernels")).1, None);
                return;
            }
            let (gpu, why) = open(None);
            assert_eq!(why, None);
            let mut graph = Graph::new();
            let (x, y) = (graph.persistent("x", Rows::TOKENS, 64), graph.persistent("y", Rows::TOKENS, 64));
            graph.push("softmax", Softmax::new(x, y));
            let plan = Plan::compile(gpu.caps(), &graph, Role::Full, Capacity::packed(4, 1)).expect("a plan");
            gpu.prepare([&plan]).expect("compiled");
            let data = gpu.pipeline_cache_data().expect("data");
            let (again, why) = open(Some(&data));
            assert_eq!(why, None);
            again.prepare([&plan]).expect("compiled");
            assert!(again.pipeline_cache_data().is_some());
            assert_eq!(open(Some(b"no kernels")).1, Some(Unusable::Damaged));
            assert_eq!(open(Some(&wrap(b"no kernels", "another driver"))).1, Some(Unusable::Stale));
            // What wgpu itself does not take, although the header is right.
            let (gpu, why) = open(Some(&wrap(b"no kernels", &writer(&adapter.get_info()))));
            assert_eq!(why, Some(Unusable::Stale));
            gpu.prepare([&plan]).expect("compiled without them");
        });
    }
}
