//! Which buffers the dispatches of a plan read through a texture (see `gpu::mirror`), and how much of each a step copies.
//!
//! Most are copied right before the dispatch that reads them. The KV cache and a memory's keys and values are read at every
//! step and written once: their mirrors stand beside them, and what a dispatch writes is copied right after it.

use std::collections::HashMap;
use std::ops::Range;

use super::plan::{Node, Place, bytes_of};
use super::{Graph, Rows, Step};
use crate::gpu::mirror;
use crate::graph::step::Counts;
use crate::kernel::{Access, Arg, Keys, Op, View};

/// The texture of a mirror.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Texture {
    /// The session's passing one of this number.
    Passing(usize),
    /// The one that stands beside this persistent tensor.
    Standing(String),
}

/// A buffer that a dispatch reads through a texture, or one that it writes and others read so.
#[derive(Clone, Debug)]
pub(super) struct Mirror {
    pub place: Place,
    /// The arguments that lie in it.
    pub bindings: Vec<u32>,
    pub texture: Texture,
    /// Bytes at the session's full capacity.
    pub bytes: u64,
    row_bytes: u64,
    rows: Rows,
    /// The KV cache, of which only some slots are read or written.
    cache: bool,
}

impl Mirror {
    fn new(node: &Node, arg: &Arg<(&View, &Place)>, rows: Rows, texture: Texture) -> Self {
        let (view, place) = arg.handle;
        Self {
            place: place.clone(),
            bindings: vec![arg.binding],
            texture,
            bytes: bytes_of(view),
            row_bytes: (view.stride.max(view.cols) * view.dtype.size()) as u64,
            rows,
            cache: match &node.op {
                Op::Attention(op) => op.keys == Keys::Table && arg.name != "q",
                Op::Qkv(_) => arg.name == "cache",
                _ => false,
            },
        }
    }
}

/// Whether the mirror of an argument stands, if its tensor persists.
pub(super) fn stands<T>(op: &Op<T>, argument: &str) -> bool {
    matches!(op, Op::Attention(op) if op.keys != Keys::Own) && argument != "q"
}

/// The mirrors that one dispatch reads.
pub(super) fn of(node: &Node, graph: &Graph) -> Vec<Mirror> {
    let (mut all, mut passing) = (Vec::<Mirror>::new(), 0..);
    for (arg, &tensor) in node.args().zip(&node.tensors).filter(|(arg, _)| node.spec.mirrors(arg.name)) {
        let (view, place) = arg.handle;
        if let Some(same) = all.iter_mut().find(|m| m.place == *place) {
            same.bindings.push(arg.binding);
            same.bytes = same.bytes.max(bytes_of(view));
            continue;
        }
        let texture = match place {
            Place::Persistent(name) if stands(&node.op, arg.name) => Texture::Standing(name.clone()),
            _ => Texture::Passing(passing.next().unwrap_or(0)),
        };
        all.push(Mirror::new(node, &arg, graph.tensors[tensor].rows, texture));
    }
    all
}

/// The standing mirrors that one dispatch makes out of date, of those that there are.
pub(super) fn written(node: &Node, graph: &Graph, standing: impl Fn(&str) -> bool) -> Vec<Mirror> {
    let mirror = |(arg, &tensor): (Arg<(&View, &Place)>, &usize)| match arg.handle.1 {
        Place::Persistent(name) if arg.access == Access::Write && standing(name) => {
            Some(Mirror::new(node, &arg, graph.tensors[tensor].rows, Texture::Standing(name.clone())))
        }
        _ => None,
    };
    node.args().zip(&node.tensors).filter_map(mirror).collect()
}

/// Bytes that the mirror textures of some plans need.
#[derive(Debug, Default)]
pub(super) struct Sizes {
    /// By number.
    pub passing: Vec<u64>,
    /// By the persistent tensor's name.
    pub standing: HashMap<String, u64>,
}

impl Sizes {
    pub fn of<'a>(nodes: impl Iterator<Item = (&'a Node, &'a Graph)>) -> Self {
        let mut sizes = Self::default();
        for mirror in nodes.flat_map(|(node, graph)| of(node, graph)) {
            let size = match mirror.texture {
                Texture::Passing(number) => {
                    sizes.passing.resize(sizes.passing.len().max(number + 1), 0);
                    &mut sizes.passing[number]
                }
                Texture::Standing(name) => sizes.standing.entry(name).or_default(),
            };
            *size = mirror.bytes.max(*size);
        }
        sizes
    }

    pub fn total(&self) -> u64 {
        self.passing.iter().chain(self.standing.values()).sum()
    }
}

/// What decides how much is copied.
#[derive(Debug)]
pub(super) struct Extent {
    counts: Counts,
    /// Slots of the KV cache in use.
    used: Range<u64>,
    /// Slots from the first to the last that the step writes.
    written: Range<u64>,
}

impl Extent {
    pub fn new(counts: Counts, step: &Step) -> Self {
        let end = |slots: &[u32]| slots.iter().max().map_or(0, |&slot| u64::from(slot) + 1);
        let first = step.slots.iter().min().map_or(0, |&slot| u64::from(slot));
        Self { counts, used: 0..end(&step.table), written: first..end(&step.slots) }
    }

    fn bytes(&self, mirror: &Mirror, slots: &Range<u64>) -> Range<u64> {
        let rows = match mirror.rows {
            _ if mirror.cache => slots.clone(),
            Rows::Of(domain) => 0..u64::from(self.counts.rows(domain)),
            Rows::Fixed(n) => 0..n as u64,
        };
        rows.start * mirror.row_bytes..mirror.bytes.min(rows.end * mirror.row_bytes)
    }
}

/// A copy into a mirror.
pub(super) struct Copy {
    pub mirror: Mirror,
    pub buffer: wgpu::Buffer,
    pub texture: wgpu::Texture,
}

impl Copy {
    /// What the dispatch will read.
    pub fn before(&self, encoder: &mut wgpu::CommandEncoder, extent: &Extent) {
        self.record(encoder, extent.bytes(&self.mirror, &extent.used));
    }

    /// What the dispatch has written.
    pub fn after(&self, encoder: &mut wgpu::CommandEncoder, extent: &Extent) {
        self.record(encoder, extent.bytes(&self.mirror, &extent.written));
    }

    fn record(&self, encoder: &mut wgpu::CommandEncoder, bytes: Range<u64>) {
        mirror::copy_part(encoder, &self.buffer, 0, bytes, &self.texture);
    }
}
