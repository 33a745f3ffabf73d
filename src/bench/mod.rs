//! Measuring: what an adapter can do at best, and what the kernels and whole models reach of it.
//!
//! Every [`Item`] is judged by the reference before it is timed (a decoder with one layer in each stack stands for the
//! whole one), and every op is measured beside the simplest body that computes it. [`bench()`] runs them all; [`Item::prepare`] and [`Ready::time`] let other harnesses (criterion in
//! `benches/`) run the same. Native only: it reads a clock, and blocks while the device works.

mod ceilings;
mod check;
mod contest;
mod cost;
mod items;
mod job;
mod kernel;
mod plain;
mod ready;
mod run;
mod shapes;

pub use ceilings::{Ceilings, ceilings};
pub use contest::{Contest, contests};
pub use items::{Item, items};
pub use ready::Ready;
pub use run::{Row, bench};
