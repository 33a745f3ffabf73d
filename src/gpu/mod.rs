//! What touches wgpu.

mod caps;
mod context;
pub(crate) mod link;
pub mod readback;
mod record;

pub use caps::{Caps, wanted};
pub use context::Context;
pub(crate) use context::{Bound, Pipeline};
pub use record::{Slice, Weight};
