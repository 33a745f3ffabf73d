//! `wgformer translate`: text in, text of another language out.

use std::io::IsTerminal;
use std::path::PathBuf;
use std::process::ExitCode;

use wgformer::blocking::block_on;
use wgformer::generate::{Finish, Settings};
use wgformer::model::{Blueprint, Model};
use wgformer::text::{TargetToken, Tokenizer};

use crate::output::{Failure, note, one_line, print, progress};
use crate::{builtin, device, input};

/// Tokens of a translation where the model's folder says nothing.
const DEFAULT_LENGTH: usize = 512;

/// One translation for each text, a line each; without --model English words become American English sounds
#[derive(clap::Args)]
#[command(after_help = "Examples:
  wgformer translate transformer attention
  wgformer translate --model opus-mt-zh-en --beams 4 \"\u{4f60}\u{597d}\"
  wgformer translate --model nllb-200-distilled-600M --source-lang eng_Latn --target-lang deu_Latn < english.txt

Without TEXT, standard input gives one text a line (UTF-8). Texts beyond the model's limit are cut, and so are translations that
do not end; a notice on standard error says so. The built-in model takes the words of a text one by one.")]
pub struct Args {
    /// A Hugging Face folder of an encoder-decoder (BART, mBART, Marian, M2M100, NLLB, T5), or a name on the hub:
    /// OWNER/MODEL, OWNER/MODEL@REVISION; without it, the built-in model
    #[arg(long, value_name = "DIR|NAME")]
    model: Option<PathBuf>,
    /// Beams of the search, 1 for greedy; what the folder says without it
    #[arg(long, value_name = "N")]
    beams: Option<usize>,
    /// The texts' language, as the model names it: en_XX, eng_Latn, en
    #[arg(long, value_name = "CODE")]
    source_lang: Option<String>,
    /// The translations' language, likewise
    #[arg(long, value_name = "CODE")]
    target_lang: Option<String>,
    /// At most so many new tokens for each text; what the folder says without it
    #[arg(long, value_name = "N")]
    max_tokens: Option<usize>,
    /// At most so many texts at once: more is faster, less needs less memory; the translations are the same
    #[arg(long, value_name = "N", default_value_t = 16, value_parser = clap::value_parser!(u32).range(1..))]
    batch_size: u32,
    /// The texts
    #[arg(value_name = "TEXT")]
    texts: Vec<String>,
}

/// A model with all that translating takes.
struct Translator {
    model: Model,
    tokenizer: Tokenizer,
    settings: Settings,
    quiet: bool,
    /// The model knows single words only.
    by_word: bool,
}

pub fn run(device: &device::Args, args: Args) -> Result<ExitCode, Failure> {
    let blueprint = builtin::open(args.model.as_deref(), device.quiet)?;
    has_both(&blueprint)?;
    let languages = (args.source_lang.as_deref(), args.target_lang.as_deref());
    let tokenizer = Tokenizer::of(&blueprint)?.with_languages(languages.0, languages.1)?;
    let mut settings = settings(&blueprint, &tokenizer);
    settings.num_beams = args.beams.unwrap_or(settings.num_beams);
    settings.max_new_tokens = args.max_tokens.or(settings.max_new_tokens);
    // What cannot be is known before a device is opened or a text read.
    settings.check(blueprint.arch().vocab)?;
    let texts = input::texts(args.texts, device.quiet);
    let first = texts.recv().map_err(|_| input::none())?;
    let model = device.open()?.model(blueprint)?;
    let translator = Translator { model, tokenizer, settings, quiet: device.quiet, by_word: args.model.is_none() };
    let bar = progress(None, "texts translated", device.quiet || std::io::stdout().is_terminal());
    input::batches(&texts, first, args.batch_size as usize, |batch| {
        translator.lines(batch)?.iter().try_for_each(|line| print(&format!("{}\n", one_line(line))))?;
        bar.inc(batch.len() as u64);
        Ok(())
    })?;
    bar.finish_and_clear();
    Ok(ExitCode::SUCCESS)
}

/// Refuses a model that does not translate.
fn has_both(blueprint: &Blueprint) -> Result<(), Failure> {
    let arch = blueprint.arch();
    let missing = match (&arch.encoder, &arch.decoder) {
        (Some(_), Some(_)) => return Ok(()),
        (_, None) => "decoder; use `embed` or `attend` for an encoder",
        (None, _) => "encoder; use `generate` for a decoder",
    };
    Err(Failure::new(format!("the model has no {missing}; translating takes a model with both")))
}

/// How a model translates to the language that its tokenizer has been told.
pub fn settings(blueprint: &Blueprint, tokenizer: &Tokenizer) -> Settings {
    let mut settings = Settings { do_sample: false, ..blueprint.generation().clone() };
    match tokenizer.target_token() {
        Some(TargetToken::Start(id)) => settings.decoder_start_token_id = Some(id),
        Some(TargetToken::First(id)) => settings.forced_bos_token_id = Some(id),
        None => {}
    }
    settings.max_length = settings.max_length.or(settings.max_new_tokens.is_none().then_some(DEFAULT_LENGTH));
    settings
}

impl Translator {
    /// The translations of some texts.
    fn lines(&self, texts: &[String]) -> Result<Vec<String>, Failure> {
        let parts = |text: &String| match self.by_word {
            true => text.split_whitespace().map(str::to_owned).collect(),
            false => vec![text.clone()],
        };
        let parts: Vec<Vec<String>> = texts.iter().map(parts).collect();
        let mut all = self.translate(&parts.concat())?.into_iter();
        Ok(parts.iter().map(|parts| all.by_ref().take(parts.len()).collect::<Vec<_>>().join(" ")).collect())
    }

    fn translate(&self, texts: &[String]) -> Result<Vec<String>, Failure> {
        let mut sources = Vec::new();
        for text in texts {
            let tokens = self.tokenizer.encode(text)?;
            if tokens.truncated && !self.quiet {
                let limit = tokens.ids.len();
                note(&format!(
                    "note: cut to {limit} tokens, which is all that the model takes: {}",
                    input::start(text)
                ));
            }
            sources.push(tokens.ids);
        }
        // Some models mark nothing of an empty text, and there is nothing to translate in it.
        let (kept, lists): (Vec<usize>, Vec<Vec<u32>>) =
            sources.into_iter().enumerate().filter(|(_, ids)| !ids.is_empty()).unzip();
        let mut lines = vec![String::new(); texts.len()];
        let generated = block_on(self.model.gpu(), self.model.generate_ids(&lists, &self.settings))?;
        for (at, generated) in kept.into_iter().zip(generated) {
            if generated.finish == Finish::Length && !self.quiet {
                let (new, text) = (generated.ids.len(), input::start(&texts[at]));
                note(&format!("note: the translation was cut at {new} tokens, see --max-tokens: {text}"));
            }
            lines[at] = self.tokenizer.decode(&generated.ids)?;
        }
        Ok(lines)
    }
}
