//! Encoders at work: vectors for token lists, and padded batches as PyTorch takes them.

use std::ops::Range;

use super::arch::{Arch, Stack, Task, TaskKind};
use super::forward::Outputs;
use super::padded::{Padded, STEP_TOKENS, check_ids, chunks, most_sequences, most_tokens, spread, spread_weights};
use super::{Blueprint, Model};
use crate::Result;
use crate::graph::Capacity;
use crate::kernel::Role;

/// What an encoder makes of a [`Padded`] batch, f32, row-major; zeros at padded rows.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Encoded {
    /// `[batch, len, width]`.
    pub last_hidden_state: Vec<f32>,
    /// `[batch, width]`, over each row's first token; `None` where the model has no pooler.
    pub pooler_output: Option<Vec<f32>>,
    /// What the head of the model's task says ([`super::arch::Arch::task`]): `[batch, len, vocab]` of masked words,
    /// `[batch, labels]` of sequences, `[batch, len, labels]` of tokens; `None` where the model has
    /// no such head.
    pub logits: Option<Vec<f32>>,
    /// `[batch, len]`: how well an answer to a question begins with each token; `None` where the model answers none.
    pub start_logits: Option<Vec<f32>>,
    /// `[batch, len]`: how well an answer ends with each token, likewise.
    pub end_logits: Option<Vec<f32>>,
    /// For each layer `[batch, heads, len, len]`; empty unless asked for.
    pub attentions: Vec<Vec<f32>>,
}

/// What messages call a batch's tensors.
pub(super) const INPUTS: [&str; 3] = ["input_ids", "attention_mask", "token_type_ids"];

impl Model {
    /// One vector for each list of token ids, pooled and scaled as the folder says (else the mean, unscaled).
    ///
    /// Sequences are packed without padding; what shares a step with a sequence changes no bit of its vector.
    ///
    /// # Errors
    /// [`crate::Error::Input`] for an empty list, an id outside the vocabulary, or more ids than the model has positions.
    pub async fn embed_ids(&self, texts: &[Vec<u32>]) -> Result<Vec<Vec<f32>>> {
        self.embed_ids_in_batches(texts, usize::MAX).await
    }

    /// As [`Self::embed_ids`], with at most `sequences` (and at least one) in one step: less memory, the same bits.
    pub async fn embed_ids_in_batches(&self, texts: &[Vec<u32>], sequences: usize) -> Result<Vec<Vec<f32>>> {
        let (stack, vocab) = (self.encoder()?, self.blueprint().arch().vocab);
        texts.iter().try_for_each(|ids| check_ids("ids", ids, vocab, stack.position.max()))?;
        let outputs = self.blueprint().embedding();
        let width = stack.width;
        let lengths: Vec<usize> = texts.iter().map(Vec::len).collect();
        let chunks = chunks(lengths.iter().copied(), self.step_tokens(stack, width), sequences);
        let mut run = self.run(&[(Role::Full, outputs, capacity(&chunks, &lengths))]).await?;
        let mut vectors = Vec::with_capacity(texts.len());
        for chunk in chunks {
            let texts = &texts[chunk];
            let step = stack.step(texts);
            let rows = run.steps(&[(Role::Full, &step)], &["embedding"]).await?;
            vectors.extend(rows.concat().chunks(width).take(texts.len()).map(<[f32]>::to_vec));
        }
        Ok(vectors)
    }

