//! An architecture is data: what a Transformer checkpoint's `config.json` says, in one vocabulary for all families.
//!
//! Vaswani et al. 2017 is the baseline; each field is a way in which a family departs from it.

use crate::kernel::Role;

/// The function between the two halves of a feed-forward block, and in heads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum Activation {
    /// The identity.
    #[default]
    None,
    /// max(x, 0), NaN kept.
    Relu,
    /// x * Phi(x), with erf.
    Gelu,
    /// The tanh approximation of gelu (`gelu_new`, `gelu_pytorch_tanh`, `gelu_fast`).
    GeluTanh,
    /// x * sigmoid(x) (`silu`, `swish`).
    Silu,
    /// Hyperbolic tangent.
    Tanh,
}

/// A whole model.
#[derive(Clone, Debug, PartialEq)]
pub struct Arch {
    /// Rows of the word embedding table.
    pub vocab: usize,
    /// The encoder, if there is one. With a decoder too, the decoder attends to it.
    pub encoder: Option<Stack>,
    /// The decoder, if there is one.
    pub decoder: Option<Stack>,
    /// How ids become rows.
    pub embed: Embed,
    /// Embeddings are this wide, and a dense layer makes them as wide as the encoder.
    pub embed_width: Option<usize>,
    /// BERT's pooler: a dense layer and tanh over the first token.
    pub pooler: bool,
    /// What an encoder without a decoder makes logits of.
    pub task: Option<Task>,
    /// What turns the last rows of the decoder, or of a task, into logits.
    pub head: Head,
    /// The logits have a bias.
    pub head_bias: bool,
    /// What the decoder's last rows are multiplied with before the head (T5), by way of its final norm.
    pub head_scale: f32,
    /// The id that pads batches.
    pub pad_token: Option<u32>,
}

/// One stack of layers.
#[derive(Clone, Debug, PartialEq)]
pub struct Stack {
    /// Number of layers.
    pub layers: usize,
    /// So many sets of weights, each for a run of layers, instead of one for each.
    pub shared: Option<usize>,
    /// Width of the residual stream.
    pub width: usize,
    /// Query heads.
    pub heads: usize,
    /// Key and value heads; divides `heads`.
    pub kv_heads: usize,
    /// Width of one head.
    pub head_dim: usize,
    /// Inner width of the feed-forward block.
    pub ffn: usize,
    /// The normalisations.
    pub norm: Norm,
    /// The feed-forward block.
    pub mlp: Mlp,
    /// How order is told.
    pub position: Position,
    /// And besides, or instead, by a bias on each score.
    pub buckets: Option<Buckets>,
    /// Layers with a window rotate by this theta and scaling, those without by `position`'s.
    pub local_rope: Option<(f32, RopeScaling)>,
    /// How far each layer sees: layer i has the entry i modulo their number. None at all means that all see everything.
    pub windows: Vec<Option<u32>>,
    /// What query . key is multiplied with.
    pub scale: f32,
    /// Layer i divides it by i + 1 (a GPT-2 of Mistral, the Stanford project).
    pub scale_by_layer: bool,
    /// Which dense layers have biases.
    pub biases: Biases,
    /// RMS norms over each query and key head, before they are rotated.
    pub qk_norm: bool,
    /// A norm right after the embeddings.
    pub embed_norm: bool,
    /// Where norms stand before blocks, the first block has one, too.
    pub first_norm: bool,
    /// A norm after the last layer.
    pub final_norm: bool,
}

impl Default for Arch {
    /// Nothing yet.
    fn default() -> Self {
        Self {
            vocab: 0,
            encoder: None,
            decoder: None,
            embed: Embed { scale: 1.0, types: 0 },
            embed_width: None,
            pooler: false,
            task: None,
            head: Head::None,
            head_bias: false,
            head_scale: 1.0,
            pad_token: None,
        }
    }
}

