//! wgformer: Transformer kernels in WGSL over wgpu.
#![warn(missing_docs)]

mod error;
pub mod model;
pub mod weights;

pub use error::{Error, Result};
pub use wgpu;