    /// The whole forward pass of an encoder over a padded batch. Only tokens whose mask is 1 are computed, each at its
    /// original position.
    ///
    /// # Errors
    /// [`crate::Error::Input`] for shapes that disagree, a mask that is not 0 or 1, ids outside the vocabulary, more columns
    /// than the model has positions; [`crate::Error::Limit`] for one sequence whose attention weights exceed a binding.
    pub async fn encode(&self, batch: &Padded, attentions: bool) -> Result<Encoded> {
        let (arch, stack) = (self.blueprint().arch(), self.encoder()?);
        batch.check(INPUTS, arch.vocab, arch.embed.types, stack.position.max())?;
        let rows = batch.tokens();
        let taps = attentions.then_some(batch.len);
        // Words' logits are as wide as the vocabulary, and come apart.
        let words = arch.task.filter(|task| task.kind == TaskKind::Words);
        let task = arch.task.filter(|_| words.is_none());
        let outputs = Outputs { taps, task: task.is_some(), ..Outputs::of_heads() };
        let layers = if attentions { stack.layers } else { 0 };
        let mut names: Vec<String> = (0..layers).map(|i| format!("encoder.{i}.self.weights")).collect();
        names.push("hidden".into());
        names.extend(arch.pooler.then(|| "pooler".into()));
        names.extend(task.map(|_| "logits".into()));
        let names: Vec<&str> = names.iter().map(String::as_str).collect();

        let weights = if attentions { stack.heads * batch.len } else { 0 };
        let widest = stack.width.max(weights).max(task.map_or(0, |task| task.labels));
        let lengths: Vec<usize> = rows.iter().map(Vec::len).collect();
        let chunks = chunks(lengths.iter().copied(), self.step_tokens(stack, widest), usize::MAX);
        let capacity = capacity(&chunks, &lengths);
        let head = words.map(|task| self.head(task.labels, capacity.tokens));
        let mut roles = vec![(Role::Full, outputs, capacity)];
        roles.extend(head.map(|head| head.role(capacity)));
        let mut run = self.run(&roles).await?;
        let mut out = Encoded::zeros(batch, arch, stack, layers);
        for chunk in chunks {
            let step = batch.step(stack, &rows, chunk.clone());
            if step.tokens() == 0 {
                continue;
            }
            let tensors = run.steps(&[(Role::Full, &step)], &names).await?;
            let (taps, rest) = tensors.split_at(layers);
            for (out, tap) in out.attentions.iter_mut().zip(taps) {
                let side = (batch.len, rows.as_slice());
                spread_weights(out, (stack.heads, batch.len), side, side, chunk.clone(), tap);
            }
            let mut rest = rest.iter();
            let mut spread_next = |out: &mut Vec<f32>, width: usize, of_tokens: bool| {
                let packed = rest.next().map_or(&[][..], Vec::as_slice);
                match of_tokens {
                    true => spread(out, (batch.len, width), &rows, chunk.clone(), packed),
                    false => spread_sequences(out, width, &rows, chunk.clone(), packed),
                }
            };
            spread_next(&mut out.last_hidden_state, stack.width, true);
            if let Some(out) = &mut out.pooler_output {
                spread_next(out, stack.width, false);
            }
            if let (Some(out), Some(task)) = (&mut out.logits, task) {
                spread_next(out, task.labels, task.kind != TaskKind::Sequence);
            }
            if let (Some(out), Some(head)) = (&mut out.logits, head) {
                run.spread_head(head, out, (batch.len, &rows), chunk).await?;
            }
        }
        Ok(if arch.task.is_some_and(|task| task.kind == TaskKind::Answer) { out.ends() } else { out })
    }

    /// So many tokens a step that no tensor outgrows a binding.
    pub(super) fn step_tokens(&self, stack: &Stack, widest: usize) -> usize {
        let ffn = stack.ffn * if stack.mlp.gated { 2 } else { 1 };
        let qkv = (stack.heads + 2 * stack.kv_heads) * stack.head_dim;
        (self.binding_bytes() / (4 * widest.max(ffn).max(qkv))).clamp(1, STEP_TOKENS)
    }
}

impl Blueprint {
    /// What [`Model::embed_ids`] asks of a plan: one vector for each sequence, as the folder says.
    pub fn embedding(&self) -> Outputs {
        let sentence = self.sentence();
        Outputs { embedding: Some((sentence.pooling, sentence.normalize)), ..Outputs::default() }
    }
}

impl Encoded {
    fn zeros(batch: &Padded, arch: &Arch, stack: &Stack, layers: usize) -> Self {
        let rows = batch.batch * batch.len;
        let logits = |task: Task| match task.kind {
            TaskKind::Sequence => vec![0.0; batch.batch * task.labels],
            _ => vec![0.0; rows * task.labels],
        };
        Self {
            last_hidden_state: vec![0.0; rows * stack.width],
            pooler_output: arch.pooler.then(|| vec![0.0; batch.batch * stack.width]),
            logits: arch.task.map(logits),
            attentions: vec![vec![0.0; rows * stack.heads * batch.len]; layers],
            ..Self::default()
        }
    }

    /// The two columns of an answer's logits, apart.
    fn ends(mut self) -> Self {
        let logits = self.logits.take().unwrap_or_default();
        let column = |at| logits.iter().skip(at).step_by(2).copied().collect();
        (self.start_logits, self.end_logits) = (Some(column(0)), Some(column(1)));
        self
    }
}

/// Puts packed rows of sequences in their places, but for sequences without tokens.
fn spread_sequences(out: &mut [f32], width: usize, rows: &[Vec<usize>], chunk: Range<usize>, packed: &[f32]) {
    let kept = chunk.zip(packed.chunks(width)).filter(|(b, _)| !rows[*b].is_empty());
    kept.for_each(|(b, row)| out[b * width..][..width].copy_from_slice(row));
}

/// What the largest chunk needs.
pub(super) fn capacity(chunks: &[Range<usize>], lengths: &[usize]) -> Capacity {
    Capacity::packed(most_tokens(chunks, lengths), most_sequences(chunks))
}