impl Default for Stack {
    /// The Transformer of 2017, without sizes.
    fn default() -> Self {
        Self {
            layers: 0,
            shared: None,
            width: 0,
            heads: 1,
            kv_heads: 1,
            head_dim: 0,
            ffn: 0,
            norm: Norm { rms: false, eps: 1e-5, before: false },
            mlp: Mlp { act: Activation::Relu, gated: false },
            position: Position::Learned { max: 0, offset: 0, pads: None },
            buckets: None,
            local_rope: None,
            windows: Vec::new(),
            scale: 1.0,
            scale_by_layer: false,
            biases: Biases::ALL,
            qk_norm: false,
            embed_norm: false,
            first_norm: true,
            final_norm: false,
        }
    }
}

impl Arch {
    /// The roles that its graphs have.
    pub fn roles(&self) -> &'static [Role] {
        match (&self.encoder, &self.decoder) {
            (Some(_), Some(_)) => &[Role::Full, Role::Prefill, Role::Decode],
            (Some(_), None) => &[Role::Full],
            (None, Some(_)) => &[Role::Prefill, Role::Decode],
            (None, None) => &[],
        }
    }
}

impl Stack {
    /// How far layer i sees.
    pub fn window(&self, layer: usize) -> Option<u32> {
        self.windows.get(layer % self.windows.len().max(1)).copied().flatten()
    }

    /// Whether wide heads see few keys: attention's kernel for many queries would be most of what a driver has to compile for
    /// such a model, and is no faster.
    pub fn has_few_keys(&self) -> bool {
        self.head_dim > 64 && self.position.max() <= 64
    }

    /// What layer i multiplies query . key with.
    pub fn scale(&self, layer: usize) -> f32 {
        if self.scale_by_layer { self.scale / (layer + 1) as f32 } else { self.scale }
    }

    /// Which set of weights layer i has.
    pub fn weights_of(&self, layer: usize) -> usize {
        // In floats as in transformers' ALBERT, since runs need not be of one length.
        self.shared.map_or(layer, |sets| (layer as f64 / (self.layers as f64 / sets as f64)) as usize)
    }

    /// Whether the table of positions counts otherwise than by columns, while the scores' bias goes by these.
    pub fn counts_apart(&self) -> bool {
        self.buckets.is_some() && matches!(self.position, Position::Learned { pads: Some(_), .. })
    }
}

/// Which dense layers and norms of a stack have biases.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Biases {
    /// Queries, keys and values.
    pub qkv: bool,
    /// The projection after attention.
    pub out: bool,
    /// The feed-forward block.
    pub mlp: bool,
    /// Layer norms; RMS norms never have one.
    pub norm: bool,
}

impl Biases {
    /// All have.
    pub const ALL: Self = Self { qkv: true, out: true, mlp: true, norm: true };
    /// None has.
    pub const NONE: Self = Self { qkv: false, out: false, mlp: false, norm: false };
}

/// What turns hidden rows into logits over the vocabulary.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Head {
    /// Nothing: a base model.
    #[default]
    None,
    /// The word table itself.
    Tied,
    /// A table of its own.
    Untied,
}

/// What an encoder makes logits of, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Task {
    /// What has logits.
    pub kind: TaskKind,
    /// How many each has.
    pub labels: usize,
    /// What stands before the head. Without it a sequence's logits are made of what the pooler makes of it.
    pub dense: Option<Dense>,
    /// What of a sequence it is for, where no pooler is asked.
    pub pool: PoolMode,
}

/// A dense layer before a task's head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dense {
    /// Its function.
    pub act: Activation,
    /// It has a bias.
    pub bias: bool,
    /// A norm comes after it.
    pub norm: bool,
}

/// What an encoder's logits are of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TaskKind {
    /// Each token: which word it is (masked language modelling).
    Words,
    /// The sequence.
    Sequence,
    /// Each token.
    Tokens,
    /// Each token: how well an answer begins with it, and how well one ends with it.
    Answer,
}

/// How ids become rows.
#[derive(Clone, Debug, PartialEq)]
pub struct Embed {
    /// What word rows are multiplied with (1, or sqrt(width)).
    pub scale: f32,
    /// Rows of the token type table; 0 when there is none.
    pub types: usize,
}

