//! An architecture is data: what a Transformer checkpoint's `config.json` says, in one vocabulary for all families.
//!
//! Vaswani et al. 2017 is the baseline; each field is a way in which a family departs from it.

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
    /// BERT's pooler: a dense layer and tanh over the first token.
    pub pooler: bool,
    /// What turns the decoder's last rows into logits.
    pub head: Head,
    /// The id that pads batches.
    pub pad_token: Option<u32>,
}

/// One stack of layers.
#[derive(Clone, Debug, PartialEq)]
pub struct Stack {
    /// Number of layers.
    pub layers: usize,
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
    /// What query . key is multiplied with.
    pub scale: f32,
    /// Dense layers have biases.
    pub biases: bool,
    /// A norm right after the embeddings.
    pub embed_norm: bool,
    /// A norm after the last layer.
    pub final_norm: bool,
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
    },
    /// Queries and keys are rotated (Su et al. 2021), pairs half a head apart.
    Rope {
        /// Base of the angles' geometric progression.
        theta: f32,
        /// Positions that the table is made for.
        max: usize,
    },
}

impl Position {
    /// How many positions there are.
    pub fn max(&self) -> usize {
        match *self {
            Self::Learned { max, .. } | Self::Rope { max, .. } => max,
        }
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
