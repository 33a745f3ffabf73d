#!/usr/bin/env python3
"""Write what PyTorch answers with real checkpoints: opus-zh-en.json and words.json.

    python3 fetch.py MODELS opus-zh-en dictionary
    python make_checkpoints.py MODELS           write both beside this file (torch, transformers, sentencepiece)
    python make_checkpoints.py MODELS --check   compare the stored files with a new run

Weights as stored, arithmetic float64. An answer is stored only because float32's was the same.
"""
import json
import pathlib
import random
import sys

import sentencepiece
import torch
import transformers

HERE = pathlib.Path(__file__).resolve().parent
BUILT_IN = HERE / "../../assets/g2p-en-us"
SENTENCES = ["你好，世界！", "我喜欢喝咖啡。", "今天天气很好，我们去公园散步吧。", "北京是中国的首都。",
             "机器学习是人工智能的一个分支。", "注意力就是你所需要的一切。"]
WORDS, SEED, BATCH = 1000, 5, 100
BEAMS = {"greedy": 1, "beam4": 4}


def generate(model, sources, pad, new, beams):
    """New ids of each source, from the start token to the end token."""
    columns = max(map(len, sources))
    ids = torch.tensor([row + [pad] * (columns - len(row)) for row in sources])
    mask = torch.tensor([[1] * len(row) + [0] * (columns - len(row)) for row in sources])
    end = model.config.eos_token_id
    with torch.no_grad():
        made = model.generate(ids, attention_mask=mask, num_beams=beams, do_sample=False, max_new_tokens=new).tolist()
    # Where the start token is the end token, the end is a later one.
    return [row[:row.index(end, 1) + 1] for row in made]


def both(kind, folder, ask):
    """The answers in float64, which have to be float32's."""
    load = lambda dtype: kind.from_pretrained(folder, dtype=dtype, attn_implementation="eager").eval()
    exact = ask(load(torch.float64))
    assert exact == ask(load(torch.float32))
    return exact


def opus(folder):
    pieces = sentencepiece.SentencePieceProcessor(model_file=str(folder / "source.spm"))
    vocab = json.loads((folder / "vocab.json").read_text())
    names = {i: piece for piece, i in vocab.items()}
    sources = [[vocab.get(piece, 1) for piece in pieces.encode(text, out_type=str)] + [0] for text in SENTENCES]
    ask = lambda model: {key: generate(model, sources, vocab["<pad>"], 64, beams) for key, beams in BEAMS.items()}
    answers = both(transformers.MarianMTModel, folder, ask)
    written = lambda ids: "".join(names[i] for i in ids[1:-1]).replace("▁", " ").strip()
    rows = []
    for i, text in enumerate(SENTENCES):
        row = dict(source=text, input_ids=sources[i])
        for key in BEAMS:
            row |= {key + "_ids": answers[key][i], key: written(answers[key][i])}
        rows.append(row)
    return rows


def words(folder):
    """Drawn from the words that have one pronunciation, the shortest first."""
    known = json.loads((folder / "us_gold.json").read_text())
    spoken = sorted(word for word, sounds in known.items() if isinstance(sounds, str))
    drawn = sorted(random.Random(SEED).sample(spoken, WORDS), key=lambda word: (len(word), word))
    config = json.loads((BUILT_IN / "config.json").read_text())
    letters, sounds = config["grapheme_chars"], config["phoneme_chars"]
    number = lambda letter: letters.index(letter) if letter in letters[4:] else 3
    sources = [[1, *map(number, word), 2] for word in drawn]
    batches = [sources[at:at + BATCH] for at in range(0, WORDS, BATCH)]
    ask = lambda model: [ids for batch in batches for ids in generate(model, batch, 0, 60, 1)]
    answers = both(transformers.BartForConditionalGeneration, BUILT_IN, ask)
    written = ["".join(sounds[i] for i in ids if i > 3) for ids in answers]
    same = sum(known[word] == sounds for word, sounds in zip(drawn, written))
    print(f"{same} of {WORDS} as in the dictionary")
    return [[word, *pair] for word, *pair in zip(drawn, written, answers)]


def main(models, check):
    for name, rows in (("opus-zh-en.json", opus(models / "opus-zh-en")), ("words.json", words(models / "dictionary"))):
        text = "[\n" + ",\n".join(json.dumps(row, ensure_ascii=False) for row in rows) + "\n]\n"
        if check:
            assert (HERE / name).read_text() == text, name
        else:
            (HERE / name).write_text(text)
        print(name, "is the same" if check else "written")


if __name__ == "__main__":
    if len(sys.argv) not in (2, 3) or sys.argv[2:] not in ([], ["--check"]):
        sys.exit(__doc__)
    torch.set_num_threads(1)
    main(pathlib.Path(sys.argv[1]), len(sys.argv) == 3)
