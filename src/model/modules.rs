//! What checkpoints of BERT and its kin call their tensors.

use super::arch::{Arch, Stack};
use super::names::{Names, below};
use super::task::{self, Heads};
use crate::weights::Checkpoint;

/// What a checkpoint calls the modules of its layers.
pub(super) struct Modules {
    /// A layer, with a `#` for its number.
    pub layer: &'static str,
    /// Queries, keys and values, with a `*` where their names differ, and what stands there.
    pub qkv: (&'static str, [&'static str; 3]),
    /// The projection after attention, its norm, the two halves of the feed-forward block, its norm.
    pub rest: [&'static str; 5],
    /// What makes embeddings as wide as the stack, where they are not.
    pub project: &'static str,
}

/// The checkpoint's names, of BERT or of a descendant that calls modules otherwise.
pub(super) fn names<'a>(arch: &Arch, checkpoint: &'a Checkpoint, heads: &Heads, modules: &Modules) -> Names<'a> {
    let mut names = Names::new(checkpoint, below(checkpoint, heads.prefix));
    names.table("embed.word", heads.word);
    names.table("embed.position", "embeddings.position_embeddings");
    if arch.embed.types > 0 {
        names.table("embed.type", "embeddings.token_type_embeddings");
    }
    names.module("embed.norm", "embeddings.LayerNorm");
    if arch.embed_width.is_some() {
        names.module("embed.project", modules.project);
    }
    if let Some(stack) = &arch.encoder {
        layers(&mut names, stack, modules);
    }
    if arch.pooler {
        names.module("pooler", heads.pooler);
    }
    task::names(&mut names, arch, heads);
    names
}

fn layers(names: &mut Names<'_>, stack: &Stack, modules: &Modules) {
    if stack.buckets.is_some() {
        names.table_as("encoder.buckets", "encoder.relative_attention_bias");
    }
    for i in 0..stack.shared.unwrap_or(stack.layers) {
        let (to, from) = (format!("encoder.{i}"), modules.layer.replace('#', &i.to_string()));
        let (qkv, parts) = modules.qkv;
        names.fused(&format!("{to}.self.qkv"), &format!("{from}.{qkv}"), &parts, true);
        for (part, other) in ["self.out", "self.norm", "mlp.up", "mlp.down", "mlp.norm"].iter().zip(modules.rest) {
            names.module(&format!("{to}.{part}"), &format!("{from}.{other}"));
        }
    }
}

/// Index buffers, and heads of tasks that were not asked for.
pub(super) fn known_unused(name: &str, heads: &Heads) -> bool {
    let inner = name.strip_prefix(heads.prefix).unwrap_or(name);
    matches!(inner, "embeddings.position_ids" | "embeddings.token_type_ids")
        || inner.starts_with(&format!("{}.", heads.pooler))
        || heads.unused.iter().any(|head| name.starts_with(head))
}
