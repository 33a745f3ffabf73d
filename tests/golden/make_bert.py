#!/usr/bin/env python3
"""Make small BERT checkpoints and what PyTorch answers for them; or check the stored ones without PyTorch.

    python make_bert.py             write bert-tiny, bert-relu and bert-f16 beside this file (torch, transformers, safetensors)
    python make_bert.py --check     check the stored folders (numpy alone)

The golden is transformers' eager forward pass in float64 over the folder as it was written (so over the rounded weights),
rounded to float32. `--check` knows nothing of it: it reads the files itself, runs BERT as written down below in numpy, and
then makes one mistake after the other, because a golden that a mistake does not change tests nothing. That is why the
weights are wide: with the usual standard deviation of 0.02 attention is nearly uniform and gelu nearly linear.
README.md says what the tensors are.
"""
import argparse
import json
import math
import pathlib
import struct

import numpy as np

HERE = pathlib.Path(__file__).resolve().parent

# What config.json says, dtype of the stored weights, seed of the random numbers, columns of the batch.
MODELS = {
    "bert-tiny": dict(
        seed=101, dtype="F32", columns=17,
        config=dict(
            architectures=["BertModel"], dtype="float32", hidden_act="gelu", hidden_size=60, num_hidden_layers=3,
            num_attention_heads=5, intermediate_size=97, vocab_size=101, max_position_embeddings=40,
            type_vocab_size=2, layer_norm_eps=1e-3)),
    "bert-relu": dict(
        seed=202, dtype="BF16", columns=19,
        config=dict(
            architectures=["BertModel"], dtype="bfloat16", hidden_act="relu", hidden_size=64, num_hidden_layers=2,
            num_attention_heads=2, intermediate_size=128, vocab_size=83, max_position_embeddings=32,
            type_vocab_size=2, layer_norm_eps=2e-3)),
    # The older dialect (torch_dtype), every size odd, more than two token types, a head for masked words, two shards.
    "bert-f16": dict(
        seed=303, dtype="F16", columns=18, masked_lm=True,
        config=dict(
            architectures=["BertForMaskedLM"], torch_dtype="float16", hidden_act="gelu_new", hidden_size=51,
            num_hidden_layers=2, num_attention_heads=3, intermediate_size=75, vocab_size=61,
            max_position_embeddings=33, type_vocab_size=3, layer_norm_eps=5e-3)),
}
COMMON = dict(
    attention_probs_dropout_prob=0.1, hidden_dropout_prob=0.1, initializer_range=0.02, model_type="bert",
    pad_token_id=0, position_embedding_type="absolute", tie_word_embeddings=True)


def names(config, masked_lm):
    """Every tensor of the checkpoint: name -> (shape, standard deviation), around 1 for the weights of norms."""
    d, f = config["hidden_size"], config["intermediate_size"]
    out = {}

    def dense(name, rows, columns, std):
        out[name + ".weight"], out[name + ".bias"] = ((rows, columns), std), ((rows,), 0.3)

    def norm(name):
        out[name + ".weight"], out[name + ".bias"] = ((d,), 0.3), ((d,), 0.3)

    b = "bert." if masked_lm else ""
    out[b + "embeddings.word_embeddings.weight"] = ((config["vocab_size"], d), 0.3)
    out[b + "embeddings.position_embeddings.weight"] = ((config["max_position_embeddings"], d), 0.2)
    out[b + "embeddings.token_type_embeddings.weight"] = ((config["type_vocab_size"], d), 0.2)
    norm(b + "embeddings.LayerNorm")
    for i in range(config["num_hidden_layers"]):
        layer = f"{b}encoder.layer.{i}."
        # Scores of a standard deviation of about 4 (peaked, not one-hot), inputs of gelu of about 2. What is added to
        # the residual stream is kept near its size, so that eps shows.
        dense(layer + "attention.self.query", d, d, 0.3)
        dense(layer + "attention.self.key", d, d, 0.3)
        dense(layer + "attention.self.value", d, d, 0.3)
        dense(layer + "attention.output.dense", d, d, 0.12)
        norm(layer + "attention.output.LayerNorm")
        dense(layer + "intermediate.dense", f, d, 0.3)
        dense(layer + "output.dense", d, f, 0.2)
        norm(layer + "output.LayerNorm")
    if masked_lm:
        dense("cls.predictions.transform.dense", d, d, 0.3)
        norm("cls.predictions.transform.LayerNorm")
        out["cls.predictions.bias"] = ((config["vocab_size"],), 0.3)
    else:
        dense("pooler.dense", d, d, 0.15)
    return out


