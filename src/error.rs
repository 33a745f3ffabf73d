//! One error type for the crate. Every message says what was expected, what came, and, where there is one, the remedy.

/// `Result` with this crate's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Whatever can go wrong: wrong shapes, files, inputs, limits, devices.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// An op's argument has the wrong shape or dtype.
    #[error("{op}: {what}: expected {expected}, got {got}")]
    Shape {
        /// The op's name, as in [`crate::kernel::ALL`].
        op: &'static str,
        /// The argument.
        what: &'static str,
        /// What the op needs.
        expected: String,
        /// What came.
        got: String,
    },
    /// An op reads and writes one buffer, which a dispatch cannot bind both ways.
    #[error(
        "{op}: {input} and {output} share one buffer; a dispatch cannot read and write it at once, use another buffer"
    )]
    Alias {
        /// The op's name.
        op: &'static str,
        /// The argument that is read.
        input: &'static str,
        /// The argument that is written.
        output: &'static str,
    },
    /// The device cannot do it: a limit or feature is missing.
    #[error("{what} needs {limit} of {need}, the device has {have}; {remedy}")]
    Limit {
        /// Who needs it.
        what: String,
        /// The name of the limit, as wgpu spells it.
        limit: &'static str,
        /// The amount that is needed.
        need: u64,
        /// The amount the device was created with.
        have: u64,
        /// What to do about it.
        remedy: String,
    },
    /// A step or request is larger than the session was made for.
    #[error("{what}: {need} asked for, the session was made for {have}; make the session larger or split the batch")]
    Capacity {
        /// What ran out: tokens, sequences, positions ..
        what: &'static str,
        /// How many the step needs.
        need: usize,
        /// How many there are.
        have: usize,
    },
    /// An input (ids, masks, positions, texts) is not valid.
    #[error("{what}: {why}")]
    Input {
        /// Which input.
        what: &'static str,
        /// What is wrong with it and what would be right.
        why: String,
    },
    /// A configuration file cannot be used.
    #[error("{file}: {why}")]
    Config {
        /// `config.json`, `modules.json` ..
        file: String,
        /// What is wrong with it and what would be right.
        why: String,
    },
    /// A weights file is damaged.
    #[error("{file}: {why}")]
    Weights {
        /// The file.
        file: String,
        /// What is wrong with it.
        why: String,
    },
    /// A tensor is missing, unused or misshapen: the checkpoint is not what its `config.json` says.
    #[error("tensor {name}: {why}")]
    Tensor {
        /// The tensor's name in the checkpoint.
        name: String,
        /// What is wrong with it.
        why: String,
    },
    /// A file could not be read or written.
    #[error("{path}: {source}")]
    Io {
        /// The file.
        path: String,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// There is no adapter to run on.
    #[error(
        "no GPU adapter was found; install a Vulkan driver (Debian and Ubuntu: `apt-get install mesa-vulkan-drivers`, a software one) or use `--device cpu`"
    )]
    NoAdapter,
    /// The adapter refused to give a device.
    #[error("the adapter gave no device: {0}")]
    NoDevice(String),
    /// Logits are NaN or infinite, so no token can be chosen.
    #[error(
        "the logits of prompt {prompt} after {tokens} tokens are not finite; its weights or inputs overflow, or a kernel is wrong: `wgformer verify` tells which"
    )]
    NotFinite {
        /// The prompt's place in the batch.
        prompt: usize,
        /// Tokens so far, the prompt's included.
        tokens: usize,
    },
    /// The device is out of memory.
    #[error("out of GPU memory: {0}; use smaller batches, f16 weights or a smaller model")]
    OutOfMemory(String),
    /// The device was lost; a model can be rebuilt on a new one.
    #[error("the device was lost ({0}); make a new device and load the model again")]
    DeviceLost(String),
    /// wgpu refused something. This is a bug of this crate or of the driver.
    #[error("wgpu refused {what}: {why}; please report this with the output of `wgformer verify`")]
    Gpu {
        /// What was being done.
        what: String,
        /// wgpu's own words.
        why: String,
    },
    /// The device computed something else than the reference did.
    #[error("{what}: {why}; please report this with the output of `wgformer verify`")]
    Wrong {
        /// What was computed.
        what: String,
        /// The first element that is wrong.
        why: String,
    },
    /// A model on the Hugging Face hub is not to be had.
    #[error("{model}: {why}")]
    Hub {
        /// The model's name.
        model: String,
        /// What is wrong, and what to do.
        why: String,
    },
    /// Text could not be tokenized.
    #[error("tokenizer: {0}")]
    Tokenizer(String),
    /// The model or adapter cannot do what was asked.
    #[error("{what} is not supported: {why}")]
    Unsupported {
        /// What was asked for.
        what: String,
        /// Why not, and what would be.
        why: String,
    },
}

impl Error {
    /// An [`Error::Io`] at `path`.
    pub fn io(path: impl AsRef<std::path::Path>, source: std::io::Error) -> Self {
        Self::Io { path: path.as_ref().display().to_string(), source }
    }

    /// An [`Error::Input`].
    pub fn input(what: &'static str, why: impl Into<String>) -> Self {
        Self::Input { what, why: why.into() }
    }
}
