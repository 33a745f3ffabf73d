#!/usr/bin/env python3
"""Makes generate.json: what Hugging Face's `generate` says of a model whose logits are a hash of the text so far.

Such logits need no weights, are the same f32 numbers in any language, and differ with every token, so that a wrong beam, a
wrong order or a lost token shows at once. `draws` holds the probabilities that temperature, top_k and top_p leave.
"""

import json
import os
import random
import sys

os.environ["HF_HUB_OFFLINE"] = "1"

import torch
import transformers
from transformers import GenerationMixin, PretrainedConfig, PreTrainedModel
from transformers.modeling_outputs import CausalLMOutput

HERE = os.path.dirname(os.path.abspath(__file__))
VOCAB = 40
MASK = (1 << 64) - 1
GOLDEN = 0x9E3779B97F4A7C15


def mix(z):
    """The output function of SplitMix64."""
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK
    return z ^ (z >> 31)


def logits(text, lift):
    """From -4 to below 4 in steps of 2^-21; ids 2 and 3, the end tokens, are lifted."""
    state = 0
    for token in text:
        state = mix((state + token + GOLDEN) & MASK)
    row = [(mix((state + (j + 1) * GOLDEN) & MASK) >> 40) / 2**21 - 4.0 for j in range(VOCAB)]
    return [x + (lift if j in (2, 3) else 0.0) for j, x in enumerate(row)]


class Hashed(PreTrainedModel, GenerationMixin):
    config_class = PretrainedConfig
    main_input_name = "input_ids"

    def __init__(self, config, lift):
        super().__init__(config)
        self.dummy = torch.nn.Parameter(torch.zeros(1))
        self.lift = lift

    def forward(self, input_ids, attention_mask=None, **_):
        out = torch.zeros(*input_ids.shape, VOCAB)
        for b, row in enumerate(input_ids.tolist()):
            kept = row if attention_mask is None else [t for t, m in zip(row, attention_mask[b].tolist()) if m]
            out[b, -1] = torch.tensor(logits(kept, self.lift))
        return CausalLMOutput(logits=out)


def model(lift):
    config = PretrainedConfig(vocab_size=VOCAB, is_encoder_decoder=False)
    made = Hashed(config, lift).eval()
    made.generation_config = transformers.GenerationConfig()
    return made


def run(prompt, settings, lift):
    with torch.no_grad():
        ids = torch.tensor([prompt])
        out = model(lift).generate(ids, attention_mask=torch.ones_like(ids), use_cache=False, **settings)[0].tolist()
    new = out[len(prompt) :]
    ends = settings.get("eos_token_id")
    ends = [] if ends is None else ends if isinstance(ends, list) else [ends]
    # Cut the padding after an end.
    for i, token in enumerate(new):
        if token in ends:
            return new[: i + 1]
    return new


def settings(rng):
    """Options by chance, few at a time."""
    out = {"eos_token_id": rng.choice([2, 2, [2, 3], None]), "pad_token_id": 0}
    out["max_new_tokens"] = rng.choice([1, 2, 5, 9, 16])
    if rng.random() < 0.75:
        out["num_beams"] = rng.choice([2, 3, 4, 4, 8])
        out["length_penalty"] = rng.choice([-1.0, 0.0, 0.6, 1.0, 1.0, 2.0])
        out["early_stopping"] = rng.choice([False, False, True, "never"])
    some = {
        "min_new_tokens": lambda: rng.choice([2, 4, 20]),
        "min_length": lambda: rng.choice([3, 6]),
        "no_repeat_ngram_size": lambda: rng.choice([1, 2, 3]),
        "repetition_penalty": lambda: rng.choice([0.8, 1.3, 2.0]),
        "suppress_tokens": lambda: rng.sample(range(4, VOCAB), 5),
        "begin_suppress_tokens": lambda: rng.sample(range(2, VOCAB), 9),
        "bad_words_ids": lambda: [[rng.randrange(VOCAB)] for _ in range(6)]
        + [[rng.randrange(VOCAB), rng.randrange(VOCAB)] for _ in range(60)]
        + [[2]],
        "forced_bos_token_id": lambda: rng.randrange(4, VOCAB),
        "forced_eos_token_id": lambda: rng.choice([2, 3]),
    }
    for key in rng.sample(sorted(some), rng.choice([0, 0, 1, 1, 2, 3])):
        out[key] = some[key]()
    if "forced_bos_token_id" in out:
        out["begin_suppress_tokens"] = rng.sample(range(4, VOCAB), 20)
    if out.get("forced_bos_token_id") in out.get("suppress_tokens", []):
        out.pop("suppress_tokens")  # transformers refuses it
    if rng.random() < 0.1:
        out["max_length"] = out.pop("max_new_tokens") + 4
    return {key: value for key, value in out.items() if value is not None}


