//! What touches wgpu.

mod caps;
mod context;
pub(crate) mod link;
pub mod readback;
mod record;

pub use caps::{Caps, wanted};
pub use context::Context;
pub(crate) use context::{Bound, Pipeline, gpu_error, now_or_never};
pub(crate) use record::grid;
pub use record::{Slice, Weight};
