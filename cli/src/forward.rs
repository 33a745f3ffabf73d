//! `wgformer forward`: a padded batch of ids through a model, file to file.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use wgformer::blocking::block_on;
use wgformer::generate::Settings;
use wgformer::model::arch::{Arch, TaskKind};
use wgformer::model::{Encoded, Forced, Model, Padded};
use wgformer::weights::{Checkpoint, Values, write_safetensors};

use crate::device;
use crate::output::Failure;
use crate::source;

/// A model's whole forward pass over a padded batch of token ids, with PyTorch's names
#[derive(clap::Args)]
#[command(after_help = "Example:
  wgformer forward --model bert-base-uncased --input batch.safetensors --output out.safetensors --attentions

The input has `input_ids` [B,S] i64, and may have `attention_mask` [B,S] i64 (0 or 1, holes and left padding allowed), for an
encoder also `token_type_ids` [B,S] i64. An encoder with a decoder wants `decoder_input_ids` [B,T] i64 too, and may have
`decoder_attention_mask` [B,T] i64.

The output is all f32. Of an encoder: `last_hidden_state` [B,S,W], `pooler_output` [B,W] where the model has a pooler, and with
--attentions `attentions.N` [B,H,S,S] for each layer. Where the folder holds the head of the task that its `architectures` name,
also `logits` [B,S,V] (masked words), [B,L] (sequence classification, by the first token of each row that is no
padding) or [B,S,L] (token classification), or `start_logits` and `end_logits` [B,S] (question answering).

With a decoder: `logits` [B,T,V], `encoder_last_hidden_state` [B,S,W], and with --attentions `encoder_attentions.N` [B,H,S,S],
`decoder_attentions.N` [B,H,T,T], `cross_attentions.N` [B,H,T,S]. Of a decoder alone: `logits` [B,S,V], and `attentions.N`. Rows
that are padding are zeros.

With --max-new-tokens it generates instead, as the folder's generation_config.json says but without drawing, and writes
`sequences` [B,L] i64 only: start token or prompt with its padding, then the new tokens, padded with the pad id. Decoder ids are
not read then. The output is complete or not there at all.")]
pub struct Args {
    /// A Hugging Face folder with config.json and model.safetensors, or a name on the hub: OWNER/MODEL, OWNER/MODEL@REVISION
    #[arg(long, value_name = "DIR|NAME")]
    model: PathBuf,
    /// The batch, a safetensors file
    #[arg(long, value_name = "FILE")]
    input: PathBuf,
    /// Where the result goes, a safetensors file; replaced if it exists
    #[arg(long, value_name = "FILE")]
    output: PathBuf,
    /// Also write what each head attends to
    #[arg(long, conflicts_with = "max_new_tokens")]
    attentions: bool,
    /// Generate up to so many new tokens
    #[arg(long, value_name = "N")]
    max_new_tokens: Option<usize>,
    /// Beams of the search; what the folder says without it
    #[arg(long, value_name = "K", requires = "max_new_tokens")]
    num_beams: Option<usize>,
    /// No end token ends a text, only the length
    #[arg(long, requires = "max_new_tokens")]
    ignore_eos: bool,
}

pub fn run(device: &device::Args, args: Args) -> Result<ExitCode, Failure> {
    // Whether the output can be written is known now, not after the work.
    Part::create(&args.output)?;
    let blueprint = source::open(&args.model, device.quiet)?;
    let (batch, target) = read(&args.input, blueprint.arch(), args.max_new_tokens.is_some())?;
    if let Some(new) = args.max_new_tokens {
        let mut settings = Settings { max_new_tokens: Some(new), do_sample: false, ..blueprint.generation().clone() };
        settings.num_beams = args.num_beams.unwrap_or(settings.num_beams);
        if args.ignore_eos {
            settings.eos_token_id.clear();
        }
        settings.check(blueprint.arch().vocab)?;
        let model = device.open()?.model(blueprint)?;
        let (shape, ids) = sequences(&model, &batch, &settings)?;
        let bytes = write_safetensors(&[("sequences", &shape, Values::I64(&ids))])?;
        Part::create(&args.output)?.finish(&bytes)?;
        return Ok(ExitCode::SUCCESS);
    }
    let model = device.open()?.model(blueprint)?;
    let tensors = compute(&model, &batch, target.as_ref(), args.attentions)?;
    let list: Vec<_> = tensors.iter().map(|(n, shape, v)| (n.as_str(), shape.as_slice(), Values::F32(v))).collect();
    Part::create(&args.output)?.finish(&write_safetensors(&list)?)?;
    Ok(ExitCode::SUCCESS)
}

