//! Weights on the GPU: loaded once, shared by sessions.

use std::collections::HashMap;
use std::sync::Arc;

use super::Plan;
use super::plan::{Place, WeightKey};
use crate::gpu::{Bound, Context};
use crate::kernel::Layout;
use crate::weights::HostTensor;
use crate::{Error, Result};

/// Where weights come from: a tensor by its name in the graph, of so many rows and columns.
pub type Source<'a> = &'a dyn Fn(&str, [usize; 2]) -> Result<HostTensor>;

/// A model's weights on the GPU, in the forms that some plans want. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Weights(Arc<HashMap<WeightKey, Stored>>);

#[derive(Debug)]
enum Stored {
    Buffer(wgpu::Buffer),
    Packed(crate::gpu::Weight),
}

/// Bytes staged before the queue is flushed: unflushed uploads stand in memory twice.
const CHUNK: usize = 2 << 20;

impl Weights {
    /// Loads what the plans name.
    ///
    /// # Errors
    /// What `source` says; [`Error::Tensor`] for a tensor of another shape; [`Error::OutOfMemory`],
    /// [`Error::DeviceLost`].
    pub async fn load(gpu: &Context, plans: &[&Plan], source: Source<'_>) -> Result<Self> {
        let mut stored = HashMap::new();
        let mut staged = 0;
        let args = plans.iter().flat_map(|plan| &plan.nodes).flat_map(|node| &node.places);
        let keys = args.filter_map(|place| if let Place::Weight(key) = place { Some(key) } else { None });
        let mut wanted: Vec<&WeightKey> = keys.collect();
        // The shards and forms of a tensor are made from one reading; the largest while little else is there.
        let size = |key: &WeightKey| key.whole * key.cols * key.dtype.size();
        wanted.sort_by_key(|&key| (std::cmp::Reverse(size(key)), &key.name, key.packed, key.first_row));
        let mut last: Option<(&str, HostTensor)> = None;
        for key in wanted {
            if stored.contains_key(key) {
                continue;
            }
            let tensor = match last.take() {
                Some((name, tensor)) if name == key.name => tensor,
                _ => source(&key.name, [key.whole, key.cols])?,
            };
            let bytes = rows_of(&tensor, key)?;
            stored.insert(key.clone(), upload(gpu, key, bytes)?);
            staged += bytes.len();
            if staged > CHUNK {
                gpu.flush().await?;
                staged = 0;
            }
            last = Some((&key.name, tensor));
        }
        gpu.flush().await?;
        gpu.alive()?;
        Ok(Self(Arc::new(stored)))
    }

    /// Bytes held.
    pub fn bytes(&self) -> u64 {
        self.0
            .values()
            .map(|s| match s {
                Stored::Buffer(buffer) => buffer.size(),
                Stored::Packed(weight) => weight.bytes(),
            })
            .sum()
    }

    pub(super) fn bound(&self, key: &WeightKey) -> Result<Bound<'_>> {
        match self.0.get(key) {
            Some(Stored::Buffer(buffer)) => Ok(Bound::Buffer { buffer, offset: 0, size: buffer.size() }),
            Some(Stored::Packed(weight)) => Ok(Bound::Texture(&weight.texture)),
            None => Err(Error::Tensor { name: key.name.clone(), why: "was not loaded for this plan".into() }),
        }
    }
}

/// The bytes of a shard, once the tensor is what the plan says.
fn rows_of<'a>(tensor: &'a HostTensor, key: &WeightKey) -> Result<&'a [u8]> {
    let refuse = |why| Err(Error::Tensor { name: key.name.clone(), why });
    if tensor.dtype != key.dtype {
        return refuse(format!("expected {}, got {}", key.dtype, tensor.dtype));
    }
    let row = key.cols * key.dtype.size();
    match tensor.bytes().get(key.first_row * row..(key.first_row + key.rows) * row) {
        Some(bytes) => Ok(bytes),
        None => refuse(format!(
            "expected {} columns and {} rows or more, got {:?}",
            key.cols,
            key.first_row + key.rows,
            tensor.shape
        )),
    }
}

fn upload(gpu: &Context, key: &WeightKey, bytes: &[u8]) -> Result<Stored> {
    if key.packed {
        return Ok(Stored::Packed(gpu.pack_weight(key.rows, key.cols, key.dtype, Layout::Nk, bytes)?));
    }
    let usage = wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_DST | wgpu::BufferUsages::COPY_SRC;
    gpu.buffer_of(&key.name, bytes, usage).map(Stored::Buffer)
}
