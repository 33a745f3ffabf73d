//! T5 (Raffel et al. 2019), Flan-T5 and mT5: relative positions in buckets, RMS norms, no biases, no attention scale.

use super::arch::{Arch, Biases, Buckets, Head, Mlp, Norm, Position, Stack};
use super::config::{Config, HEAD, bounds};
use super::names::Names;
use crate::Result;
use crate::weights::Checkpoint;

/// Names of the word table, and of the head where it is tied.
const WORDS: [&str; 4] = ["shared.weight", "encoder.embed_tokens.weight", "decoder.embed_tokens.weight", HEAD];

/// What `config.json` says. The head has a table of its own where the checkpoint does; its input is scaled in T5, unless
/// words are said not to be tied, and never in mT5.
pub(super) fn arch(config: &Config, checkpoint: &Checkpoint) -> Result<Arch> {
    let vocab = config.usize("vocab_size", 32128, bounds::VOCAB)?;
    let encoder = stack(config)?;
    let layers = config.usize("num_decoder_layers", encoder.layers, bounds::LAYERS)?;
    let word = WORDS.into_iter().find(|name| checkpoint.contains(name)).unwrap_or(WORDS[0]);
    let own = word != HEAD && checkpoint.contains(HEAD) && !checkpoint.same(HEAD, word)?;
    let scaled = config.str("model_type")? != Some("mt5") && config.bool("tie_word_embeddings", true)?;
    Ok(Arch {
        vocab,
        head_scale: if scaled { 1.0 / (encoder.width as f32).sqrt() } else { 1.0 },
        decoder: Some(Stack { layers, ..encoder.clone() }),
        encoder: Some(encoder),
        head: if own { Head::Untied } else { Head::Tied },
        pad_token: config.token("pad_token_id", Some(0), vocab)?,
        ..Arch::default()
    })
}

fn stack(config: &Config) -> Result<Stack> {
    let heads = config.usize("num_heads", 8, bounds::HEADS)?;
    let count = config.usize("relative_attention_num_buckets", 32, bounds::BUCKETS)?;
    // The wide buckets begin where those of one distance each end.
    let distance = config.usize("relative_attention_max_distance", 128, count / 2 + 1..=1 << 16)?;
    Ok(Stack {
        layers: config.usize("num_layers", 6, bounds::LAYERS)?,
        width: config.usize("d_model", 512, bounds::WIDTH)?,
        heads,
        kv_heads: heads,
        head_dim: config.usize("d_kv", 64, bounds::HEAD_DIM)?,
        ffn: config.usize("d_ff", 2048, bounds::FFN)?,
        norm: Norm { rms: true, eps: config.f32("layer_norm_epsilon", 1e-6, bounds::EPS)?, before: true },
        mlp: mlp(config)?,
        position: Position::None,
        buckets: Some(Buckets { count, distance }),
        biases: Biases::NONE,
        final_norm: true,
        ..Stack::default()
    })
}

/// An activation's name, or `gated-` and one; a gated gelu is the approximate one.
fn mlp(config: &Config) -> Result<Mlp> {
    let name = config.str("feed_forward_proj")?.unwrap_or("relu");
    let (gated, name) = name.strip_prefix("gated-").map_or((false, name), |name| (true, name));
    let name = if gated && name == "gelu" { "gelu_new" } else { name };
    Ok(Mlp { act: config.activation_named("feed_forward_proj", &name.into())?, gated })
}

/// The checkpoint's names.
pub(super) fn names<'a>(arch: &Arch, checkpoint: &'a Checkpoint) -> Names<'a> {
    let mut names = Names::new(checkpoint, "");
    names.words_and_head(arch.head, &WORDS.map(str::to_owned)[..3]);
    for (side, stack) in [("encoder", &arch.encoder), ("decoder", &arch.decoder)] {
        let Some(stack) = stack else { continue };
        let bias = format!("{side}.block.0.layer.0.SelfAttention.relative_attention_bias");
        names.table_as(&format!("{side}.buckets"), &bias);
        names.table(&format!("{side}.norm"), &format!("{side}.final_layer_norm"));
        for i in 0..stack.layers {
            let (to, from) = (format!("{side}.{i}"), format!("{side}.block.{i}.layer"));
            layer(&mut names, &to, &from, stack.mlp.gated, side == "decoder");
        }
    }
    names.table("head.norm", "decoder.final_layer_norm");
    names
}

fn layer(names: &mut Names<'_>, to: &str, from: &str, gated: bool, cross: bool) {
    names.fused(&format!("{to}.self.qkv"), &format!("{from}.0.SelfAttention.*"), &["q", "k", "v"], false);
    names.table(&format!("{to}.self.out"), &format!("{from}.0.SelfAttention.o"));
    names.table(&format!("{to}.self.norm"), &format!("{from}.0.layer_norm"));
    if cross {
        names.table(&format!("{to}.cross.q"), &format!("{from}.1.EncDecAttention.q"));
        names.fused(&format!("{to}.cross.kv"), &format!("{from}.1.EncDecAttention.*"), &["k", "v"], false);
        names.table(&format!("{to}.cross.out"), &format!("{from}.1.EncDecAttention.o"));
        names.table(&format!("{to}.cross.norm"), &format!("{from}.1.layer_norm"));
    }
    let feed = format!("{from}.{}", if cross { 2 } else { 1 });
    let up = if gated { &["wi_0", "wi_1"][..] } else { &["wi"] };
    names.fused(&format!("{to}.mlp.up"), &format!("{feed}.DenseReluDense.*"), up, false);
    names.table(&format!("{to}.mlp.down"), &format!("{feed}.DenseReluDense.wo"));
    names.table(&format!("{to}.mlp.norm"), &format!("{feed}.layer_norm"));
}

/// A bias that cross-attention once had and never used.
pub(super) fn known_unused(name: &str) -> bool {
    name == "decoder.block.0.layer.1.EncDecAttention.relative_attention_bias.weight"
}