def weights(model):
    """name -> float32, rounded to the stored dtype. RandomState's numbers are frozen, unlike Generator's."""
    random = np.random.RandomState(model["seed"])
    out = {}
    for name, (shape, std) in names(model["config"], model.get("masked_lm", False)).items():
        w = std * random.standard_normal(shape)
        if name.endswith("LayerNorm.weight"):
            w = 1 + np.clip(w, -0.6, 0.6)
        out[name] = rounded(w.astype(np.float32), model["dtype"])
    return out


def rounded(w, dtype):
    if dtype == "F16":
        return w.astype(np.float16).astype(np.float32)
    if dtype == "BF16":  # to nearest, ties to even
        bits = w.view(np.uint32)
        return ((bits + 0x7FFF + ((bits >> 16) & 1)) & 0xFFFF0000).astype(np.uint32).view(np.float32)
    return w


def batch(model):
    """Five rows: full; padded on the left; with a hole; one token; padded on the right. ids, mask, types, all int64."""
    config, s = model["config"], model["columns"]
    random = np.random.RandomState(model["seed"] + 1)
    mask = np.zeros((5, s), np.int64)
    mask[0] = 1
    mask[1, 6:] = 1
    mask[2, :14] = 1
    mask[2, 5] = 0
    mask[3, 0] = 1
    mask[4, :9] = 1
    ids = random.randint(1, config["vocab_size"], (5, s))
    types = (np.cumsum(random.rand(5, s) < 0.15, axis=1) % config["type_vocab_size"]).astype(np.int64)
    ids[mask == 0] = COMMON["pad_token_id"]
    ids[2, 5] = 7  # the mask decides what is seen, not the id: a word behind the hole ..
    ids[0, 4] = COMMON["pad_token_id"]  # .. and the padding id where the mask is 1
    ids[0, 1], ids[0, 2] = config["vocab_size"] - 1, 1
    types[3, 0] = config["type_vocab_size"] - 1
    return ids.astype(np.int64), mask, types


# ---------------------------------------------------------------- making: PyTorch

