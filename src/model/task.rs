//! Heads of encoders for tasks: which one a checkpoint has, and what it calls its tensors.

use serde_json::{Map, Value};

use super::arch::{Activation, Arch, Dense, Head, PoolMode, Task, TaskKind};
use super::config::{Config, bounds, config_error};
use super::names::{Names, Source, below};
use crate::Result;
use crate::weights::Checkpoint;

/// What a family calls the modules of its heads.
pub(super) struct Heads {
    /// Names of all that is no head begin with it where a task's class saved them.
    pub prefix: &'static str,
    /// The word table.
    pub word: &'static str,
    /// BERT's pooler.
    pub pooler: &'static str,
    /// Beginnings of the names of all heads.
    pub unused: &'static [&'static str],
    /// Of masked words: the dense layer, its norm, the table where it is not the words' own.
    words: [&'static str; 3],
    /// The bias of words' logits, under all its names.
    bias: &'static [&'static str],
    /// Their activation, where it is not that of the layers.
    act: Option<Activation>,
    /// The dense layer before a sequence's labels; without one they are made of the pooler's output.
    first: Option<(&'static str, Activation)>,
    /// Of a sequence's labels.
    sequence: &'static str,
    /// Of the two ends of an answer.
    answer: &'static str,
}

/// In all families.
const TOKENS: &str = "classifier";

pub(super) const BERT: Heads = Heads {
    prefix: "bert.",
    word: "embeddings.word_embeddings",
    pooler: "pooler.dense",
    unused: &["cls.", "classifier.", "qa_outputs."],
    words: ["cls.predictions.transform.dense", "cls.predictions.transform.LayerNorm", "cls.predictions.decoder"],
    bias: &["cls.predictions.decoder.bias", "cls.predictions.bias"],
    act: None,
    first: None,
    sequence: "classifier",
    answer: "qa_outputs",
};

pub(super) const ROBERTA: Heads = Heads {
    prefix: "roberta.",
    unused: &["lm_head.", "classifier.", "qa_outputs."],
    words: ["lm_head.dense", "lm_head.layer_norm", "lm_head.decoder"],
    bias: &["lm_head.decoder.bias", "lm_head.bias"],
    act: Some(Activation::Gelu),
    first: Some(("classifier.dense", Activation::Tanh)),
    sequence: "classifier.out_proj",
    ..BERT
};

pub(super) const MPNET: Heads = Heads { prefix: "mpnet.", ..ROBERTA };

pub(super) const ELECTRA: Heads = Heads {
    prefix: "electra.",
    unused: &["generator_", "discriminator_predictions.", "sequence_summary.", "classifier.", "qa_outputs."],
    words: ["generator_predictions.dense", "generator_predictions.LayerNorm", "generator_lm_head"],
    bias: &["generator_lm_head.bias"],
    act: Some(Activation::Gelu),
    first: Some(("classifier.dense", Activation::Gelu)),
    ..ROBERTA
};

pub(super) const ALBERT: Heads = Heads {
    prefix: "albert.",
    pooler: "pooler",
    unused: &["predictions.", "sop_classifier.", "classifier.", "qa_outputs."],
    words: ["predictions.dense", "predictions.LayerNorm", "predictions.decoder"],
    bias: &["predictions.decoder.bias", "predictions.bias"],
    ..BERT
};

pub(super) const MODERNBERT: Heads = Heads {
    prefix: "model.",
    word: "embeddings.tok_embeddings",
    unused: &["head.", "decoder.", "classifier."],
    words: ["head.dense", "head.norm", "decoder"],
    bias: &["decoder.bias"],
    first: Some(("head.dense", Activation::Gelu)),
    answer: "classifier",
    ..BERT
};

pub(super) const DISTILBERT: Heads = Heads {
    prefix: "distilbert.",
    unused: &["vocab_", "pre_classifier.", "classifier.", "qa_outputs."],
    words: ["vocab_transform", "vocab_layer_norm", "vocab_projector"],
    bias: &["vocab_projector.bias"],
    act: None,
    first: Some(("pre_classifier", Activation::Relu)),
    ..BERT
};

/// Ends of the names of Hugging Face's classes. Of the two heads of pretraining it is the one of words.
const CLASSES: [(&str, TaskKind); 5] = [
    ("ForMaskedLM", TaskKind::Words),
    ("ForPreTraining", TaskKind::Words),
    ("ForSequenceClassification", TaskKind::Sequence),
    ("ForTokenClassification", TaskKind::Tokens),
    ("ForQuestionAnswering", TaskKind::Answer),
];

