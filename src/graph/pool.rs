//! Where transients live: a pool of buffers, shared by tensors whose lives do not overlap.

use std::collections::HashMap;

use super::Graph;
use super::plan::{Capacity, Node, Place, bytes_of};
use crate::kernel::View;

/// Gives each transient a buffer of the pool from its first to its last use. A buffer is free again after the op that
/// used it last, so an op's output never shares one with its inputs.
pub(super) fn assign(graph: &Graph, capacity: &Capacity, nodes: &mut [Node]) -> Vec<u64> {
    let last: HashMap<usize, usize> =
        nodes.iter().enumerate().flat_map(|(i, node)| node.tensors.iter().map(move |&t| (t, i))).collect();
    let mut pool: Vec<u64> = Vec::new();
    let mut free: Vec<usize> = Vec::new();
    let mut held: HashMap<usize, usize> = HashMap::new();
    for (i, node) in nodes.iter_mut().enumerate() {
        for (place, &tensor) in node.places.iter_mut().zip(&node.tensors) {
            if !matches!(place, Place::Pool(_)) {
                continue;
            }
            let slot = *held.entry(tensor).or_insert_with(|| {
                let info = &graph.tensors[tensor];
                let bytes = bytes_of(&View::dense(capacity.rows(info.rows), info.cols, info.dtype));
                take(&mut pool, &mut free, bytes)
            });
            *place = Place::Pool(slot);
        }
        let mut done: Vec<usize> = node.tensors.iter().copied().filter(|t| last.get(t) == Some(&i)).collect();
        done.dedup();
        free.extend(done.into_iter().filter_map(|tensor| held.remove(&tensor)));
    }
    pool
}

/// The free buffer that wastes least, or else the one that grows least, or a new one.
fn take(pool: &mut Vec<u64>, free: &mut Vec<usize>, bytes: u64) -> usize {
    let best = (0..free.len()).min_by_key(|&i| {
        let have = pool[free[i]];
        (have < bytes, have.abs_diff(bytes))
    });
    match best {
        Some(i) => {
            let slot = free.swap_remove(i);
            pool[slot] = pool[slot].max(bytes);
            slot
        }
        None => {
            pool.push(bytes);
            pool.len() - 1
        }
    }
}
