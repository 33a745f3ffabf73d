//! `wgformer fill-mask`: which words could stand where a text has a mask.

use std::path::PathBuf;
use std::process::ExitCode;

use serde::Serialize;
use wgformer::blocking::block_on;
use wgformer::model::arch::TaskKind;
use wgformer::text::Filled;

use crate::device;
use crate::input::Texts;
use crate::output::Failure;
use crate::task::{self, Head};

/// The best tokens for each mask of each text, as JSON lines {"text", "masks": [[{"score", "token", "token_str", "sequence"}]]}
#[derive(clap::Args)]
#[command(after_help = "Examples:
  wgformer fill-mask --model bert-base-uncased \"Paris is the [MASK] of France.\"
  wgformer fill-mask --model xlm-roberta-base --top-k 3 \"Paris is the <mask> of <mask>.\"

How a mask is written is the tokenizer's matter: [MASK] for BERT and DistilBERT, <mask> for RoBERTa and XLM-RoBERTa. Each mask has a
list of its own, in the order of the text, guessed while the others are masks still. `score` is the token's probability, `token` its
id, `sequence` the text with it. Without TEXT, standard input gives one text a line.")]
pub struct Args {
    /// A Hugging Face folder of a model for masked words, or a name on the hub: OWNER/MODEL,
    /// OWNER/MODEL@REVISION
    #[arg(long, value_name = "DIR|NAME")]
    model: PathBuf,
    /// So many tokens for each mask
    #[arg(long, value_name = "N", default_value_t = 5)]
    top_k: usize,
    #[command(flatten)]
    texts: Texts,
}

#[derive(Serialize)]
struct Line<'a> {
    text: &'a str,
    masks: Vec<Vec<Token<'a>>>,
}

#[derive(Serialize)]
struct Token<'a> {
    score: f32,
    token: u32,
    token_str: &'a str,
    sequence: &'a str,
}

pub fn run(device: &device::Args, args: Args) -> Result<ExitCode, Failure> {
    let top = task::some(args.top_k)?;
    let blueprint = task::open(&args.model, device.quiet, TaskKind::Words)?;
    let texts = args.texts.begin(device.quiet)?;
    let head = task::load(device, blueprint)?;
    texts.each(|batch| fill(&head, batch, top))?;
    Ok(ExitCode::SUCCESS)
}

fn fill(head: &Head, texts: &[String], top: usize) -> Result<(), Failure> {
    let borrowed: Vec<&str> = texts.iter().map(String::as_str).collect();
    let all = block_on(head.model.gpu(), head.model.fill_mask(&borrowed, top))?;
    for (text, out) in borrowed.into_iter().zip(&all) {
        head.tell(out.truncated, text);
        let masks = out.masks.iter().map(|best| best.iter().map(token).collect()).collect();
        task::line(&Line { text, masks })?;
    }
    Ok(())
}

fn token(filled: &Filled) -> Token<'_> {
    Token { score: filled.score, token: filled.id, token_str: &filled.token, sequence: &filled.sequence }
}
