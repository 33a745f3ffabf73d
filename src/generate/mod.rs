//! Generation: greedy, beam search and sampling over the decoder's plans, as Hugging Face's `generate` does them.
//!
//! The host's part knows no device: `Search` says which step comes next and takes what the logits say. Of each row of
//! logits only its best few and their sum come back ([`crate::kernel::Topk`]); whole rows where a penalty asks for them,
//! or where those few do not tell. Plain greedy ids stay on the GPU, several steps in a submission.
//!
//! A key has a slot of the cache that is written once; beams reorder by their lists of slots. Prompts of a batch are
//! packed, each with positions from 0, which is what left padding with a mask amounts to; so a prompt's answer does not
//! depend on what shares its batch: lengths (`max_length`, `min_length`) and `no_repeat_ngram_size` see its own tokens,
//! where Hugging Face's see its padding, too.

mod beam;
mod machine;
mod rows;
mod rules;
mod sample;
mod search;
mod settings;
#[cfg(test)]
mod tests;

use std::ops::ControlFlow;

pub use settings::{EarlyStopping, MOST_BEAMS, Settings};

use crate::graph::{Plan, Step};
use crate::kernel::Role;
use crate::model::Model;
use crate::model::arch::{Arch, Position};
use crate::model::padded::check_ids;
use crate::{Error, Result};
use machine::{Job, Machine};
use search::Search;

/// How a text ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Finish {
    /// With an end token.
    End,
    /// At the length that the settings allow: it was cut, or its end was forced there.
    Length,
    /// The caller stopped it.
    Stopped,
}

/// What was generated for one prompt.
#[derive(Clone, Debug, PartialEq)]
pub struct Generated {
    /// The new tokens, the end token included.
    pub ids: Vec<u32>,
    /// How it ended.
    pub finish: Finish,
    /// With beams: the log-probability, divided by the length penalty.
    pub score: Option<f32>,
}

/// What a batch begins with.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Inputs<'a> {
    /// What the encoder reads; empty for a model without one.
    pub sources: &'a [Vec<u32>],
    /// What the decoder reads first.
    pub prompts: &'a [Vec<u32>],
}

impl Model {
    /// Continues each list of ids; for an encoder-decoder the lists are sources, and each decoder begins with
    /// `decoder_start_token_id`.
    ///
    /// # Errors
    /// [`Error::Unsupported`] for a model without a decoder; [`Error::Input`] for settings that make no sense, empty
    /// lists, ids outside the vocabulary, or more tokens than the model has positions; [`Error::NotFinite`];
    /// [`Error::Limit`] and [`Error::OutOfMemory`] where the cache of the batch does not fit the device.
    pub async fn generate_ids(&self, lists: &[Vec<u32>], settings: &Settings) -> Result<Vec<Generated>> {
        let prompts = self.starts(lists, settings)?;
        self.generate_each(lists, &prompts, settings, |_, _| ControlFlow::Continue(())).await
    }

    /// As [`Self::generate_ids`], with a decoder prompt for each source of an encoder-decoder, its start token included,
    /// and telling of each token as it comes: the prompt's number and the id (with beams, when the prompt is done).
    /// [`ControlFlow::Break`] ends the generation. Models without an encoder take no sources.
    ///
    /// # Errors
    /// As [`Self::generate_ids`].
    pub async fn generate_each(
        &self,
        sources: &[Vec<u32>],
        prompts: &[Vec<u32>],
        settings: &Settings,
        mut each: impl FnMut(usize, u32) -> ControlFlow<()>,
    ) -> Result<Vec<Generated>> {
        let arch = self.blueprint().arch();
        let sources = if arch.encoder.is_some() { sources } else { &[] };
        let (job, limits) = self.job(Inputs { sources, prompts }, settings)?;
        if prompts.is_empty() {
            return Ok(Vec::new());
        }
        let mut machine = self.machine(&job).await?;
        let lengths: Vec<usize> = sources.iter().map(Vec::len).collect();
        let position = arch.decoder.as_ref().map_or(Position::None, |stack| stack.position);
        let mut search = Search::new(settings, position, prompts, &limits, &lengths);
        if let Some(encoder) = &arch.encoder {
            machine.encode(encoder.step(sources)).await?;
        }
        run(&mut machine, &mut search, &job, &mut each).await?;
        Ok(search.finish())
    }

