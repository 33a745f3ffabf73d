//! Models.
pub mod arch;