/// Layer norm or RMS norm, and where it stands.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Norm {
    /// RMS norm (no mean, no bias) instead of layer norm.
    pub rms: bool,
    /// Added to the variance.
    pub eps: f32,
    /// Before each block (pre-norm) instead of after the residual (post-norm).
    pub before: bool,
}

/// The feed-forward block.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Mlp {
    /// Its activation.
    pub act: Activation,
    /// Two parallel projections, the activated one times the other.
    pub gated: bool,
}

/// How a stack knows the order of its tokens.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Position {
    /// A learned table; position p uses row p + `offset`.
    Learned {
        /// Positions the table has, without the offset rows.
        max: usize,
        /// Rows before the first position.
        offset: usize,
        /// Tokens with this id are not counted; they share the row before the first position, which [`super::forward`] has
        /// after the last.
        pads: Option<u32>,
    },
    /// Sines of position p + `offset`, then its cosines (Vaswani et al. 2017, with the halves apart).
    Sinusoid {
        /// Positions that the table is made for.
        max: usize,
        /// The number of the first position.
        offset: usize,
        /// The slowest wave is 10,000 times slower than the fastest (tensor2tensor), not a step less.
        closed: bool,
        /// Tokens with this id have no position: they get zeros and are not counted.
        pads: Option<u32>,
    },
    /// Queries and keys are rotated (Su et al. 2021), pairs half a head apart.
    Rope {
        /// Base of the angles' geometric progression.
        theta: f32,
        /// Positions that the table is made for.
        max: usize,
        /// How the angles are slowed down for long texts.
        scaling: RopeScaling,
    },
    /// By the bias of [`Stack::buckets`] alone.
    None,
}

/// A bias on each score by the bucket that the distance of query and key falls into (Raffel et al. 2019, T5): half of
/// the buckets for one distance each, the others ever wider. An encoder has half of them for either direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Buckets {
    /// Buckets.
    pub count: usize,
    /// Where the last bucket has begun.
    pub distance: usize,
}

/// How RoPE's angles are slowed down, so that a model sees farther than it was first trained to.
#[derive(Clone, Copy, Debug, PartialEq, Default)]
pub enum RopeScaling {
    /// Not at all.
    #[default]
    None,
    /// All divided by this.
    Linear(f32),
    /// Only those that turn slowly (Llama 3.1): fewer than `low` times within `original` positions are divided by `factor`,
    /// more than `high` times stay, and between the two it is a mixture.
    Llama3 {
        /// Divides slow angles.
        factor: f32,
        /// Turns below which an angle is slow.
        low: f32,
        /// Turns above which an angle is fast.
        high: f32,
        /// Positions of the first training.
        original: usize,
    },
}

impl Position {
    /// How many positions there are.
    pub fn max(&self) -> usize {
        match *self {
            Self::Learned { max, .. } | Self::Sinusoid { max, .. } | Self::Rope { max, .. } => max,
            Self::None => usize::MAX,
        }
    }

    /// The id that is not counted, and what position such tokens have: the one after the last, where the table has what
    /// they get.
    pub fn uncounted(&self) -> Option<(u32, u32)> {
        match *self {
            Self::Learned { max, pads, .. } | Self::Sinusoid { max, pads, .. } => Some((pads?, max as u32)),
            Self::Rope { .. } | Self::None => None,
        }
    }

    /// The positions of ids that come after so many others, as [`crate::Step`] wants them.
    pub fn of_row(&self, before: usize, ids: &[i64]) -> Vec<u32> {
        let mut count = before as u32;
        let next = |&id: &i64| match self.uncounted() {
            Some((pad, position)) if id == i64::from(pad) => position,
            _ => {
                count += 1;
                count - 1
            }
        };
        ids.iter().map(next).collect()
    }
}

/// How the token vectors of a text become one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum PoolMode {
    /// Their mean.
    #[default]
    Mean,
    /// The first token's.
    Cls,
    /// The largest of each column.
    Max,
    /// The last token's.
    Last,
}
