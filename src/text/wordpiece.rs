//! Old BERT folders have a `vocab.txt` instead of a `tokenizer.json`; here the one becomes the other.

use serde_json::{Map, Value, json};

use crate::Result;
use crate::model::config::{Config, config_error};

/// What `tokenizer.json` would be: BERT's normaliser and pre-tokeniser, WordPiece over the words of `vocab` (one a line, the line's
/// number is the id), `[CLS]` before and `[SEP]` after, twice between two texts for MPNet. `config` is the text of
/// `tokenizer_config.json`, where there is one.
///
/// # Errors
/// [`crate::Error::Config`] when the vocabulary lacks `[UNK]`, `[CLS]` or `[SEP]`, or `config` is damaged.
pub fn tokenizer_json(vocab: &str, config: Option<&str>) -> Result<Vec<u8>> {
    let config = Config::parse("tokenizer_config.json", config.unwrap_or("{}"))?;
    let mut words = Map::new();
    for (id, word) in vocab.lines().enumerate() {
        // The last of equal lines counts, as in transformers.
        words.insert(word.to_owned(), id.into());
    }
    let special = |key: &str, default: &str| -> Result<(String, Value)> {
        let token = name(&config, key)?.unwrap_or(default).to_owned();
        let why = || format!("has no line {token:?} ({key}); is it the vocabulary of a BERT?");
        let id = words.get(&token).cloned().ok_or_else(|| config_error("vocab.txt", why()))?;
        Ok((token, id))
    };
    let (unk, cls, sep) =
        (special("unk_token", "[UNK]")?, special("cls_token", "[CLS]")?, special("sep_token", "[SEP]")?);
    let optional = [special("pad_token", "[PAD]"), special("mask_token", "[MASK]")].into_iter().flatten();
    let added: Vec<Value> = [unk.clone(), cls.clone(), sep.clone()].into_iter().chain(optional).map(added).collect();
    let post_processor = match config.str("tokenizer_class")? {
        Some("MPNetTokenizer" | "MPNetTokenizerFast") => {
            json!({"type": "RobertaProcessing", "sep": sep, "cls": cls, "trim_offsets": false, "add_prefix_space": false})
        }
        _ => json!({"type": "BertProcessing", "sep": sep, "cls": cls}),
    };
    let tokenizer = json!({
        "version": "1.0", "truncation": null, "padding": null, "added_tokens": added,
        "normalizer": {
            "type": "BertNormalizer", "clean_text": true,
            "handle_chinese_chars": config.bool("tokenize_chinese_chars", true)?,
            "strip_accents": config.get("strip_accents"),
            "lowercase": config.bool("do_lower_case", true)?,
        },
        "pre_tokenizer": {"type": "BertPreTokenizer"},
        "post_processor": post_processor,
        "decoder": {"type": "WordPiece", "prefix": "##", "cleanup": true},
        "model": {
            "type": "WordPiece", "unk_token": unk.0, "continuing_subword_prefix": "##",
            "max_input_chars_per_word": 100, "vocab": words,
        },
    });
    Ok(tokenizer.to_string().into_bytes())
}

/// A special token's text: a string, or an object with it.
fn name<'a>(config: &'a Config, key: &str) -> Result<Option<&'a str>> {
    match config.get(key) {
        Some(Value::Object(token)) => Ok(token.get("content").and_then(Value::as_str)),
        _ => config.str(key),
    }
}

fn added((content, id): (String, Value)) -> Value {
    json!({
        "id": id, "content": content, "single_word": false, "lstrip": false, "rstrip": false, "normalized": false,
        "special": true,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const VOCAB: &str = "[PAD]\n[UNK]\n[CLS]\n[SEP]\na\n##b\n";

    #[test]
    fn says_what_the_files_say() {
        let config = r#"{"do_lower_case": false, "strip_accents": true, "cls_token": {"content": "a"}}"#;
        let json: Value = serde_json::from_slice(&tokenizer_json(VOCAB, Some(config)).unwrap()).unwrap();
        assert_eq!(json["model"]["vocab"]["##b"], 5);
        assert_eq!(json["post_processor"]["cls"], json!(["a", 4]));
        assert_eq!(json["normalizer"]["lowercase"], false);
        assert_eq!(json["normalizer"]["strip_accents"], true);
        assert_eq!(json["added_tokens"].as_array().unwrap().len(), 4);
    }

    #[test]
    fn mpnet_has_two_separators_between_texts() {
        let config = r#"{"tokenizer_class": "MPNetTokenizer"}"#;
        let ids = |json: Vec<u8>| {
            let tokenizer = tokenizers::Tokenizer::from_bytes(json).unwrap();
            tokenizer.encode(("a", "a"), true).unwrap().get_ids().to_vec()
        };
        assert_eq!(ids(tokenizer_json(VOCAB, Some(config)).unwrap()), [2, 4, 3, 3, 4, 3]);
        assert_eq!(ids(tokenizer_json(VOCAB, None).unwrap()), [2, 4, 3, 4, 3]);
    }

    #[test]
    fn other_vocabularies_are_refused() {
        for vocab in ["", "a\nb\n", "[UNK]\n[CLS]\n"] {
            let error = tokenizer_json(vocab, None).unwrap_err().to_string();
            assert!(error.contains("vocab.txt"), "{error}");
        }
        assert!(tokenizer_json(VOCAB, Some("[]")).is_err());
        assert!(tokenizer_json(VOCAB, Some(r#"{"do_lower_case": 3}"#)).is_err());
    }
}
