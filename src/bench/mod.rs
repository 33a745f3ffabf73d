//! Measuring: what an adapter can do at best.

mod ceilings;

pub use ceilings::{Ceilings, ceilings};
