//! How to generate: the names, defaults and meanings of Hugging Face's `GenerationConfig`.

use serde_json::Value;

use crate::model::config::Config;
use crate::{Error, Result};

/// The most beams.
pub const MOST_BEAMS: usize = 64;
/// New tokens where nothing says how many.
const DEFAULT_NEW: usize = 20;

/// When beam search ends for a prompt that has as many finished hypotheses as beams.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum EarlyStopping {
    /// When the best running beam, at its present length, does not beat the worst finished one (`false`).
    #[default]
    Heuristic,
    /// At once (`true`).
    Always,
    /// When no running beam can ever beat the worst finished one, if scores are as a positive penalty makes them.
    Never,
}

/// How to generate. The fields are those of Hugging Face's `GenerationConfig`, with its defaults.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// New tokens, at most; before `max_length`.
    pub max_new_tokens: Option<usize>,
    /// Tokens with the prompt, at most. With neither, 20 new ones.
    pub max_length: Option<usize>,
    /// No end token before so many new ones; before `min_length`.
    pub min_new_tokens: Option<usize>,
    /// No end token before so many, with the prompt.
    pub min_length: usize,
    /// Beams, 1 to [`MOST_BEAMS`].
    pub num_beams: usize,
    /// A finished hypothesis' score is divided by its new tokens' count to this power.
    pub length_penalty: f64,
    /// When beam search ends.
    pub early_stopping: EarlyStopping,
    /// Ids that end a text; none, and only the length does.
    pub eos_token_id: Vec<u32>,
    /// The id that pads batches.
    pub pad_token_id: Option<u32>,
    /// The id that begins a text.
    pub bos_token_id: Option<u32>,
    /// The id that the decoder of an encoder-decoder begins with.
    pub decoder_start_token_id: Option<u32>,
    /// The id after a prompt of one token.
    pub forced_bos_token_id: Option<u32>,
    /// The last id where a text reaches its length.
    pub forced_eos_token_id: Vec<u32>,
    /// Scores of ids that the text has are divided by it, or multiplied where they are below 0 (Keskar et al. 2019).
    pub repetition_penalty: f32,
    /// No so many tokens in a row occur twice; 0 for no limit.
    pub no_repeat_ngram_size: usize,
    /// Ids that never come.
    pub suppress_tokens: Vec<u32>,
    /// Ids that do not come first.
    pub begin_suppress_tokens: Vec<u32>,
    /// Sequences of ids that never come.
    pub bad_words_ids: Vec<Vec<u32>>,
    /// Draw the next token instead of taking the likeliest; with one beam.
    pub do_sample: bool,
    /// Logits are divided by it before drawing.
    pub temperature: f32,
    /// Draw from so many of the likeliest tokens; 0 for all.
    pub top_k: usize,
    /// Draw from the likeliest tokens that together have this probability (Holtzman et al. 2019).
    pub top_p: f32,
    /// What is drawn: the same seed, prompt and place in the batch give the same text on the same adapter.
    pub seed: u64,
    /// Keys of a `generation_config.json` that ask for what this version cannot do. Nothing is generated until they are
    /// removed.
    pub unsupported: Vec<String>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            max_new_tokens: None,
            max_length: None,
            min_new_tokens: None,
            min_length: 0,
            num_beams: 1,
            length_penalty: 1.0,
            early_stopping: EarlyStopping::Heuristic,
            eos_token_id: Vec::new(),
            pad_token_id: None,
            bos_token_id: None,
            decoder_start_token_id: None,
            forced_bos_token_id: None,
            forced_eos_token_id: Vec::new(),
            repetition_penalty: 1.0,
            no_repeat_ngram_size: 0,
            suppress_tokens: Vec::new(),
            begin_suppress_tokens: Vec::new(),
            bad_words_ids: Vec::new(),
            do_sample: false,
            temperature: 1.0,
            top_k: 50,
            top_p: 1.0,
            seed: 0,
            unsupported: Vec::new(),
        }
    }
}

/// Keys that change what is generated, and the values at which they do nothing.
const UNSUPPORTED: [(&str, f64); 14] = [
    ("num_beam_groups", 1.0),
    ("diversity_penalty", 0.0),
    ("penalty_alpha", 0.0),
    ("encoder_repetition_penalty", 1.0),
    ("encoder_no_repeat_ngram_size", 0.0),
    ("typical_p", 1.0),
    ("min_p", 0.0),
    ("top_h", 1.0),
    ("epsilon_cutoff", 0.0),
    ("eta_cutoff", 0.0),
    ("guidance_scale", 1.0),
    ("sequence_bias", f64::NAN),
    ("exponential_decay_length_penalty", f64::NAN),
    ("stop_strings", f64::NAN),
];

