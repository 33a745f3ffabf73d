//! `wgformer generate`: a prompt in, its continuation out as it comes.

use std::ops::ControlFlow;
use std::path::PathBuf;
use std::process::ExitCode;

use wgformer::blocking::block_on;
use wgformer::generate::{Finish, Generated, Settings};
use wgformer::model::{Blueprint, Model};
use wgformer::text::Tokenizer;

use crate::chat::{ChatTemplate, Message};
use crate::device;
use crate::output::{Failure, note, print};
use crate::source;

/// New tokens where neither the command nor the model's folder says how many.
const DEFAULT_NEW: usize = 256;

/// A model's continuation of a prompt, token by token as it comes
#[derive(clap::Args)]
#[command(after_help = "Examples:
  wgformer generate --model gpt2 --prompt \"The weights of a Transformer\" --max-tokens 40
  wgformer generate --model SmolLM2-135M-Instruct --chat --prompt \"What is attention?\" --temperature 0.7 --seed 1

Standard output gets the new text only. Without options the model's generation_config.json decides, and where that says nothing
the likeliest token is taken each time. Any of --temperature, --top-k, --top-p and --seed draws instead; --temperature 0 does
not. The same seed gives the same text on the same adapter.")]
pub struct Args {
    /// A Hugging Face folder of a decoder (GPT-2, Llama, Mistral, Qwen) or an encoder-decoder, with its tokenizer's files,
    /// or a name on the hub: OWNER/MODEL, OWNER/MODEL@REVISION
    #[arg(long, value_name = "DIR|NAME")]
    model: PathBuf,
    /// What is continued, or with --chat answered
    #[arg(long, value_name = "TEXT")]
    prompt: String,
    /// At most so many new tokens [default: what generation_config.json says, else 256]
    #[arg(long, value_name = "N")]
    max_tokens: Option<usize>,
    /// Logits are divided by it: above 1 more daring, below 1 less, 0 takes the likeliest token
    #[arg(long, value_name = "T")]
    temperature: Option<f32>,
    /// Draw from so many of the likeliest tokens; 0 for all
    #[arg(long, value_name = "K")]
    top_k: Option<usize>,
    /// Draw from the likeliest tokens that together have this probability
    #[arg(long, value_name = "P")]
    top_p: Option<f32>,
    /// What is drawn
    #[arg(long, value_name = "S")]
    seed: Option<u64>,
    /// The prompt is a user's message, put in the model's chat template
    #[arg(long)]
    chat: bool,
}

pub fn run(device: &device::Args, args: Args) -> Result<ExitCode, Failure> {
    let blueprint = source::open(&args.model, device.quiet)?;
    if blueprint.arch().decoder.is_none() {
        return Err(Failure::new("the model has no decoder, so it generates nothing; use `embed` for its vectors"));
    }
    let tokenizer = Tokenizer::of(&blueprint)?;
    let ids = prompt(&blueprint, &tokenizer, &args)?;
    let settings = settings(&blueprint, &args, ids.len())?;
    settings.check(blueprint.arch().vocab)?;
    let model = device.open()?.model(blueprint)?;
    let generated = stream(&model, &tokenizer, ids, &settings)?;
    if generated.finish == Finish::Length && !device.quiet {
        note(&format!("note: cut at {} new tokens, see --max-tokens", generated.ids.len()));
    }
    Ok(ExitCode::SUCCESS)
}

fn prompt(blueprint: &Blueprint, tokenizer: &Tokenizer, args: &Args) -> Result<Vec<u32>, Failure> {
    let ids = if args.chat {
        let message = Message { role: "user", content: args.prompt.clone() };
        tokenizer.encode_plain(&ChatTemplate::of(blueprint.tokenizer_files())?.render(&[message])?)?
    } else {
        let tokens = tokenizer.encode(&args.prompt)?;
        if tokens.truncated {
            let most = tokens.ids.len();
            return Err(Failure::new(format!(
                "the prompt is longer than the {most} tokens that the model takes; shorten it"
            )));
        }
        tokens.ids
    };
    match ids.is_empty() {
        true => Err(Failure::new("the prompt has no tokens; give some text")),
        false => Ok(ids),
    }
}

fn settings(blueprint: &Blueprint, args: &Args, prompt: usize) -> Result<Settings, Failure> {
    let mut all = blueprint.generation().clone();
    let draws = args.top_k.is_some() || args.top_p.is_some() || args.seed.is_some() || args.temperature.is_some();
    if draws {
        (all.do_sample, all.num_beams) = (args.temperature != Some(0.0), 1);
    }
    all.temperature = args.temperature.filter(|&t| t != 0.0).unwrap_or(all.temperature);
    all.top_k = args.top_k.unwrap_or(all.top_k);
    all.top_p = args.top_p.unwrap_or(all.top_p);
    all.seed = args.seed.unwrap_or(all.seed);
    all.max_new_tokens = args.max_tokens.or(all.max_new_tokens);
    if all.max_new_tokens.is_none() && all.max_length.is_none() {
        // Cut at the model's positions, which `max_new_tokens` would be refused for.
        all.max_length = Some(prompt + DEFAULT_NEW);
    }
    Ok(all)
}

/// Generates, and prints each piece of text once it is sure.
fn stream(model: &Model, tokenizer: &Tokenizer, ids: Vec<u32>, settings: &Settings) -> Result<Generated, Failure> {
    let arch = model.blueprint().arch();
    let (sources, prompts) = match arch.encoder {
        None => (Vec::new(), vec![ids]),
        Some(_) => (vec![ids], vec![vec![settings.decoder_start()?]]),
    };
    let mut text = tokenizer.stream();
    let mut failure = None;
    let each = |_, id: u32| match text.push(id).map_err(Failure::from).and_then(|new| print(&new)) {
        Ok(()) => ControlFlow::Continue(()),
        Err(e) => {
            failure = Some(e);
            ControlFlow::Break(())
        }
    };
    let generated = block_on(model.gpu(), model.generate_each(&sources, &prompts, settings, each));
    if let Some(failure) = failure {
        return Err(failure);
    }
    let mut generated = generated?;
    print(&(text.finish()? + "\n"))?;
    generated.pop().ok_or_else(|| Failure::new("nothing was generated; please report this"))
}
