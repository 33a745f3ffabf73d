//! Tokenizers of folders without a `tokenizer.json` against transformers', and what is refused.

use serde_json::{Value, json};
use wgformer::Error;
use wgformer::model::{Blueprint, Files, TokenizerFiles};
use wgformer::text::{Side, TargetToken, Tokenizer};

fn files(list: &[(&str, &[u8])]) -> TokenizerFiles {
    let mut files = TokenizerFiles::default();
    list.iter().for_each(|(name, bytes)| files.insert(*name, bytes.to_vec()));
    files
}

fn model(name: &str) -> Vec<u8> {
    std::fs::read(format!("tests/golden/sentencepiece/{name}.model")).expect(name)
}

fn ids(value: &Value) -> Vec<u32> {
    value.as_array().expect("ids").iter().map(|id| id.as_u64().expect("an id") as u32).collect()
}

/// The cases of `tokenizers.json`: name, files, texts.
fn golden() -> Vec<(String, TokenizerFiles, Value)> {
    let cases: Value = serde_json::from_str(include_str!("golden/tokenizers.json")).expect("JSON");
    let case = |case: &Value| {
        let mut files = TokenizerFiles::default();
        for (name, text) in case["files"].as_object().expect("files") {
            files.insert(name, text.as_str().expect("a text").as_bytes().to_vec());
        }
        for (name, of) in case["models"].as_object().expect("models") {
            files.insert(name, model(of.as_str().expect("a name")));
        }
        (case["name"].as_str().expect("a name").to_owned(), files, case["texts"].clone())
    };
    cases.as_array().expect("cases").iter().map(case).collect()
}

fn case(name: &str) -> TokenizerFiles {
    golden().into_iter().find(|(other, ..)| other == name).expect(name).1
}

fn streamed(tokenizer: &Tokenizer, ids: &[u32]) -> String {
    let mut stream = tokenizer.stream();
    let mut text: String = ids.iter().map(|&id| stream.push(id).expect("text")).collect();
    text += &stream.finish().expect("text");
    text
}

#[test]
fn ids_and_texts_are_transformers() {
    let golden = golden();
    assert_eq!(golden.len(), 8);
    for (name, files, texts) in golden {
        let tokenizer = Tokenizer::from_files(&files).expect("a tokenizer");
        for case in texts.as_array().expect("texts") {
            let text = case["text"].as_str().expect("a text");
            let source = tokenizer.encode(text).expect("ids").ids;
            assert_eq!(source, ids(&case["ids"]), "{name}: {text:?}");
            let mut target = ids(&case["target"]);
            if let Some(TargetToken::Start(language)) = tokenizer.target_token() {
                // transformers' labels end with the language, which the model then moves to the front.
                assert_eq!(target.pop(), Some(language));
            }
            // A code before a target means nothing, but transformers takes it off there too.
            if !text.starts_with(">>") {
                assert_eq!(tokenizer.encode_target(text).expect("ids").ids, target, "{name}, target: {text:?}");
            }
            let decoded = tokenizer.decode(&source).expect("text");
            assert_eq!(Some(decoded.as_str()), case["decoded"].as_str(), "{name}: {text:?}");
            assert_eq!(streamed(&tokenizer, &source), decoded, "{name}: {text:?}");
        }
    }
}

