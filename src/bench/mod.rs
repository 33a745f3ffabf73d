//! Measuring: what an adapter can do at best, and what the kernels and a whole encoder reach of it.

mod ceilings;
mod check;
mod items;
mod run;

pub use ceilings::{Ceilings, ceilings};
pub use run::{Row, bench};