def make(name, model):
    import torch
    from safetensors.torch import save_file
    from transformers import BertForMaskedLM, BertModel

    folder = HERE / name
    folder.mkdir(exist_ok=True)
    for old in folder.iterdir():
        old.unlink()
    config = dict(sorted({**COMMON, **model["config"]}.items()))
    (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n")

    kind = {"F32": torch.float32, "BF16": torch.bfloat16, "F16": torch.float16}[model["dtype"]]
    stored = {k: torch.from_numpy(w).to(kind).contiguous() for k, w in weights(model).items()}
    masked_lm = model.get("masked_lm", False)
    if masked_lm:
        # Older checkpoints carry this index buffer; readers must know that it is no weight.
        stored["bert.embeddings.position_ids"] = torch.arange(config["max_position_embeddings"])[None]
        shards(folder, stored, save_file)
    else:
        save_file(stored, folder / "model.safetensors", metadata={"format": "pt"})

    load = dict(dtype=torch.float64, attn_implementation="eager", output_loading_info=True)
    top, info = (BertForMaskedLM if masked_lm else BertModel).from_pretrained(folder, **load)
    assert not any(info.values()), info
    top.eval()
    assert all(p.dtype == torch.float64 for p in top.parameters())
    bert = top.bert if masked_lm else top
    ids, mask, types = map(torch.from_numpy, batch(model))
    with torch.no_grad():
        out = bert(input_ids=ids, attention_mask=mask, token_type_ids=types, output_hidden_states=True, output_attentions=True)
        golden = dict(last_hidden_state=out.last_hidden_state)
        for i, h in enumerate(out.hidden_states):
            golden[f"hidden_states.{i}"] = h
        for i, a in enumerate(out.attentions):
            golden[f"attentions.{i}"] = a
        if masked_lm:
            golden["logits"] = top(input_ids=ids, attention_mask=mask, token_type_ids=types).logits
        else:
            first = mask.argmax(1)
            golden["pooler_output"] = out.pooler_output
            golden["pooler_output_first_token"] = bert.pooler(out.last_hidden_state[torch.arange(len(ids)), first][:, None])
    golden = {k: v.to(torch.float32).contiguous() for k, v in golden.items()}
    golden.update(input_ids=ids, attention_mask=mask, token_type_ids=types)
    # Equal tensors must not share storage.
    save_file({k: v.clone() for k, v in golden.items()}, folder / "golden.safetensors")
    print(name, {p.name: p.stat().st_size for p in sorted(folder.iterdir())})


def shards(folder, stored, save_file):
    """Two files of about equal size, cut in the middle of a layer, and the index over them."""
    half, seen, cut = sum(t.nbytes for t in stored.values()) / 2, 0, ({}, {})
    for k, t in stored.items():
        cut[seen > half][k] = t
        seen += t.nbytes
    where = {}
    for i, part in enumerate(cut, 1):
        file = f"model-{i:05}-of-00002.safetensors"
        save_file(part, folder / file, metadata={"format": "pt"})
        where.update(dict.fromkeys(part, file))
    index = dict(metadata=dict(total_size=seen), weight_map=dict(sorted(where.items())))
    (folder / "model.safetensors.index.json").write_text(json.dumps(index, indent=2) + "\n")


# ---------------------------------------------------------------- checking: numpy alone

def read_safetensors(path):
    data = path.read_bytes()
    size, = struct.unpack_from("<Q", data)
    kinds = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2", "I64": "<i8"}
    out = {}
    for name, t in json.loads(data[8:8 + size]).items():
        if name == "__metadata__":
            continue
        begin, end = t["data_offsets"]
        a = np.frombuffer(data[8 + size + begin:8 + size + end], kinds[t["dtype"]]).reshape(t["shape"])
        if t["dtype"] == "BF16":
            a = (a.astype(np.uint32) << 16).view(np.float32)
        out[name] = a
    return out


def erf(x):
    return np.vectorize(math.erf, otypes=[np.float64])(x).astype(x.dtype)


ACTIVATIONS = dict(
    relu=lambda x: np.maximum(x, 0),
    gelu=lambda x: x * (1 + erf(x / math.sqrt(2))) / 2,
    gelu_new=lambda x: x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))) / 2,
)


