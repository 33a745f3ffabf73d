#!/usr/bin/env python3
"""Make small checkpoints of encoders and of their task heads, and what PyTorch answers for them.

    python make_encoders.py [NAME..]     write the folders beside this file (torch, transformers, safetensors)

A golden is transformers' eager forward pass in float64 over the folder as it was written (so over rounded weights), rounded
to float32. Weights are wide: with the usual standard deviation of 0.02 attention is nearly uniform and a mistake would
hide. make_bert.py makes the larger BERTs. README.md says what the tensors are.
"""
import json
import pathlib
import re
import sys

import numpy as np
import torch
import transformers
from safetensors.torch import save_file

HERE = pathlib.Path(__file__).resolve().parent

# ModernBERT asks for float32, in which float64's mask is infinite, and a padded row that sees no key NaN.
softmax = torch.nn.functional.softmax
torch.nn.functional.softmax = lambda x, dim, dtype=None: softmax(x, dim)

BERT = dict(model_type="bert", vocab_size=53, hidden_size=24, num_hidden_layers=1, num_attention_heads=3,
            intermediate_size=40, max_position_embeddings=20, type_vocab_size=2, layer_norm_eps=1e-2, hidden_act="gelu",
            pad_token_id=0)
ROBERTA = dict(BERT, model_type="roberta", type_vocab_size=1, pad_token_id=1, bos_token_id=0, eos_token_id=2)
DISTILBERT = dict(model_type="distilbert", vocab_size=53, dim=24, n_layers=1, n_heads=3, hidden_dim=40,
                  max_position_embeddings=20, activation="gelu", pad_token_id=0, sinusoidal_pos_embds=False)
SMALL = dict(vocab_size=53, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=24,
             max_position_embeddings=20, layer_norm_eps=1e-2)
MPNET = dict(SMALL, model_type="mpnet", hidden_act="gelu", relative_attention_num_buckets=32, pad_token_id=1, bos_token_id=0,
             eos_token_id=2)
ELECTRA = dict(SMALL, model_type="electra", hidden_act="gelu", type_vocab_size=2, embedding_size=12, pad_token_id=0)
ALBERT = dict(SMALL, model_type="albert", hidden_act="gelu_new", type_vocab_size=2, embedding_size=12, num_hidden_groups=1,
              inner_group_num=1, pad_token_id=0, bos_token_id=2, eos_token_id=3)
MODERNBERT = dict(model_type="modernbert", vocab_size=53, hidden_size=16, num_hidden_layers=2, num_attention_heads=2,
                  intermediate_size=20, max_position_embeddings=20, norm_eps=1e-2, hidden_activation="gelu", pad_token_id=3,
                  bos_token_id=1, eos_token_id=2, cls_token_id=1, sep_token_id=2, local_attention=6)
OLD_ROPE = dict(global_rope_theta=160000.0, local_rope_theta=10000.0, global_attn_every_n_layers=2)
NEW_ROPE = dict(layer_types=["sliding_attention", "full_attention"], rope_parameters=dict(
    full_attention=dict(rope_type="linear", factor=2.0, rope_theta=2000.0),
    sliding_attention=dict(rope_type="default", rope_theta=300.0)))
ALL_BIASES = dict(attention_bias=True, mlp_bias=True, norm_bias=True, classifier_bias=True)
OLD, NEW = "torch_dtype", "dtype"


def labels(count):
    return dict(id2label={str(i): f"LABEL_{i}" for i in range(count)}, label2id={f"LABEL_{i}": i for i in range(count)})


