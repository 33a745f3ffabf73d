//! Which buffers the dispatches of a plan read through a texture (see `gpu::mirror`), and how much of each a step copies.

use super::plan::{Node, Place, bytes_of};
use super::{Graph, Rows, Step};
use crate::gpu::{Bound, mirror};
use crate::graph::step::Counts;
use crate::kernel::{Keys, Op};

/// A buffer that a dispatch reads through the session's mirror texture number `slot`.
#[derive(Clone, Debug)]
pub(super) struct Mirror {
    pub place: Place,
    /// The arguments that lie in it.
    pub bindings: Vec<u32>,
    pub slot: usize,
    /// Bytes at the session's full capacity.
    pub bytes: u64,
    row_bytes: u64,
    rows: Rows,
    /// The KV cache, of which only slots in use are copied.
    cache: bool,
}

/// The mirrors of one dispatch.
pub(super) fn of(node: &Node, graph: &Graph) -> Vec<Mirror> {
    let mut all: Vec<Mirror> = Vec::new();
    for (arg, &tensor) in node.args().zip(&node.tensors).filter(|(arg, _)| node.spec.mirrors(arg.name)) {
        let (view, place) = arg.handle;
        if let Some(same) = all.iter_mut().find(|m| m.place == *place) {
            same.bindings.push(arg.binding);
            same.bytes = same.bytes.max(bytes_of(view));
            continue;
        }
        all.push(Mirror {
            place: place.clone(),
            bindings: vec![arg.binding],
            slot: all.len(),
            bytes: bytes_of(view),
            row_bytes: (view.stride.max(view.cols) * view.dtype.size()) as u64,
            rows: graph.tensors[tensor].rows,
            cache: matches!(&node.op, Op::Attention(op) if op.keys == Keys::Table && arg.name != "q"),
        });
    }
    all
}

/// Bytes that the mirror textures of some plans need, by slot.
pub(super) fn sizes<'a>(nodes: impl Iterator<Item = (&'a Node, &'a Graph)>) -> Vec<u64> {
    let mut sizes = Vec::new();
    for mirror in nodes.flat_map(|(node, graph)| of(node, graph)) {
        sizes.resize(sizes.len().max(mirror.slot + 1), 0);
        sizes[mirror.slot] = mirror.bytes.max(sizes[mirror.slot]);
    }
    sizes
}

/// What decides how much is copied.
#[derive(Debug)]
pub(super) struct Extent {
    counts: Counts,
    slots: u64,
}

impl Extent {
    pub fn new(counts: Counts, step: &Step) -> Self {
        Self { counts, slots: step.table.iter().max().map_or(0, |&slot| u64::from(slot) + 1) }
    }

    fn bytes(&self, mirror: &Mirror) -> u64 {
        let rows = match mirror.rows {
            _ if mirror.cache => self.slots,
            Rows::Of(domain) => u64::from(self.counts.rows(domain)),
            Rows::Fixed(n) => n as u64,
        };
        mirror.bytes.min(rows * mirror.row_bytes)
    }
}

/// A copy that precedes a dispatch.
pub(super) struct Copy {
    pub mirror: Mirror,
    pub buffer: wgpu::Buffer,
    pub texture: wgpu::Texture,
}

impl Copy {
    pub fn record(&self, encoder: &mut wgpu::CommandEncoder, extent: &Extent) {
        let source = Bound::Buffer { buffer: &self.buffer, offset: 0, size: extent.bytes(&self.mirror) };
        mirror::copy(encoder, &source, &self.texture);
    }
}
