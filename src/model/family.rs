//! The families that can run, by the `model_type` of their `config.json`.

#[cfg(test)]
mod tests;

use serde_json::Value;

use super::arch::Arch;
use super::config::{Config, config_error};
use super::names::Names;
use super::{albert, bart, bert, distilbert, electra, fairseq, gpt2, llama, m2m100, marian, mistral};
use super::{modernbert, modules, mpnet, qwen, roberta, t5, task};
use crate::Result;
use crate::weights::Checkpoint;

/// What is particular about a family of checkpoints.
pub(super) struct Family {
    /// `model_type` in `config.json`.
    pub model_type: &'static str,
    /// What `config.json` says; the checkpoint decides where several spellings are in use.
    ///
    /// # Errors
    /// [`crate::Error::Config`] where a value is absurd, [`crate::Error::Unsupported`] for variants that cannot run.
    pub arch: fn(&Config, &Checkpoint) -> Result<Arch>,
    /// What the checkpoint calls each tensor of the graph.
    pub names: for<'a> fn(&Arch, &'a Checkpoint) -> Names<'a>,
    /// Whether a tensor that nobody took is known to be of no use: buffers, and heads of tasks that were not asked for.
    pub known_unused: fn(&str) -> bool,
}

const fn family(
    model_type: &'static str,
    arch: fn(&Config, &Checkpoint) -> Result<Arch>,
    names: for<'a> fn(&Arch, &'a Checkpoint) -> Names<'a>,
    known_unused: fn(&str) -> bool,
) -> Family {
    Family { model_type, arch, names, known_unused }
}

static FAMILIES: [Family; 19] = [
    family(
        "bert",
        |c, k| bert::arch(c, k, &task::BERT, &bert::DEFAULTS),
        |a, k| modules::names(a, k, &task::BERT, &bert::MODULES),
        |name| modules::known_unused(name, &task::BERT),
    ),
    family(
        "roberta",
        roberta::arch,
        |a, k| modules::names(a, k, &task::ROBERTA, &bert::MODULES),
        |name| modules::known_unused(name, &task::ROBERTA),
    ),
    family(
        "xlm-roberta",
        roberta::arch,
        |a, k| modules::names(a, k, &task::ROBERTA, &bert::MODULES),
        |name| modules::known_unused(name, &task::ROBERTA),
    ),
    family(
        "distilbert",
        distilbert::arch,
        |a, k| modules::names(a, k, &task::DISTILBERT, &distilbert::MODULES),
        |name| modules::known_unused(name, &task::DISTILBERT),
    ),
    family(
        "mpnet",
        mpnet::arch,
        |a, k| modules::names(a, k, &task::MPNET, &mpnet::MODULES),
        |name| modules::known_unused(name, &task::MPNET),
    ),
    family(
        "electra",
        electra::arch,
        |a, k| modules::names(a, k, &task::ELECTRA, &bert::MODULES),
        |name| modules::known_unused(name, &task::ELECTRA),
    ),
    family(
        "albert",
        albert::arch,
        |a, k| modules::names(a, k, &task::ALBERT, &albert::MODULES),
        |name| modules::known_unused(name, &task::ALBERT),
    ),
    family("modernbert", modernbert::arch, modernbert::names, |name| modules::known_unused(name, &task::MODERNBERT)),
    family("bart", bart::bart, fairseq::names, fairseq::known_unused),
    family("mbart", bart::mbart, fairseq::names, fairseq::known_unused),
    family("marian", marian::arch, fairseq::names, fairseq::known_unused),
    family("m2m_100", m2m100::arch, fairseq::names, fairseq::known_unused),
    family("t5", t5::arch, t5::names, t5::known_unused),
    family("mt5", t5::arch, t5::names, t5::known_unused),
    family("gpt2", gpt2::arch, gpt2::names, gpt2::known_unused),
    family("llama", llama::llama, llama::names, llama::known_unused),
    family("mistral", mistral::arch, llama::names, llama::known_unused),
    family("qwen2", qwen::qwen2, llama::names, llama::known_unused),
    family("qwen3", qwen::qwen3, llama::names, llama::known_unused),
];

impl std::fmt::Debug for Family {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Family({})", self.model_type)
    }
}

impl Family {
    /// The family of a configuration.
    ///
    /// # Errors
    /// [`crate::Error::Config`] when `model_type` is absent or unknown.
    pub fn of(config: &Config) -> Result<&'static Self> {
        let known: Vec<_> = FAMILIES.iter().map(|family| family.model_type).collect();
        let what = format!("one of the families that this version can run: {}", known.join(", "));
        let Some(name) = config.str("model_type")? else {
            return Err(config_error(config.file(), format!("model_type is missing, expected {what}")));
        };
        let family = FAMILIES.iter().find(|family| family.model_type == name);
        family.ok_or_else(|| config.wrong("model_type", &Value::from(name), what))
    }
}
