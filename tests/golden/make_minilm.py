#!/usr/bin/env python3
"""Write minilm.json: what sentence-transformers answers with all-MiniLM-L6-v2 for texts that are easy to get wrong.

    python3 fetch.py OUT minilm         DIR is OUT/minilm
    python make_minilm.py DIR           write minilm.json beside this file (torch, transformers, sentence-transformers)
    python make_minilm.py DIR --check   compare the stored file with a new run and with a float32 run

The weights are float32, the arithmetic is float64, so that the stored numbers are nearer the truth than any float32 run.
Each text is embedded alone: no padding takes part. Stored: ids with the special tokens as sentence-transformers makes them
(truncated to max_seq_length, 256) and the embedding, mean-pooled and of length 1, to 7 significant digits.
"""
import json
import pathlib
import platform
import sys

import sentence_transformers
import tokenizers
import torch
import transformers

OUT = pathlib.Path(__file__).resolve().parent / "minilm.json"
PARAGRAPH = (
    "Attention is a weighted mean: every token asks a question, every token offers an answer, and the weights say how well "
    "the one fits the other. ")
# name -> text; the names say what each is for.
TEXTS = {
    "short": "That is a happy person",
    "two sentences": "The cat sat on the mat. It had no intention of leaving!",
    "empty": "",
    "whitespace only": " \t\n ",
    "one letter": "a",
    "all capitals": "THE QUICK BROWN FOX JUMPS OVER THE LAZY DOG",
    "punctuation": "Well... (really?!) -- it's \"50% off\": $9.99/kg & [more]; e-mail: a_b@c.org #1",
    "accents": "Les élèves naïfs dégustèrent une crème brûlée à Zürich; mañana, Łódź.",
    "decomposed accents": "cafe\u0301 re\u0301sume\u0301 nai\u0308ve",
    "chinese": "注意力就是你所需要的一切。",
    "mixed scripts": "Привет мир, γειά σου Κόσμε, שלום, مرحبا, こんにちは, 안녕하세요",
    "emoji": "I ❤️ GPUs 🚀🔥 and so does 👩‍🔬!",
    "control and wide characters": "zero\u0000 byte,\u00a0no-break\u3000wide\u200bjoined\ufffd soft\u00adhyphen",
    "repeated": "very very very very very very very very very very very very good",
    "long word": "x" * 101 + " is longer than the tokenizer reads, floccinaucinihilipilification is not",
    "special tokens as text": "The [MASK] of France is [SEP] Paris [PAD] [CLS] [UNK].",
    "over 128 tokens": (PARAGRAPH * 6).strip(),
    "truncated at 256": (PARAGRAPH * 14).strip(),
}


def rounded(x):
    return float(f"{x:.7g}")


def answers(folder, dtype):
    model = sentence_transformers.SentenceTransformer(
        str(folder), device="cpu", local_files_only=True, model_kwargs=dict(dtype=dtype, attn_implementation="eager"))
    model.eval()
    out = []
    for name, text in TEXTS.items():
        ids = model.preprocess([text])["input_ids"][0].tolist()
        vector = model.encode([text], convert_to_tensor=True, show_progress_bar=False)[0]
        assert vector.dtype == dtype and vector.shape == (384,), (vector.dtype, vector.shape)
        assert abs(vector.norm().item() - 1) < 1e-5
        out.append(dict(name=name, text=text, ids=ids, embedding=[rounded(x) for x in vector.tolist()]))
    return model, out


def main():
    args = sys.argv[1:]
    check = "--check" in args
    folder, = (a for a in args if a != "--check")
    model, texts = answers(folder, torch.float64)
    made = dict(
        by="make_minilm.py", model="all-MiniLM-L6-v2 (fetch.py)", arithmetic="float64, weights float32",
        max_seq_length=model.max_seq_length, python=platform.python_version(), torch=torch.__version__.split("+")[0],
        transformers=transformers.__version__, sentence_transformers=sentence_transformers.__version__,
        tokenizers=tokenizers.__version__)
    if check:
        stored = json.loads(OUT.read_text(encoding="utf-8"))
        print("stored:", stored["made"], "\nnow:   ", made)
        _, single = answers(folder, torch.float32)
        assert [t["name"] for t in stored["texts"]] == list(TEXTS)
        for s, t, f in zip(stored["texts"], texts, single):
            assert s["text"] == t["text"] and s["ids"] == t["ids"] == f["ids"], s["name"]
            now, f32 = (max(abs(a - b) for a, b in zip(s["embedding"], other["embedding"])) for other in (t, f))
            print(f"{s['name']:28} {len(s['ids']):4} ids   stored - float64 now {now:.1e}   stored - float32 {f32:.1e}")
            assert now <= 1e-8, s["name"]
        return
    # One text a line: a change shows as one.
    lines = ",\n".join("  " + json.dumps(t, ensure_ascii=True, separators=(",", ":")) for t in texts)
    OUT.write_text('{\n "made": %s,\n "texts": [\n%s\n ]\n}\n' % (json.dumps(made), lines), encoding="utf-8")
    print(OUT.name, OUT.stat().st_size)
    for t in texts:
        print(f"{t['name']:28} {len(t['ids']):4} ids {t['ids'][:14]} {t['embedding'][:3]}")


if __name__ == "__main__":
    main()
