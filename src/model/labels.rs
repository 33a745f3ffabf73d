//! What a classifier's labels are called, and how its logits become scores.

use serde_json::Value;

use super::arch::{Arch, TaskKind};
use super::config::Config;
use super::sentence::SentenceConfig;
use crate::{Error, Result};

/// How logits become scores.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Scoring {
    /// They are the scores (a regression).
    Raw,
    /// Each label by itself: 1 / (1 + exp(-x)).
    Sigmoid,
    /// One label of all: exp(x) over its sum.
    #[default]
    Softmax,
}

/// What `config.json` says of the labels of sequences or tokens.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Labels {
    /// A name for each logit; empty where the model has no such head.
    pub names: Vec<String>,
    /// How a classifier's logits become scores, by `problem_type` and the number of labels.
    pub scoring: Scoring,
    /// The function after the one logit of a cross-encoder, as sentence-transformers names it.
    activation: Option<String>,
}

impl Labels {
    /// Names are `LABEL_N` where there is no `id2label`.
    ///
    /// # Errors
    /// [`Error::Config`] for an `id2label` that does not name each label, and for an unknown `problem_type`.
    pub(super) fn read(config: &Config, arch: &Arch, sentence: &SentenceConfig) -> Result<Self> {
        let Some(task) = arch.task.filter(|task| matches!(task.kind, TaskKind::Sequence | TaskKind::Tokens)) else {
            return Ok(Self::default());
        };
        let scoring = if task.kind == TaskKind::Sequence { scoring(config, task.labels)? } else { Scoring::Softmax };
        let own = match config.object("sentence_transformers")? {
            Some(own) => own.str("activation_fn")?.map(str::to_owned),
            None => None,
        };
        let old = config.str("sbert_ce_default_activation_function")?.map(str::to_owned);
        let activation = sentence.activation.clone().or(own).or(old);
        Ok(Self { names: names(config, task.labels)?, scoring, activation })
    }

    /// How a cross-encoder's logit becomes a score: as the folder says in sentence-transformers' words, else by the sigmoid.
    ///
    /// # Errors
    /// [`Error::Unsupported`] for other functions than the sigmoid and the identity.
    pub fn ranking(&self) -> Result<Scoring> {
        // What is not PyTorch's own that library does not load, either.
        let Some(name) = self.activation.as_deref().filter(|name| name.starts_with("torch.")) else {
            return Ok(Scoring::Sigmoid);
        };
        match name.rsplit('.').next() {
            Some("Sigmoid") => Ok(Scoring::Sigmoid),
            Some("Identity") => Ok(Scoring::Raw),
            _ => Err(Error::Unsupported {
                what: format!("activation_fn {name:?}"),
                why: "only Sigmoid and Identity are; `classify --pairs` gives the logit's sigmoid".into(),
            }),
        }
    }
}

fn names(config: &Config, labels: usize) -> Result<Vec<String>> {
    let Some(map) = config.get("id2label") else { return Ok((0..labels).map(|i| format!("LABEL_{i}")).collect()) };
    let name = |i: usize| match map.get(i.to_string()) {
        Some(Value::String(name)) => Ok(name.clone()),
        Some(Value::Number(number)) => Ok(number.to_string()),
        _ => Err(config.wrong("id2label", map, format!("a name for each of \"0\" to \"{}\"", labels - 1))),
    };
    (0..labels).map(name).collect()
}

fn scoring(config: &Config, labels: usize) -> Result<Scoring> {
    const KNOWN: &str = "regression, single_label_classification or multi_label_classification";
    match config.str("problem_type")? {
        Some("regression") => Ok(Scoring::Raw),
        Some("multi_label_classification") => Ok(Scoring::Sigmoid),
        None | Some("single_label_classification") => Ok(if labels == 1 { Scoring::Sigmoid } else { Scoring::Softmax }),
        Some(other) => Err(config.wrong("problem_type", &Value::from(other), KNOWN)),
    }
}