# The class that saves it, the stored type, what config.json calls that, what it says; `copies` are written once more.
MODELS = {
    "roberta": dict(seed=21, kind="RobertaModel", dtype="float32", key=NEW, config=dict(ROBERTA, num_hidden_layers=2)),
    "xlm-roberta": dict(seed=22, kind="XLMRobertaForMaskedLM", dtype="bfloat16", key=OLD, config=dict(
        ROBERTA, model_type="xlm-roberta", num_hidden_layers=2, hidden_size=30, num_attention_heads=2, pad_token_id=4,
        hidden_act="relu", tie_word_embeddings=False)),
    "distilbert": dict(seed=23, kind="DistilBertForMaskedLM", dtype="float32", key=NEW, config=dict(
        DISTILBERT, n_layers=2, activation="relu", sinusoidal_pos_embds=True),
        copies={"vocab_projector.weight": "distilbert.embeddings.word_embeddings.weight"}),
    "roberta-words": dict(seed=24, kind="RobertaForMaskedLM", dtype="float32", key=NEW, config=dict(ROBERTA, hidden_act="relu")),
    "bert-sequence": dict(seed=25, kind="BertForSequenceClassification", dtype="float16", key=OLD, config=dict(
        BERT, **labels(3))),
    "roberta-sequence": dict(seed=26, kind="RobertaForSequenceClassification", dtype="float32", key=NEW, config=dict(
        ROBERTA, **labels(1))),
    "distilbert-sequence": dict(seed=27, kind="DistilBertForSequenceClassification", dtype="float32", key=NEW, config=dict(
        DISTILBERT, **labels(3))),
    "bert-tokens": dict(seed=28, kind="BertForTokenClassification", dtype="float32", key=NEW, config=dict(BERT, num_labels=4)),
    "roberta-tokens": dict(seed=29, kind="XLMRobertaForTokenClassification", dtype="bfloat16", key=NEW, config=dict(
        ROBERTA, model_type="xlm-roberta", **labels(5))),
    "distilbert-tokens": dict(seed=30, kind="DistilBertForTokenClassification", dtype="float32", key=NEW, config=DISTILBERT),
    "bert-answer": dict(seed=31, kind="BertForQuestionAnswering", dtype="float32", key=NEW, config=BERT),
    "roberta-answer": dict(seed=32, kind="RobertaForQuestionAnswering", dtype="float32", key=NEW, config=ROBERTA),
    "distilbert-answer": dict(seed=33, kind="DistilBertForQuestionAnswering", dtype="float16", key=OLD, config=DISTILBERT),
    "mpnet": dict(seed=41, kind="MPNetModel", dtype="float32", key=NEW, columns=18, config=dict(MPNET, num_hidden_layers=2)),
    "mpnet-words": dict(seed=42, kind="MPNetForMaskedLM", dtype="float32", key=NEW, columns=14, config=dict(
        MPNET, hidden_act="relu")),
    "mpnet-sequence": dict(seed=43, kind="MPNetForSequenceClassification", dtype="bfloat16", key=OLD, columns=14, config=dict(
        MPNET, **labels(3))),
    # Whatever pads, positions do not count the id 1.
    "mpnet-tokens": dict(seed=44, kind="MPNetForTokenClassification", dtype="float32", key=NEW, columns=14, config=dict(
        MPNET, pad_token_id=3, **labels(4)), ids={(0, 6): 1}),
    "mpnet-answer": dict(seed=45, kind="MPNetForQuestionAnswering", dtype="float32", key=NEW, columns=14, config=MPNET),
    "electra": dict(seed=51, kind="ElectraForPreTraining", dtype="float32", key=NEW, config=dict(ELECTRA, num_hidden_layers=2)),
    "electra-words": dict(seed=52, kind="ElectraForMaskedLM", dtype="float32", key=NEW, config=dict(ELECTRA, hidden_act="relu")),
    "electra-sequence": dict(seed=53, kind="ElectraForSequenceClassification", dtype="float16", key=OLD, config=dict(
        ELECTRA, **labels(3))),
    "electra-tokens": dict(seed=54, kind="ElectraForTokenClassification", dtype="float32", key=NEW, config=dict(
        ELECTRA, embedding_size=16, **labels(4))),
    "electra-answer": dict(seed=55, kind="ElectraForQuestionAnswering", dtype="float32", key=NEW, config=ELECTRA),
    "albert": dict(seed=61, kind="AlbertModel", dtype="float32", key=NEW, config=dict(
        ALBERT, num_hidden_layers=3, num_hidden_groups=2)),
    "albert-words": dict(seed=62, kind="AlbertForMaskedLM", dtype="bfloat16", key=NEW, config=dict(ALBERT, num_hidden_layers=2)),
    "albert-sequence": dict(seed=63, kind="AlbertForSequenceClassification", dtype="float32", key=OLD, config=dict(
        ALBERT, **labels(3))),
    "albert-tokens": dict(seed=64, kind="AlbertForTokenClassification", dtype="float32", key=NEW, config=dict(
        ALBERT, hidden_act="gelu", **labels(4))),
    "albert-answer": dict(seed=65, kind="AlbertForQuestionAnswering", dtype="float32", key=NEW, config=ALBERT),
    "modernbert": dict(seed=71, kind="ModernBertForMaskedLM", dtype="float32", key=OLD, config=dict(
        MODERNBERT, num_hidden_layers=3, **OLD_ROPE)),
    "modernbert-mean": dict(seed=72, kind="ModernBertForSequenceClassification", dtype="float16", key=NEW, config=dict(
        MODERNBERT, classifier_pooling="mean", classifier_activation="relu", **labels(3), **NEW_ROPE, **ALL_BIASES)),
    "modernbert-cls": dict(seed=73, kind="ModernBertForSequenceClassification", dtype="float32", key=NEW, config=dict(
        MODERNBERT, classifier_pooling="cls", **labels(3), **NEW_ROPE)),
    "modernbert-tokens": dict(seed=74, kind="ModernBertForTokenClassification", dtype="bfloat16", key=NEW, config=dict(
        MODERNBERT, **labels(4), **NEW_ROPE)),
    "modernbert-answer": dict(seed=75, kind="ModernBertForQuestionAnswering", dtype="float32", key=OLD, config=dict(
        MODERNBERT, hidden_activation="silu", **OLD_ROPE)),
    "modernbert-words": dict(seed=76, kind="ModernBertForMaskedLM", dtype="float32", key=NEW, config=dict(
        MODERNBERT, tie_word_embeddings=False, decoder_bias=False, **NEW_ROPE)),
}


