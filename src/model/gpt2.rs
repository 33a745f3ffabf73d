//! GPT-2 (Radford et al. 2019): a pre-norm decoder with learned positions, its matrices stored [in, out].

use super::arch::{Activation, Arch, Mlp, Norm, Position, Stack};
use super::config::{Config, HEAD, bounds};
use super::names::{Names, below};
use crate::Result;
use crate::weights::Checkpoint;

/// Matrices of a layer, here and in the checkpoint.
const LAYER: [(&str, &str); 4] =
    [("self.qkv", "attn.c_attn"), ("self.out", "attn.c_proj"), ("mlp.up", "mlp.c_fc"), ("mlp.down", "mlp.c_proj")];

/// What `config.json` says.
pub(super) fn arch(config: &Config, checkpoint: &Checkpoint) -> Result<Arch> {
    config.refuse("add_cross_attention", "GPT-2 runs as a decoder only")?;
    let vocab = config.usize("vocab_size", 50257, bounds::VOCAB)?;
    let (width, heads, head_dim) = config.heads(("n_embd", 768), ("n_head", 12))?;
    let scaled = config.bool("scale_attn_weights", true)?;
    let max = config.usize("n_positions", 1024, bounds::POSITIONS)?;
    let eps = config.f32("layer_norm_epsilon", 1e-5, bounds::EPS)?;
    let stack = Stack {
        layers: config.usize("n_layer", 12, bounds::LAYERS)?,
        width,
        heads,
        kv_heads: heads,
        head_dim,
        ffn: config.usize("n_inner", 4 * width, bounds::FFN)?,
        norm: Norm { rms: false, eps, before: true },
        mlp: Mlp { act: config.activation("activation_function", Activation::GeluTanh)?, gated: false },
        position: Position::Learned { max, offset: 0, pads: None },
        scale: if scaled { 1.0 / (head_dim as f32).sqrt() } else { 1.0 },
        scale_by_layer: config.bool("scale_attn_by_inverse_layer_idx", false)?,
        final_norm: true,
        ..Stack::default()
    };
    Ok(Arch {
        vocab,
        decoder: Some(stack),
        head: config.head(checkpoint, [HEAD, &format!("{}wte.weight", below(checkpoint, "transformer."))], true)?,
        pad_token: config.token("pad_token_id", None, vocab)?,
        ..Arch::default()
    })
}

/// The checkpoint's names.
pub(super) fn names<'a>(arch: &Arch, checkpoint: &'a Checkpoint) -> Names<'a> {
    let prefix = below(checkpoint, "transformer.");
    let mut names = Names::new(checkpoint, prefix);
    names.words_and_head(arch.head, &[format!("{prefix}wte.weight")]);
    names.table("embed.position", "wpe");
    names.module("decoder.norm", "ln_f");
    for i in 0..arch.decoder.as_ref().map_or(0, |stack| stack.layers) {
        let (to, from) = (format!("decoder.{i}"), format!("h.{i}"));
        names.module(&format!("{to}.self.norm"), &format!("{from}.ln_1"));
        names.module(&format!("{to}.mlp.norm"), &format!("{from}.ln_2"));
        for (part, other) in LAYER {
            names.transposed(&format!("{to}.{part}"), &format!("{from}.{other}"));
        }
    }
    names
}

/// Masks that were once saved, and heads of other tasks.
pub(super) fn known_unused(name: &str) -> bool {
    let mask = |end| name.ends_with(end) && name.contains("h.");
    mask(".attn.bias") || mask(".attn.masked_bias") || name.starts_with("score.")
}