/// What a family's configuration says where `config.json` does not: start, end and forced end of a text.
const FAMILY: [(&str, [Option<u32>; 3]); 7] = [
    ("bart", [Some(2), Some(2), Some(2)]),
    ("mbart", [None, Some(2), Some(2)]),
    ("marian", [None, Some(0), Some(0)]),
    ("m2m_100", [Some(2), Some(2), None]),
    ("t5", [None, Some(1), None]),
    ("llama", [None, Some(2), None]),
    ("mistral", [None, Some(2), None]),
];

const COUNT: std::ops::RangeInclusive<usize> = 0..=1 << 24;

impl Settings {
    /// Reads `generation_config.json`. A folder without one keeps these keys in `config.json`, as older ones did; ids of
    /// special tokens come from there, too, where `generation_config.json` has none.
    ///
    /// # Errors
    /// [`Error::Config`] for values of the wrong kind.
    pub fn read(generation: Option<&Config>, config: &Config) -> Result<Self> {
        let from = generation.unwrap_or(config);
        let family = config.get("model_type").and_then(Value::as_str);
        let (_, [start, end, forced]) = FAMILY.into_iter().find(|f| Some(f.0) == family).unwrap_or_default();
        let usual = |key: &str, id: Option<u32>| id.filter(|_| !config.mentions(key)).map(|id| vec![id]);
        let special = |key: &str, id| match ids(from, key)? {
            Some(found) => Ok(found),
            None => Ok(ids(config, key)?.or(usual(key, id)).unwrap_or_default()),
        };
        let own = |key: &str| ids(from, key).map(Option::unwrap_or_default);
        let forced_eos = match (own("forced_eos_token_id")?, generation) {
            (none, None) if none.is_empty() => usual("forced_eos_token_id", forced).unwrap_or_default(),
            (found, _) => found,
        };
        let plain = Self::default();
        Ok(Self {
            max_new_tokens: from.opt_usize("max_new_tokens", COUNT)?,
            max_length: from.opt_usize("max_length", COUNT)?,
            min_new_tokens: from.opt_usize("min_new_tokens", COUNT)?,
            min_length: from.usize("min_length", 0, COUNT)?,
            num_beams: from.usize("num_beams", 1, COUNT)?,
            length_penalty: from.f32("length_penalty", 1.0, -1e3..=1e3)?.into(),
            early_stopping: early_stopping(from)?,
            eos_token_id: special("eos_token_id", end)?,
            pad_token_id: special("pad_token_id", None)?.first().copied(),
            bos_token_id: special("bos_token_id", None)?.first().copied(),
            decoder_start_token_id: special("decoder_start_token_id", start)?.first().copied(),
            forced_bos_token_id: own("forced_bos_token_id")?.first().copied(),
            forced_eos_token_id: forced_eos,
            repetition_penalty: from.f32("repetition_penalty", 1.0, 0.0..=1e3)?,
            no_repeat_ngram_size: from.usize("no_repeat_ngram_size", 0, COUNT)?,
            suppress_tokens: own("suppress_tokens")?,
            begin_suppress_tokens: own("begin_suppress_tokens")?,
            bad_words_ids: bad_words(from)?,
            do_sample: from.bool("do_sample", false)?,
            temperature: from.f32("temperature", 1.0, 0.0..=1e6)?,
            top_k: from.usize("top_k", plain.top_k, COUNT)?,
            top_p: from.f32("top_p", 1.0, 0.0..=1.0)?,
            unsupported: unsupported(from),
            ..plain
        })
    }

    /// The id that the decoder of an encoder-decoder begins with: `decoder_start_token_id`, else `bos_token_id`.
    ///
    /// # Errors
    /// [`Error::Input`] where there is neither.
    pub fn decoder_start(&self) -> Result<u32> {
        let why = "the model's configuration has none; set decoder_start_token_id";
        self.decoder_start_token_id.or(self.bos_token_id).ok_or_else(|| Error::input("decoder_start_token_id", why))
    }