def spread(name):
    """The mean and standard deviation of a tensor's elements."""
    if re.search(r"(LayerNorm|norm)\.weight$", name):
        return 1, 0.3
    if name.endswith("bias"):
        return 0, 0.3
    if re.search(r"embeddings\.weight$", name):
        return 0, 0.3 if re.search("word|tok_", name) else 0.2
    if "relative" in name:
        return 0, 1
    if re.search(r"(attention\.output\.dense|out_lin|attn\.o|attention\.dense|attn\.Wo)\.weight$", name):
        return 0, 0.2
    if re.search(r"(layer\.\d+\.output\.dense|lin2|ffn_output|mlp\.Wo)\.weight$", name):
        return 0, 0.25
    return 0, 0.4


def weights(made, empty):
    """name -> tensor of the stored type. RandomState's numbers are frozen, unlike Generator's."""
    random = np.random.RandomState(made["seed"])
    out, kind = {}, getattr(torch, made["dtype"])
    for name, parameter in sorted(empty.items()):
        mean, std = spread(name)
        w = std * random.standard_normal(tuple(parameter.shape))
        if mean:
            w = mean + np.clip(w, -0.6, 0.6)
        out[name] = torch.from_numpy(w).to(kind).contiguous()
    return out


def batch(made):
    """Five rows: full; padded on the left; with a hole; one token; padded on the right. `ids` are put in at last."""
    columns, config = made.get("columns", 11), made["config"]
    vocab, pad, types = config["vocab_size"], config["pad_token_id"], config.get("type_vocab_size", 1)
    random = np.random.RandomState(made["seed"] + 100)
    mask = np.zeros((5, columns), np.int64)
    mask[0] = 1
    mask[1, 4:] = 1
    mask[2, :9] = 1
    mask[2, 5] = 0
    mask[3, 0] = 1
    mask[4, :6] = 1
    ids = random.randint(5, vocab, (5, columns)).astype(np.int64)
    ids[mask == 0] = pad
    ids[2, 5] = 7  # the mask decides what is seen, not the id: a word in the hole ..
    ids[0, 4] = pad  # .. and the padding id where the mask is 1
    for place, one in made.get("ids", {}).items():
        ids[place] = one
    out = dict(input_ids=torch.from_numpy(ids), attention_mask=torch.from_numpy(mask))
    if types > 1:
        kinds = np.cumsum(random.rand(5, columns) < 0.2, axis=1) % types
        out["token_type_ids"] = torch.from_numpy(kinds.astype(np.int64))
    return out


