//! What the kernels of attention are linked with.

use super::{Body, Constants, ROW, Spec, TILE};
use crate::gpu::link::{Link, Rows};
use crate::kernel::{Keys, Reduce, Similarity};

impl Spec {
    pub(in crate::kernel) fn link(&self) -> Link {
        let link = match self.body {
            Body::Tile { unrolled } => self.link_tile(unrolled),
            Body::Row { reduce, unrolled } => self.link_row(reduce, unrolled),
            Body::RowLanes { width } => self.link_row_lanes(width),
            Body::Lanes { width, panels } => self.link_lanes(width, panels),
        };
        let output = match self.weights {
            _ if matches!(self.body, Body::Tile { .. } | Body::Lanes { .. }) => "",
            true => "@group(0) @binding(7) var<storage, read_write> out: array<f32>;",
            false => "@group(0) @binding(6) var<storage, read_write> out: array<f32>;",
        };
        link.optional("bias", self.bias.then_some(5), "0.0")
            .flag("BIAS", self.bias)
            .flag("CAUSAL", self.causal)
            .flag("WINDOW", self.window)
            .line(output)
            .part("parts/mask")
            .part("parts/tile")
            .part(match self.similarity {
                Similarity::Dot => "parts/score_dot",
                Similarity::Cosine => "parts/score_cosine",
            })
            .part(match self.keys {
                Keys::Own => "parts/keys_own",
                Keys::Memory => "parts/keys_memory",
                Keys::Table => "parts/keys_table",
            })
    }

    fn link_tile(&self, unrolled: bool) -> Link {
        // K and V blocks of at most 16 KiB, the default limit; of narrow heads smaller ones, so that more workgroups fit. A
        // power of two, so that all invocations load as many quads.
        let block = (1 << (2048 / self.bucket).ilog2()).min(32);
        let quads = self.bucket / 4;
        // Of wider heads, query and output alone fill a GPU's registers; numbers read one by one are much code.
        let unrolled = unrolled && self.rows == Rows::Quads && self.bucket <= 64;
        let link = Link::new("attention", Constants::WGSL)
            .number("WG", TILE)
            .number("BLOCK", block)
            .number("QUADS", quads)
            .quads("q", 2, self.rows)
            .quads("k", 3, self.rows)
            .quads("v", 4, self.rows)
            .put("out", 6, self.aligned);
        match unrolled {
            true => link.unrolled("quads", quads).unrolled("keys", 4).unrolled("loads", block * quads / TILE),
            false => link,
        }
    }

    fn link_row(&self, reduce: Reduce, unrolled: bool) -> Link {
        let link = reduce
            .link_wide(Link::new("attention_row", Constants::WGSL), ROW)
            .part("parts/share")
            .number("QUADS", self.bucket / 4)
            .flag("WEIGHTS", self.weights)
            .quads("q", 2, self.rows)
            .quads("k", 3, self.rows)
            .quads("v", 4, self.rows);
        // So many loads are under way at once; numbers read one by one are much code.
        match self.rows {
            Rows::Quads if unrolled => link.number("AHEAD", 4).unrolled("turns", self.bucket / 16),
            _ => link.number("AHEAD", 1),
        }
    }

    fn link_row_lanes(&self, width: u32) -> Link {
        let link = Link::new("attention_row_lanes", Constants::WGSL)
            .number("WG", width)
            .number("QUADS", self.bucket / 4)
            .number("LOADS", (self.bucket / 4).div_ceil(width))
            .flag("WEIGHTS", self.weights)
            .part("parts/power")
            .part("parts/window")
            .quads("q", 2, self.query())
            .quads("k", 3, self.rows)
            .quads("v", 4, self.rows);
        match self.wants_standing() {
            true => link.number("TURN", width).unrolled("turns", 1),
            false => link.number("TURN", 2),
        }
    }

    fn link_lanes(&self, width: u32, panels: u32) -> Link {
        // A loop body of some 512 to 1,024 multiply-adds: as much as the instruction cache holds, and drivers compile soon.
        let keys = 2;
        Link::new("attention_lanes", Constants::WGSL)
            .part("parts/power")
            .part("parts/window")
            .number("WG", width)
            .number("PANELS", panels)
            .number("KEYS", keys)
            .number("QUADS", self.bucket / 4)
            .number("LOADS", (keys * self.bucket / 4).div_ceil(width))
            .number("PATHS", if self.causal && !self.window { 2 } else { 1 })
            .quads("q", 2, self.rows)
            .quads("k", 3, self.rows)
            .quads("v", 4, self.rows)
            .put("out", 6, self.aligned)
    }
}
