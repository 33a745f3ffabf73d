//! Models: what a checkpoint's files say, in one vocabulary for all families.
//!
//! `config.json` becomes an [`arch::Arch`], a family's file names its tensors, and [`names::gather`] brings them in.

pub mod arch;
pub mod bert;
pub mod config;
#[cfg(test)]
mod mutations;
pub mod names;
pub mod sentence;
#[cfg(test)]
mod tests;
