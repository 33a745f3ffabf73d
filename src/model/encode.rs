//! Encoders at work: vectors for token lists, and padded batches as PyTorch takes them.

use super::Model;
use super::forward::Outputs;
use crate::graph::{Capacity, Step};
use crate::kernel::Role;
use crate::{Error, Result};

/// A padded batch `[batch, len]`, row by row, as Hugging Face's tokenizers give it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Padded {
    /// Rows.
    pub batch: usize,
    /// Columns.
    pub len: usize,
    /// `[batch, len]` token ids.
    pub ids: Vec<i64>,
    /// `[batch, len]`: 1 for a token, 0 for padding; empty means all 1. May have holes and left padding.
    pub mask: Vec<i64>,
    /// `[batch, len]` token types; empty means all 0.
    pub types: Vec<i64>,
}

/// What an encoder makes of a [`Padded`] batch, f32, row-major; zeros at padded rows.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Encoded {
    /// `[batch, len, width]`.
    pub last_hidden_state: Vec<f32>,
    /// `[batch, width]`, over each row's first token; `None` where the model has no pooler.
    pub pooler_output: Option<Vec<f32>>,
    /// For each layer `[batch, heads, len, len]`; empty unless asked for.
    pub attentions: Vec<Vec<f32>>,
}

/// Tokens of one step, at most; a longer sequence goes alone.
const STEP_TOKENS: usize = 4096;

impl Model {
    /// One vector for each list of token ids, pooled and scaled as the folder says (else the mean, unscaled).
    ///
    /// Sequences are packed without padding; what shares a step with a sequence changes no bit of its vector.
    ///
    /// # Errors
    /// [`Error::Input`] for an empty list, an id outside the vocabulary, or more ids than the model has positions.
    pub async fn embed_ids(&self, texts: &[Vec<u32>]) -> Result<Vec<Vec<f32>>> {
        self.embed_ids_in_batches(texts, usize::MAX).await
    }

    /// As [`Self::embed_ids`], with at most `sequences` (and at least one) in one step: less memory, the same bits.
    pub async fn embed_ids_in_batches(&self, texts: &[Vec<u32>], sequences: usize) -> Result<Vec<Vec<f32>>> {
        for ids in texts {
            self.check_ids(ids)?;
        }
        let sentence = self.blueprint().sentence();
        let outputs = Outputs { embedding: Some((sentence.pooling, sentence.normalize)), ..Outputs::default() };
        let width = self.encoder()?.width;
        let chunks = chunks(texts.iter().map(Vec::len), self.step_tokens(width), sequences);
        let mut run = self.run(Role::Full, outputs, capacity(&chunks, texts.iter().map(Vec::len).collect())).await?;
        let mut vectors = Vec::with_capacity(texts.len());
        for chunk in chunks {
            let texts = &texts[chunk];
            let lengths: Vec<usize> = texts.iter().map(Vec::len).collect();
            let step = Step::packed(&lengths).with_ids(texts.concat());
            let rows = run.step(&step, &["embedding"]).await?.remove(0);
            vectors.extend(rows.chunks(width).take(texts.len()).map(<[f32]>::to_vec));
        }
        Ok(vectors)
    }

    /// The whole forward pass of an encoder over a padded batch. Only tokens whose mask is 1 are computed, each at its
    /// original position.
    ///
    /// # Errors
    /// [`Error::Input`] for shapes that disagree, a mask that is not 0 or 1, ids outside the vocabulary, more columns
    /// than the model has positions.
    pub async fn encode(&self, batch: &Padded, attentions: bool) -> Result<Encoded> {
        let stack = self.encoder()?.clone();
        self.check_padded(batch)?;
        let rows: Vec<Vec<usize>> = (0..batch.batch).map(|b| batch.tokens(b)).collect();
        let outputs = Outputs { hidden: true, pooler: true, taps: attentions.then_some(batch.len), ..Outputs::default() };
        let mut names: Vec<String> = vec!["hidden".into()];
        names.extend(self.blueprint().arch().pooler.then(|| "pooler".into()));
        let layers = if attentions { stack.layers } else { 0 };
        names.extend((0..layers).map(|i| format!("encoder.{i}.self.weights")));
        let names: Vec<&str> = names.iter().map(String::as_str).collect();

        let widest = if attentions { stack.width.max(stack.heads * batch.len) } else { stack.width };
        let chunks = chunks(rows.iter().map(Vec::len), self.step_tokens(widest), usize::MAX);
        let mut run = self.run(Role::Full, outputs, capacity(&chunks, rows.iter().map(Vec::len).collect())).await?;
        let mut out = Encoded::zeros(batch, &stack, self.blueprint().arch().pooler, layers);
        for chunk in chunks {
            let step = batch.step(&rows, chunk.clone());
            if step.tokens() == 0 {
                continue;
            }
            let tensors = run.step(&step, &names).await?;
            out.scatter(batch, &stack, &rows, chunk, &tensors);
        }
        Ok(out)
    }

    /// So many tokens a step that no tensor outgrows a binding.
    fn step_tokens(&self, widest: usize) -> usize {
        let ffn = self.encoder().map_or(1, |s| s.ffn * if s.mlp.gated { 2 } else { 1 });
        (self.binding_bytes() / (4 * widest.max(ffn).max(3 * widest))).clamp(1, STEP_TOKENS)
    }

