#!/usr/bin/env python3
"""Make small checkpoints of models with a decoder, and what PyTorch answers for them.

    python make_seq.py [NAME..]     write the folders beside this file (torch, transformers, safetensors)

A golden is transformers' eager forward pass in float64 over the folder as it was written (so over rounded weights), rounded
to float32; and what `generate` gives in float64, kept only if float32 gives the same ids. Weights are wide: with the usual
standard deviation of 0.02 attention is nearly uniform and a mistake would hide. README.md says what the tensors are.
"""
import json
import pathlib
import re
import sys

import numpy as np
import torch
from safetensors.torch import save_file
from transformers import AutoModelForCausalLM, AutoModelForSeq2SeqLM

HERE = pathlib.Path(__file__).resolve().parent

# Llamas ask for a softmax in float32, where float64's lowest number, their mask, is infinite: NaN for padding.
softmax = torch.nn.functional.softmax
torch.nn.functional.softmax = lambda x, dim=-1, dtype=None: softmax(x, dim=dim)

FAIRSEQ = dict(vocab_size=53, d_model=24, encoder_layers=2, decoder_layers=2, encoder_attention_heads=3,
               decoder_attention_heads=2, encoder_ffn_dim=40, decoder_ffn_dim=36, max_position_embeddings=40,
               pad_token_id=1, bos_token_id=0, eos_token_id=2, decoder_start_token_id=2, is_encoder_decoder=True)
T5 = dict(vocab_size=53, d_model=24, d_kv=6, num_heads=3, d_ff=40, num_layers=2, num_decoder_layers=2,
          relative_attention_num_buckets=8, relative_attention_max_distance=10, layer_norm_epsilon=1e-2,
          pad_token_id=0, eos_token_id=1, decoder_start_token_id=0, is_encoder_decoder=True)
LLAMA = dict(vocab_size=53, hidden_size=32, intermediate_size=44, num_hidden_layers=2, num_attention_heads=4,
             num_key_value_heads=2, hidden_act="silu", max_position_embeddings=64, rms_norm_eps=1e-2, bos_token_id=0,
             eos_token_id=2, pad_token_id=1)
OLD, NEW = "torch_dtype", "dtype"

# What config.json says, the stored type, what it calls that; `copies` are written once more under other names.
MODELS = {
    "bart": dict(seed=1, dtype="float32", key=NEW, config=dict(
        FAIRSEQ, model_type="bart", activation_function="gelu", forced_eos_token_id=2, forced_bos_token_id=0)),
    "mbart": dict(seed=2, dtype="float32", key=OLD, config=dict(
        FAIRSEQ, model_type="mbart", activation_function="relu", scale_embedding=True, forced_eos_token_id=2),
        copies={"model.encoder.embed_tokens.weight": "model.shared.weight", "lm_head.weight": "model.shared.weight"}),
    "marian": dict(seed=3, dtype="float16", key=OLD, config=dict(
        FAIRSEQ, model_type="marian", activation_function="swish", scale_embedding=True, pad_token_id=52, eos_token_id=0,
        bos_token_id=None, decoder_start_token_id=52, forced_eos_token_id=0, bad_words_ids=[[52]], normalize_before=False)),
    "m2m100": dict(seed=4, dtype="float32", key=NEW, config=dict(
        FAIRSEQ, model_type="m2m_100", activation_function="relu", scale_embedding=True)),
    "t5": dict(seed=5, dtype="float32", key=OLD, config=dict(T5, model_type="t5", feed_forward_proj="relu")),
    "t5-gated": dict(seed=6, dtype="bfloat16", key=OLD, untied=True, config=dict(
        T5, model_type="t5", feed_forward_proj="gated-gelu", tie_word_embeddings=False, num_decoder_layers=1)),
    "mt5": dict(seed=7, dtype="float32", key=NEW, config=dict(
        T5, model_type="mt5", feed_forward_proj="gated-gelu", num_layers=1, num_decoder_layers=1)),
    "gpt2": dict(seed=8, dtype="float32", key=OLD, config=dict(
        model_type="gpt2", vocab_size=53, n_positions=40, n_embd=24, n_layer=2, n_head=3, n_inner=50,
        activation_function="gelu_new", layer_norm_epsilon=1e-2, bos_token_id=52, eos_token_id=52)),
    "gpt2-layers": dict(seed=14, dtype="float32", key=NEW, config=dict(
        model_type="gpt2", vocab_size=53, n_positions=40, n_embd=16, n_layer=3, n_head=2, activation_function="relu",
        scale_attn_weights=False, scale_attn_by_inverse_layer_idx=True, layer_norm_epsilon=1e-2, bos_token_id=52,
        eos_token_id=52)),
    "llama3": dict(seed=9, dtype="bfloat16", key=OLD, config=dict(
        LLAMA, model_type="llama", rope_theta=500.0, eos_token_id=[2, 7], rope_scaling=dict(
            rope_type="llama3", factor=4.0, low_freq_factor=1.0, high_freq_factor=4.0,
            original_max_position_embeddings=32))),
    "llama-linear": dict(seed=10, dtype="float32", key=NEW, config=dict(
        LLAMA, model_type="llama", num_attention_heads=3, num_key_value_heads=1, hidden_size=36, head_dim=10,
        attention_bias=True, mlp_bias=True, tie_word_embeddings=True, rope_parameters=dict(
            rope_type="linear", factor=2.5, rope_theta=100.0))),
    "mistral": dict(seed=11, dtype="float32", key=NEW, config=dict(
        LLAMA, model_type="mistral", sliding_window=4, rope_parameters=dict(rope_type="default", rope_theta=300.0))),
    "qwen2": dict(seed=12, dtype="float16", key=NEW, config=dict(
        LLAMA, model_type="qwen2", tie_word_embeddings=True, use_sliding_window=True, sliding_window=3,
        layer_types=["full_attention", "sliding_attention"], rope_parameters=dict(rope_type="default", rope_theta=1000.0))),
    "qwen3": dict(seed=13, dtype="float32", key=OLD, config=dict(
        LLAMA, model_type="qwen3", head_dim=12, hidden_size=24, rope_theta=1000.0, use_sliding_window=True,
        sliding_window=5, max_window_layers=1, attention_bias=False)),
}


