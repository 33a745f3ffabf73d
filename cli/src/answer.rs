//! `wgformer answer`: the part of a text that answers a question.

use std::io::{IsTerminal, Read};
use std::path::PathBuf;
use std::process::ExitCode;

use serde::Serialize;
use wgformer::blocking::block_on;
use wgformer::model::arch::TaskKind;
use wgformer::text::AnswerOptions;

use crate::device;
use crate::output::{Failure, note};
use crate::task;

/// The best span of a context for a question, as JSON lines {"score", "start", "end", "answer"}
#[derive(clap::Args)]
#[command(after_help = "Examples:
  wgformer answer --model distilbert-base-cased-distilled-squad --question \"Who won?\" --context \"They say that Ada won.\"
  wgformer answer --model roberta-base-squad2 --question \"Who won?\" --top-k 3 --impossible < article.txt

Without --context it is standard input, all of it. `start` and `end` count characters of the context, not bytes. A context that is
too long for the model is cut into windows that overlap. An answer is made of whole words; its score is a probability within its
window, summed over spans of the same words, so it may exceed 1.")]
pub struct Args {
    /// A Hugging Face folder of a model for question answering, or a name on the hub: OWNER/MODEL,
    /// OWNER/MODEL@REVISION
    #[arg(long, value_name = "DIR|NAME")]
    model: PathBuf,
    /// What is asked
    #[arg(long, value_name = "TEXT")]
    question: String,
    /// Where the answer stands
    #[arg(long, value_name = "TEXT")]
    context: Option<String>,
    /// So many answers at most, a line each
    #[arg(long, value_name = "N", default_value_t = 1)]
    top_k: usize,
    /// Tokens of an answer at most
    #[arg(long, value_name = "N", default_value_t = 15)]
    max_answer_tokens: usize,
    /// Tokens of a window with its question at most; the model's limit counts, too
    #[arg(long, value_name = "N", default_value_t = 384)]
    max_tokens: usize,
    /// Tokens of the context that neighbouring windows share; without it 128, or half of a window where that is less
    #[arg(long, value_name = "N")]
    stride: Option<usize>,
    /// Let the empty text be the answer, where the model says that the context has none
    #[arg(long)]
    impossible: bool,
}

#[derive(Serialize)]
struct Line<'a> {
    score: f32,
    start: usize,
    end: usize,
    answer: &'a str,
}

pub fn run(device: &device::Args, args: Args) -> Result<ExitCode, Failure> {
    let top_k = task::some(args.top_k)?;
    let blueprint = task::open(&args.model, device.quiet, TaskKind::Answer)?;
    let context = args.context.map_or_else(|| read(device.quiet), Ok)?;
    let head = task::load(device, blueprint)?;
    let Args { max_answer_tokens, max_tokens, stride, impossible, .. } = args;
    let options = AnswerOptions { top_k, max_answer_tokens, max_tokens, stride, impossible };
    let found = block_on(head.model.gpu(), head.model.answer(&args.question, &context, &options))?;
    for answer in &found.answers {
        let (score, start, end) = (answer.score, answer.start, answer.end);
        task::line(&Line { score, start, end, answer: &answer.text })?;
    }
    let best = found.answers.first().map_or(0.0, |answer| answer.score);
    if !impossible && found.impossible > best && !device.quiet {
        let probability = found.impossible;
        note(&format!("note: likelier the context has no answer ({probability:.2}); --impossible lets it say so"));
    }
    Ok(ExitCode::SUCCESS)
}

/// All of standard input.
fn read(quiet: bool) -> Result<String, Failure> {
    if std::io::stdin().is_terminal() && !quiet {
        note("reading the context from the terminal; Ctrl-D ends it");
    }
    let mut bytes = Vec::new();
    let read = std::io::stdin().lock().read_to_end(&mut bytes);
    read.map_err(|e| Failure::new(format!("standard input: {e}")))?;
    let wrong = |_| Failure::new("standard input is not UTF-8; convert it, e.g. with iconv");
    String::from_utf8(bytes).map_err(wrong)
}