/// The batch of a file and, for an encoder with a decoder, the decoder's; their shapes are checked, the model checks the
/// values.
fn read(path: &Path, arch: &Arch, generates: bool) -> Result<(Padded, Option<Padded>), Failure> {
    let known: &[&str] = match (&arch.encoder, &arch.decoder) {
        (_, Some(_)) if generates => &["input_ids", "attention_mask"],
        (_, None) => &["input_ids", "attention_mask", "token_type_ids"],
        (None, _) => &["input_ids", "attention_mask"],
        _ => &["input_ids", "attention_mask", "decoder_input_ids", "decoder_attention_mask"],
    };
    if !path.is_file() {
        return Err(Failure::new(format!(
            "{}: there is no such file; --input wants a safetensors file",
            path.display()
        )));
    }
    let file = Checkpoint::open(path).map_err(|e| said(path, e))?;
    if let Some(name) = file.names().find(|name| !known.contains(name)) {
        let why = format!("it has a tensor {name:?}, which is no input of the model; there are {}", known.join(", "));
        return Err(Failure::new(format!("{}: {why}", path.display())));
    }
    match known.iter().position(|name| *name == "decoder_input_ids") {
        None => Ok((read_batch(path, &file, known)?, None)),
        Some(at) => Ok((read_batch(path, &file, &known[..at])?, Some(read_batch(path, &file, &known[at..])?))),
    }
}

/// Ids, mask and types by their names, the last two if they are there.
fn read_batch(path: &Path, file: &Checkpoint, names: &[&str]) -> Result<Padded, Failure> {
    let name = names[0];
    if !file.contains(name) {
        return Err(Failure::new(format!("{}: it has no {name}; expected [batch, columns] i64", path.display())));
    }
    let (shape, ids) = file.get_i64(name).map_err(|e| said(path, e))?;
    let [batch, len] = shape[..] else {
        return Err(Failure::new(format!("{}: {name} is {shape:?}, expected [batch, columns]", path.display())));
    };
    let optional = |other: Option<&&str>| -> Result<Vec<i64>, Failure> {
        let Some(other) = other.filter(|other| file.contains(other)) else { return Ok(Vec::new()) };
        match file.get_i64(other).map_err(|e| said(path, e))? {
            (found, values) if found == shape => Ok(values),
            (found, _) => Err(Failure::new(format!("{}: {other} is {found:?}, {name} {shape:?}", path.display()))),
        }
    };
    Ok(Padded { batch, len, mask: optional(names.get(1))?, types: optional(names.get(2))?, ids })
}

/// An error that names the file.
fn said(path: &Path, e: wgformer::Error) -> Failure {
    let (e, file) = (e.to_string(), path.display().to_string());
    Failure::new(if e.contains(&file) { e } else { format!("{file}: {e}") })
}

/// What a model generates for each row, padded to one length, with what it began from.
fn sequences(model: &Model, batch: &Padded, settings: &Settings) -> Result<(Vec<usize>, Vec<i64>), Failure> {
    let arch = model.blueprint().arch();
    let reads = arch.encoder.as_ref().or(arch.decoder.as_ref());
    let lists = batch.lists(arch.vocab, reads.map_or(0, |stack| stack.position.max()))?;
    let generated = block_on(model.gpu(), model.generate_ids(&lists, settings))?;
    let begun = |b: usize| match arch.encoder {
        Some(_) => settings.decoder_start_token_id.or(settings.bos_token_id).into_iter().map(i64::from).collect(),
        None => batch.ids[b * batch.len..][..batch.len].to_vec(),
    };
    let rows: Vec<Vec<i64>> = (generated.iter().enumerate())
        .map(|(b, one)| begun(b).into_iter().chain(one.ids.iter().map(|&id| id.into())).collect())
        .collect();
    let longest = rows.iter().map(Vec::len).max().unwrap_or(0);
    // As transformers does where there is no pad id.
    let pad = settings.pad_token_id.or(settings.eos_token_id.first().copied()).unwrap_or(0);
    let padded = rows.into_iter().flat_map(|mut row| {
        row.resize(longest, pad.into());
        row
    });
    Ok((vec![batch.batch, longest], padded.collect()))
}

/// A tensor of the output: name, shape, elements.
type Tensor = (String, Vec<usize>, Vec<f32>);