def bert(config, w, ids, mask, types, kind=np.float64, act=None, eps=1.0, scale=1.0, pre_norm=False, offset=0, heads=None,
         no_types=False, no_embed_norm=False, no_biases=(), no_mask=False, positions=None, swap_qk=False, eps_inside=True):
    """BERT over one batch. The keywords are the mistakes; with none of them it is the truth."""
    act = ACTIVATIONS[act or config["hidden_act"]]
    eps = eps * config["layer_norm_eps"]
    heads = heads or config["num_attention_heads"]
    b, s = ids.shape
    d = config["hidden_size"]

    def get(name):
        t = w[name].astype(kind)
        return t * 0 if any(n in name for n in no_biases) and name.endswith("bias") else t

    def dense(x, name):
        return x @ get(name + ".weight").T + get(name + ".bias")

    def norm(x, name):
        c = x - x.mean(-1, keepdims=True)
        v = (c * c).mean(-1, keepdims=True)
        n = np.sqrt(v + kind(eps)) if eps_inside else np.sqrt(v) + kind(eps)
        return c / n * get(name + ".weight") + get(name + ".bias")

    def attention(x, name):
        q, k, v = (dense(x, name + "self." + part).reshape(b, s, heads, -1).transpose(0, 2, 1, 3) for part in ("query", "key", "value"))
        if swap_qk:
            q, k = k, q
        score = q @ k.transpose(0, 1, 3, 2) * kind(scale / math.sqrt(d // heads))
        if not no_mask:
            score = np.where(mask[:, None, None, :] == 1, score, -np.inf)
        p = np.exp(score - score.max(-1, keepdims=True))
        p /= p.sum(-1, keepdims=True)
        return dense((p @ v).transpose(0, 2, 1, 3).reshape(b, s, d), name + "output.dense"), p

    def mlp(x, name):
        return dense(act(dense(x, name + "intermediate.dense")), name + "output.dense")

    if positions is None:
        positions = np.broadcast_to(np.arange(s), (b, s))
    x = get("embeddings.word_embeddings.weight")[ids] + get("embeddings.position_embeddings.weight")[positions + offset]
    if not no_types:
        x = x + get("embeddings.token_type_embeddings.weight")[types]
    if not no_embed_norm:
        x = norm(x, "embeddings.LayerNorm")
    hidden, attentions = [x], []
    for i in range(config["num_hidden_layers"]):
        layer = f"encoder.layer.{i}."
        n1, n2 = layer + "attention.output.LayerNorm", layer + "output.LayerNorm"
        a, p = attention(norm(x, n1) if pre_norm else x, layer + "attention.")
        x = x + a if pre_norm else norm(x + a, n1)
        m = mlp(norm(x, n2) if pre_norm else x, layer)
        x = x + m if pre_norm else norm(x + m, n2)
        hidden.append(x)
        attentions.append(p)
    out = {f"hidden_states.{i}": h for i, h in enumerate(hidden)} | {f"attentions.{i}": a for i, a in enumerate(attentions)}
    out["last_hidden_state"] = x
    if "pooler.dense.weight" in w:
        pool = lambda t: np.tanh(dense(t, "pooler.dense"))
        out["pooler_output"] = pool(x[:, 0])
        out["pooler_output_first_token"] = pool(x[np.arange(b), mask.argmax(1)])
    if "cls.predictions.bias" in w:
        h = norm(act(dense(x, "cls.predictions.transform.dense")), "cls.predictions.transform.LayerNorm")
        out["logits"] = h @ get("embeddings.word_embeddings.weight").T + get("cls.predictions.bias")
    return out


def meaningful(name, mask):
    """Which elements of a golden tensor wgformer can be compared with: those of tokens that the mask keeps."""
    if name.startswith("attentions."):
        return (mask[:, None, :, None] == 1)  # rows; the columns of masked keys are exactly 0
    if name == "pooler_output":
        return mask[:, :1] == 1
    if name == "pooler_output_first_token":
        return np.ones_like(mask[:, :1], bool)
    return mask[:, :, None] == 1


def worst(name, got, want, mask):
    assert got.shape == want.shape, (name, got.shape, want.shape)
    assert np.isfinite(got).all() and np.isfinite(want).all(), name
    return np.where(meaningful(name, mask), np.abs(got.astype(np.float64) - want), 0).max()


def mistakes(config, mask):
    """name -> (keywords, how much the last hidden state must change somewhere)."""
    h, other = config["num_attention_heads"], [a for a in ACTIVATIONS if a != config["hidden_act"]]
    d = config["hidden_size"]
    near = {"gelu", "gelu_new"}
    out = {"eps x 10": (dict(eps=10.0), 1e-2), "eps outside the root": (dict(eps_inside=False), 1e-3), "scale x 1.1": (dict(scale=1.1), 1e-2)}
    for a in other:
        out[f"{config['hidden_act']} -> {a}"] = (dict(act=a), 1e-3 if {a, config["hidden_act"]} == near else 1e-2)
    others = [n for n in range(1, d + 1) if d % n == 0 and n != h]
    split = min(others, key=lambda n: abs(n - h))
    out |= {
        "pre-norm": (dict(pre_norm=True), 1e-2), "positions + 1": (dict(offset=1), 1e-2),
        "positions count only the kept": (dict(positions=np.maximum(mask.cumsum(1) - 1, 0)), 1e-2),
        "no token types": (dict(no_types=True), 1e-2), "no embedding norm": (dict(no_embed_norm=True), 1e-2),
        "no mask": (dict(no_mask=True), 1e-2), "query and key swapped": (dict(swap_qk=True), 1e-2),
        f"{split} heads for {h}": (dict(heads=split), 1e-2),
        "no biases at all": (dict(no_biases=("",)), 1e-2),
    }
    for part in ("query", "value", "attention.output.dense", "intermediate.dense", "1.output.dense", "LayerNorm"):
        out[f"no bias: {part}"] = (dict(no_biases=(part,)), 1e-2)
    return out


def check(name, model):
    folder = HERE / name
    config = json.loads((folder / "config.json").read_text())
    w = {}
    for file in sorted(folder.glob("model*.safetensors")):
        w |= read_safetensors(file)
    ours = weights(model)
    position_ids = w.pop("bert.embeddings.position_ids", None)
    assert w.keys() == ours.keys() and all((w[k] == ours[k]).all() for k in w), "the stored weights are not those of the seed"
    w = {k.removeprefix("bert."): t for k, t in w.items()}
    golden = read_safetensors(folder / "golden.safetensors")
    ids, mask, types = (golden.pop(k) for k in ("input_ids", "attention_mask", "token_type_ids"))
    for a, b in zip((ids, mask, types), batch(model)):
        assert (a == b).all(), "the stored batch is not that of the seed"

    truth = bert(config, w, ids, mask, types)
    single = bert(config, w, ids, mask, types, kind=np.float32)
    assert truth.keys() == golden.keys(), truth.keys() ^ golden.keys()
    print(f"{name}: {sum(t.size for t in w.values())} parameters, batch {ids.shape}, kept {int(mask.sum())} of {mask.size}")
    for key, want in golden.items():
        error, f32 = worst(key, truth[key], want, mask), worst(key, single[key], truth[key], mask)
        largest = np.where(meaningful(key, mask), np.abs(want), 0).max()
        print(f"  {key:28} {str(want.shape):16} largest {largest:7.4f}   golden - numpy f64 {error:.1e}   numpy f32 - f64 {f32:.1e}")
        assert error <= 2.0**-24 * max(1, largest) * 1.01 + 1e-12, "the golden is not what BERT says"
        if key.startswith("attentions."):
            assert (want[np.broadcast_to(mask[:, None, None, :] == 0, want.shape)] == 0).all(), "a masked key has a weight"
            top = want.max(-1)[np.broadcast_to(mask[:, None, :] == 1, want.shape[:3])]
            assert 0.3 < np.median(top) < 0.98, "attention is uniform, or one-hot"
            print(f"  {'':28} largest weight of a row: median {np.median(top):.2f}")
    for what, (keywords, least) in mistakes(config, mask).items():
        change = worst("last_hidden_state", bert(config, w, ids, mask, types, **keywords)["last_hidden_state"], truth["last_hidden_state"], mask)
        print(f"  mistake: {what:34} changes last_hidden_state by up to {change:.3g}")
        assert change >= least, f"{what} would not show"


if __name__ == "__main__":
    args = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    args.add_argument("--check", action="store_true", help="check the stored folders, write nothing")
    run = check if args.parse_args().check else make
    for name, model in MODELS.items():
        run(name, model)
