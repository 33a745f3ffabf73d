//! `wgformer embed`: text in, vectors out.

use std::io::IsTerminal;
use std::path::PathBuf;
use std::process::ExitCode;

use serde::Serialize;
use wgformer::blocking::block_on;
use wgformer::model::forward::Sizes;
use wgformer::model::{Blueprint, Model};
use wgformer::{Capacity, Plan, Role};

use crate::device;
use crate::input::{self, start};
use crate::output::{Failure, note, print, progress};
use crate::source;

/// One vector for each text, as JSON lines {"text", "tokens", "embedding"} in the order of the texts
#[derive(clap::Args)]
#[command(after_help = "Examples:
  wgformer embed --model all-MiniLM-L6-v2 \"That is a happy person\"
  wgformer embed --model all-MiniLM-L6-v2 --batch-size 64 < texts.txt > vectors.jsonl

Without TEXT, standard input gives one text a line (UTF-8; an empty line is a text too). Texts beyond the model's limit are
cut, with a notice on standard error.")]
pub struct Args {
    /// A Hugging Face or sentence-transformers folder with config.json, model.safetensors and tokenizer files, or a name on
    /// the hub: OWNER/MODEL, OWNER/MODEL@REVISION
    #[arg(long, value_name = "DIR|NAME")]
    model: PathBuf,
    /// At most so many texts in one step: more is faster, less needs less memory; the vectors are the same
    #[arg(long, value_name = "N", default_value_t = 32, value_parser = clap::value_parser!(u32).range(1..))]
    batch_size: u32,
    /// The texts
    #[arg(value_name = "TEXT")]
    texts: Vec<String>,
}

#[derive(Serialize)]
struct Line<'a> {
    text: &'a str,
    tokens: usize,
    embedding: &'a [f32],
}

pub fn run(device: &device::Args, args: Args) -> Result<ExitCode, Failure> {
    let blueprint = source::open(&args.model, device.quiet)?;
    let limit = blueprint.sentence().max_tokens(blueprint.arch());
    let texts = input::texts(args.texts, device.quiet);
    let first = texts.recv().map_err(|_| input::none())?;
    let model = load(device, blueprint)?;
    let hidden = device.quiet || std::io::stdout().is_terminal();
    let bar = progress(None, "texts embedded", hidden);
    input::batches(&texts, first, args.batch_size as usize, |batch| {
        embed(&model, batch, limit, device.quiet)?;
        bar.inc(batch.len() as u64);
        Ok(())
    })?;
    bar.finish_and_clear();
    Ok(ExitCode::SUCCESS)
}

/// The model, ready to embed. What takes time is done side by side: the tokenizer is parsed while a device is opened, and
/// kernels are compiled while weights are loaded.
fn load(device: &device::Args, blueprint: Blueprint) -> Result<Model, Failure> {
    let opened = std::thread::scope(|scope| {
        let tokenizer = scope.spawn(|| blueprint.text_tokenizer().map(drop));
        let opened = device.choose();
        // A folder that cannot embed says so before anything is said of a device.
        join(tokenizer)??;
        opened
    })?;
    device.tell(&opened);
    let Some(gpu) = opened.gpu() else { return opened.model(blueprint) };
    let graph = blueprint.graph(Role::Full, blueprint.embedding(), Sizes::default());
    let plan = Plan::compile(gpu.caps(), &graph, Role::Full, Capacity::packed(1, 1))?;
    std::thread::scope(|scope| {
        let kernels = scope.spawn(|| gpu.prepare([&plan]));
        let model = opened.model(blueprint);
        join(kernels)??;
        model
    })
}

fn join<T>(thread: std::thread::ScopedJoinHandle<'_, T>) -> Result<T, Failure> {
    thread.join().map_err(|_| Failure::new("a thread panicked; please report this"))
}

fn embed(model: &Model, texts: &[String], limit: usize, quiet: bool) -> Result<(), Failure> {
    let borrowed: Vec<&str> = texts.iter().map(String::as_str).collect();
    for (text, out) in borrowed.iter().zip(block_on(model.gpu(), model.embed(&borrowed))?) {
        if out.truncated && !quiet {
            note(&format!("note: cut to {limit} tokens, which is all that the model takes: {}", start(text)));
        }
        if !out.embedding.iter().all(|x| x.is_finite()) {
            let why = "has numbers that are not finite; see what `wgformer verify` says of this adapter";
            return Err(Failure::new(format!("the embedding of {} {why}", start(text))));
        }
        let line = Line { text, tokens: out.tokens, embedding: &out.embedding };
        let json = serde_json::to_string(&line).map_err(|e| Failure::new(e.to_string()))?;
        print(&(json + "\n"))?;
    }
    Ok(())
}