fn compute(model: &Model, batch: &Padded, target: Option<&Padded>, attentions: bool) -> Result<Vec<Tensor>, Failure> {
    let arch = model.blueprint().arch();
    match &arch.decoder {
        None => Ok(encoded(batch, arch, block_on(model.gpu(), model.encode(batch, attentions))?)),
        Some(_) => {
            let (source, target) = target.map_or((None, batch), |target| (Some(batch), target));
            let forced = block_on(model.gpu(), model.forward(source, target, attentions))?;
            Ok(self::forced(source, target, forced))
        }
    }
}

fn encoded(batch: &Padded, arch: &Arch, encoded: Encoded) -> Vec<Tensor> {
    let mut all = vec![rows("last_hidden_state", batch, encoded.last_hidden_state)];
    all.extend(encoded.pooler_output.map(|pooler| sequence_rows("pooler_output", batch, pooler)));
    let of_sequences = arch.task.is_some_and(|task| task.kind == TaskKind::Sequence);
    let logits =
        |logits| if of_sequences { sequence_rows("logits", batch, logits) } else { rows("logits", batch, logits) };
    all.extend(encoded.logits.map(logits));
    let ends = [("start_logits", encoded.start_logits), ("end_logits", encoded.end_logits)];
    all.extend(
        ends.into_iter().filter_map(|(name, values)| Some((name.into(), vec![batch.batch, batch.len], values?))),
    );
    all.extend(weights("attentions", batch, batch, encoded.attentions));
    all
}

fn forced(source: Option<&Padded>, target: &Padded, forced: Forced) -> Vec<Tensor> {
    let mut all = vec![match forced.logits {
        Some(logits) => rows("logits", target, logits),
        None => rows("last_hidden_state", target, forced.last_hidden_state),
    }];
    let Some(source) = source else {
        all.extend(weights("attentions", target, target, forced.decoder_attentions));
        return all;
    };
    all.extend(forced.encoder_last_hidden_state.map(|hidden| rows("encoder_last_hidden_state", source, hidden)));
    all.extend(weights("encoder_attentions", source, source, forced.encoder_attentions));
    all.extend(weights("decoder_attentions", target, target, forced.decoder_attentions));
    all.extend(weights("cross_attentions", target, source, forced.cross_attentions));
    all
}

/// `[batch, the rest]`
fn sequence_rows(name: &str, batch: &Padded, values: Vec<f32>) -> Tensor {
    let width = values.len() / batch.batch.max(1);
    (name.into(), vec![batch.batch, width], values)
}

/// `[batch, columns, the rest]`
fn rows(name: &str, batch: &Padded, values: Vec<f32>) -> Tensor {
    let width = values.len() / (batch.batch * batch.len).max(1);
    (name.into(), vec![batch.batch, batch.len, width], values)
}

/// `[batch, heads, queries, keys]` for each layer.
fn weights(name: &str, queries: &Padded, keys: &Padded, layers: Vec<Vec<f32>>) -> impl Iterator<Item = Tensor> {
    let (batch, queries, keys) = (queries.batch, queries.len, keys.len);
    let shape = move |len: usize| vec![batch, len / (batch * queries * keys).max(1), queries, keys];
    let name = name.to_owned();
    layers.into_iter().enumerate().map(move |(i, values)| (format!("{name}.{i}"), shape(values.len()), values))
}

/// A file beside its place, there until it is complete; removed if it never is.
pub struct Part<'a> {
    target: &'a Path,
    path: PathBuf,
    file: File,
}

impl<'a> Part<'a> {
    /// Begins a file; it has to be possible to write one there.
    pub fn create(target: &'a Path) -> Result<Self, Failure> {
        let wrong = |why: &str| {
            Failure::new(format!("{}: {why}; --output wants a file in a folder that can be written", target.display()))
        };
        let Some(name) = target.file_name().filter(|_| !target.is_dir()) else {
            return Err(wrong("is a folder"));
        };
        if target.exists() && !target.is_file() {
            return Err(wrong("is not a regular file"));
        }
        let path = target.with_file_name(format!(".{}.{}.part", name.to_string_lossy(), std::process::id()));
        let file = File::create_new(&path).map_err(|e| wrong(&e.to_string()))?;
        Ok(Self { target, path, file })
    }

    /// Writes all of it, and puts it in its place.
    pub fn finish(mut self, bytes: &[u8]) -> Result<(), Failure> {
        let written = self.file.write_all(bytes).and_then(|()| self.file.sync_all());
        let renamed = written.and_then(|()| std::fs::rename(&self.path, self.target));
        renamed.map_err(|e| Failure::new(format!("{}: {e}; nothing was written", self.target.display())))
    }
}

impl Drop for Part<'_> {
    fn drop(&mut self) {
        // After a rename there is nothing to remove.
        let _ = std::fs::remove_file(&self.path);
    }
}
