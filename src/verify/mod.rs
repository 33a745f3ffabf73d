//! The proof: every kernel that a device can run, against the reference, on the user's own GPU.
//!
//! [`verify_ops`] runs it on a device and [`verify_cpu`] judges the reference's f32 by its f64. Both return a
//! [`Report`], whose `Display` is made to be pasted into a bug report.

#[cfg(test)]
mod broken;
pub mod cases;
pub(crate) mod compare;
mod models;
mod ops;
mod probe;
mod report;
pub(crate) mod runs;
pub(crate) mod slack;
mod trial;
pub(crate) mod zoo;

pub use compare::{Element, Fault};
pub use ops::{Share, verify, verify_cases, verify_cpu, verify_ops, verify_share};
pub use probe::keeps_nan;
pub use report::{Adapter, Failure, Kernel, OpReport, Progress, Report, Worst, Wrong};
pub use trial::Trial;
