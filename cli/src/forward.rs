//! `wgformer forward`: a padded batch of ids through an encoder, file to file.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use wgformer::blocking::block_on;
use wgformer::model::{Blueprint, Encoded, Padded};
use wgformer::weights::{Checkpoint, Values, write_safetensors};

use crate::device;
use crate::output::Failure;

/// An encoder's whole forward pass over a padded batch of token ids, with PyTorch's names
#[derive(clap::Args)]
#[command(after_help = "Example:
  wgformer forward --model bert-base-uncased --input batch.safetensors --output out.safetensors --attentions

The input has `input_ids` [B,S] i64, and may have `attention_mask` [B,S] i64 (0 or 1, holes and left padding allowed) and
`token_type_ids` [B,S] i64. The output has, all f32, `last_hidden_state` [B,S,W], `pooler_output` [B,W] where the model has a
pooler, and with --attentions `attentions.N` [B,H,S,S] for each layer; rows that are padding are zeros. The output is
complete or not there at all.")]
pub struct Args {
    /// A Hugging Face folder with config.json and model.safetensors
    #[arg(long, value_name = "DIR")]
    model: PathBuf,
    /// The batch, a safetensors file
    #[arg(long, value_name = "FILE")]
    input: PathBuf,
    /// Where the result goes, a safetensors file; replaced if it exists
    #[arg(long, value_name = "FILE")]
    output: PathBuf,
    /// Also write what each head attends to
    #[arg(long)]
    attentions: bool,
}

pub fn run(device: &device::Args, args: Args) -> Result<ExitCode, Failure> {
    // Whether the output can be written is known now, not after the work.
    Part::create(&args.output)?;
    let blueprint = Blueprint::open(&args.model)?;
    let batch = read(&args.input)?;
    let device = device.open()?;
    let model = device.model(blueprint)?;
    let encoded = block_on(model.gpu(), model.encode(&batch, args.attentions))?;
    let encoder = model.blueprint().arch().encoder.as_ref();
    let (width, heads) = encoder.map_or((0, 0), |stack| (stack.width, stack.heads));
    Part::create(&args.output)?.finish(&tensors(&batch, &encoded, width, heads)?)?;
    Ok(ExitCode::SUCCESS)
}

/// The batch of a file, its shapes checked; the model checks the values.
fn read(path: &Path) -> Result<Padded, Failure> {
    const KNOWN: [&str; 3] = ["input_ids", "attention_mask", "token_type_ids"];
    let said = |e: wgformer::Error| {
        let (e, file) = (e.to_string(), path.display().to_string());
        Failure::new(if e.contains(&file) { e } else { format!("{file}: {e}") })
    };
    if !path.is_file() {
        return Err(Failure::new(format!(
            "{}: there is no such file; --input wants a safetensors file",
            path.display()
        )));
    }
    let file = Checkpoint::open(path).map_err(said)?;
    if let Some(name) = file.names().find(|name| !KNOWN.contains(name)) {
        let why = format!("it has a tensor {name:?}, which is no input of the model; there are {}", KNOWN.join(", "));
        return Err(Failure::new(format!("{}: {why}", path.display())));
    }
    if !file.contains(KNOWN[0]) {
        return Err(Failure::new(format!("{}: it has no input_ids; expected [batch, columns] i64", path.display())));
    }
    let (shape, ids) = file.get_i64(KNOWN[0]).map_err(said)?;
    let [batch, len] = shape[..] else {
        return Err(Failure::new(format!("{}: input_ids is {shape:?}, expected [batch, columns]", path.display())));
    };
    let optional = |name: &str| -> Result<Vec<i64>, Failure> {
        if !file.contains(name) {
            return Ok(Vec::new());
        }
        let (other, values) = file.get_i64(name).map_err(said)?;
        match other == shape {
            true => Ok(values),
            false => Err(Failure::new(format!("{}: {name} is {other:?}, input_ids {shape:?}", path.display()))),
        }
    };
    Ok(Padded { batch, len, mask: optional(KNOWN[1])?, types: optional(KNOWN[2])?, ids })
}

fn tensors(batch: &Padded, encoded: &Encoded, width: usize, heads: usize) -> Result<Vec<u8>, Failure> {
    let Padded { batch, len, .. } = *batch;
    let (hidden, pooler, attention) = ([batch, len, width], [batch, width], [batch, heads, len, len]);
    let names: Vec<String> = (0..encoded.attentions.len()).map(|i| format!("attentions.{i}")).collect();
    let mut all: Vec<(&str, &[usize], Values<'_>)> =
        vec![("last_hidden_state", &hidden, Values::F32(&encoded.last_hidden_state))];
    all.extend(encoded.pooler_output.iter().map(|p| ("pooler_output", &pooler[..], Values::F32(p))));
    let weights = names.iter().zip(&encoded.attentions);
    all.extend(weights.map(|(name, a)| (name.as_str(), &attention[..], Values::F32(a))));
    Ok(write_safetensors(&all)?)
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
