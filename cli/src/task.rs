//! What the commands for tasks of encoders share.

use std::path::Path;

use serde::Serialize;
use wgformer::model::arch::TaskKind;
use wgformer::model::forward::Outputs;
use wgformer::model::{Blueprint, Model};

use crate::input::start;
use crate::output::{Failure, note, print};
use crate::{device, embed, source};

/// A model with the head for a task, ready to use.
pub struct Head {
    pub model: Model,
    limit: usize,
    quiet: bool,
}

/// A folder with the head for a task: what it lacks is said before a text is read or a device opened.
pub fn open(model: &Path, quiet: bool, kind: TaskKind) -> Result<Blueprint, Failure> {
    let blueprint = source::open(model, quiet)?;
    blueprint.task(kind)?;
    Ok(blueprint)
}

/// The head's model on a device.
pub fn load(device: &device::Args, blueprint: Blueprint) -> Result<Head, Failure> {
    let outputs = Outputs { task: true, ..Outputs::default() };
    Head::new(device, blueprint, outputs)
}

impl Head {
    /// A model for some outputs.
    pub fn new(device: &device::Args, blueprint: Blueprint, outputs: Outputs) -> Result<Self, Failure> {
        let limit = blueprint.sentence().max_tokens(blueprint.arch());
        Ok(Self { model: embed::load(device, blueprint, outputs)?, limit, quiet: device.quiet })
    }

    /// Says that a text was cut, where it was.
    pub fn tell(&self, truncated: bool, text: &str) {
        if truncated && !self.quiet {
            let limit = self.limit;
            note(&format!("note: cut to {limit} tokens, which is all that the model takes: {}", start(text)));
        }
    }
}

/// Refuses to give nothing.
pub fn some(top_k: usize) -> Result<usize, Failure> {
    if top_k == 0 { Err(Failure::new("--top-k is 0; ask for 1 at least")) } else { Ok(top_k) }
}

/// A line of JSON on standard output.
pub fn line(value: &impl Serialize) -> Result<(), Failure> {
    let json = serde_json::to_string(value).map_err(|e| Failure::new(e.to_string()))?;
    print(&(json + "\n"))
}
