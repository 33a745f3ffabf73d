//! wgformer: Transformer kernels in WGSL over wgpu.
#![warn(missing_docs)]

pub mod bench;
mod error;
pub mod gpu;
pub mod graph;
pub mod kernel;
pub mod model;
pub mod weights;

pub use error::{Error, Result};
pub use gpu::{Caps, Context, Slice, Weight, packed_bytes, packed_fits, wanted};
pub use graph::step::{Domain, Span, Step};
pub use wgpu;
