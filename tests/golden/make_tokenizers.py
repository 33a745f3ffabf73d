#!/usr/bin/env python3
"""Write tokenizers.json: folders without a tokenizer.json, and what transformers' tokenizers make of texts.

    python3 -m venv pt && pt/bin/pip install transformers sentencepiece protobuf tiktoken
    pt/bin/python make_tokenizers.py

A case has the small files as texts, the SentencePiece models by name (of sentencepiece/, which make_sentencepiece.py makes), and
for each text the ids of source and target and what the source's ids decode to. No pretrained file is used.
"""
import json
import os
import pathlib
import random
import shutil
import tempfile

os.environ["HF_HUB_OFFLINE"] = "1"
import tokenizers
import transformers

HERE = pathlib.Path(__file__).resolve().parent
TEXTS = [
    "the attention is a weighted mean", "Attention is all   you need", "注意力 就是 你 所 需要 的 一切", "это взвешенное среднее", "",
    "hello world and 🚀 unknown 漢字 signs", "transformer </s> encoder <unk> <pad> decoder", "don't can't it's",
]
SPIECE = "sentencepiece.bpe.model"


def vocab(model, *more):
    """The model's pieces in another order, as a vocab.json has them."""
    import sentencepiece
    processor = sentencepiece.SentencePieceProcessor(model_file=str(HERE / f"sentencepiece/{model}.model"))
    pieces = [processor.id_to_piece(i) for i in range(processor.get_piece_size())]
    random.Random(1).shuffle(pieces)
    # A piece that the model has and the vocabulary lacks is unknown.
    pieces.remove("▁the")
    return json.dumps({piece: i for i, piece in enumerate([*pieces, *more])}, ensure_ascii=False)


def bpe():
    """vocab.json and merges.txt of a small byte-level BPE."""
    model = tokenizers.ByteLevelBPETokenizer()
    model.train_from_iterator(["the attention is a weighted mean of all that every token offers, don't it's 注意力 это"] * 9,
                              vocab_size=320, special_tokens=["<s>", "<pad>", "</s>", "<unk>", "<mask>", "<|endoftext|>"])
    with tempfile.TemporaryDirectory() as folder:
        model.save_model(folder)
        return {name: (pathlib.Path(folder) / name).read_text() for name in ("vocab.json", "merges.txt")}


CASES = [
    ("marian", transformers.MarianTokenizer, {"vocab.json": vocab("unigram-plain", "<pad>", ">>fra<<", ">>deu<<")},
     {"source.spm": "unigram-plain", "target.spm": "suffix"}, {}, {}),
    ("m2m100", transformers.M2M100Tokenizer, {"vocab.json": vocab("unigram-bytes", "<pad>")}, {SPIECE: "unigram-bytes"},
     dict(src_lang="de", tgt_lang="fr"), {}),
    ("mbart", transformers.MBartTokenizer, {}, {SPIECE: "unigram"}, dict(src_lang="de_DE", tgt_lang="ro_RO"), {}),
    ("mbart50", transformers.MBart50Tokenizer, {}, {SPIECE: "unigram"}, dict(src_lang="de_DE", tgt_lang="gl_ES"), {}),
    ("xlm-roberta", transformers.XLMRobertaTokenizer, {}, {SPIECE: "unigram"}, {}, {}),
    ("t5", transformers.T5Tokenizer, {}, {"spiece.model": "t5"}, {}, dict(extra_ids=10)),
    ("gpt2", transformers.GPT2Tokenizer, bpe(), {}, {}, dict(add_prefix_space=False, unk_token="<|endoftext|>")),
    ("bart", transformers.BartTokenizer, bpe(), {}, {}, {}),
]


def main():
    cases = []
    for name, kind, files, models, languages, options in CASES:
        config = dict(tokenizer_class=kind.__name__, **languages, **options)
        files = dict(files, **{"tokenizer_config.json": json.dumps(config)})
        with tempfile.TemporaryDirectory() as folder:
            for file, text in files.items():
                (pathlib.Path(folder) / file).write_text(text)
            for file, model in models.items():
                shutil.copy(HERE / f"sentencepiece/{model}.model", pathlib.Path(folder) / file)
            tokenizer = kind.from_pretrained(folder)
            texts = []
            # Special tokens in the text leave lone spaces behind in transformers' mBART-50, not in SentencePiece.
            plain = [text for text in TEXTS if "</s>" not in text] if name == "mbart50" else TEXTS
            for text in plain + ([">>fra<< hello world", ">>deu<<hello"] if name == "marian" else []):
                ids = tokenizer(text).input_ids
                target = tokenizer(text_target=text).input_ids
                # M2M100's language is special only where special_tokens_map.json says so.
                decoded = tokenizer.decode(ids[name == "m2m100":], skip_special_tokens=True)
                texts.append(dict(text=text, ids=ids, target=target, decoded=decoded))
        cases.append(dict(name=name, files=files, models=models, texts=texts))
    (HERE / "tokenizers.json").write_text(json.dumps(cases, ensure_ascii=False, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main()
