//! `wgformer classify`: labels for texts or pairs of texts.

use std::path::PathBuf;
use std::process::ExitCode;

use serde::Serialize;
use wgformer::blocking::block_on;
use wgformer::model::arch::TaskKind;
use wgformer::text::Classified;

use crate::device;
use crate::input::{self, Texts};
use crate::output::Failure;
use crate::task::{self, Head};

/// Labels with scores for each text, best first, as JSON lines {"text", "labels": [{"label", "score"}]}
#[derive(clap::Args)]
#[command(after_help = "Examples:
  wgformer classify --model distilbert-base-uncased-finetuned-sst-2-english \"I like it\" \"I do not\"
  wgformer classify --model roberta-large-mnli --pairs \"A man eats.\" \"Someone is eating.\"
  wgformer classify --model toxic-bert --top-k 1 < texts.txt > labels.jsonl

Scores are probabilities of all labels together; where the folder's `problem_type` is multi_label_classification, or there is but one
label, each label's own; where it is regression, the numbers themselves. Without TEXT, standard input gives one text a line. With
--pairs, texts are taken two by two, or a line of standard input is two texts with a tab between; lines have \"pair\" then.")]
pub struct Args {
    /// A Hugging Face folder of a model for sequence classification, or a name on the hub: OWNER/MODEL,
    /// OWNER/MODEL@REVISION
    #[arg(long, value_name = "DIR|NAME")]
    model: PathBuf,
    /// Only so many labels, the best
    #[arg(long, value_name = "N")]
    top_k: Option<usize>,
    /// Classify pairs of texts, such as premise and hypothesis
    #[arg(long)]
    pairs: bool,
    #[command(flatten)]
    texts: Texts,
}

#[derive(Serialize)]
struct Line<'a> {
    text: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pair: Option<&'a str>,
    labels: Vec<Scored<'a>>,
}

#[derive(Serialize)]
struct Scored<'a> {
    label: &'a str,
    score: f32,
}

pub fn run(device: &device::Args, args: Args) -> Result<ExitCode, Failure> {
    let top = task::some(args.top_k.unwrap_or(usize::MAX))?;
    // Pairs that are given as arguments are two texts each.
    let by_two = args.pairs && !args.texts.texts.is_empty();
    if by_two && !args.texts.texts.len().is_multiple_of(2) {
        let why = format!("--pairs takes texts two by two; {} were given", args.texts.texts.len());
        return Err(Failure::new(why));
    }
    let blueprint = task::open(&args.model, device.quiet, TaskKind::Sequence)?;
    let mut texts = args.texts.begin(device.quiet)?;
    let head = task::load(device, blueprint)?;
    texts.most *= if by_two { 2 } else { 1 };
    texts.each(|batch| match args.pairs {
        true => pairs(&head, batch, by_two, top),
        false => singles(&head, batch, top),
    })?;
    Ok(ExitCode::SUCCESS)
}

fn singles(head: &Head, texts: &[String], top: usize) -> Result<(), Failure> {
    let borrowed: Vec<&str> = texts.iter().map(String::as_str).collect();
    let all = block_on(head.model.gpu(), head.model.classify(&borrowed))?;
    borrowed.into_iter().zip(&all).try_for_each(|(text, out)| tell(head, text, None, out, top))
}

fn pairs(head: &Head, texts: &[String], by_two: bool, top: usize) -> Result<(), Failure> {
    let pairs: Vec<(&str, &str)> = match by_two {
        true => texts.chunks_exact(2).map(|pair| (pair[0].as_str(), pair[1].as_str())).collect(),
        false => texts.iter().map(|line| halves(line)).collect::<Result<_, _>>()?,
    };
    let all = block_on(head.model.gpu(), head.model.classify_pairs(&pairs))?;
    pairs.into_iter().zip(&all).try_for_each(|((text, pair), out)| tell(head, text, Some(pair), out, top))
}

/// The two texts of a line.
fn halves(line: &str) -> Result<(&str, &str), Failure> {
    let why = || format!("no tab between two texts: {}; --pairs wants one in each line", input::start(line));
    line.split_once('\t').ok_or_else(|| Failure::new(why()))
}

fn tell(head: &Head, text: &str, pair: Option<&str>, out: &Classified, top: usize) -> Result<(), Failure> {
    head.tell(out.truncated, text);
    let labels = out.labels.iter().take(top).map(|l| Scored { label: &l.label, score: l.score }).collect();
    task::line(&Line { text, pair, labels })
}