def spread(name, width):
    """The mean and standard deviation of a tensor's elements."""
    if re.search(r"norm[^.]*\.weight$|ln_.\.weight$", name):
        return 1, 0.3
    if name.endswith("bias"):
        return 0, 0.3
    if "relative_attention_bias" in name:
        return 0, 1.5
    if re.search(r"(shared|embed_tokens|wte|lm_head)\.weight$", name):
        return 0, 0.3
    if re.search(r"(embed_positions|wpe)\.weight$", name):
        return 0, 0.2
    if re.search(r"Attention\.[qk]\.weight", name):
        return 0, 0.22
    return 0, 0.3 * (24 / width) ** 0.5


def weights(model, empty):
    """name -> tensor of the stored type. RandomState's numbers are frozen, unlike Generator's."""
    random = np.random.RandomState(model["seed"])
    width = model["config"].get("d_model") or model["config"].get("hidden_size") or model["config"]["n_embd"]
    out, kind = {}, getattr(torch, model["dtype"])
    for name, parameter in sorted(empty.items()):
        mean, std = spread(name, width)
        w = std * random.standard_normal(tuple(parameter.shape))
        if mean:
            w = mean + np.clip(w, -0.6, 0.6)
        if re.search(r"(decoder\.(layers\.1\.)?(final_)?layer_norm|model\.norm|ln_f)\.weight$", name):
            w *= random.choice([-1, 1], w.shape)  # else the likeliest word is the last one, over and over
        if "shared" in name and model["config"].get("scale_embedding") is None and "d_kv" in model["config"]:
            w *= 3
        if name == "final_logits_bias":
            w[0, model["config"]["eos_token_id"]] += 2.0
        out[name] = torch.from_numpy(w).to(kind).contiguous()
    return out


def batch(seed, columns, vocab, special):
    """Four rows: full; padded on the left; with a hole; padded on the right. ids and mask."""
    random = np.random.RandomState(seed)
    mask = np.ones((4, columns), np.int64)
    mask[1, :3] = 0
    mask[2, 4] = 0
    mask[3, columns - 5:] = 0
    ids = random.randint(3, vocab - 1, (4, columns)).astype(np.int64)
    ids[mask == 0] = special
    ids[2, 4] = 9  # the mask decides what is seen, not the id: a word in the hole ..
    ids[0, 5] = special  # .. and the padding id where the mask is 1
    return torch.from_numpy(ids), torch.from_numpy(mask)


def forward(model, config):
    pad = config.get("pad_token_id") or 0
    ids, mask = batch(100, 13, config["vocab_size"], pad)
    inputs = dict(input_ids=ids, attention_mask=mask)
    both = config.get("is_encoder_decoder", False)
    if both:
        ids, mask = batch(200, 11, config["vocab_size"], pad)
        ids[:, 0] = config["decoder_start_token_id"]
        inputs |= dict(decoder_input_ids=ids, decoder_attention_mask=mask)
    with torch.no_grad():
        out = model(**inputs, output_hidden_states=True, output_attentions=True)
    golden = dict(logits=out.logits)
    if both:
        golden["encoder_last_hidden_state"] = out.encoder_last_hidden_state
        golden["last_hidden_state"] = out.decoder_hidden_states[-1]
        kinds = ("encoder_attentions", "decoder_attentions", "cross_attentions")
    else:
        golden["last_hidden_state"] = out.hidden_states[-1]
        kinds = ("attentions",)
    for kind in kinds:
        golden |= {f"{kind}.{i}": a for i, a in enumerate(getattr(out, kind))}
    # The last hidden state is what the head is applied to.
    last = golden["last_hidden_state"] * (config["d_model"] ** -0.5 if getattr(model.config, "scale_decoder_outputs", False) else 1)
    logits = model.lm_head(last) + getattr(model, "final_logits_bias", 0)
    assert (logits - out.logits)[mask == 1].abs().max() < 1e-5, "not the last hidden state"
    golden = {k: v.to(torch.float32).contiguous().clone() for k, v in golden.items()}
    return golden | inputs


