//! Against the sentencepiece package; `tests/golden/make_sentencepiece.py` made the files.

use proptest::prelude::*;
use serde::Deserialize;

use super::*;

const MODELS: [(&str, &[u8]); 7] = [
    ("unigram", include_bytes!("../../../tests/golden/sentencepiece/unigram.model")),
    ("unigram-plain", include_bytes!("../../../tests/golden/sentencepiece/unigram-plain.model")),
    ("unigram-bytes", include_bytes!("../../../tests/golden/sentencepiece/unigram-bytes.model")),
    ("bpe", include_bytes!("../../../tests/golden/sentencepiece/bpe.model")),
    ("bpe-bytes", include_bytes!("../../../tests/golden/sentencepiece/bpe-bytes.model")),
    ("t5", include_bytes!("../../../tests/golden/sentencepiece/t5.model")),
    ("suffix", include_bytes!("../../../tests/golden/sentencepiece/suffix.model")),
];

#[derive(Deserialize)]
struct Golden {
    model: String,
    texts: Vec<Text>,
}

#[derive(Deserialize)]
struct Text {
    text: String,
    ids: Vec<u32>,
    pieces: Vec<String>,
}

fn golden() -> Vec<Golden> {
    serde_json::from_str(include_str!("../../../tests/golden/sentencepiece/golden.json")).unwrap()
}

#[test]
fn pieces_are_sentencepieces() {
    let golden = golden();
    assert_eq!(golden.len(), MODELS.len());
    for (Golden { model, texts }, (name, bytes)) in golden.into_iter().zip(MODELS) {
        assert_eq!(model, name);
        let model = SentencePiece::from_bytes(bytes).unwrap();
        assert!(texts.len() > 40);
        for text in texts {
            let (ids, pieces): (Vec<u32>, Vec<String>) = model.encode(&text.text).into_iter().unzip();
            assert_eq!(pieces, text.pieces, "{name}: {:?}", text.text);
            assert_eq!(ids, text.ids, "{name}: {:?}", text.text);
        }
    }
}

/// Of equally good ways the one whose last piece starts first stays, as in the sentencepiece package.
#[test]
fn ties_go_to_the_first() {
    let piece = |text: &str, score: f32, kind: u8| {
        let mut bytes = vec![0x0a, text.len() as u8 + 9, 0x0a, text.len() as u8];
        bytes.extend(text.bytes().chain([0x15]).chain(score.to_le_bytes()).chain([0x18, kind]));
        bytes
    };
    // Without a dummy prefix.
    let normalizer = vec![0x1a, 2, 0x18, 0];
    let bytes = [piece("<unk>", 0.0, 2), piece("a", -1.0, 1), piece("aa", -1.0, 1), normalizer].concat();
    let ids: Vec<u32> =
        SentencePiece::from_bytes(&bytes).unwrap().encode("aaa").into_iter().map(|(id, _)| id).collect();
    assert_eq!(ids, [1, 2]);
}

#[test]
fn damage_is_told() {
    let message = |bytes: &[u8]| SentencePiece::from_bytes(bytes).unwrap_err().to_string();
    let bytes = MODELS[0].1;
    assert!(message(b"").contains("0 pieces"));
    assert!(message(&bytes[..bytes.len() / 2]).contains("ends within"), "{}", message(&bytes[..bytes.len() / 2]));
    assert!(message(b"{\"version\": \"1.0\"}").contains("SentencePiece"));
    // A piece `a` that is no number, one without a text, two unknown pieces, none.
    assert!(message(b"\x0a\x08\x0a\x01a\x15\x00\x00\xc0\x7f").contains("not a number"));
    assert!(message(b"\x0a\x05\x15\x00\x00\x00\x00").contains("empty"));
    assert!(message(b"\x0a\x05\x0a\x01a\x18\x02\x0a\x05\x0a\x01b\x18\x02").contains("several"));
    assert!(message(b"\x0a\x03\x0a\x01a").contains("no unknown"));
    assert!(message(b"\x0a\x05\x0a\x01a\x18\x02\x12\x02\x18\x03").contains("neither"));
    assert!(message(b"\x0a\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01").contains("64 bits"));
    assert!(message(b"\x0b").contains("wire type 3"));
}

/// Encodes something with whatever opens.
fn sound(bytes: &[u8]) {
    if let Ok(model) = SentencePiece::from_bytes(bytes) {
        for text in ["the attention ﬁ 注意力 cafe\u{301}", "hello-world <sep>aaaa  ｶﾞ 🚀"] {
            let pieces = model.encode(text);
            assert!(pieces.iter().all(|(id, _)| (*id as usize) < model.texts().len()));
        }
    }
}

proptest! {
    #[test]
    fn changed_bytes_never_panic(model in 0usize..7, changes in prop::collection::vec((any::<u32>(), any::<u8>()), 1..8)) {
        let mut bytes = MODELS[model].1.to_vec();
        let len = bytes.len();
        // The pieces and settings are few beside the normaliser's rules: half the changes are made there.
        let near = |at: u32| if at.is_multiple_of(2) { at as usize % len } else { at as usize % len.min(4000) };
        changes.into_iter().for_each(|(at, to)| bytes[near(at)] = to);
        sound(&bytes);
    }

    #[test]
    fn cut_files_never_panic(model in 0usize..7, at in any::<u32>(), end in any::<u32>()) {
        let bytes = MODELS[model].1;
        let (at, end) = (at as usize % bytes.len(), end as usize % bytes.len());
        sound(&bytes[..end]);
        sound(&[&bytes[..at.min(end)], &bytes[at.max(end)..]].concat());
    }

    #[test]
    fn any_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        sound(&bytes);
    }

    #[test]
    fn any_rules_never_panic(trie in prop::collection::vec(any::<u32>(), 0..600), text in ".{0,40}") {
        let mut charsmap = ((trie.len() * 4) as u32).to_le_bytes().to_vec();
        charsmap.extend(trie.iter().flat_map(|unit| unit.to_le_bytes()));
        charsmap.extend(b"a\0 \0");
        let mut proto = Proto::read(MODELS[0].1).unwrap();
        proto.charsmap = charsmap;
        Normalizer::new(&proto, Sorted::default()).unwrap().normalize(&text);
    }
}
