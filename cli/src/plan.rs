//! `wgformer plan`: what a forward pass would dispatch and hold, before anything is allocated.

use std::path::PathBuf;
use std::process::ExitCode;

use wgformer::model::forward::{Outputs, Sizes};
use wgformer::{Capacity, Caps, Plan, Role};

use crate::device;
use crate::output::{Failure, print};
use crate::source;

/// The dispatches of each pass with their kernels, and the bytes it needs; no weights are read
#[derive(clap::Args)]
#[command(after_help = "Examples:
  wgformer plan --model all-MiniLM-L6-v2
  wgformer plan --model all-MiniLM-L6-v2 --tokens 4096 --sequences 32")]
pub struct Args {
    /// A Hugging Face folder with config.json and model.safetensors, or a name on the hub: OWNER/MODEL, OWNER/MODEL@REVISION
    #[arg(long, value_name = "DIR|NAME")]
    model: PathBuf,
    /// Tokens of a step, over all sequences
    #[arg(long, value_name = "N", default_value_t = 128, value_parser = clap::value_parser!(u32).range(1..))]
    tokens: u32,
    /// Sequences of a step
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    sequences: u32,
}

pub fn run(device: &device::Args, args: Args) -> Result<ExitCode, Failure> {
    let blueprint = source::open(&args.model, device.quiet)?;
    let opened = device.open()?;
    let caps = opened.gpu().map_or_else(Caps::baseline, |gpu| gpu.caps().clone());
    let sentence = blueprint.sentence();
    let outputs = Outputs { embedding: Some((sentence.pooling, sentence.normalize)), ..Outputs::default() };
    let (tokens, sequences) = (args.tokens as usize, args.sequences as usize);
    let roles = blueprint.arch().roles();
    for &role in roles {
        let graph = blueprint.graph(role, outputs, Sizes { slots: tokens });
        // A decoder takes a token of each sequence, after as many as the step of a prefill or of an encoder holds.
        let step = if role == Role::Decode { sequences } else { tokens };
        let capacity = Capacity { tokens: step, sequences, memory: tokens, keys: tokens };
        let plan = Plan::compile(&caps, &graph, role, capacity)?;
        let title = if roles.len() > 1 { format!("{role:?}\n") } else { String::new() };
        print(&format!("{title}{}\n", plan.report()))?;
    }
    Ok(ExitCode::SUCCESS)
}