# Settings of `generate`; pad, end and start tokens are those of generation_config.json.
SETTINGS = [
    dict(max_new_tokens=12),
    dict(max_new_tokens=12, num_beams=4),
    dict(max_new_tokens=12, num_beams=4, length_penalty=2.0, early_stopping=True),
    dict(max_new_tokens=12, num_beams=3, length_penalty=0.5, early_stopping="never", no_repeat_ngram_size=2),
    dict(max_new_tokens=10, repetition_penalty=1.5, min_new_tokens=4, suppress_tokens=[5, 6, 11], begin_suppress_tokens=[8, 9]),
    dict(max_new_tokens=10, num_beams=4, repetition_penalty=1.3, no_repeat_ngram_size=3),
]


def generate(model, single, config):
    """Prompts of unequal length, padded on the left as decoders need it (on the right for encoders), and what they give."""
    both = config.get("is_encoder_decoder", False)
    pad = model.generation_config.pad_token_id
    random = np.random.RandomState(300)
    lengths = [7, 3, 9, 1]
    ids = np.full((4, 9), pad)
    for row, n in zip(ids, lengths):
        row[slice(0, n) if both else slice(9 - n, 9)] = random.randint(3, config["vocab_size"] - 1, n)
    mask = np.array([[int(i < n if both else i >= 9 - n) for i in range(9)] for n in lengths])
    inputs = dict(input_ids=torch.from_numpy(ids), attention_mask=torch.from_numpy(mask))
    runs = []
    for settings in SETTINGS:
        sequences, again = (m.generate(**inputs, **settings, do_sample=False).tolist() for m in (model, single))
        assert sequences == again, f"{settings}: float32 gives other ids"
        runs.append(dict(settings=settings, sequences=sequences))
    return dict(input_ids=ids.tolist(), attention_mask=mask.tolist(), runs=runs)


def make(name, made):
    folder = HERE / name
    folder.mkdir(exist_ok=True)
    for old in folder.iterdir():
        old.unlink()
    kind = AutoModelForSeq2SeqLM if made["config"].get("is_encoder_decoder") else AutoModelForCausalLM
    config = dict(sorted({**made["config"], made["key"]: made["dtype"]}.items()))
    (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n")
    generation = {k: v for k, v in config.items() if re.search("token_id|bad_words", k) and v is not None}
    generation.setdefault("pad_token_id", 0)
    if not isinstance(generation["eos_token_id"], list) and "forced_eos_token_id" not in generation:
        generation["eos_token_id"] = [generation["eos_token_id"], 19, 33]  # so that some sequences end early
    (folder / "generation_config.json").write_text(json.dumps(generation, indent=2) + "\n")

    empty = kind.from_config(kind.from_config.__globals__["AutoConfig"].from_pretrained(folder))
    tied = set() if made.get("untied") else set(empty.all_tied_weights_keys)
    tied |= set(empty.all_tied_weights_keys) - {"lm_head.weight"}
    skip = lambda k: k in tied or (made["config"]["model_type"] == "marian" and "embed_positions" in k)
    stored = weights(made, {k: v for k, v in empty.state_dict().items() if not skip(k)})
    stored |= {copy: stored[of].clone() for copy, of in made.get("copies", {}).items()}
    if made["config"]["model_type"] == "gpt2":
        # Older checkpoints carry these buffers; readers must know that they are no weights.
        n = config["n_positions"]
        for i in range(config["n_layer"]):
            stored[f"transformer.h.{i}.attn.bias"] = torch.ones(n, n, dtype=torch.bool).tril()[None, None].to(torch.uint8)
            stored[f"transformer.h.{i}.attn.masked_bias"] = torch.tensor(-1e4)
    save_file(stored, folder / "model.safetensors", metadata={"format": "pt"})

    load = lambda dtype: kind.from_pretrained(folder, dtype=dtype, attn_implementation="eager", output_loading_info=True)
    (model, info), (single, _) = load(torch.float64), load(torch.float32)
    assert not any(info.values()) or made["config"]["model_type"] == "gpt2", info
    model.eval(), single.eval()
    save_file(forward(model, config), folder / "golden.safetensors")
    made = generate(model, single, config)
    text = json.dumps(made).replace("], [", "],\n[").replace('"runs"', '\n"runs"').replace('{"settings"', '\n{"settings"')
    (folder / "golden.json").write_text(text + "\n")
    distinct = [sum(len(set(row)) for row in run["sequences"]) for run in made["runs"]]
    print(name, distinct, "distinct ids;", {p.name: p.stat().st_size for p in sorted(folder.iterdir())})


if __name__ == "__main__":
    for name in sys.argv[1:] or MODELS:
        make(name, MODELS[name])