def cases():
    rng = random.Random(20)
    for _ in range(160):
        chosen, lift = settings(rng), rng.choice([0.0, 2.0, 3.5])
        prompts = [[1]] + [[rng.randrange(4, VOCAB) for _ in range(rng.choice([1, 2, 4]))] for _ in range(2)]
        yield {"settings": chosen, "lift": lift, "prompts": prompts, "new": [run(p, chosen, lift) for p in prompts]}


def draws():
    """The probabilities that the warpers of a sampling run leave for a row."""
    rng = random.Random(21)
    kinds = [(1.0, 0, 1.0), (0.5, 0, 1.0), (1.0, 5, 1.0), (1.0, 0, 0.7), (2.0, 12, 0.8), (0.3, 50, 0.95), (1.5, 1, 1.0)]
    for temperature, top_k, top_p in kinds:
        text = [rng.randrange(VOCAB) for _ in range(3)]
        config = transformers.GenerationConfig(do_sample=True, temperature=temperature, top_k=top_k, top_p=top_p)
        made = model(0.0)
        made._prepare_special_tokens(config, device="cpu")
        warp = made._get_logits_processor(config, input_ids_seq_length=3)
        scores = warp(torch.tensor([text]), torch.tensor([logits(text, 0.0)]))
        yield {
            "settings": {"do_sample": True, "temperature": temperature, "top_k": top_k, "top_p": top_p},
            "text": text,
            "probabilities": [round(p, 7) for p in scores.softmax(-1)[0].tolist()],
        }


def padded():
    """A left-padded batch says what its rows say alone."""
    chosen = {"eos_token_id": 2, "pad_token_id": 0, "max_new_tokens": 9, "num_beams": 3}
    prompts = [[5], [6, 7, 8, 9], [10, 11]]
    width = max(map(len, prompts))
    ids = torch.tensor([[0] * (width - len(p)) + p for p in prompts])
    mask = torch.tensor([[0] * (width - len(p)) + [1] * len(p) for p in prompts])
    with torch.no_grad():
        out = model(2.0).generate(ids, attention_mask=mask, use_cache=False, **chosen)[:, width:].tolist()
    for row, prompt in zip(out, prompts):
        alone = run(prompt, chosen, 2.0)
        assert row[: len(alone)] == alone and not any(t not in (0, 2) for t in row[len(alone) :]), (row, alone)


def main():
    padded()
    made = f"torch {torch.__version__.split('+')[0]}, transformers {transformers.__version__}"
    out = {"made": made, "vocab": VOCAB, "cases": list(cases()), "draws": list(draws())}
    lines = lambda rows: ",\n".join(json.dumps(row) for row in rows)
    text = f'{{"made": "{made}", "vocab": {VOCAB}, "cases": [\n{lines(out["cases"])}\n], "draws": [\n{lines(out["draws"])}\n]}}\n'
    path = os.path.join(HERE, "generate.json")
    if "--check" in sys.argv:
        assert open(path).read() == text, "generate.json is not what this run gives"
        return
    with open(path, "w") as file:
        file.write(text)


if __name__ == "__main__":
    main()
