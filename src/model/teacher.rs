//! Teacher forcing: a model with a decoder over whole padded sequences at once, as PyTorch's `forward` runs it.

use std::ops::Range;

use super::Model;
use super::arch::{Head, Stack};
use super::encode::INPUTS;
use super::forward::Outputs;
use super::padded::{Padded, chunks, most_sequences, most_tokens, spread, spread_weights};
use crate::graph::Capacity;
use crate::kernel::Role;
use crate::{Error, Result};

/// What a model with a decoder makes of padded batches, f32, row-major; zeros at padded rows. B rows of T columns, from
/// sources of S columns where there is an encoder.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Forced {
    /// `[B, T, vocab]`; `None` where the model has no head.
    pub logits: Option<Vec<f32>>,
    /// `[B, T, width]`: the decoder's last rows, its final norm included.
    pub last_hidden_state: Vec<f32>,
    /// `[B, S, width]`; `None` where there is no encoder.
    pub encoder_last_hidden_state: Option<Vec<f32>>,
    /// For each layer of the encoder `[B, heads, S, S]`; empty unless asked for.
    pub encoder_attentions: Vec<Vec<f32>>,
    /// For each layer of the decoder `[B, heads, T, T]`; empty unless asked for.
    pub decoder_attentions: Vec<Vec<f32>>,
    /// For each layer of the decoder `[B, heads, T, S]`; empty unless asked for.
    pub cross_attentions: Vec<Vec<f32>>,
}

/// A batch with the stack that it is for.
struct Side<'a> {
    name: &'static str,
    batch: &'a Padded,
    stack: &'a Stack,
    rows: Vec<Vec<usize>>,
}

/// A persistent tensor of the graphs, and what it is spread over.
struct Output<'a> {
    name: String,
    layout: Layout<'a>,
    values: Vec<f32>,
}

enum Layout<'a> {
    /// A row of so many columns for each token.
    Rows(&'a Side<'a>, usize),
    /// What each token of one side attends to in the other, in taps with room for so many keys.
    Weights(&'a Side<'a>, &'a Side<'a>, usize),
}

impl<'a> Output<'a> {
    fn rows(name: impl Into<String>, side: &'a Side<'a>, width: usize) -> Self {
        let values = vec![0.0; side.batch.batch * side.batch.len * width];
        Self { name: name.into(), layout: Layout::Rows(side, width), values }
    }

    /// The weights of all layers of a stack.
    fn weights(kind: &str, queries: &'a Side<'a>, keys: &'a Side<'a>, most: usize) -> Vec<Self> {
        let len = queries.batch.batch * queries.stack.heads * queries.batch.len * keys.batch.len;
        let layer = |i| Self {
            name: format!("{}.{i}.{kind}.weights", queries.name),
            layout: Layout::Weights(queries, keys, most),
            values: vec![0.0; len],
        };
        (0..queries.stack.layers).map(layer).collect()
    }

    /// What is read of a batch, without the logits.
    fn all(source: Option<&'a Side<'a>>, target: &'a Side<'a>, taps: Option<usize>) -> Vec<Self> {
        let mut all = vec![Self::rows("decoder.hidden", target, target.stack.width)];
        all.extend(source.map(|source| Self::rows("hidden", source, source.stack.width)));
        let Some(most) = taps else { return all };
        all.extend(Self::weights("self", target, target, most));
        if let Some(source) = source {
            all.extend(Self::weights("self", source, source, most));
            all.extend(Self::weights("cross", target, source, most));
        }
        all
    }

    fn spread(&mut self, chunk: Range<usize>, packed: &[f32]) {
        match self.layout {
            Layout::Rows(side, width) => {
                spread(&mut self.values, (side.batch.len, width), &side.rows, chunk, packed);
            }
            Layout::Weights(queries, keys, most) => {
                let heads = (queries.stack.heads, most);
                spread_weights(&mut self.values, heads, queries.columns(), keys.columns(), chunk, packed);
            }
        }
    }
}

impl<'a> Side<'a> {
    fn new(name: &'static str, batch: &'a Padded, stack: &'a Stack) -> Self {
        Self { name, batch, stack, rows: batch.tokens() }
    }

    fn lengths(&self) -> Vec<usize> {
        self.rows.iter().map(Vec::len).collect()
    }

    fn columns(&self) -> (usize, &[Vec<usize>]) {
        (self.batch.len, &self.rows)
    }
}

const TARGETS: [&str; 3] = ["decoder_input_ids", "decoder_attention_mask", "decoder token types"];

