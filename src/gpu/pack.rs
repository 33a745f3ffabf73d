//! Weights as a software adapter wants them: in a read-only storage texture, whose loads have no branches there.
//!
//! With lanes W, column n of the product (a row of PyTorch's `[N, K]`) belongs to stripe n / 4W, lane n % 4W / 4, and
//! texture row 4 * stripe + n % 4; its quads of k follow each other W texels apart. So the W lanes of a subgroup load W
//! neighbouring texels, each a quad (f32) or two quads (f16, bf16) of a column of its own. K is padded to 4W and N to 8W
//! with zeros. Stripes that are too many for the height go to the right of the others.

use super::{Caps, Context, Weight};
use crate::kernel::{Layout, View};
use crate::weights::DType;
use crate::{Error, Result};

/// Bytes of the host buffer that blocks are packed in, unless one stripe needs more.
const BLOCK: usize = 1 << 20;
/// Uploads are flushed after so many bytes: until then wgpu keeps a copy of them.
const FLUSH: usize = 2 << 20;
const TEXEL: usize = 16;

/// Where a packed weight's elements lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Geometry {
    lanes: usize,
    /// Elements of a texel.
    per_texel: usize,
    /// Texels from the start of a stripe's row to its end.
    wide: usize,
    /// Stripes one above the other.
    stack: usize,
    /// Such stacks, side by side.
    stacks: usize,
}

impl Geometry {
    fn new(caps: &Caps, n: usize, k: usize, dtype: DType) -> Result<Self, String> {
        let lanes = caps.lanes()? as usize;
        let limit = caps.limits.max_texture_dimension_2d as usize;
        let per_texel = TEXEL / dtype.size();
        let wide = k.div_ceil(4 * lanes) * 4 * lanes / per_texel * lanes;
        if wide > limit {
            return Err(format!("{k} columns need a texture {wide} wide, max_texture_dimension_2d is {limit}"));
        }
        // Two stripes make a tile of the kernel.
        let stripes = n.div_ceil(8 * lanes) * 2;
        let stacks = stripes.div_ceil(limit / 8 * 2);
        if stacks * wide > limit {
            return Err(format!(
                "[{n}, {k}] needs {stacks} x {wide} texels side by side, max_texture_dimension_2d is {limit}"
            ));
        }
        let stack = (stripes / 2).div_ceil(stacks) * 2;
        Ok(Self { lanes, per_texel, wide, stack, stacks })
    }

    fn bytes(&self) -> u64 {
        (self.stacks * self.wide * self.stack * 4 * TEXEL) as u64
    }
}

/// Whether a weight `[n, k]` can be packed for this device, or why not.
pub fn packed_fits(caps: &Caps, n: usize, k: usize, dtype: DType) -> Result<(), String> {
    Geometry::new(caps, n, k, dtype).map(|_| ())
}

/// Bytes of GPU memory of a packed weight `[n, k]`; 0 where it cannot be packed.
pub fn packed_bytes(caps: &Caps, n: usize, k: usize, dtype: DType) -> u64 {
    Geometry::new(caps, n, k, dtype).map_or(0, |g| g.bytes())
}

/// A weight matrix on the host.
struct Source<'a> {
    bytes: &'a [u8],
    n: usize,
    k: usize,
    size: usize,
    layout: Layout,
}

impl Source<'_> {
    /// Puts `out.len() / size` elements of column `n` from depth `k` on into `out`, as many as there are.
    fn copy(&self, n: usize, k: usize, out: &mut [u8]) {
        let count = (out.len() / self.size).min(self.k - k);
        if self.layout == Layout::Kn {
            for (i, element) in out.chunks_exact_mut(self.size).take(count).enumerate() {
                let at = ((k + i) * self.n + n) * self.size;
                element.copy_from_slice(&self.bytes[at..at + self.size]);
            }
            return;
        }
        let (at, len) = ((n * self.k + k) * self.size, count * self.size);
        out[..len].copy_from_slice(&self.bytes[at..at + len]);
    }

    /// Packs `count` stripes from `first` into texture rows, one after the other; `out` comes zeroed.
    fn pack(&self, g: &Geometry, first: usize, count: usize, out: &mut [u8]) {
        let row_bytes = g.wide * TEXEL;
        for (row, texels) in out.chunks_exact_mut(row_bytes).take(4 * count).enumerate() {
            for lane in 0..g.lanes {
                let n = ((first + row / 4) * g.lanes + lane) * 4 + row % 4;
                if n >= self.n {
                    continue;
                }
                let quads = texels.chunks_exact_mut(TEXEL).skip(lane).step_by(g.lanes);
                for (k, texel) in (0..self.k).step_by(g.per_texel).zip(quads) {
                    self.copy(n, k, texel);
                }
            }
        }
    }
}

