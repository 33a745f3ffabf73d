//! Mirrors: a copy of a buffer in a storage texture, made just before a dispatch that reads it many times; or one that stands
//! beside a buffer which is read more often than written, the KV cache.
//!
//! On a software adapter a storage buffer's load is a loop over the lanes (44 ns for 8 lanes of one f32 on a machine where
//! a texel load takes 6), while the copy runs at memory speed. The buffer is copied as it lies: element e is component
//! e % 4 of texel e / 4, and texels fill rows of [`WIDE`].

use super::{Bound, Caps, Context};
use crate::Result;
use crate::kernel::{Arg, Spec, View};

/// Texels in a row of a mirror: 16 KiB, so that rows may be copied (they align to 256 bytes).
pub(crate) const WIDE: u32 = 1024;
const TEXEL: u64 = 16;
const ROW: u64 = WIDE as u64 * TEXEL;

/// Why quads cannot be read.
pub(crate) const UNALIGNED: &str = "rows do not begin and end on multiples of 4 elements";
/// Why a kernel does not read element by element.
pub(crate) const WHOLE_QUADS: &str = "rows are made of whole quads";

/// Whether a matrix can be mirrored, or why not.
pub(crate) fn fits(caps: &Caps, view: &View) -> Result<(), String> {
    let (rows, limit) = (view.end().div_ceil(4 * WIDE as usize), caps.limits.max_texture_dimension_2d as usize);
    match () {
        _ if !view.aligned() => Err(UNALIGNED.into()),
        _ if rows > limit => Err(format!("a mirror {rows} high, max_texture_dimension_2d is {limit}")),
        _ => Ok(()),
    }
}

impl Context {
    /// A texture for mirrors of up to `bytes` bytes.
    pub(crate) fn mirror_texture(&self, bytes: u64) -> Result<wgpu::Texture> {
        let height = bytes.div_ceil(ROW).max(1) as u32;
        self.texture("mirror", WIDE, height, wgpu::TextureFormat::Rgba32Float)
    }
}

/// Bytes that a mirror's texture holds.
pub(crate) fn bytes_of(texture: &wgpu::Texture) -> u64 {
    ROW * u64::from(texture.height())
}

/// Gives mirrored arguments that lie in one buffer one range of it, so that it is copied once: where that is no more to
/// copy than their ranges one by one.
pub(crate) fn join(spec: &Spec, bound: &mut [Arg<Bound<'_>>], views: &mut [View]) {
    let range = |arg: &Arg<Bound<'_>>| mirrored(spec, arg).map(|(buffer, range)| (buffer.clone(), range));
    let ranges: Vec<_> = bound.iter().map(range).collect();
    for ((arg, view), own) in bound.iter_mut().zip(views).zip(&ranges) {
        let (Some((buffer, own)), Bound::Buffer { offset, size, .. }) = (own, &mut arg.handle) else { continue };
        let same = || ranges.iter().flatten().filter(|(other, _)| other == buffer).map(|(_, range)| range);
        let start = same().map(|r| r.start).min().unwrap_or(own.start);
        let end = same().map(|r| r.end).max().unwrap_or(own.end);
        if end - start <= same().map(|r| r.end - r.start).sum() {
            view.offset += (own.start - start) as usize / 4;
            (*offset, *size) = (start, end - start);
        }
    }
}

/// The buffer and the bytes of an argument that is read through a mirror.
fn mirrored<'a>(spec: &Spec, arg: &Arg<Bound<'a>>) -> Option<(&'a wgpu::Buffer, std::ops::Range<u64>)> {
    match arg.handle {
        Bound::Buffer { buffer, offset, size } if spec.mirrors(arg.name) => Some((buffer, offset..offset + size)),
        _ => None,
    }
}

impl Context {
    /// Copies the mirrored arguments, each range of a buffer once; their bindings, with the texture to bind there.
    pub(crate) fn mirror(
        &self,
        encoder: &mut wgpu::CommandEncoder,
        spec: &Spec,
        bound: &[Arg<Bound<'_>>],
    ) -> Result<Vec<(u32, wgpu::TextureView)>> {
        let mut copies = Vec::new();
        let mut views: Vec<(u32, wgpu::TextureView)> = Vec::new();
        for arg in bound {
            let Some(range) = mirrored(spec, arg) else { continue };
            let view = match copies.iter().position(|done| *done == range) {
                Some(same) => views[same].1.clone(),
                None => {
                    let texture = self.mirror_texture(range.1.end - range.1.start)?;
                    copy(encoder, &arg.handle, &texture);
                    texture.create_view(&Default::default())
                }
            };
            copies.push(range);
            views.push((arg.binding, view));
        }
        Ok(views)
    }
}

/// Records the copy of what is bound. The buffer needs `COPY_SRC`; `bound` begins and ends on 16 bytes.
fn copy(encoder: &mut wgpu::CommandEncoder, bound: &Bound<'_>, texture: &wgpu::Texture) {
    if let Bound::Buffer { buffer, offset, size } = *bound {
        copy_part(encoder, buffer, offset, 0..size, texture);
    }
}

/// Records the copy of some of the bytes from `offset` on to where they lie in their mirror; all begin and end on 16 bytes.
pub(crate) fn copy_part(
    encoder: &mut wgpu::CommandEncoder,
    buffer: &wgpu::Buffer,
    offset: u64,
    bytes: std::ops::Range<u64>,
    texture: &wgpu::Texture,
) {
    const ACROSS: u64 = WIDE as u64;
    let (mut texel, end) = (bytes.start / TEXEL, bytes.end / TEXEL);
    while texel < end {
        let (x, left) = (texel % ACROSS, end - texel);
        // Whole rows at once, else what is left of this one.
        let (width, height) = match x {
            0 if left >= ACROSS => (ACROSS, left / ACROSS),
            _ => (left.min(ACROSS - x), 1),
        };
        let layout = wgpu::TexelCopyBufferLayout {
            offset: offset + texel * TEXEL,
            bytes_per_row: Some(ROW as u32),
            rows_per_image: None,
        };
        let origin = wgpu::Origin3d { x: x as u32, y: (texel / ACROSS) as u32, z: 0 };
        encoder.copy_buffer_to_texture(
            wgpu::TexelCopyBufferInfo { buffer, layout },
            wgpu::TexelCopyTextureInfo { texture, mip_level: 0, origin, aspect: wgpu::TextureAspect::All },
            wgpu::Extent3d { width: width as u32, height: height as u32, depth_or_array_layers: 1 },
        );
        texel += width * height;
    }
}
