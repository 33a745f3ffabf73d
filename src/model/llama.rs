//! Llama (Touvron et al. 2023), versions 1 to 3; Mistral's and Qwen's files build on this one.

use super::arch::{Activation, Arch, Biases, Mlp, Norm, Stack};
use super::config::{Config, HEAD, bounds};
use super::names::{Names, below};
use crate::Result;
use crate::weights::Checkpoint;

/// Llama: biases only where `config.json` says so.
pub(super) fn llama(config: &Config, checkpoint: &Checkpoint) -> Result<Arch> {
    let (attention, mlp) = (config.bool("attention_bias", false)?, config.bool("mlp_bias", false)?);
    let biases = Biases { qkv: attention, out: attention, mlp, norm: false };
    let defaults = Defaults { vocab: 32000, kv_heads: None, positions: 2048, head_dim: None };
    arch(config, checkpoint, defaults, |stack| Ok(Stack { biases, ..stack }))
}

/// What stands where `config.json` says nothing.
pub(super) struct Defaults {
    pub vocab: usize,
    /// As many as query heads if `None`.
    pub kv_heads: Option<usize>,
    pub positions: usize,
    /// The width's share if `None`.
    pub head_dim: Option<usize>,
}

/// A decoder with the keys that Llama's descendants share; `change` makes it the descendant's.
pub(super) fn arch(
    config: &Config,
    checkpoint: &Checkpoint,
    defaults: Defaults,
    change: impl Fn(Stack) -> Result<Stack>,
) -> Result<Arch> {
    let vocab = config.usize("vocab_size", defaults.vocab, bounds::VOCAB)?;
    let (width, heads, head_dim) = config.own_heads(defaults.head_dim)?;
    let max = config.usize("max_position_embeddings", defaults.positions, bounds::POSITIONS)?;
    let stack = Stack {
        layers: config.usize("num_hidden_layers", 32, bounds::LAYERS)?,
        width,
        heads,
        kv_heads: config.kv_heads(heads, defaults.kv_heads.unwrap_or(heads))?,
        head_dim,
        ffn: config.usize("intermediate_size", 11008, bounds::FFN)?,
        norm: Norm { rms: true, eps: config.f32("rms_norm_eps", 1e-6, bounds::EPS)?, before: true },
        mlp: Mlp { act: config.activation("hidden_act", Activation::Silu)?, gated: true },
        position: config.rope(max, head_dim)?,
        scale: 1.0 / (head_dim as f32).sqrt(),
        biases: Biases::NONE,
        final_norm: true,
        ..Stack::default()
    };
    Ok(Arch {
        vocab,
        decoder: Some(change(stack)?),
        head: config.head(checkpoint, [HEAD, &format!("{}embed_tokens.weight", below(checkpoint, "model."))], false)?,
        pad_token: config.token("pad_token_id", None, vocab)?,
        ..Arch::default()
    })
}

/// The checkpoint's names.
pub(super) fn names<'a>(arch: &Arch, checkpoint: &'a Checkpoint) -> Names<'a> {
    let prefix = below(checkpoint, "model.");
    let mut names = Names::new(checkpoint, prefix);
    names.words_and_head(arch.head, &[format!("{prefix}embed_tokens.weight")]);
    names.table("decoder.norm", "norm");
    let Some(stack) = &arch.decoder else { return names };
    for i in 0..stack.layers {
        let (to, from) = (format!("decoder.{i}"), format!("layers.{i}"));
        let share = |(part, share)| (format!("{from}.self_attn.{part}_proj"), share);
        let qkv = [("q", stack.heads), ("k", stack.kv_heads), ("v", stack.kv_heads)].map(share);
        names.rows(&format!("{to}.self.qkv"), &qkv, stack.biases.qkv);
        names.linear(&format!("{to}.self.out"), &format!("{from}.self_attn.o_proj"), stack.biases.out);
        names.fused(&format!("{to}.mlp.up"), &format!("{from}.mlp.*_proj"), &["gate", "up"], stack.biases.mlp);
        names.linear(&format!("{to}.mlp.down"), &format!("{from}.mlp.down_proj"), stack.biases.mlp);
        names.table(&format!("{to}.self.norm"), &format!("{from}.input_layernorm"));
        names.table(&format!("{to}.mlp.norm"), &format!("{from}.post_attention_layernorm"));
        for part in ["q_norm", "k_norm"].into_iter().filter(|_| stack.qk_norm) {
            names.table(&format!("{to}.self.{part}"), &format!("{from}.self_attn.{part}"));
        }
    }
    names
}

/// Angles that were once saved, and heads of other tasks.
pub(super) fn known_unused(name: &str) -> bool {
    name.ends_with(".rotary_emb.inv_freq") || name.starts_with("score.")
}