def pooled(base, hidden):
    """What the pooler makes of the first of these rows [B, S, D]."""
    if base.config.model_type == "albert":
        return base.pooler_activation(base.pooler(hidden[:, 0]))
    return base.pooler(hidden)


def of_first(model, first):
    """A sequence's logits, made of a vector [B, D]."""
    if model.config.model_type in ("bert", "albert"):
        return model.classifier(pooled(model.base_model, first[:, None]))
    if model.config.model_type == "distilbert":
        return model.classifier(torch.relu(model.pre_classifier(first)))
    if model.config.model_type == "modernbert":
        return model.classifier(model.head(first))
    return model.classifier(first[:, None])


def forward(model, inputs):
    with torch.no_grad():
        out = model(**inputs, output_hidden_states=True, output_attentions=True)
        first = out.hidden_states[-1][torch.arange(5), inputs["attention_mask"].argmax(1)]
        golden = dict(last_hidden_state=out.hidden_states[-1])
        golden |= {f"hidden_states.{i}": h for i, h in enumerate(out.hidden_states)}
        golden |= {f"attentions.{i}": a for i, a in enumerate(out.attentions)}
        base = model.base_model
        if getattr(base, "pooler", None) is not None:
            golden["pooler_output"] = pooled(base, out.hidden_states[-1])
            golden["pooler_output_first_token"] = pooled(base, first[:, None])
        # What a discriminator says of words is left aside.
        for name in ("logits", "start_logits", "end_logits"):
            if name in out and not hasattr(model, "discriminator_predictions"):
                golden[name] = out[name]
        if "logits" in golden and out.logits.dim() == 2:
            mean = getattr(model.config, "classifier_pooling", None) == "mean"
            golden["logits_first_token"] = out.logits if mean else of_first(model, first)
            assert (golden["logits_first_token"] - out.logits)[inputs["attention_mask"][:, 0] == 1].abs().max() < 1e-12
    assert all(v.isfinite().all() for v in golden.values())
    return {k: v.to(torch.float32).contiguous().clone() for k, v in golden.items()} | inputs


def make(name, made):
    folder = HERE / name
    folder.mkdir(exist_ok=True)
    for old in folder.iterdir():
        old.unlink()
    config = dict(made["config"], architectures=[made["kind"]], **{made["key"]: made["dtype"]})
    (folder / "config.json").write_text(json.dumps(dict(sorted(config.items())), indent=2) + "\n")
    kind = getattr(transformers, made["kind"])
    empty = kind(kind.config_class.from_pretrained(folder))
    tied = {k for k in getattr(empty, "all_tied_weights_keys", {})} if config.get("tie_word_embeddings", True) else set()
    # A bias under two names is one in any case.
    tied |= {"lm_head.decoder.bias", "cls.predictions.decoder.bias", "predictions.decoder.bias"}
    stored = weights(made, {k: v for k, v in empty.state_dict().items() if k not in tied and v.is_floating_point()})
    stored |= {copy: stored[of].clone() for copy, of in made.get("copies", {}).items()}
    save_file(stored, folder / "model.safetensors", metadata={"format": "pt"})

    model, info = kind.from_pretrained(folder, dtype=torch.float64, attn_implementation="eager", output_loading_info=True)
    missing = set(info["missing_keys"]) - {"lm_head.decoder.bias"}
    assert not missing and not info["unexpected_keys"] and not info["mismatched_keys"], info
    model.eval()
    if hasattr(model, "lm_head"):
        model.lm_head.decoder.bias = model.lm_head.bias
    assert all(p.dtype == torch.float64 for p in model.parameters())
    save_file(forward(model, batch(made)), folder / "golden.safetensors")
    print(name, {p.name: p.stat().st_size for p in sorted(folder.iterdir())})


if __name__ == "__main__":
    for name in sys.argv[1:] or MODELS:
        make(name, MODELS[name])
