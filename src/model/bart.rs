//! BART (Lewis et al. 2019) and mBART (Liu et al. 2020), and the sizes that the descendants of fairseq's Transformer
//! share with them.

use super::arch::{Activation, Arch, Embed, Mlp, Norm, Position, Stack};
use super::config::{Config, HEAD, bounds};
use super::fairseq::{BIAS, words};
use crate::Result;
use crate::weights::Checkpoint;

/// What stands where `config.json` says nothing.
pub(super) struct Defaults {
    pub vocab: usize,
    pub pad: u32,
    pub scale_embedding: bool,
    pub act: Activation,
}

const DEFAULTS: Defaults = Defaults { vocab: 50265, pad: 1, scale_embedding: false, act: Activation::Gelu };

/// BART: norms after the residuals and after the embeddings, learned positions from row 2 on.
pub(super) fn bart(config: &Config, checkpoint: &Checkpoint) -> Result<Arch> {
    let position = learned(config)?;
    arch(config, checkpoint, DEFAULTS, |stack| Stack { position, embed_norm: true, ..stack })
}

/// mBART: as BART, but norms before the blocks and after the last.
pub(super) fn mbart(config: &Config, checkpoint: &Checkpoint) -> Result<Arch> {
    let position = learned(config)?;
    arch(config, checkpoint, DEFAULTS, |stack| Stack { position, embed_norm: true, ..pre_norm(stack) })
}

/// Norms before the blocks and after the last.
pub(super) fn pre_norm(stack: Stack) -> Stack {
    Stack { norm: Norm { before: true, ..stack.norm }, final_norm: true, ..stack }
}

/// How many positions the configuration speaks of.
pub(super) fn positions(config: &Config) -> Result<usize> {
    config.usize("max_position_embeddings", 1024, bounds::POSITIONS)
}

fn learned(config: &Config) -> Result<Position> {
    Ok(Position::Learned { max: positions(config)?, offset: 2, pads: None })
}

/// Two stacks with the keys that all descendants have; `change` makes them the descendant's.
pub(super) fn arch(
    config: &Config,
    checkpoint: &Checkpoint,
    defaults: Defaults,
    change: impl Fn(Stack) -> Stack,
) -> Result<Arch> {
    let vocab = config.usize("vocab_size", defaults.vocab, bounds::VOCAB)?;
    let side = |side: &str| Ok(change(stack(config, side, defaults.act)?));
    let (encoder, decoder) = (side("encoder")?, side("decoder")?);
    let scaled = config.bool("scale_embedding", defaults.scale_embedding)?;
    let words = words(checkpoint);
    let word = words.iter().find(|name| checkpoint.contains(name)).unwrap_or(&words[0]);
    Ok(Arch {
        vocab,
        embed: Embed { scale: if scaled { (encoder.width as f32).sqrt() } else { 1.0 }, types: 0 },
        encoder: Some(encoder),
        decoder: Some(decoder),
        head: config.head(checkpoint, [HEAD, word], true)?,
        head_bias: checkpoint.contains(BIAS),
        pad_token: config.token("pad_token_id", Some(defaults.pad), vocab)?,
        ..Arch::default()
    })
}

fn stack(config: &Config, side: &str, act: Activation) -> Result<Stack> {
    let (width, heads, head_dim) = config.heads(("d_model", 1024), (&format!("{side}_attention_heads"), 16))?;
    Ok(Stack {
        layers: config.usize(&format!("{side}_layers"), 12, bounds::LAYERS)?,
        width,
        heads,
        kv_heads: heads,
        head_dim,
        ffn: config.usize(&format!("{side}_ffn_dim"), 4096, bounds::FFN)?,
        mlp: Mlp { act: config.activation("activation_function", act)?, gated: false },
        scale: 1.0 / (head_dim as f32).sqrt(),
        ..Stack::default()
    })
}
