//! What checkpoints that stem from fairseq's Transformer (BART, mBART, Marian, M2M100) call their tensors.

use super::arch::{Arch, Position, Stack};
use super::names::{Names, Source};
use crate::weights::Checkpoint;

/// Modules of a layer, here and in the checkpoint; the first three are a decoder's only.
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

/// A bias of the logits.
pub(super) const BIAS: &str = "final_logits_bias";

/// Names of the word table; all that a checkpoint has must be the same.
pub(super) fn words(checkpoint: &Checkpoint) -> [String; 3] {
    ["shared", "encoder.embed_tokens", "decoder.embed_tokens"].map(|n| format!("{}{n}.weight", prefix(checkpoint)))
}

/// Task classes save the two stacks below `model.`.
fn prefix(checkpoint: &Checkpoint) -> &'static str {
    if checkpoint.names().any(|name| name.starts_with("model.")) { "model." } else { "" }
}

/// The checkpoint's names.
pub(super) fn names<'a>(arch: &Arch, checkpoint: &'a Checkpoint) -> Names<'a> {
    let mut names = Names::new(checkpoint, prefix(checkpoint));
    names.words_and_head(arch.head, &words(checkpoint));
    if arch.head_bias {
        names.push("head.bias", Source::One(BIAS.into()));
    }
    for (side, embed, stack) in [("encoder", "embed", &arch.encoder), ("decoder", "decoder.embed", &arch.decoder)] {
        let Some(stack) = stack else { continue };
        self::stack(&mut names, side, embed, stack);
        for i in 0..stack.layers {
            layer(&mut names, &format!("{side}.{i}"), &format!("{side}.layers.{i}"), side == "decoder");
        }
    }
    names
}

/// What stands before and after the layers. Sinusoids that the checkpoint lacks are computed.
fn stack(names: &mut Names<'_>, side: &str, embed: &str, stack: &Stack) {
    let position = format!("{side}.embed_positions");
    if !matches!(stack.position, Position::Sinusoid { .. }) || names.has(&position) {
        names.table(&format!("{embed}.position"), &position);
    }
    if stack.embed_norm {
        names.module(&format!("{embed}.norm"), &format!("{side}.layernorm_embedding"));
    }
    if stack.final_norm {
        names.module(&format!("{side}.norm"), &format!("{side}.layer_norm"));
    }
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