impl Context {
    /// Packs a weight `[n, k]` of f32, f16 or bf16 (`layout` says how `bytes` hold it) for [`Layout::Packed`].
    ///
    /// Works block by block, so the host holds no second copy; uploads are flushed on the way.
    ///
    /// # Errors
    /// [`Error::Unsupported`] where [`packed_fits`] says no; [`Error::Shape`] when the bytes are not `n * k` elements;
    /// [`Error::OutOfMemory`], [`Error::DeviceLost`].
    pub fn pack_weight(&self, n: usize, k: usize, dtype: DType, layout: Layout, bytes: &[u8]) -> Result<Weight> {
        let shape = |expected: String, got: String| Error::Shape { op: "pack_weight", what: "bytes", expected, got };
        if bytes.len() != n * k * dtype.size() || n * k == 0 {
            return Err(shape(format!("[{n}, {k}] of {dtype}, not empty"), format!("{} bytes", bytes.len())));
        }
        if layout == Layout::Packed || dtype == DType::U32 {
            return Err(shape("f32, f16 or bf16 as Nk or Kn".into(), format!("{dtype} as {layout:?}")));
        }
        let unsupported = |why| Error::Unsupported { what: "a packed weight".into(), why };
        let g = Geometry::new(self.caps(), n, k, dtype).map_err(unsupported)?;
        let (width, height) = ((g.stacks * g.wide) as u32, (g.stack * 4) as u32);
        let texture = self.texture("packed weight", width, height, packed_format(dtype))?;
        let source = Source { bytes, n, k, size: dtype.size(), layout };
        let row_bytes = g.wide * TEXEL;
        let block = (BLOCK / (4 * row_bytes)).clamp(1, g.stack);
        let mut packed = vec![0; block * 4 * row_bytes];
        let mut pending = 0;
        for stack in 0..g.stacks {
            for above in (0..g.stack).step_by(block) {
                let stripes = block.min(g.stack - above);
                packed.fill(0);
                source.pack(&g, stack * g.stack + above, stripes, &mut packed);
                let origin = wgpu::Origin3d { x: (stack * g.wide) as u32, y: (above * 4) as u32, z: 0 };
                self.write_rows(&texture, origin, g.wide, &packed[..stripes * 4 * row_bytes]);
                pending += stripes * 4 * row_bytes;
                if pending >= FLUSH {
                    self.queue().submit([]);
                    pending = 0;
                }
            }
        }
        Ok(Weight { texture: texture.create_view(&Default::default()), view: View::dense(n, k, dtype) })
    }

    fn write_rows(&self, texture: &wgpu::Texture, origin: wgpu::Origin3d, wide: usize, rows: &[u8]) {
        let row_bytes = wide * TEXEL;
        let height = (rows.len() / row_bytes) as u32;
        self.queue().write_texture(
            wgpu::TexelCopyTextureInfo { texture, mip_level: 0, origin, aspect: wgpu::TextureAspect::All },
            rows,
            wgpu::TexelCopyBufferLayout { offset: 0, bytes_per_row: Some(row_bytes as u32), rows_per_image: None },
            wgpu::Extent3d { width: wide as u32, height, depth_or_array_layers: 1 },
        );
    }
}

/// The format of a packed weight's texture.
pub(crate) fn packed_format(dtype: DType) -> wgpu::TextureFormat {
    match dtype {
        DType::F32 | DType::U32 => wgpu::TextureFormat::Rgba32Float,
        DType::F16 | DType::BF16 => wgpu::TextureFormat::Rgba32Uint,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn caps(width: u32, limit: u32) -> Caps {
        let limits = wgpu::Limits { max_texture_dimension_2d: limit, ..Default::default() };
        Caps { limits, cpu: true, subgroup: Some((width, width)), ..Caps::baseline() }
    }

    #[test]
    fn every_element_has_a_place_and_the_rest_is_zero() {
        for (lanes, n, k, layout) in
            [(4, 1, 1, Layout::Nk), (8, 70, 33, Layout::Nk), (8, 70, 33, Layout::Kn), (16, 129, 3, Layout::Kn)]
        {
            let g = Geometry::new(&caps(lanes as u32, 8192), n, k, DType::F32).unwrap();
            let values: Vec<f32> = (1..=n * k).map(|i| i as f32).collect();
            let source = Source { bytes: bytemuck::cast_slice(&values), n, k, size: 4, layout };
            let mut out = vec![0; g.bytes() as usize];
            source.pack(&g, 0, g.stack, &mut out);
            let packed: Vec<f32> = bytemuck::pod_collect_to_vec(&out);
            for col in 0..n {
                for depth in 0..k {
                    let row = col / (4 * lanes) * 4 + col % 4;
                    let at = (row * g.wide + depth / 4 * lanes + col % (4 * lanes) / 4) * 4 + depth % 4;
                    let want = if layout == Layout::Nk { col * k + depth } else { depth * n + col };
                    assert_eq!(packed[at], want as f32 + 1.0, "{lanes} {n} {k} {layout:?} {col} {depth}");
                }
            }
            assert_eq!(packed.iter().filter(|v| **v != 0.0).count(), n * k);
        }
    }

    #[test]
    fn wide_weights_fold_and_deep_ones_are_refused() {
        let caps = caps(8, 8192);
        assert_eq!(Geometry::new(&caps, 151_936, 896, DType::F32).unwrap().stacks, 3);
        assert!(packed_fits(&caps, 64, 4097, DType::F32).unwrap_err().contains("max_texture_dimension_2d"));
        assert!(packed_fits(&caps, 64, 8192, DType::F16).is_ok());
        assert!(packed_fits(&Caps::baseline(), 1, 1, DType::F32).is_err());
        assert_eq!(packed_bytes(&caps, 64, 32, DType::F32), 64 * 32 * 4);
    }
}