    fn check_ids(&self, ids: &[u32]) -> Result<()> {
        let (vocab, most) = (self.blueprint().arch().vocab, self.encoder()?.position.max());
        if ids.is_empty() {
            return Err(Error::input("ids", "a sequence has no tokens; give at least one"));
        }
        if ids.len() > most {
            let why = format!("{} tokens, the model has {most} positions; truncate the text", ids.len());
            return Err(Error::input("ids", why));
        }
        match ids.iter().find(|&&id| id as usize >= vocab) {
            Some(id) => Err(Error::input("ids", format!("{id} is outside the vocabulary of {vocab}"))),
            None => Ok(()),
        }
    }

    fn check_padded(&self, batch: &Padded) -> Result<()> {
        let (Padded { batch: b, len, .. }, arch) = (batch, self.blueprint().arch());
        let most = self.encoder()?.position.max();
        if b * len == 0 {
            return Err(Error::input("input_ids", format!("an empty batch [{b}, {len}]; give at least one token")));
        }
        if *len > most {
            return Err(Error::input("input_ids", format!("{len} columns, the model has {most} positions")));
        }
        let list = |what, list: &[i64], below: usize, optional: bool| {
            if !(list.len() == b * len || optional && list.is_empty()) {
                return Err(Error::input(what, format!("{} values, expected [{b}, {len}]", list.len())));
            }
            match list.iter().find(|&&v| v < 0 || v as u64 >= below as u64) {
                Some(v) => Err(Error::input(what, format!("{v} is not within 0..{below}"))),
                None => Ok(()),
            }
        };
        list("input_ids", &batch.ids, arch.vocab, false)?;
        list("attention_mask", &batch.mask, 2, true)?;
        list("token_type_ids", &batch.types, arch.embed.types.max(1), true)
    }
}

impl Padded {
    /// Columns of a row's tokens.
    fn tokens(&self, row: usize) -> Vec<usize> {
        (0..self.len).filter(|c| self.mask.get(row * self.len + c) != Some(&0)).collect()
    }

    /// A step of some rows; `rows` are their tokens' columns.
    fn step(&self, rows: &[Vec<usize>], chunk: std::ops::Range<usize>) -> Step {
        let mut step = Step::default();
        let mut ids = Vec::new();
        for b in chunk {
            step.push(&rows[b].iter().map(|&c| c as u32).collect::<Vec<_>>());
            ids.extend(rows[b].iter().map(|c| self.ids[b * self.len + c] as u32));
            if !self.types.is_empty() {
                step.types.extend(rows[b].iter().map(|c| self.types[b * self.len + c] as u32));
            }
        }
        step.with_ids(ids)
    }
}

impl Encoded {
    fn zeros(batch: &Padded, stack: &super::arch::Stack, pooler: bool, layers: usize) -> Self {
        let rows = batch.batch * batch.len;
        Self {
            last_hidden_state: vec![0.0; rows * stack.width],
            pooler_output: pooler.then(|| vec![0.0; batch.batch * stack.width]),
            attentions: vec![vec![0.0; rows * stack.heads * batch.len]; layers],
        }
    }

    /// Spreads packed rows over the padded ones.
    fn scatter(
        &mut self,
        batch: &Padded,
        stack: &super::arch::Stack,
        rows: &[Vec<usize>],
        chunk: std::ops::Range<usize>,
        tensors: &[Vec<f32>],
    ) {
        let (width, len, heads) = (stack.width, batch.len, stack.heads);
        let mut token = 0;
        for (sequence, b) in chunk.enumerate() {
            if let (Some(out), false) = (&mut self.pooler_output, rows[b].is_empty()) {
                out[b * width..][..width].copy_from_slice(&tensors[1][sequence * width..][..width]);
            }
            for &column in &rows[b] {
                let to = (b * len + column) * width;
                self.last_hidden_state[to..][..width].copy_from_slice(&tensors[0][token * width..][..width]);
                let taps = &tensors[tensors.len() - self.attentions.len()..];
                for (out, tap) in self.attentions.iter_mut().zip(taps) {
                    for head in 0..heads {
                        let from = &tap[(token * heads + head) * len..][..len];
                        let to = ((b * heads + head) * len + column) * len;
                        rows[b].iter().zip(from).for_each(|(&key, &weight)| out[to + key] = weight);
                    }
                }
                token += 1;
            }
        }
    }
}

/// Neighbouring sequences that fit one step.
fn chunks(lengths: impl Iterator<Item = usize>, tokens: usize, sequences: usize) -> Vec<std::ops::Range<usize>> {
    let mut chunks: Vec<std::ops::Range<usize>> = Vec::new();
    let mut held = 0;
    for (i, len) in lengths.enumerate() {
        match chunks.last_mut() {
            Some(last) if held + len <= tokens && last.len() < sequences => {
                last.end = i + 1;
                held += len;
            }
            _ => {
                chunks.push(i..i + 1);
                held = len;
            }
        }
    }
    chunks
}

/// What the largest chunk needs.
fn capacity(chunks: &[std::ops::Range<usize>], lengths: Vec<usize>) -> Capacity {
    let tokens = chunks.iter().map(|c| lengths[c.clone()].iter().sum()).max().unwrap_or(0usize);
    Capacity::packed(tokens.max(1), chunks.iter().map(|c| c.len()).max().unwrap_or(1))
}
