#!/usr/bin/env python3
"""Write sentencepiece/: small SentencePiece models, and what the sentencepiece package makes of texts that are easy to get wrong.

    python3 -m venv sp && sp/bin/pip install sentencepiece==0.2.3
    sp/bin/python make_sentencepiece.py

Each `NAME.model` differs from the others in algorithm, normaliser or spaces; `golden.json` has, for each model and text, the
ids, the pieces and the text that they decode to. Training text is made here, from the words below.
"""
import json
import os
import pathlib
import random

import sentencepiece

OUT = pathlib.Path(__file__).resolve().parent / "sentencepiece"
WORDS = """the attention is a weighted mean of all that every token offers and query key value softmax head layer
transformer transform transforms forming former form encoder decoder encoding decoding 注意力 就是 你 所 需要 的 一切 今天 天气 很 好
внимание это взвешенное среднее всех слов перевод переводит переводчик προσοχή είναι μέσος όρος aufmerksamkeit gewichtetes mittel größe
élève naïve crème brûlée où ça déjà ångström 42 1984 3.14 2026 hello world hello-world don't can't it's""".split()
TEXTS = [
    "", " ", "   ", "a", "the", " the attention ", "the  attention   is", "the\tattention\nis", "\u3000the\u00a0attention\u3000",
    "Attention is a weighted mean.", "transformers transform forms", "注意力就是你所需要的一切。", "今天天气很好,transformer",
    "внимание это взвешенное среднее", "Переводчик переводит!", "Προσοχή είναι μέσος όρος", "größe GRÖSSE",
    "cafe\u0301 e\u0301le\u0300ve", "ﬁne ﬃ Ⅷ ①②③ ½ ㎏ ℃ ™", "ＡＢＣ１２３　ｶﾞｷﾞｸﾞ ﾊﾟ", "\ufdfa \ufb01", "ĳ ǆ ſ", "zero\u200bwidth\u200djoin\ufeff",
    "soft\u00adhyphen", "\u0000\u0001\u001f", "don't can't it's", "▁the▁attention", "▁ ▁▁", "<s> </s> <unk>", "<sep>the<sep> <mask>",
    "the<sep>attention", "<sepp> <se", "I ❤️ GPUs 🚀🔥 👩‍🔬", "שלום مرحبا नमस्ते สวัสดี", "こんにちは世界", "안녕하세요 한글", "한글",
    "x" * 60, "nnnnnnnnn -----------", "aaaa bbbb aaaa", "3.14 1984 42", "hello-world hello world", "trailing spaces   ", "\n\nleading", "mixed　　spaces \u2009 here",
    "ß ẞ ŉ", "Å Å", "x² + y² = z²", "“quotes” ‘single’ – dash — long…",
]
MODELS = {
    "unigram": dict(model_type="unigram", user_defined_symbols=["<sep>", "hello-world"], control_symbols=["<mask>"]),
    "unigram-plain": dict(
        model_type="unigram", normalization_rule_name="identity", add_dummy_prefix=False, remove_extra_whitespaces=False),
    "unigram-bytes": dict(model_type="unigram", byte_fallback=True, normalization_rule_name="identity", vocab_size=420),
    "bpe": dict(model_type="bpe", user_defined_symbols=["<sep>", "hello-world"], normalization_rule_name="identity"),
    "bpe-bytes": dict(
        model_type="bpe", byte_fallback=True, normalization_rule_name="identity", remove_extra_whitespaces=False, vocab_size=420),
    "t5": dict(
        model_type="unigram", pad_id=0, eos_id=1, unk_id=2, bos_id=-1, vocab_size=150, normalization_rule_name="identity"),
    "suffix": dict(model_type="unigram", treat_whitespace_as_suffix=True, normalization_rule_name="identity"),
}


def corpus():
    dice = random.Random(0)
    return [" ".join(dice.choice(WORDS) for _ in range(dice.randint(3, 12))) for _ in range(400)]


def main():
    OUT.mkdir(exist_ok=True)
    # A model remembers the path it was written to.
    os.chdir(OUT)
    golden = []
    for name, options in MODELS.items():
        options = dict(dict(vocab_size=170, character_coverage=1.0, minloglevel=2, num_threads=1), **options)
        sentencepiece.SentencePieceTrainer.train(sentence_iterator=iter(corpus()), model_prefix=name, **options)
        (OUT / f"{name}.vocab").unlink()
        model = sentencepiece.SentencePieceProcessor(model_file=str(OUT / f"{name}.model"))
        texts = []
        for text in TEXTS:
            ids = model.encode(text)
            texts.append(dict(text=text, ids=ids, pieces=model.encode(text, out_type=str), decoded=model.decode(ids)))
        golden.append(dict(model=name, texts=texts))
    (OUT / "golden.json").write_text(json.dumps(golden, ensure_ascii=False, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main()