impl Model {
    /// The whole forward pass of a model with a decoder: of `target` alone, or where the model has an encoder of `target`
    /// after `source`. Only tokens whose mask is 1 are computed, each at its original position.
    ///
    /// # Errors
    /// [`Error::Unsupported`] for a model without a decoder; [`Error::Input`] for a source that is missing or too much,
    /// shapes that disagree, a mask that is not 0 or 1, ids outside the vocabulary, more columns than the model has
    /// positions; [`Error::Limit`] for one sequence whose attention weights exceed a binding.
    pub async fn forward(&self, source: Option<&Padded>, target: &Padded, attentions: bool) -> Result<Forced> {
        let arch = self.blueprint().arch();
        let Some(decoder) = &arch.decoder else {
            let why = "the model has no decoder; `Model::encode` runs encoders".into();
            return Err(Error::Unsupported { what: "forward".into(), why });
        };
        target.check(if source.is_some() { TARGETS } else { INPUTS }, arch.vocab, 0, decoder.position.max())?;
        let source = match (source, &arch.encoder) {
            (Some(source), Some(encoder)) => {
                source.check(INPUTS, arch.vocab, arch.embed.types, encoder.position.max())?;
                Some(Side::new("encoder", source, encoder))
            }
            (None, None) => None,
            (None, Some(_)) => return Err(Error::input("input_ids", "the model has an encoder; give it a source too")),
            (Some(_), None) => {
                return Err(Error::input("decoder_input_ids", "the model has no encoder; give it a single batch"));
            }
        };
        if let Some(source) = source.as_ref().filter(|source| source.batch.batch != target.batch) {
            let why = format!("{} rows, input_ids has {}", target.batch, source.batch.batch);
            return Err(Error::input("decoder_input_ids", why));
        }
        self.force(source.as_ref(), &Side::new("decoder", target, decoder), attentions).await
    }

    async fn force(&self, source: Option<&Side<'_>>, target: &Side<'_>, attentions: bool) -> Result<Forced> {
        let arch = self.blueprint().arch();
        let sides = || source.into_iter().chain([target]);
        let most = sides().map(|side| side.batch.len).max().unwrap_or(1);
        let outputs = Outputs { hidden: true, taps: attentions.then_some(most), whole: true, ..Outputs::default() };
        let tap = |side: &Side<'_>| if attentions { side.stack.heads * most } else { 0 };
        let tokens = |side: &Side<'_>| self.step_tokens(side.stack, side.stack.width.max(tap(side)));
        let tokens = sides().map(tokens).min().unwrap_or(1);

        let lengths = target.lengths();
        let memory = source.map_or_else(|| vec![0; lengths.len()], Side::lengths);
        let chunks = chunks(lengths.iter().zip(&memory).map(|(&a, &b)| a.max(b)), tokens, usize::MAX);
        let sequences = most_sequences(&chunks);
        let encodes = Capacity::packed(most_tokens(&chunks, &memory), sequences);
        let decodes =
            Capacity { memory: encodes.tokens, ..Capacity::packed(most_tokens(&chunks, &lengths), sequences) };
        let head = (arch.head != Head::None).then(|| self.head(arch.vocab, decodes.tokens));
        let mut roles = vec![(Role::Prefill, outputs, decodes)];
        roles.extend(source.map(|_| (Role::Full, outputs, encodes)));
        roles.extend(head.map(|head| head.role(decodes)));
        let mut run = self.run(&roles).await?;

        let mut all = Output::all(source, target, attentions.then_some(most));
        let names: Vec<String> = all.iter().map(|output| output.name.clone()).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let mut logits = head.map(|head| vec![0.0; target.batch.batch * target.batch.len * head.cols]);
        for chunk in chunks {
            let step = target.batch.step(target.stack, &target.rows, chunk.clone());
            let step = step.with_memory(&memory[chunk.clone()]);
            let encode = source.map(|s| s.batch.step(s.stack, &s.rows, chunk.clone()));
            let steps = encode.iter().map(|step| (Role::Full, step)).chain([(Role::Prefill, &step)]);
            let tensors = run.steps(&steps.collect::<Vec<_>>(), &names).await?;
            all.iter_mut().zip(&tensors).for_each(|(output, tensor)| output.spread(chunk.clone(), tensor));
            if let (Some(logits), Some(head)) = (&mut logits, head) {
                run.spread_head(head, logits, target.columns(), chunk).await?;
            }
        }
        Ok(Forced { logits, ..Forced::of(all) })
    }
}

impl Forced {
    fn of(outputs: Vec<Output<'_>>) -> Self {
        let mut all = Self::default();
        for Output { name, values, .. } in outputs {
            match name.as_str() {
                "decoder.hidden" => all.last_hidden_state = values,
                "hidden" => all.encoder_last_hidden_state = Some(values),
                name if name.contains(".cross.") => all.cross_attentions.push(values),
                name if name.starts_with("encoder") => all.encoder_attentions.push(values),
                _ => all.decoder_attentions.push(values),
            }
        }
        all
    }
}