    /// Refuses what makes no sense, or cannot be done.
    ///
    /// # Errors
    /// [`Error::Input`] and [`Error::Unsupported`], each naming the field.
    pub fn check(&self, vocab: usize) -> Result<()> {
        let ok = |what, ok: bool, why: String| if ok { Ok(()) } else { Err(Error::input(what, why)) };
        if let Some(key) = self.unsupported.first() {
            let why = "generation_config.json sets it; remove it from `Settings::unsupported` to do without";
            return Err(Error::Unsupported { what: key.clone(), why: why.into() });
        }
        if self.do_sample && self.num_beams > 1 {
            let why = "beams are searched, not drawn; set num_beams to 1 or do_sample to false";
            return Err(Error::Unsupported { what: "sampling with beams".into(), why: why.into() });
        }
        ok("max_new_tokens", self.max_new_tokens != Some(0), "0 leaves nothing to generate; ask for 1 or more".into())?;
        let beams = self.num_beams;
        ok("num_beams", (1..=MOST_BEAMS).contains(&beams), format!("{beams} asked for, expected 1 to {MOST_BEAMS}"))?;
        let positive = |what, x: f32| ok(what, x > 0.0 && x.is_finite(), format!("{x}, expected a number above 0"));
        positive("temperature", self.temperature)?;
        positive("repetition_penalty", self.repetition_penalty)?;
        let p = self.top_p;
        ok("top_p", p > 0.0 && p <= 1.0, format!("{p}, expected a probability above 0"))?;
        ok("length_penalty", self.length_penalty.is_finite(), format!("{}", self.length_penalty))?;
        ok("bad_words_ids", self.bad_words_ids.iter().all(|w| !w.is_empty()), "holds an empty list".into())?;
        let suppressed = |ids: &[u32]| !ids.is_empty() && ids.iter().all(|id| self.suppress_tokens.contains(id));
        let clash = suppressed(self.forced_bos_token_id.as_slice()) || suppressed(&self.forced_eos_token_id);
        ok("suppress_tokens", !clash, "holds the forced token; force another or suppress fewer".into())?;
        let forced = self.forced_bos_token_id.iter().chain(&self.forced_eos_token_id);
        match forced.chain(&self.decoder_start_token_id).find(|&&id| id as usize >= vocab) {
            Some(id) => Err(Error::input("special tokens", format!("{id} is outside the vocabulary of {vocab}"))),
            None => Ok(()),
        }
    }

    /// Tokens with the prompt at which a text ends, for a prompt of so many and a model of so many positions.
    ///
    /// # Errors
    /// [`Error::Input`] where that leaves no room.
    pub(crate) fn limit(&self, prompt: usize, positions: usize) -> Result<usize> {
        let total = match (self.max_new_tokens, self.max_length) {
            (Some(new), _) => {
                // The last token is never fed.
                let most = positions.saturating_sub(prompt).saturating_add(1);
                if new > most {
                    let why = format!(
                        "{new} asked for after a prompt of {prompt}; the model has {positions} positions, so at most {most}"
                    );
                    return Err(Error::input("max_new_tokens", why));
                }
                prompt + new
            }
            (None, Some(length)) => length.min(positions),
            (None, None) => (prompt + DEFAULT_NEW).min(positions),
        };
        if total <= prompt {
            let why = format!("the prompt has {prompt} tokens already, the limit is {total}; set max_new_tokens");
            return Err(Error::input("max_length", why));
        }
        Ok(total)
    }

    /// Nothing but the likeliest token is ever taken, or a forced one: the first and the last, which the host knows of.
    pub(crate) fn is_plain_greedy(&self) -> bool {
        self.num_beams == 1
            && !self.do_sample
            && self.repetition_penalty == 1.0
            && self.no_repeat_ngram_size == 0
            && self.suppress_tokens.is_empty()
            && self.begin_suppress_tokens.is_empty()
            && self.bad_words_ids.is_empty()
            && (self.eos_token_id.is_empty() || self.min_new_tokens.unwrap_or(self.min_length) == 0)
    }

    /// Candidates that beam search keeps: so many that the beams go on even if all others end.
    pub(crate) fn candidates(&self) -> usize {
        (1 + self.eos_token_id.len()).max(2) * self.num_beams
    }
}

/// One id, or a list of them; negative ones stand for none.
fn ids(config: &Config, key: &str) -> Result<Option<Vec<u32>>> {
    let Some(value) = config.get(key) else { return Ok(None) };
    list(value).map(Some).ok_or_else(|| config.wrong(key, value, "an id or a list of ids"))
}

fn list(value: &Value) -> Option<Vec<u32>> {
    let all = match value {
        Value::Array(all) => all.as_slice(),
        one => std::slice::from_ref(one),
    };
    let numbers = all.iter().map(Value::as_i64).collect::<Option<Vec<i64>>>()?;
    numbers.into_iter().filter(|&id| id >= 0).map(|id| u32::try_from(id).ok()).collect()
}

fn bad_words(config: &Config) -> Result<Vec<Vec<u32>>> {
    let Some(value) = config.get("bad_words_ids") else { return Ok(Vec::new()) };
    let words = value.as_array().and_then(|words| words.iter().map(list).collect());
    words.ok_or_else(|| config.wrong("bad_words_ids", value, "a list of lists of ids"))
}

fn early_stopping(config: &Config) -> Result<EarlyStopping> {
    match config.get("early_stopping") {
        None | Some(Value::Bool(false)) => Ok(EarlyStopping::Heuristic),
        Some(Value::Bool(true)) => Ok(EarlyStopping::Always),
        Some(Value::String(never)) if never == "never" => Ok(EarlyStopping::Never),
        Some(other) => Err(config.wrong("early_stopping", other, "true, false or \"never\"")),
    }
}

fn unsupported(config: &Config) -> Vec<String> {
    let set = |(key, off): &(&str, f64)| config.get(key).is_some_and(|value| value.as_f64() != Some(*off));
    UNSUPPORTED.iter().filter(|entry| set(entry)).map(|(key, _)| (*key).to_owned()).collect()
}
