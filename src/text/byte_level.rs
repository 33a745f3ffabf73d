//! Old folders of GPT-2 and its kin have `vocab.json` and `merges.txt` instead of a `tokenizer.json`; here the ones become the
//! other.

use std::collections::{BTreeSet, HashMap};

use serde_json::{Value, json};

use super::folder::Settings;
use crate::model::config::config_error;
use crate::{Error, Result};

/// What `tokenizer.json` would be: byte-level BPE, with `<s>` and `</s>` around a text where the family has them.
///
/// # Errors
/// [`Error::Config`] for damaged files, [`Error::Unsupported`] for a family that cuts text into words in another way.
pub fn tokenizer_json(vocab: &str, merges: &str, settings: &Settings) -> Result<Vec<u8>> {
    let ids: HashMap<String, u32> =
        serde_json::from_str(vocab).map_err(|e| config_error("vocab.json", format!("cannot be read: {e}")))?;
    let around = match settings.class.as_str() {
        "GPT2" | "gpt2" => false,
        "Bart" | "bart" | "Roberta" | "roberta" | "Blenderbot" | "blenderbot" => true,
        other => {
            let why = "vocab.json with merges.txt is read for GPT-2, BART and RoBERTa only; fetch tokenizer.json too";
            return Err(Error::Unsupported { what: format!("the tokenizer of {other:?}"), why: why.into() });
        }
    };
    let own: &[&str] = if around { &["<s>", "<pad>", "</s>", "<unk>", "<mask>"] } else { &["<|endoftext|>"] };
    let special: BTreeSet<&str> = own.iter().copied().chain(settings.special.iter().map(String::as_str)).collect();
    let added: Vec<Value> = (special.into_iter())
        .filter_map(|token| {
            let id = ids.get(token)?;
            // A mask takes the space before it, as RoBERTa's does.
            let lstrip = around && token == "<mask>";
            Some(json!({
                "id": id, "content": token, "single_word": false, "lstrip": lstrip, "rstrip": false,
                "normalized": false, "special": true,
            }))
        })
        .collect();
    let space = settings.tokenizer.bool("add_prefix_space", false)?;
    let special = |key: &str, default: &str| -> Result<(String, u32)> {
        let token = settings.token(key).unwrap_or(default).to_owned();
        let why = || config_error("vocab.json", format!("lacks {token:?}, the {key}; are all files of one model?"));
        let id = *ids.get(&token).ok_or_else(why)?;
        Ok((token, id))
    };
    let post = if around {
        let (cls, sep) = (special("cls_token", "<s>")?, special("sep_token", "</s>")?);
        json!({"type": "RobertaProcessing", "sep": sep, "cls": cls, "trim_offsets": true, "add_prefix_space": space})
    } else if settings.tokenizer.bool("add_bos_token", false)? {
        let (bos, id) = special("bos_token", "<|endoftext|>")?;
        json!({
            "type": "TemplateProcessing",
            "single": [{"SpecialToken": {"id": bos, "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
            "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
            "special_tokens": {bos.clone(): {"id": bos, "ids": [id], "tokens": [bos]}},
        })
    } else {
        Value::Null
    };
    let byte_level = json!({"type": "ByteLevel", "add_prefix_space": space, "trim_offsets": true, "use_regex": true});
    let tokenizer = json!({
        "version": "1.0", "truncation": null, "padding": null, "added_tokens": added, "normalizer": null,
        "pre_tokenizer": byte_level, "decoder": byte_level, "post_processor": post,
        "model": {
            "type": "BPE", "dropout": null, "unk_token": null, "continuing_subword_prefix": "",
            "end_of_word_suffix": "", "fuse_unk": false, "vocab": ids, "merges": pairs(merges)?,
        },
    });
    Ok(tokenizer.to_string().into_bytes())
}

/// The lines of `merges.txt`, but for its heading.
fn pairs(merges: &str) -> Result<Vec<[&str; 2]>> {
    let lines = merges.lines().filter(|line| !line.is_empty() && !line.starts_with("#version"));
    let pair = |line| {
        let (left, right) = str::split_once(line, ' ')?;
        Some([left, right])
    };
    lines.map(|line| pair(line).ok_or_else(|| config_error("merges.txt", format!("{line:?} is no pair")))).collect()
}
