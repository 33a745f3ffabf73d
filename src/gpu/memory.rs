//! Buffers and textures, with errors for what wgpu panics at: no memory, no device.
//!
//! On a device that is lost wgpu makes objects that are invalid, silently; only their use is an error, an uncaptured one.
//! So each is looked at right after it was made: what is made on a device that is still there stays valid.

use super::Context;
use crate::gpu::context::{gpu_error, now_or_never};
use crate::{Error, Result};

impl Context {
    /// A buffer of `size` bytes, zeros.
    ///
    /// # Errors
    /// [`Error::OutOfMemory`], [`Error::DeviceLost`].
    pub(crate) fn buffer(&self, label: &str, size: u64, usage: wgpu::BufferUsages) -> Result<wgpu::Buffer> {
        let descriptor = wgpu::BufferDescriptor { label: Some(label), size, usage, mapped_at_creation: false };
        let buffer = self.within_memory(label, |device| device.create_buffer(&descriptor))?;
        self.alive().map(|()| buffer)
    }

    /// A texture of one level that kernels load from, at least so large.
    ///
    /// Mesa's software driver generates a kernel's code anew for sizes that are powers of two (seconds for the larger
    /// kernels), so no size is one, where the limits allow.
    ///
    /// # Errors
    /// As [`Self::buffer`].
    pub(crate) fn texture(
        &self,
        label: &str,
        width: u32,
        height: u32,
        format: wgpu::TextureFormat,
    ) -> Result<wgpu::Texture> {
        let limit = self.caps().limits.max_texture_dimension_2d;
        let [width, height] = [width, height].map(|n| no_power_of_two(n, limit));
        let descriptor = wgpu::TextureDescriptor {
            label: Some(label),
            size: wgpu::Extent3d { width, height, depth_or_array_layers: 1 },
            mip_level_count: 1,
            sample_count: 1,
            dimension: wgpu::TextureDimension::D2,
            format,
            usage: wgpu::TextureUsages::STORAGE_BINDING | wgpu::TextureUsages::COPY_DST,
            view_formats: &[],
        };
        let texture = self.within_memory(label, |device| device.create_texture(&descriptor))?;
        self.alive().map(|()| texture)
    }

    /// A buffer of these bytes, and zeros up to a multiple of 4. (`DeviceExt::create_buffer_init` panics where this fails.)
    ///
    /// # Errors
    /// [`Error::OutOfMemory`], [`Error::DeviceLost`].
    pub(crate) fn buffer_of(&self, label: &str, contents: &[u8], usage: wgpu::BufferUsages) -> Result<wgpu::Buffer> {
        let size = (contents.len() as u64).next_multiple_of(4).max(4);
        let descriptor = wgpu::BufferDescriptor { label: Some(label), size, usage, mapped_at_creation: true };
        let buffer = self.within_memory(label, |device| device.create_buffer(&descriptor))?;
        let mut mapped = buffer.get_mapped_range_mut(..).map_err(|e| Error::DeviceLost(e.to_string()))?;
        mapped.slice(..contents.len()).copy_from_slice(contents);
        drop(mapped);
        buffer.unmap();
        Ok(buffer)
    }

    /// An error if the device is known to be lost: what is recorded for it would come to nothing without a word.
    pub(crate) fn alive(&self) -> Result<()> {
        self.buffer_of("alive", &[0; 4], wgpu::BufferUsages::COPY_SRC).map(drop)
    }

    fn within_memory<T>(&self, label: &str, make: impl FnOnce(&wgpu::Device) -> T) -> Result<T> {
        let scope = self.device().push_error_scope(wgpu::ErrorFilter::OutOfMemory);
        let made = make(self.device());
        match now_or_never(scope.pop()).flatten() {
            Some(error) => Err(gpu_error(label, error)),
            None => Ok(made),
        }
    }
}

/// The least number from `n` on that is no power of two; `n` where that is beyond the limit.
fn no_power_of_two(n: u32, limit: u32) -> u32 {
    (n..=limit).find(|n| !n.is_power_of_two()).unwrap_or(n)
}

#[cfg(test)]
mod tests {
    use super::no_power_of_two;

    #[test]
    fn sizes_are_no_powers_of_two() {
        let sizes = [1, 2, 3, 4, 1024, 8191, 8192, 9000];
        assert_eq!(sizes.map(|n| no_power_of_two(n, 8192)), [3, 3, 3, 5, 1025, 8191, 8192, 9000]);
    }
}
