//! `wgformer embed`: text in, vectors out.

use std::io::IsTerminal;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use serde::Serialize;
use wgformer::blocking::block_on;
use wgformer::model::forward::{Outputs, Sizes};
use wgformer::model::{Blueprint, Model};
use wgformer::{Capacity, Plan, Role};

use crate::device;
use crate::input::{self, Text, start};
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
    let outputs = blueprint.embedding();
    let model = load(device, blueprint, outputs)?;
    let hidden = device.quiet || std::io::stdout().is_terminal();
    let bar = progress(None, "texts embedded", hidden);
    let most = args.batch_size as usize;
    // The next batch is tokenised while the device has this one.
    let (send, batches) = sync_channel(1);
    let reader = model.clone();
    let reader = std::thread::spawn(move || read(&reader, &texts, first, most, &send));
    for batch in batches {
        embed(&model, &batch, limit, device.quiet)?;
        bar.inc(batch.texts.len() as u64);
    }
    joined(reader.join())??;
    bar.finish_and_clear();
    Ok(ExitCode::SUCCESS)
}

/// Texts of one step.
struct Batch {
    texts: Vec<String>,
    truncated: Vec<bool>,
    ids: Vec<Vec<u32>>,
}

/// Tokenises batch after batch, until there are no more texts or nobody wants them.
fn read(
    model: &Model,
    texts: &Receiver<Text>,
    first: Text,
    most: usize,
    send: &SyncSender<Batch>,
) -> Result<(), Failure> {
    let tokenizer = model.blueprint().text_tokenizer()?;
    input::batches(texts, first, most, |texts| {
        let tokens = texts.iter().map(|text| tokenizer.encode(text)).collect::<wgformer::Result<Vec<_>>>()?;
        let (truncated, ids) = tokens.into_iter().map(|tokens| (tokens.truncated, tokens.ids)).unzip();
        send.send(Batch { texts: texts.to_vec(), truncated, ids }).map_err(|_| Failure::Closed)
    })
}

/// The model, ready for some outputs. What takes time is done side by side: the tokenizer is parsed while a device is opened, and
/// kernels are compiled while weights are loaded.
pub fn load(device: &device::Args, blueprint: Blueprint, outputs: Outputs) -> Result<Model, Failure> {
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
fn joined<T>(result: std::thread::Result<T>) -> Result<T, Failure> {
    result.map_err(|_| Failure::new("a thread panicked; please report this"))
}

fn embed(model: &Model, batch: &Batch, limit: usize, quiet: bool) -> Result<(), Failure> {
    let vectors = block_on(model.gpu(), model.embed_ids(&batch.ids))?;
    for (i, (text, embedding)) in batch.texts.iter().zip(vectors).enumerate() {
        if batch.truncated[i] && !quiet {
            note(&format!("note: cut to {limit} tokens, which is all that the model takes: {}", start(text)));
        }
        if !embedding.iter().all(|x| x.is_finite()) {
            let why = "has numbers that are not finite; see what `wgformer verify` says of this adapter";
            return Err(Failure::new(format!("the embedding of {} {why}", start(text))));
        }
        let line = Line { text, tokens: batch.ids[i].len(), embedding: &embedding };
        let json = serde_json::to_string(&line).map_err(|e| Failure::new(e.to_string()))?;
        print(&(json + "\n"))?;
    }
    Ok(())
}
