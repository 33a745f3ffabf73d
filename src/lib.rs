//! Transformer inference from hand-written WGSL kernels over [`wgpu`]: your device, your encoder, your buffers.
//!
//! A [`Context`] wraps a device and a queue of the caller's; it makes neither. A device with wgpu's default
//! limits and no optional feature will do (a downlevel one will not); [`wanted`] says what to ask for when there is a
//! choice. There are three levels:
//!
//! 1. **Ops** ([`kernel`]), for engines with a graph of their own. Each op is a struct over [`Slice`]s of the caller's
//!    buffers; [`Context::record`] checks its shapes and writes it into the caller's `CommandEncoder`.
//! 2. **Graphs** ([`graph`]). A [`Graph`] holds ops as data. [`Plan::compile`] chooses kernels and counts bytes from
//!    [`Caps`] alone, before anything is allocated; a [`Session`] owns the buffers and replays its plans, one for each
//!    [`Role`], with a [`Step`] each time, whole or through a [`Cursor`] in parts. [`graph::State`] runs the same graph
//!    on the CPU.
//! 3. **Models** ([`model`]). A [`model::Model`] is loaded from a Hugging Face folder or from bytes. It embeds,
//!    runs whole padded batches, and generates ([`generate`]).
//!
//! Recording never submits and never blocks. Results come back as futures ([`Context::read_later`]) once the caller has
//! submitted; level 3's own `async` calls, such as [`model::Model::embed_ids`], submit for the caller.
//!
//! ```no_run
//! # async fn example(device: wgformer::wgpu::Device, queue: wgformer::wgpu::Queue) -> wgformer::Result<()> {
//! use wgformer::{Context, model::Model};
//!
//! let gpu = Context::new(&device, &queue)?;
//! let model = Model::load(&gpu, "all-MiniLM-L6-v2").await?; // a folder
//! let vectors = model.embed_ids(&[vec![101, 2008, 2003, 1037, 3407, 2711, 102]]).await?;
//! # Ok(())
//! # }
//! ```
//!
//! [`verify`] compares every kernel that a device can run, and three whole models, with the [`mod@reference`], on that
//! very device. `ARCHITECTURE.md` tells how it all works, `examples/` has a program for each level.
//!
//! # Features
//!
//! - `text`: tokenizers, so that `Model::embed` takes text.
//! - `hub`: `hub::Hub`, which finds models by their names on the Hugging Face hub, in its cache or over the network; native only.
//! - `blocking`: `blocking::block_on`, which waits for a future without spinning; native only.
//!
//! The library turns on no backend of wgpu's: the application does.
#![warn(missing_docs)]

// What tests share with unit tests names this crate as they do.
#[cfg(test)]
extern crate self as wgformer;

#[cfg(not(target_arch = "wasm32"))]
pub mod bench;
#[cfg(all(feature = "blocking", not(target_arch = "wasm32")))]
pub mod blocking;
mod error;
pub mod generate;
pub mod gpu;
pub mod graph;
#[cfg(all(feature = "hub", not(target_arch = "wasm32")))]
pub mod hub;
pub mod kernel;
pub mod model;
pub mod reference;
#[cfg(feature = "text")]
pub mod text;
pub mod verify;
pub mod weights;

pub use error::{Error, Result};
pub use gpu::{Caps, Context, Slice, Weight, packed_bytes, packed_fits, wanted};
pub use graph::{Capacity, Cursor, Domain, Graph, Plan, Session, Span, Step, Weights};
pub use kernel::Role;
pub use wgpu;

/// The README's code, compiled.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
pub struct Readme;