#[test]
fn languages_are_chosen() {
    let of = |name: &str| Tokenizer::from_files(&case(name)).expect(name);
    let m2m = of("m2m100");
    assert_eq!(m2m.languages().len(), 100);
    let [de, zu] = ["__de__", "__zu__"].map(|token| m2m.id(token).expect(token));
    let m2m = m2m.with_languages(Some("zu"), Some("de")).expect("languages");
    assert_eq!(m2m.encode("").expect("ids").ids[0], zu);
    assert_eq!(m2m.target_token(), Some(TargetToken::First(de)));
    assert_eq!(m2m.encode_target("").expect("ids").ids[0], de);
    let mbart = of("mbart").with_languages(None, Some("fr_XX")).expect("languages");
    assert_eq!(mbart.target_token(), Some(TargetToken::Start(mbart.id("fr_XX").expect("an id"))));
    assert_eq!((mbart.languages().len(), of("mbart50").languages().len()), (25, 52));
    let marian = of("marian");
    assert_eq!(marian.languages(), ["deu", "fra"]);
    let plain = marian.encode(">>deu<< the").expect("ids");
    let chosen = marian.with_languages(None, Some("deu")).expect("languages");
    assert_eq!(chosen.encode(" the").expect("ids"), plain);
    assert_eq!(chosen.encode(">>fra<<").expect("ids").ids[0], chosen.id(">>fra<<").expect("an id"));

    let message = |result: Result<Tokenizer, Error>| result.expect_err("no such language").to_string();
    assert!(message(of("m2m100").with_languages(Some("xx"), None)).contains("\"xx\": it has af, am"));
    assert!(message(of("mbart").with_languages(None, Some("en"))).contains("en_XX"));
    assert!(message(of("marian").with_languages(Some("deu"), None)).contains("source"));
    assert!(message(of("t5").with_languages(None, Some("de"))).contains("no language codes"));
    assert!(chosen.encode(">>xxx<< the").expect_err("no such language").to_string().contains("deu, fra"));
}

/// `tokenizer.json` of a model with languages: the file's own frame is replaced by the chosen one.
#[test]
fn languages_of_a_tokenizer_json() {
    let token = |id: u32, content: &str| json!({"id": id, "content": content, "single_word": false, "lstrip": false, "rstrip": false, "normalized": false, "special": true});
    let json = json!({
        "version": "1.0", "truncation": null, "padding": null, "normalizer": null, "decoder": null,
        "added_tokens": [token(1, "</s>"), token(2, "eng_Latn"), token(3, "fra_Latn")],
        "pre_tokenizer": {"type": "WhitespaceSplit"},
        "post_processor": {"type": "TemplateProcessing", "single": [
            {"SpecialToken": {"id": "eng_Latn", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}},
            {"SpecialToken": {"id": "</s>", "type_id": 0}}], "pair": [],
            "special_tokens": {"eng_Latn": {"id": "eng_Latn", "ids": [2], "tokens": ["eng_Latn"]}, "</s>": {"id": "</s>", "ids": [1], "tokens": ["</s>"]}}},
        "model": {"type": "WordLevel", "vocab": {"<unk>": 0, "</s>": 1, "eng_Latn": 2, "fra_Latn": 3, "a": 4, "b": 5}, "unk_token": "<unk>"},
    });
    let config = br#"{"tokenizer_class": "NllbTokenizerFast", "tgt_lang": "fra_Latn"}"#;
    let folder = files(&[("tokenizer.json", json.to_string().as_bytes()), ("tokenizer_config.json", config)]);
    let tokenizer = Tokenizer::from_files(&folder).expect("a tokenizer");
    assert_eq!(tokenizer.encode("a b").expect("ids").ids, [2, 4, 5, 1]);
    assert_eq!(tokenizer.encode_target("b").expect("ids").ids, [3, 5, 1]);
    assert_eq!(tokenizer.target_token(), Some(TargetToken::First(3)));
    let tokenizer = tokenizer.with_languages(Some("fra_Latn"), None).expect("languages");
    assert_eq!(tokenizer.encode("a").expect("ids").ids, [3, 4, 1]);
    assert_eq!(tokenizer.encode_plain("a </s>").expect("ids"), [4, 1]);
}

