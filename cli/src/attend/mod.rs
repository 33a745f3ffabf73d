//! `wgformer attend`: what each head attends to, on a terminal, as a page or as numbers.

mod terminal;
mod view;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use wgformer::blocking::block_on;
use wgformer::generate::Settings;
use wgformer::model::arch::Stack;
use wgformer::model::{Model, Padded};
use wgformer::text::{Side, Tokenizer, Tokens};

use crate::forward::Part;
use crate::output::{Failure, note, print};
use crate::{builtin, device, translate};
use view::{Choice, Kind, Map, View};

/// What each head of a model attends to: a shaded table, a page to look around in, or the numbers
#[derive(clap::Args)]
#[command(after_help = "Examples:
  wgformer attend transformer
  wgformer attend --model all-MiniLM-L6-v2 \"The cat sat on the mat.\"
  wgformer attend --model all-MiniLM-L6-v2 \"The cat sat on the mat.\" --layer 2 --head 7
  wgformer attend --model all-MiniLM-L6-v2 \"The cat sat on the mat.\" --output cat.html

An encoder-decoder also shows what its decoder attends to while it writes TARGET; without TARGET, what it translates the source
to. Layers and heads count from 0; what is not chosen is the mean of all. The page needs no network and no other file. In .json,
`maps` has for each kind of attention its `rows` (who attends), its `columns` (to what) and `weights` [layers, heads, rows,
columns]; each row sums to 1.")]
pub struct Args {
    /// A Hugging Face folder with config.json, model.safetensors and tokenizer files, or a name on the hub: OWNER/MODEL,
    /// OWNER/MODEL@REVISION; without it, the built-in model
    #[arg(long, value_name = "DIR|NAME")]
    model: Option<PathBuf>,
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
    /// What an encoder-decoder is to write
    #[arg(value_name = "TARGET")]
    target: Option<String>,
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
    let blueprint = builtin::open(args.model.as_deref(), device.quiet)?;
    let both = blueprint.arch().encoder.is_some() && blueprint.arch().decoder.is_some();
    if args.target.is_some() && !both {
        return Err(Failure::new("the model has one stack, so there is no TARGET to attend from; leave it out"));
    }
    let tokenizer = Tokenizer::of(&blueprint)?;
    let source = tokens(tokenizer.encode(&args.source)?, device.quiet)?;
    let target = args.target.map(|text| tokens(tokenizer.encode_target(&text)?, device.quiet)).transpose()?;
    let settings = both.then(|| translate::settings(&blueprint, &tokenizer));
    let model = device.open()?.model(blueprint)?;
    let maps = match settings {
        Some(settings) => sequence(&model, &tokenizer, &settings, source, target)?,
        None => vec![stack(&model, &tokenizer, &source)?],
    };
    let (title, choice) = (args.source, Choice { layer: args.layer, head: args.head });
    let view = View { title, model: builtin::name(args.model.as_deref()), maps, choice };
    view.check()?;
    match (form, args.output.as_deref()) {
        (Form::Page, Some(path)) => Part::create(path)?.finish(view.page()?.as_bytes())?,
        (Form::Numbers, Some(path)) => Part::create(path)?.finish(view.json()?.as_bytes())?,
        _ => print(&terminal::table(&view, terminal::columns()))?,
    }
    Ok(ExitCode::SUCCESS)
}

/// The ids of a text, of which there are some.
fn tokens(tokens: Tokens, quiet: bool) -> Result<Vec<u32>, Failure> {
    if tokens.ids.is_empty() {
        return Err(Failure::new("the text has no tokens; give some"));
    }
    if tokens.truncated && !quiet {
        note(&format!("note: cut to {} tokens, which is all that the model takes", tokens.ids.len()));
    }
    Ok(tokens.ids)
}

fn padded(ids: &[u32]) -> Padded {
    Padded { batch: 1, len: ids.len(), ids: ids.iter().map(|&id| id.into()).collect(), ..Padded::default() }
}

/// What the tokens of a model with one stack attend to among themselves.
fn stack(model: &Model, tokenizer: &Tokenizer, ids: &[u32]) -> Result<Map, Failure> {
    let batch = padded(ids);
    let arch = model.blueprint().arch();
    let names = labels(tokenizer, ids, Side::Source);
    Ok(match &arch.decoder {
        Some(decoder) => {
            let forced = block_on(model.gpu(), model.forward(None, &batch, true))?;
            map(Kind::Decoder, decoder.heads, names.clone(), names, forced.decoder_attentions)
        }
        None => {
            let encoded = block_on(model.gpu(), model.encode(&batch, true))?;
            let heads = arch.encoder.as_ref().map_or(0, |stack| stack.heads);
            map(Kind::Encoder, heads, names.clone(), names, encoded.attentions)
        }
    })
}

/// What an encoder-decoder attends to while it writes the target, or else its own translation. The rows of the decoder are
/// the tokens that it writes: each is chosen by what the token before it attends to.
fn sequence(
    model: &Model,
    tokenizer: &Tokenizer,
    settings: &Settings,
    source: Vec<u32>,
    target: Option<Vec<u32>>,
) -> Result<Vec<Map>, Failure> {
    let written = match target {
        Some(ids) => ids,
        None => {
            let generated = block_on(model.gpu(), model.generate_ids(std::slice::from_ref(&source), settings))?;
            generated.into_iter().flat_map(|one| one.ids).collect()
        }
    };
    let read: Vec<u32> =
        std::iter::once(settings.decoder_start()?).chain(written.iter().copied()).take(written.len()).collect();
    let forced = block_on(model.gpu(), model.forward(Some(&padded(&source)), &padded(&read), true))?;
    let arch = model.blueprint().arch();
    let heads = |stack: &Option<Stack>| stack.as_ref().map_or(0, |stack| stack.heads);
    let (from, reads) = (labels(tokenizer, &source, Side::Source), labels(tokenizer, &read, Side::Target));
    let writes = labels(tokenizer, &written, Side::Target);
    let (encoder, decoder) = (heads(&arch.encoder), heads(&arch.decoder));
    Ok(vec![
        map(Kind::Encoder, encoder, from.clone(), from.clone(), forced.encoder_attentions),
        map(Kind::Decoder, decoder, writes.clone(), reads, forced.decoder_attentions),
        map(Kind::Cross, decoder, writes, from, forced.cross_attentions),
    ])
}

fn map(kind: Kind, heads: usize, rows: Vec<String>, columns: Vec<String>, layers: Vec<Vec<f32>>) -> Map {
    Map { kind, layers: layers.len(), heads, rows, columns, weights: layers.concat() }
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
