//! Ways to misread an encoder: each field of the architecture that some family uses, and others' values where those that it
//! does not use should be.

use wgformer::model::arch::{
    Activation, Arch, Buckets, Dense, Norm, PoolMode, Position, RopeScaling, Stack, Task, TaskKind,
};

/// What is misread, and how. Where a flip changes nothing, the field is of another family.
pub type Flip = (&'static str, fn(&mut Arch));

pub const FLIPS: [Flip; 46] = [
    ("vocabulary", |a| a.vocab -= 1),
    ("width", |a| stack(a).width += 4),
    ("feed-forward width", |a| stack(a).ffn -= 1),
    // DistilBERT's is 1e-12, which in f32 is nothing.
    ("eps", |a| norm(a, |n| n.eps = (10.0 * n.eps).max(1e-3))),
    ("rms", |a| norm(a, |n| n.rms = true)),
    ("norm placement", |a| norm(a, |n| n.before = !n.before)),
    ("scale", |a| stack(a).scale *= 1.1),
    ("activation", |a| stack(a).mlp.act = other(stack(a).mlp.act)),
    ("gate", |a| stack(a).mlp.gated = !stack(a).mlp.gated),
    ("position offset", |a| {
        if let Position::Learned { max, offset, .. } = &mut stack(a).position {
            (*max, *offset) = (*max - 1, *offset + 1);
        }
    }),
    ("uncounted padding", |a| {
        if let Position::Learned { pads, .. } = &mut stack(a).position {
            *pads = if pads.is_some() { None } else { Some(0) };
        }
    }),
    ("theta", |a| {
        if let Position::Rope { theta, .. } = &mut stack(a).position {
            *theta *= 1.5;
        }
    }),
    ("scaling", |a| {
        if let Position::Rope { scaling, .. } = &mut stack(a).position {
            *scaling = rescaled(*scaling);
        }
    }),
    ("rotation", |a| {
        if let Position::Rope { .. } = stack(a).position {
            stack(a).position = Position::None;
        }
    }),
    ("one rotation for all layers", |a| stack(a).local_rope = None),
    ("theta of windows", |a| stack(a).local_rope.iter_mut().for_each(|(theta, _)| *theta *= 1.5)),
    ("scaling of windows", |a| stack(a).local_rope.iter_mut().for_each(|(_, scaling)| *scaling = rescaled(*scaling))),
    ("windows", |a| stack(a).windows = if stack(a).windows.is_empty() { vec![Some(2)] } else { vec![] }),
    ("a wider window", |a| stack(a).windows.iter_mut().for_each(|w| *w = w.map(|w| w + 1))),
    ("order of windows", |a| match &mut stack(a).windows[..] {
        [] => stack(a).windows = vec![Some(1), None],
        windows => windows.rotate_left(1),
    }),
    ("buckets", |a| {
        let s = stack(a);
        s.buckets = if s.buckets.is_some() { None } else { Some(Buckets { count: 32, distance: 128 }) };
    }),
    ("number of buckets", |a| stack(a).buckets.iter_mut().for_each(|b| b.count -= 2)),
    ("distance of buckets", |a| stack(a).buckets.iter_mut().for_each(|b| b.distance *= 2)),
    ("layers", |a| stack(a).layers -= 1),
    ("shared weights", |a| {
        let s = stack(a);
        if s.layers > 1 {
            s.shared = if s.shared == Some(1) { None } else { Some(1) };
        }
    }),
    ("heads", |a| {
        let s = stack(a);
        (s.heads, s.kv_heads, s.head_dim) = (1, 1, s.width);
    }),
    ("biases of q, k, v", |a| stack(a).biases.qkv = !stack(a).biases.qkv),
    ("bias after attention", |a| stack(a).biases.out = !stack(a).biases.out),
    ("biases of the feed-forward block", |a| stack(a).biases.mlp = !stack(a).biases.mlp),
    ("biases of norms", |a| stack(a).biases.norm = !stack(a).biases.norm),
    ("embedding norm", |a| stack(a).embed_norm = !stack(a).embed_norm),
    ("first norm", |a| stack(a).first_norm ^= stack(a).norm.before),
    ("last norm", |a| stack(a).final_norm = !stack(a).final_norm),
    ("embedding scale", |a| a.embed.scale = 1.1),
    ("embedding width", |a| a.embed_width = if a.embed_width.is_some() { None } else { Some(stack(a).width) }),
    ("token types", |a| a.embed.types = if a.embed.types == 0 { 1 } else { 0 }),
    ("pooler", |a| a.pooler = !a.pooler),
    ("task", |a| a.task = None),
    ("kind of task", |a| {
        task(a, |t| t.kind = if t.kind == TaskKind::Tokens { TaskKind::Answer } else { TaskKind::Tokens })
    }),
    ("labels", |a| task(a, |t| t.labels -= 1)),
    ("dense layer of the head", |a| {
        let new = Dense { act: Activation::Tanh, bias: true, norm: false };
        task(a, |t| t.dense = if t.dense.is_some() { None } else { Some(new) })
    }),
    ("activation of the head", |a| dense(a, |d| d.act = other(d.act))),
    ("bias before the head", |a| dense(a, |d| d.bias = !d.bias)),
    ("norm before the head", |a| dense(a, |d| d.norm = !d.norm)),
    ("pooling", |a| {
        task(a, |t| {
            if t.kind == TaskKind::Sequence && t.dense.is_some() {
                t.pool = if t.pool == PoolMode::Mean { PoolMode::Cls } else { PoolMode::Mean };
            }
        })
    }),
    ("bias of the head", |a| a.head_bias ^= a.task.is_some()),
];

pub fn stack(arch: &mut Arch) -> &mut Stack {
    arch.encoder.as_mut().expect("an encoder")
}

fn norm(arch: &mut Arch, change: impl Fn(&mut Norm)) {
    change(&mut stack(arch).norm);
}

fn task(arch: &mut Arch, change: impl Fn(&mut Task)) {
    arch.task.iter_mut().for_each(change);
}

fn dense(arch: &mut Arch, change: impl Fn(&mut Dense)) {
    task(arch, |t| t.dense.iter_mut().for_each(&change));
}

/// An activation that is nearly this one, but for what is far from gelu.
fn other(act: Activation) -> Activation {
    if act == Activation::Gelu { Activation::GeluTanh } else { Activation::Gelu }
}

fn rescaled(scaling: RopeScaling) -> RopeScaling {
    if scaling == RopeScaling::None { RopeScaling::Linear(1.5) } else { RopeScaling::None }
}