#[test]
fn characters() {
    let vocab = br#"{"<pad>": 0, "<s>": 1, "</s>": 2, "<unk>": 3, "1": 4, "+": 5, "=": 6}"#;
    let plain = Tokenizer::from_files(&files(&[("vocab.json", vocab)])).expect("a tokenizer");
    assert_eq!(plain.encode("1+1=?").expect("ids").ids, [4, 5, 4, 6, 3]);
    assert_eq!(plain.decode(&[1, 4, 4, 6, 2]).expect("text"), "11=");
    let config = r#"{"model_type": "bart", "grapheme_chars": "____abc", "phoneme_chars": "____æb"}"#;
    let listed = Tokenizer::from_files(&files(&[("config.json", config.as_bytes())])).expect("a tokenizer");
    assert_eq!(listed.encode("cab!").expect("ids").ids, [1, 6, 4, 5, 3, 2]);
    assert_eq!(listed.encode_target("bæ").expect("ids").ids, [1, 5, 4, 2]);
    assert_eq!(listed.decode(&[1, 1, 4, 5, 2]).expect("text"), "æb");
    assert_eq!(listed.token(4, Side::Source).as_deref(), Some("a"));
    assert_eq!(listed.token(4, Side::Target).as_deref(), Some("æ"));
    assert_eq!(listed.token(99, Side::Target), None);
}

/// A character of several tokens is given once it is whole, and the pieces joined are the whole.
#[test]
fn streams_never_split_characters() {
    let [gpt2, bytes] = [case("gpt2"), {
        let config = br#"{"tokenizer_class": "LlamaTokenizer"}"#;
        files(&[("tokenizer.model", &model("bpe-bytes")), ("tokenizer_config.json", config)])
    }]
    .map(|files| Tokenizer::from_files(&files).expect("a tokenizer"));
    let text = "注意力 🚀🔥 the attention, ﷺ élève ".repeat(30);
    for tokenizer in [gpt2, bytes] {
        let ids = tokenizer.encode_plain(&text).expect("ids");
        let mut stream = tokenizer.stream();
        let parts: Vec<String> = ids.iter().map(|&id| stream.push(id).expect("text")).collect();
        assert!(parts.iter().any(String::is_empty), "no character was split");
        assert!(!parts.concat().contains('\u{fffd}'));
        assert_eq!(parts.concat() + &stream.finish().expect("text"), tokenizer.decode(&ids).expect("text"));
        // An end within a character shows.
        let cut = tokenizer.encode_plain("🚀").expect("ids");
        assert!(streamed(&tokenizer, &cut[..cut.len() - 1]).ends_with('\u{fffd}'));
    }
}

/// Special tokens are no text, however many there are.
#[test]
fn streams_keep_spaces() {
    let tokenizer = Tokenizer::from_files(&case("mbart")).expect("a tokenizer");
    let word = tokenizer.id("\u{2581}attention").or(tokenizer.id("\u{2581}is")).expect("a word");
    let ids = [[word; 40].as_slice(), &[2; 40], &[word; 3]].concat();
    let text = tokenizer.decode(&ids).expect("text");
    assert_eq!(text.split(' ').count(), 43);
    assert_eq!(streamed(&tokenizer, &ids), text);
}

