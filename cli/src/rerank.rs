//! `wgformer rerank`, also called `similarity`: texts by how well they go with a query.

use std::path::PathBuf;
use std::process::ExitCode;

use serde::Serialize;
use wgformer::blocking::block_on;
use wgformer::model::arch::TaskKind;
use wgformer::model::forward::Outputs;

use crate::output::Failure;
use crate::task::{self, Head};
use crate::{device, input, source};

/// Texts by how well they go with a query, best first, as JSON lines {"index", "score", "text"}
#[derive(clap::Args)]
#[command(after_help = "Examples:
  wgformer similarity --model all-MiniLM-L6-v2 \"That is a happy person\" \"That is a happy dog\" \"Today is a sunny day\"
  wgformer rerank --model ms-marco-MiniLM-L6-v2 --top-k 10 \"How many people live in Berlin?\" < passages.txt

The score is the cosine of the two texts' vectors (see `embed`), from -1 to 1. Where the model is a cross-encoder, which is one for
sequence classification with one label, it is what that says of query and text together. `index` counts the texts from 0. Without
TEXT, standard input gives one text a line.")]
pub struct Args {
    /// A sentence-transformers folder, or a Hugging Face folder of an encoder or a cross-encoder, or a name on the hub:
    /// OWNER/MODEL, OWNER/MODEL@REVISION
    #[arg(long, value_name = "DIR|NAME")]
    model: PathBuf,
    /// Only so many texts, the best
    #[arg(long, value_name = "N")]
    top_k: Option<usize>,
    /// At most so many texts in one step
    #[arg(long, value_name = "N", default_value_t = 32, value_parser = clap::value_parser!(u32).range(1..))]
    batch_size: u32,
    /// What the texts are compared with
    #[arg(value_name = "QUERY")]
    query: String,
    /// The texts
    #[arg(value_name = "TEXT")]
    texts: Vec<String>,
}

#[derive(Serialize)]
struct Line<'a> {
    index: usize,
    score: f32,
    text: &'a str,
}

pub fn run(device: &device::Args, args: Args) -> Result<ExitCode, Failure> {
    let top = task::some(args.top_k.unwrap_or(usize::MAX))?;
    let blueprint = source::open(&args.model, device.quiet)?;
    if blueprint.arch().encoder.is_none() {
        return Err(Failure::new("the model has no encoder; ranking takes one, see `generate` for a decoder"));
    }
    let crosses = blueprint.arch().task.is_some_and(|task| task.kind == TaskKind::Sequence);
    let outputs = if crosses { Outputs { task: true, ..Outputs::default() } } else { blueprint.embedding() };
    let texts = input::texts(args.texts, device.quiet).iter().collect::<Result<Vec<String>, _>>()?;
    if texts.is_empty() {
        return Err(input::none());
    }
    let head = Head::new(device, blueprint, outputs)?;
    let borrowed: Vec<&str> = texts.iter().map(String::as_str).collect();
    let ranked = head.model.rerank(&args.query, &borrowed, args.batch_size as usize);
    let ranked = block_on(head.model.gpu(), ranked)?;
    ranked.iter().for_each(|ranked| head.tell(ranked.truncated, borrowed[ranked.index]));
    for ranked in ranked.iter().take(top) {
        task::line(&Line { index: ranked.index, score: ranked.score, text: borrowed[ranked.index] })?;
    }
    Ok(ExitCode::SUCCESS)
}
