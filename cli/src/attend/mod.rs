//! `wgformer attend`: what each head attends to, on a terminal, as a page or as numbers.

mod terminal;
mod view;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use wgformer::blocking::block_on;
use wgformer::model::{Blueprint, Model, Padded};
use wgformer::text::{Side, Tokenizer};

use crate::device;
use crate::forward::Part;
use crate::output::{Failure, note, print};
use view::{Choice, Kind, Map, View};

/// What each head of a model attends to: a shaded table, a page to look around in, or the numbers
#[derive(clap::Args)]
#[command(after_help = "Examples:
  wgformer attend --model all-MiniLM-L6-v2 \"The cat sat on the mat.\"
  wgformer attend --model all-MiniLM-L6-v2 \"The cat sat on the mat.\" --layer 2 --head 7
  wgformer attend --model all-MiniLM-L6-v2 \"The cat sat on the mat.\" --output cat.html

Layers and heads count from 0; what is not chosen is the mean of all. The page needs no network and no other file. In .json,
`maps` has for each kind of attention its `rows` (who attends), its `columns` (to what) and `weights` [layers, heads, rows,
columns]; each row sums to 1.")]
pub struct Args {
    /// A Hugging Face folder with config.json, model.safetensors and tokenizer files
    #[arg(long, value_name = "DIR")]
    model: PathBuf,
    /// This layer only, instead of the mean of all
    #[arg(long, value_name = "L")]
    layer: Option<usize>,
    /// This head only, instead of the mean of all
    #[arg(long, value_name = "H")]
    head: Option<usize>,
    /// Where a page (.html) or the numbers (.json) go; replaced if it exists
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// The text
    #[arg(value_name = "SOURCE")]
    source: String,
}

/// How the answer is shown.
#[derive(Clone, Copy)]
enum Form {
    Table,
    Page,
    Numbers,
}

impl Form {
    fn of(output: Option<&Path>) -> Result<Self, Failure> {
        let Some(path) = output else { return Ok(Self::Table) };
        match path.extension().and_then(|extension| extension.to_str()) {
            Some("html") => Ok(Self::Page),
            Some("json") => Ok(Self::Numbers),
            _ => Err(Failure::new(format!("{}: --output wants a name that ends in .html or .json", path.display()))),
        }
    }
}

pub fn run(device: &device::Args, args: Args) -> Result<ExitCode, Failure> {
    let form = Form::of(args.output.as_deref())?;
    // Whether the output can be written is known now, not after the work.
    args.output.as_deref().map(Part::create).transpose()?;
    let blueprint = Blueprint::open(&args.model)?;
    let tokenizer = Tokenizer::of(&blueprint)?;
    let tokens = tokenizer.encode(&args.source)?;
    if tokens.ids.is_empty() {
        return Err(Failure::new("the text has no tokens; give some"));
    }
    if tokens.truncated && !device.quiet {
        note(&format!("note: cut to {} tokens, which is all that the model takes", tokens.ids.len()));
    }
    let model = device.open()?.model(blueprint)?;
    let name = args.model.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
    let view = View {
        title: args.source,
        model: name,
        maps: vec![encoder(&model, &tokenizer, &tokens.ids)?],
        choice: Choice { layer: args.layer, head: args.head },
    };
    view.check()?;
    match (form, args.output.as_deref()) {
        (Form::Page, Some(path)) => Part::create(path)?.finish(view.page()?.as_bytes())?,
        (Form::Numbers, Some(path)) => Part::create(path)?.finish(view.json()?.as_bytes())?,
        _ => print(&terminal::table(&view, terminal::columns()))?,
    }
    Ok(ExitCode::SUCCESS)
}

/// What the encoder's tokens attend to among themselves.
fn encoder(model: &Model, tokenizer: &Tokenizer, ids: &[u32]) -> Result<Map, Failure> {
    let batch =
        Padded { batch: 1, len: ids.len(), ids: ids.iter().map(|&id| id.into()).collect(), ..Padded::default() };
    let encoded = block_on(model.gpu(), model.encode(&batch, true))?;
    let labels = labels(tokenizer, ids, Side::Source);
    let heads = model.blueprint().arch().encoder.as_ref().map_or(0, |stack| stack.heads);
    Ok(Map {
        kind: Kind::Encoder,
        layers: encoded.attentions.len(),
        heads,
        rows: labels.clone(),
        columns: labels,
        weights: encoded.attentions.concat(),
    })
}

/// Tokens as a reader knows them: text where one is text by itself, `▁` where a word begins, else as the vocabulary has it.
fn labels(tokenizer: &Tokenizer, ids: &[u32], side: Side) -> Vec<String> {
    let label = |&id: &u32| {
        let token = tokenizer.token(id, side).unwrap_or_else(|| format!("#{id}"));
        // Decoding is the target's, which may have other tokens.
        if token.is_ascii() || tokenizer.token(id, Side::Target).as_ref() != Some(&token) {
            return token;
        }
        match tokenizer.decode(&[id]) {
            Ok(text) if !text.trim().is_empty() && !text.contains('\u{fffd}') => {
                let start = if token.starts_with(['\u{120}', '\u{2581}']) { "\u{2581}" } else { "" };
                format!("{start}{}", text.trim())
            }
            _ => token,
        }
    };
    ids.iter().map(label).collect()
}