#[test]
fn spaces_are_cleaned_up_where_the_folder_says_so() {
    let json = json!({
        "version": "1.0", "truncation": null, "padding": null, "added_tokens": [], "normalizer": null,
        "pre_tokenizer": {"type": "Whitespace"}, "post_processor": null, "decoder": null,
        "model": {"type": "WordLevel", "vocab": {"do": 0, "n't": 1, "stop": 2, ".": 3, "'": 4, "?": 5}, "unk_token": "?"},
    });
    let tokenizer = |config: &[u8]| {
        let folder = files(&[("tokenizer.json", json.to_string().as_bytes()), ("tokenizer_config.json", config)]);
        Tokenizer::from_files(&folder).expect("a tokenizer")
    };
    let ids = [0, 1, 2, 3, 4, 2, 4, 5];
    assert_eq!(tokenizer(b"{}").decode(&ids).expect("text"), "do n't stop . ' stop ' ?");
    let clean = tokenizer(br#"{"clean_up_tokenization_spaces": true}"#);
    assert_eq!(clean.decode(&ids).expect("text"), "don't stop.'stop '?");
    assert_eq!(streamed(&clean, &ids), "don't stop.'stop '?");
}

#[test]
fn bad_folders_are_refused() {
    let message = |list: &[(&str, &[u8])]| Tokenizer::from_files(&files(list)).expect_err("refused").to_string();
    assert!(message(&[]).contains("tokenizer.json"));
    let spm = model("unigram-plain");
    assert!(message(&[("source.spm", &spm)]).contains("no vocab.json"));
    assert!(
        message(&[("source.spm", &spm[..101]), ("vocab.json", br#"{"<unk>": 0, "</s>": 1}"#)]).contains("ends within")
    );
    assert!(message(&[("source.spm", &spm), ("vocab.json", br#"{"</s>": 1}"#)]).contains("<unk>"));
    assert!(message(&[("source.spm", &spm), ("vocab.json", b"[]")]).contains("vocab.json"));
    assert!(message(&[("source.spm", &spm), ("vocab.json", br#"{"<unk>": 0, "</s>": 4000000000}"#)]).contains("sane"));
    assert!(message(&[("spiece.model", &spm), ("config.json", br#"{"model_type": "xlnet"}"#)]).contains("xlnet"));
    assert!(message(&[("vocab.json", br#"{"ab": 0}"#)]).contains("merges.txt"));
    let merges: &[(&str, &[u8])] = &[("vocab.json", br#"{"a": 0}"#), ("merges.txt", b"#version\nab")];
    let gpt2: (&str, &[u8]) = ("config.json", br#"{"model_type": "gpt2"}"#);
    assert!(message(&[merges, &[gpt2]].concat()).contains("no pair"));
    assert!(message(merges).contains("merges.txt"));
    assert!(message(&[("tokenizer_config.json", b"[]")]).contains("tokenizer_config.json"));
}

/// The built-in model's letters and sounds.
#[test]
fn built_in_characters() {
    let config = include_bytes!("../assets/g2p-en-us/config.json");
    let tokenizer = Tokenizer::from_files(&files(&[("config.json", config)])).expect("a tokenizer");
    let words: Value = serde_json::from_str(include_str!("../assets/g2p-en-us/golden.json")).expect("JSON");
    let words = words.as_array().expect("words");
    assert_eq!(words.len(), 31);
    for word in words {
        let text = word["word"].as_str().expect("a word");
        assert_eq!(tokenizer.encode(text).expect("ids").ids, ids(&word["input_ids"]), "{text}");
        let greedy = ids(&word["greedy_ids"]);
        assert_eq!(Some(tokenizer.decode(&greedy).expect("text").as_str()), word["phonemes"].as_str(), "{text}");
        // The decoder starts with 1 and then begins the word with 1.
        let target = tokenizer.encode_target(word["phonemes"].as_str().expect("sounds")).expect("ids").ids;
        assert_eq!(target, greedy[1..], "{text}");
    }
}

/// The model's limits: texts are cut before the end token, and ids that it does not have are another model's.
#[test]
fn limits_of_a_model() {
    let read = |name: &str| std::fs::read(format!("tests/golden/bert-tiny/{name}")).expect(name);
    let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
    let blueprint = Blueprint::from_files(Files {
        texts: [
            ("config.json".to_owned(), text(read("config.json"))),
            ("tokenizer_config.json".to_owned(), r#"{"tokenizer_class": "T5Tokenizer"}"#.to_owned()),
        ]
        .into(),
        weights: vec![("model.safetensors".to_owned(), read("model.safetensors"))],
        sentencepiece: vec![("spiece.model".to_owned(), model("t5"))],
        ..Files::default()
    })
    .expect("a model");
    let tokenizer = Tokenizer::of(&blueprint).expect("a tokenizer");
    let short = tokenizer.encode("the attention").expect("ids");
    assert!(!short.truncated && short.ids.ends_with(&[1]), "{short:?}");
    let long = tokenizer.encode(&"the attention ".repeat(40)).expect("ids");
    assert_eq!((long.ids.len(), long.truncated, long.ids.last()), (40, true, Some(&1)));
    assert_eq!(tokenizer.encode_plain(&"the ".repeat(60)).expect("ids").len(), 60);
    let error = tokenizer.encode("<extra_id_0>").expect_err("an id beyond the model's words").to_string();
    assert!(error.contains("id 249") && error.contains("101 words") && error.contains("does not fit"), "{error}");
}