    /// The plans that a batch would be generated with, the KV cache of prompt and new tokens included: see
    /// [`Plan::report`].
    ///
    /// # Errors
    /// As [`Self::generate_ids`].
    pub fn generation_plans(&self, lists: &[Vec<u32>], settings: &Settings) -> Result<Vec<Plan>> {
        let prompts = self.starts(lists, settings)?;
        let sources = if self.blueprint().arch().encoder.is_some() { lists } else { &[] };
        let Some(gpu) = self.gpu() else {
            return Err(Error::Unsupported { what: "a plan".into(), why: "the model is on the CPU".into() });
        };
        self.job(Inputs { sources, prompts: &prompts }, settings)?.0.plans(gpu.caps(), self.blueprint())
    }

    /// Decoder prompts: the start token for each source, or the lists themselves.
    fn starts(&self, lists: &[Vec<u32>], settings: &Settings) -> Result<Vec<Vec<u32>>> {
        let arch = self.blueprint().arch();
        if arch.encoder.is_none() || arch.decoder.is_none() {
            return Ok(lists.to_vec());
        }
        Ok(vec![vec![settings.decoder_start()?]; lists.len()])
    }

    /// Allocates all that a job needs.
    async fn machine(&self, job: &Job) -> Result<Machine<'_>> {
        match (self.gpu(), self.state()) {
            (Some(gpu), _) => {
                let session = self.session(job.plans(gpu.caps(), self.blueprint())?).await?;
                Ok(Machine::gpu(gpu, session, job))
            }
            (None, Some(state)) => Ok(Machine::cpu(state, self.blueprint(), job)),
            (None, None) => Err(Error::Unsupported { what: "generation".into(), why: "there is no device".into() }),
        }
    }

    fn job(&self, inputs: Inputs<'_>, settings: &Settings) -> Result<(Job, Vec<usize>)> {
        let arch = self.blueprint().arch();
        let limits = check(arch, inputs, settings)?;
        Ok((Job::new(arch, inputs, settings, &limits), limits))
    }
}

/// Refuses what cannot be generated from; the lengths at which the texts end.
fn check(arch: &Arch, inputs: Inputs<'_>, settings: &Settings) -> Result<Vec<usize>> {
    let Some(decoder) = &arch.decoder else {
        let why = "the model has no decoder; give one that generates, such as BART, Marian or Llama".into();
        return Err(Error::Unsupported { what: "generation".into(), why });
    };
    settings.check(arch.vocab)?;
    if let Some(encoder) = &arch.encoder {
        let (sources, prompts) = (inputs.sources.len(), inputs.prompts.len());
        if sources != prompts {
            return Err(Error::input("decoder prompts", format!("{prompts} given for {sources} sources")));
        }
        inputs.sources.iter().try_for_each(|ids| check_ids("source", ids, arch.vocab, encoder.position.max()))?;
    }
    let limit = |ids: &Vec<u32>| {
        let positions = decoder.position.max();
        check_ids("prompt", ids, arch.vocab, positions)?;
        settings.limit(ids.len(), positions)
    };
    inputs.prompts.iter().map(limit).collect()
}

/// Runs a search to its end, or until the caller stops it.
async fn run(
    machine: &mut Machine<'_>,
    search: &mut Search<'_>,
    job: &Job,
    each: &mut dyn FnMut(usize, u32) -> ControlFlow<()>,
) -> Result<()> {
    let mut go_on = true;
    for chunk in &job.chunks {
        let step = search.prefill(chunk.clone());
        let mut tell = |i: usize, id: u32| go_on = go_on && each(i, id).is_continue();
        advance(machine, search, job.prompts, &[step], job.whole, &mut tell).await?;
    }
    while go_on {
        let steps = search.decode();
        if steps.is_empty() {
            break;
        }
        let mut tell = |i: usize, id: u32| go_on = go_on && each(i, id).is_continue();
        advance(machine, search, Role::Decode, &steps, job.whole, &mut tell).await?;
    }
    Ok(())
}

/// Computes some steps in one submission and takes what they say.
async fn advance(
    machine: &mut Machine<'_>,
    search: &mut Search<'_>,
    role: Role,
    steps: &[Step],
    whole: bool,
    tell: &mut dyn FnMut(usize, u32),
) -> Result<()> {
    for mut rows in machine.steps(role, steps, whole).await? {
        if !search.advance(&rows, tell)? {
            rows.whole = Some(machine.logits(rows.values.len() / rows.k.max(1)).await?);
            search.advance(&rows, tell)?;
        }
    }
    Ok(())
}
