//! What touches wgpu.

mod caps;
mod context;
pub(crate) mod link;
pub(crate) mod mirror;
pub(crate) mod pack;
pub mod readback;
mod record;

pub use caps::{Caps, wanted};
pub use context::Context;
pub(crate) use context::{Bound, Pipeline};
pub use pack::{packed_bytes, packed_fits};
pub use record::{Slice, Weight};
