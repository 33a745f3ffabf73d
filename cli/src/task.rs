//! What the commands of encoders share.

use std::path::Path;

use serde::Serialize;
use wgformer::model::arch::TaskKind;
use wgformer::model::forward::{Outputs, Sizes};
use wgformer::model::{Blueprint, Model};
use wgformer::{Capacity, Plan, Role};

use crate::input::start;
use crate::output::{Failure, json, note, print};
use crate::{device, source};

/// An encoder with what a command wants of it, ready to use.
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
        Ok(Self { model: ready(device, blueprint, outputs)?, limit, quiet: device.quiet })
    }

    /// Says that a text was cut, where it was.
    pub fn tell(&self, truncated: bool, text: &str) {
        if truncated && !self.quiet {
            let limit = self.limit;
            note(&format!("note: cut to {limit} tokens, which is all that the model takes: {}", start(text)));
        }
    }
}

/// The model, ready for some outputs. What takes time is done side by side: the tokenizer is parsed while a device is
/// opened, and kernels are compiled while weights are loaded.
fn ready(device: &device::Args, blueprint: Blueprint, outputs: Outputs) -> Result<Model, Failure> {
    let opened = std::thread::scope(|scope| {
        let tokenizer = scope.spawn(|| blueprint.text_tokenizer().map(drop));
        let opened = device.choose();
        // A folder without a tokenizer says so before anything is said of a device.
        joined(tokenizer.join())??;
        opened
    })?;
    device.tell(&opened);
    let Some(gpu) = opened.gpu() else { return opened.model(blueprint) };
    let graph = blueprint.graph(Role::Full, outputs, Sizes::default());
    let plan = Plan::compile(gpu.caps(), &graph, Role::Full, Capacity::packed(1, 1))?;
    std::thread::scope(|scope| {
        let kernels = scope.spawn(|| gpu.prepare([&plan]));
        let model = opened.model(blueprint);
        joined(kernels.join())??;
        model
    })
}

/// What a thread came to.
pub fn joined<T>(result: std::thread::Result<T>) -> Result<T, Failure> {
    result.map_err(|_| Failure::new("a thread panicked; please report this"))
}

/// Refuses to give nothing.
pub fn some(top_k: usize) -> Result<usize, Failure> {
    if top_k == 0 { Err(Failure::new("--top-k is 0; ask for 1 at least")) } else { Ok(top_k) }
}

/// A line of JSON on standard output.
pub fn line(value: &impl Serialize) -> Result<(), Failure> {
    print(&json(value)?)
}
