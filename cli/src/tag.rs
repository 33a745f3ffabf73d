//! `wgformer tag`: words of texts and what they are.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::ValueEnum;
use serde::Serialize;
use wgformer::blocking::block_on;
use wgformer::model::arch::TaskKind;
use wgformer::text::{Aggregation, Entity};

use crate::device;
use crate::input::Texts;
use crate::output::Failure;
use crate::task::{self, Head};

/// Labelled words of each text, as JSON lines {"text", "entities": [{"entity_group", "score", "word", "start", "end"}]}
#[derive(clap::Args)]
#[command(after_help = "Examples:
  wgformer tag --model bert-large-cased-finetuned-conll03-english \"Angela Merkel was born in Hamburg.\"
  wgformer tag --model bert-base-NER --aggregation simple < texts.txt > entities.jsonl

Tokens are merged to words, and neighbouring words of one label to entities: B- begins one, I- goes on with it, and words labelled O
are left out. `start` and `end` count characters of the text, not bytes, and `word` is what the tokens spell. Without TEXT, standard
input gives one text a line. Texts beyond the model's limit are cut, with a notice on standard error.")]
pub struct Args {
    /// A Hugging Face folder of a model for token classification, or a name on the hub: OWNER/MODEL,
    /// OWNER/MODEL@REVISION
    #[arg(long, value_name = "DIR|NAME")]
    model: PathBuf,
    /// Whose label a word has. first: its first token's; average: that of the mean of its tokens; max: that of its surest
    /// token; simple: each token has its own, and a word may be cut in two
    #[arg(long, value_enum, default_value = "first")]
    aggregation: Kind,
    #[command(flatten)]
    texts: Texts,
}

#[derive(Clone, Copy, ValueEnum)]
enum Kind {
    Simple,
    First,
    Average,
    Max,
}

#[derive(Serialize)]
struct Line<'a> {
    text: &'a str,
    entities: Vec<Group<'a>>,
}

#[derive(Serialize)]
struct Group<'a> {
    entity_group: &'a str,
    score: f32,
    word: &'a str,
    start: usize,
    end: usize,
}

pub fn run(device: &device::Args, args: Args) -> Result<ExitCode, Failure> {
    let blueprint = task::open(&args.model, device.quiet, TaskKind::Tokens)?;
    let texts = args.texts.begin(device.quiet)?;
    let head = task::load(device, blueprint)?;
    let aggregation = match args.aggregation {
        Kind::Simple => Aggregation::Simple,
        Kind::First => Aggregation::First,
        Kind::Average => Aggregation::Average,
        Kind::Max => Aggregation::Max,
    };
    texts.each(|batch| tag(&head, batch, aggregation))?;
    Ok(ExitCode::SUCCESS)
}

fn tag(head: &Head, texts: &[String], aggregation: Aggregation) -> Result<(), Failure> {
    let borrowed: Vec<&str> = texts.iter().map(String::as_str).collect();
    let all = block_on(head.model.gpu(), head.model.tag(&borrowed, aggregation))?;
    for (text, out) in borrowed.into_iter().zip(&all) {
        head.tell(out.truncated, text);
        task::line(&Line { text, entities: out.entities.iter().map(group).collect() })?;
    }
    Ok(())
}

fn group(entity: &Entity) -> Group<'_> {
    let Entity { label, score, word, start, end } = entity;
    Group { entity_group: label, score: *score, word, start: *start, end: *end }
}
