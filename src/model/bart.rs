//! BART (Lewis et al. 2019), and what its descendants share with it: names, and the sizes of two stacks.

use super::arch::{Activation, Arch, Embed, Head, Mlp, Norm, Position, Stack};
use super::config::{Config, HEAD, bounds};
use super::names::{Names, Source};
use crate::Result;
use crate::weights::Checkpoint;

/// Modules of a layer, here and in the checkpoint; the first four are a decoder's only.
const LAYER: [(&str, &str); 8] = [
    ("cross.q", "encoder_attn.q_proj"),
    ("cross.out", "encoder_attn.out_proj"),
    ("cross.norm", "encoder_attn_layer_norm"),
    ("self.out", "self_attn.out_proj"),
    ("self.norm", "self_attn_layer_norm"),
    ("mlp.up", "fc1"),
    ("mlp.down", "fc2"),
    ("mlp.norm", "final_layer_norm"),
];
const BIAS: &str = "final_logits_bias";

/// BART: norms after the residuals and after the embeddings, learned positions from row 2 on.
pub(super) fn bart(config: &Config, checkpoint: &Checkpoint) -> Result<Arch> {
    let max = config.usize("max_position_embeddings", 1024, bounds::POSITIONS)?;
    let change = |stack| Stack { position: Position::Learned { max, offset: 2 }, embed_norm: true, ..stack };
    arch(config, checkpoint, 50265, change)
}

/// Two stacks with the keys that all descendants have; `change` makes them the descendant's.
pub(super) fn arch(
    config: &Config,
    checkpoint: &Checkpoint,
    vocab: usize,
    change: impl Fn(Stack) -> Stack,
) -> Result<Arch> {
    let vocab = config.usize("vocab_size", vocab, bounds::VOCAB)?;
    let (encoder, decoder) = (change(stack(config, "encoder")?), change(stack(config, "decoder")?));
    let scale = if config.bool("scale_embedding", false)? { (encoder.width as f32).sqrt() } else { 1.0 };
    let words = words(checkpoint);
    Ok(Arch {
        vocab,
        head: config.head(
            checkpoint,
            words.iter().find(|name| checkpoint.contains(name)).unwrap_or(&words[0]),
            true,
        )?,
        head_bias: checkpoint.contains(BIAS),
        encoder: Some(encoder),
        decoder: Some(decoder),
        embed: Embed { scale, types: 0 },
        pad_token: config.token("pad_token_id", Some(1), vocab)?,
        ..Arch::default()
    })
}

fn stack(config: &Config, side: &str) -> Result<Stack> {
    let (width, heads, head_dim) = config.heads(("d_model", 1024), (&format!("{side}_attention_heads"), 16))?;
    Ok(Stack {
        layers: config.usize(&format!("{side}_layers"), 12, bounds::LAYERS)?,
        width,
        heads,
        kv_heads: heads,
        head_dim,
        ffn: config.usize(&format!("{side}_ffn_dim"), 4096, bounds::FFN)?,
        norm: Norm { rms: false, eps: 1e-5, before: false },
        mlp: Mlp { act: config.activation("activation_function", Activation::Gelu)?, gated: false },
        scale: 1.0 / (head_dim as f32).sqrt(),
        ..Stack::default()
    })
}

fn words(checkpoint: &Checkpoint) -> [String; 3] {
    ["shared", "encoder.embed_tokens", "decoder.embed_tokens"].map(|n| format!("{}{n}.weight", prefix(checkpoint)))
}

/// Task classes save the two stacks below `model.`.
fn prefix(checkpoint: &Checkpoint) -> &'static str {
    if checkpoint.names().any(|name| name.starts_with("model.")) { "model." } else { "" }
}

/// The checkpoint's names. Tables of positions that it lacks are computed.
pub(super) fn names<'a>(arch: &Arch, checkpoint: &'a Checkpoint) -> Names<'a> {
    let prefix = prefix(checkpoint);
    let mut names = Names::new(checkpoint, prefix);
    let own = (arch.head == Head::Tied).then(|| HEAD.to_owned());
    names.words(&words(checkpoint).into_iter().chain(own).collect::<Vec<_>>());
    if arch.head == Head::Untied {
        names.push("head.weight", Source::One(HEAD.into()));
    }
    if arch.head_bias {
        names.push("head.bias", Source::One(BIAS.into()));
    }
    for (side, embed, stack) in [("encoder", "embed", &arch.encoder), ("decoder", "decoder.embed", &arch.decoder)] {
        let Some(stack) = stack else { continue };
        let computed = matches!(stack.position, Position::Sinusoid { .. });
        if !computed || checkpoint.contains(&format!("{prefix}{side}.embed_positions.weight")) {
            names.table(&format!("{embed}.position"), &format!("{side}.embed_positions"));
        }
        if stack.embed_norm {
            names.module(&format!("{embed}.norm"), &format!("{side}.layernorm_embedding"));
        }
        if stack.final_norm {
            names.module(&format!("{side}.norm"), &format!("{side}.layer_norm"));
        }
        for i in 0..stack.layers {
            layer(&mut names, &format!("{side}.{i}"), &format!("{side}.layers.{i}"), side == "decoder");
        }
    }
    names
}

fn layer(names: &mut Names<'_>, to: &str, from: &str, cross: bool) {
    let fused = |attention: &str, parts: &[&str]| -> Vec<(String, usize)> {
        parts.iter().map(|part| (format!("{from}.{attention}.{part}_proj"), 1)).collect()
    };
    names.rows(&format!("{to}.self.qkv"), &fused("self_attn", &["q", "k", "v"]), true);
    if cross {
        names.rows(&format!("{to}.cross.kv"), &fused("encoder_attn", &["k", "v"]), true);
    }
    for (part, other) in LAYER.iter().filter(|(part, _)| cross || !part.starts_with("cross")) {
        names.module(&format!("{to}.{part}"), &format!("{from}.{other}"));
    }
}

/// Heads of other tasks, leftovers of conversion, and tables that are computed.
pub(super) fn known_unused(name: &str) -> bool {
    let inner = name.strip_prefix("model.").unwrap_or(name);
    ["classification_head.", "qa_outputs."].iter().any(|head| name.starts_with(head))
        || ["encoder.version", "decoder.version"].contains(&inner)
        || inner.ends_with(".embed_positions.weights")
}
