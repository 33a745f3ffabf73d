//! wgformer: Transformer kernels in WGSL over wgpu.
#![warn(missing_docs)]

pub mod bench;
#[cfg(all(feature = "blocking", not(target_arch = "wasm32")))]
pub mod blocking;
mod error;
pub mod gpu;
pub mod graph;
pub mod kernel;
pub mod model;
pub mod reference;
#[cfg(feature = "text")]
pub mod text;
pub mod verify;
pub mod weights;

pub use error::{Error, Result};
pub use gpu::{Caps, Context, Slice, Weight, packed_bytes, packed_fits, wanted};
pub use graph::{Capacity, Cursor, Domain, Graph, Plan, Session, Span, Step, Weights};
pub use kernel::Role;
pub use wgpu;
