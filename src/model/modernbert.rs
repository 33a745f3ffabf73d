//! ModernBERT (Warner et al. 2024): norms before the blocks, gated feed-forward blocks, hardly a bias; every third layer sees
//! everything, the others a window, and each kind rotates by a theta of its own.

use super::arch::{Activation, Arch, Biases, Dense, Mlp, Norm, PoolMode, Stack, Task, TaskKind};
use super::config::{Config, bounds};
use super::names::{Names, below};
use super::task;
use crate::Result;
use crate::weights::Checkpoint;

/// What `config.json` says; absent keys have the defaults of Hugging Face's `ModernBertConfig`.
///
/// # Errors
/// [`crate::Error::Config`] for absurd values, [`crate::Error::Unsupported`] for unknown scalings of RoPE.
pub(super) fn arch(config: &Config, checkpoint: &Checkpoint) -> Result<Arch> {
    let vocab = config.usize("vocab_size", 50368, bounds::VOCAB)?;
    let pad_token = config.token("pad_token_id", Some(50283), vocab)?;
    let bare = Arch { vocab, encoder: Some(stack(config)?), pad_token, ..Arch::default() };
    let arch = task::read(config, checkpoint, &task::MODERNBERT, bare)?;
    let act = config.activation("classifier_activation", Activation::Gelu)?;
    let dense = Some(Dense { act, bias: config.bool("classifier_bias", false)?, norm: true });
    let (pool, bias) = (pooling(config)?, config.bool("decoder_bias", true)?);
    let head_bias = arch.task.is_some_and(|task| task.kind != TaskKind::Words || bias);
    Ok(Arch { head_bias, task: arch.task.map(|task| Task { dense, pool, ..task }), ..arch })
}

fn stack(config: &Config) -> Result<Stack> {
    let (width, heads, head_dim) = config.heads(("hidden_size", 768), ("num_attention_heads", 12))?;
    let layers = config.usize("num_hidden_layers", 22, bounds::LAYERS)?;
    let max = config.usize("max_position_embeddings", 8192, bounds::POSITIONS)?;
    let (position, local_rope) = config.two_ropes(max, head_dim, [160_000.0, 10_000.0])?;
    let (attention, mlp) = (config.bool("attention_bias", false)?, config.bool("mlp_bias", false)?);
    Ok(Stack {
        layers,
        width,
        heads,
        kv_heads: heads,
        head_dim,
        ffn: config.usize("intermediate_size", 1152, bounds::FFN)?,
        norm: Norm { rms: false, eps: config.f32("norm_eps", 1e-5, bounds::EPS)?, before: true },
        mlp: Mlp { act: config.activation("hidden_activation", Activation::Gelu)?, gated: true },
        position,
        local_rope: Some(local_rope),
        windows: windows(config, layers)?,
        scale: 1.0 / (head_dim as f32).sqrt(),
        biases: Biases { qkv: attention, out: attention, mlp, norm: config.bool("norm_bias", false)? },
        embed_norm: true,
        first_norm: false,
        final_norm: true,
        ..Stack::default()
    })
}

/// `local_attention` is as wide as both sides of a window together. Which layers have one is told by `layer_types`, or by
/// every how many layers one has none.
fn windows(config: &Config, layers: usize) -> Result<Vec<Option<u32>>> {
    let window = config.usize("local_attention", 128, bounds::POSITIONS)? as u32 / 2;
    let every = config.usize("global_attn_every_n_layers", 3, bounds::LAYERS)?;
    let slides = match config.layer_types(layers)? {
        Some(types) => types.iter().map(|kind| kind == "sliding_attention").collect(),
        None => (0..layers).map(|i| i % every != 0).collect::<Vec<_>>(),
    };
    Ok(slides.into_iter().map(|slides| slides.then_some(window)).collect())
}

fn pooling(config: &Config) -> Result<PoolMode> {
    let key = "classifier_pooling";
    match config.str(key)? {
        None | Some("cls") => Ok(PoolMode::Cls),
        Some("mean") => Ok(PoolMode::Mean),
        Some(other) => Err(config.wrong(key, &other.into(), "cls or mean")),
    }
}

/// The checkpoint's names.
pub(super) fn names<'a>(arch: &Arch, checkpoint: &'a Checkpoint) -> Names<'a> {
    let mut names = Names::new(checkpoint, below(checkpoint, task::MODERNBERT.prefix));
    let Some(stack) = &arch.encoder else { return names };
    let biases = stack.biases;
    names.table("embed.word", task::MODERNBERT.word);
    names.linear("embed.norm", "embeddings.norm", biases.norm);
    for i in 0..stack.layers {
        let mut module =
            |to, from, bias| names.linear(&format!("encoder.{i}.{to}"), &format!("layers.{i}.{from}"), bias);
        if i > 0 || stack.first_norm {
            module("self.norm", "attn_norm", biases.norm);
        }
        module("self.qkv", "attn.Wqkv", biases.qkv);
        module("self.out", "attn.Wo", biases.out);
        module("mlp.norm", "mlp_norm", biases.norm);
        module("mlp.up", "mlp.Wi", biases.mlp);
        module("mlp.down", "mlp.Wo", biases.mlp);
    }
    names.linear("encoder.norm", "final_norm", biases.norm);
    task::names(&mut names, arch, &task::MODERNBERT);
    names
}