/// `arch` with the head that `architectures` names. A checkpoint without a tensor of it is of the bare model; one whose
/// configuration names no class has the head that its tensors tell.
///
/// # Errors
/// [`crate::Error::Config`] for `architectures` that are no names, and an absurd number of labels; [`crate::Error::Io`] when
/// tables cannot be compared.
pub(super) fn read(config: &Config, checkpoint: &Checkpoint, heads: &Heads, arch: Arch) -> Result<Arch> {
    let has = |module: &str| ["weight", "bias"].iter().any(|part| checkpoint.contains(&format!("{module}.{part}")));
    let there = |kind: &TaskKind| match kind {
        TaskKind::Words => {
            heads.words.iter().any(|module| has(module)) || heads.bias.iter().any(|name| checkpoint.contains(name))
        }
        TaskKind::Sequence => has(heads.sequence) || heads.first.is_some_and(|(module, _)| has(module)),
        TaskKind::Tokens => has(TOKENS),
        TaskKind::Answer => has(heads.answer),
    };
    let kind = match config.get("architectures") {
        Some(classes) => class(config, classes)?,
        None => telling(heads).into_iter().find(|(_, module)| has(module)).map(|(kind, _)| kind),
    };
    let Some(kind) = kind.filter(there) else { return Ok(arch) };
    let act = arch.encoder.as_ref().map_or(Activation::None, |stack| stack.mlp.act);
    let dense = match kind {
        TaskKind::Words => Some(Dense { act: heads.act.unwrap_or(act), bias: true, norm: true }),
        TaskKind::Sequence => heads.first.map(|(_, act)| Dense { act, bias: true, norm: false }),
        TaskKind::Tokens | TaskKind::Answer => None,
    };
    let (labels, head) = match kind {
        TaskKind::Words => {
            let table = format!("{}.weight", heads.words[2]);
            let word = format!("{}{}.weight", below(checkpoint, heads.prefix), heads.word);
            (arch.vocab, config.head(checkpoint, [&table, &word], true)?)
        }
        TaskKind::Answer => (2, Head::Untied),
        TaskKind::Sequence => (labels(config, checkpoint, heads.sequence)?, Head::Untied),
        TaskKind::Tokens => (labels(config, checkpoint, TOKENS)?, Head::Untied),
    };
    let pooler = arch.pooler || kind == TaskKind::Sequence && dense.is_none();
    let task = Some(Task { kind, labels, dense, pool: PoolMode::Cls });
    Ok(Arch { pooler, head, head_bias: true, task, ..arch })
}

/// Modules that one head alone has, and which; a `classifier` may be of sequences or of tokens.
fn telling(heads: &Heads) -> Vec<(TaskKind, &'static str)> {
    let words = heads.bias.iter().filter_map(|name| name.strip_suffix(".bias")).chain([heads.words[2]]);
    let mut all: Vec<_> = words.map(|module| (TaskKind::Words, module)).collect();
    all.extend((heads.answer != TOKENS).then_some((TaskKind::Answer, heads.answer)));
    let first = heads.first.map(|(module, _)| module).filter(|module| *module != heads.words[0]);
    all.extend(first.map(|module| (TaskKind::Sequence, module)));
    all
}

/// The task of the first class.
fn class(config: &Config, classes: &Value) -> Result<Option<TaskKind>> {
    let wrong = || config.wrong("architectures", classes, "a list of names of classes");
    let names: Option<Vec<&str>> = classes.as_array().and_then(|list| list.iter().map(Value::as_str).collect());
    let names = names.ok_or_else(wrong)?;
    Ok(names.first().and_then(|name| CLASSES.iter().find(|(end, _)| name.ends_with(end))).map(|&(_, kind)| kind))
}

/// How many labels there are: two where nothing says otherwise. The classifier has a row for each.
fn labels(config: &Config, checkpoint: &Checkpoint, module: &str) -> Result<usize> {
    let (key, count) = match config.get("id2label") {
        None => ("num_labels", config.usize("num_labels", 2, bounds::VOCAB)?),
        Some(names) => {
            let count = names.as_object().map(Map::len).filter(|count| bounds::VOCAB.contains(count));
            let wrong = || config.wrong("id2label", names, "an object with a name for each label");
            ("id2label", count.ok_or_else(wrong)?)
        }
    };
    let table = format!("{module}.weight");
    match checkpoint.shape(&table) {
        Ok(&[rows, _]) if rows != count => {
            let why = format!(
                "{key} makes {count} labels, but {table} has {rows} rows; fetch config.json and the weights from one place"
            );
            Err(config_error(config.file(), why))
        }
        _ => Ok(count),
    }
}

/// The checkpoint's names of the head's tensors.
pub(super) fn names(names: &mut Names<'_>, arch: &Arch, heads: &Heads) {
    let Some(task) = arch.task else { return };
    names.at_root();
    if let Some(dense) = task.dense {
        let module = match (task.kind, heads.first) {
            (TaskKind::Sequence, Some((module, _))) => module,
            _ => heads.words[0],
        };
        names.linear("head.dense", module, dense.bias);
        if dense.norm {
            names.linear("head.norm", heads.words[1], arch.encoder.as_ref().is_some_and(|stack| stack.biases.norm));
        }
    }
    match task.kind {
        TaskKind::Words => {
            let table = format!("{}.weight", heads.words[2]);
            match arch.head {
                Head::Untied => names.push("head.weight", Source::One(table)),
                _ => names.copy("embed.word.weight", table),
            }
            if arch.head_bias {
                let biases: Vec<_> = heads.bias.iter().map(|&name| name.to_owned()).collect();
                let copies = names.copies.len();
                names.first_of("head.bias", &biases);
                if arch.head == Head::Untied {
                    // Beside a table of its own stands a bias of its own, and the other one is of no use.
                    names.copies.truncate(copies);
                }
            }
        }
        TaskKind::Sequence => names.module("head", heads.sequence),
        TaskKind::Tokens => names.module("head", TOKENS),
        TaskKind::Answer => names.module("head", heads.answer),
    }
}
