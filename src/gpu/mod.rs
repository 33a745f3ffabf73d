//! What touches wgpu.

#[cfg(not(target_arch = "wasm32"))]
mod ahead;
mod caps;
mod context;
pub(crate) mod link;
mod memory;
pub(crate) mod mirror;
pub(crate) mod pack;
pub mod readback;
mod record;
mod saved;

pub use caps::{Caps, wanted};
pub use context::Context;
pub(crate) use context::{Bound, Pipeline, compile_all};
#[cfg(not(target_arch = "wasm32"))]
pub(crate) use context::{gpu_error, now_or_never};
pub use pack::{packed_bytes, packed_fits};
pub(crate) use record::grid;
pub use record::{Slice, Weight};
pub use saved::Unusable;
