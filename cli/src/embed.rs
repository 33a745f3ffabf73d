//! `wgformer embed`: text in, vectors out.

use std::io::IsTerminal;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::mpsc::{SyncSender, sync_channel};

use serde::Serialize;
use wgformer::blocking::block_on;
use wgformer::model::Model;

use crate::input::{Batches, Texts, start};
use crate::output::{Failure, json, print, progress};
use crate::task::{Head, joined};
use crate::{device, source};

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
    #[command(flatten)]
    texts: Texts,
}

#[derive(Serialize)]
struct Line<'a> {
    text: &'a str,
    tokens: usize,
    embedding: &'a [f32],
}

pub fn run(device: &device::Args, args: Args) -> Result<ExitCode, Failure> {
    let blueprint = source::open(&args.model, device.quiet)?;
    let texts = args.texts.begin(device.quiet)?;
    let outputs = blueprint.embedding();
    let head = Head::new(device, blueprint, outputs)?;
    let hidden = device.quiet || std::io::stdout().is_terminal();
    let bar = progress(None, "texts embedded", hidden);
    // The next batch is tokenised while the device has this one.
    let (send, batches) = sync_channel(1);
    let model = head.model.clone();
    let reader = std::thread::spawn(move || read(&model, texts, &send));
    for batch in batches {
        embed(&head, &batch)?;
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
fn read(model: &Model, texts: Batches, send: &SyncSender<Batch>) -> Result<(), Failure> {
    let tokenizer = model.blueprint().text_tokenizer()?;
    texts.each(|texts| {
        let tokens = texts.iter().map(|text| tokenizer.encode(text)).collect::<wgformer::Result<Vec<_>>>()?;
        let (truncated, ids) = tokens.into_iter().map(|tokens| (tokens.truncated, tokens.ids)).unzip();
        send.send(Batch { texts: texts.to_vec(), truncated, ids }).map_err(|_| Failure::Closed)
    })
}

fn embed(head: &Head, batch: &Batch) -> Result<(), Failure> {
    let vectors = block_on(head.model.gpu(), head.model.embed_ids(&batch.ids))?;
    for (i, (text, embedding)) in batch.texts.iter().zip(vectors).enumerate() {
        head.tell(batch.truncated[i], text);
        if !embedding.iter().all(|x| x.is_finite()) {
            let why = "has numbers that are not finite; see what `wgformer verify` says of this adapter";
            return Err(Failure::new(format!("the embedding of {} {why}", start(text))));
        }
        print(&json(&Line { text, tokens: batch.ids[i].len(), embedding: &embedding })?)?;
    }
    Ok(())
}
