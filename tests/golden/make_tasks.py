#!/usr/bin/env python3
"""Make small checkpoints with heads and tokenizers, and what Hugging Face's pipelines say with them of some texts.

    python make_tasks.py     write tasks/ and tasks.json beside this file (torch, transformers 4, tokenizers, safetensors)

The weights are random and wide, as in make_encoders.py; the tokenizers are made of the sentences below: WordPiece with lower
case, and byte-level BPE whose mask takes the space before it. Arithmetic is float64 over the stored weights. transformers 5 has
no question-answering pipeline, hence 4. A cross-encoder's scores are the sigmoid of its logits, as sentence-transformers has it.
"""
import json
import pathlib
import re
import shutil

import torch
import transformers
from safetensors.torch import save_file
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

from make_encoders import labels, weights

HERE = pathlib.Path(__file__).resolve().parent
FOLDER = HERE / "tasks"

SENTENCES = """Paris is the capital of France. Berlin is the capital of Germany, and Rome that of Italy.
Angela Merkel was born in Hamburg and studied physics at Leipzig. Barack Obama was born in Honolulu.
The quick brown fox jumps over the lazy dog. A happy person is a very happy person; today is a sunny day.
Who was born in Hamburg? Where did she study? What is the capital of France? It is raining, isn't it?
I don't like the café near the river, but I like the naïve painter's house. Unhappily nobody studies there.""".split("\n")

# Tokens of a text.
LIMIT = 48
SIZES = dict(hidden_size=24, num_hidden_layers=1, num_attention_heads=3, intermediate_size=32, hidden_act="gelu")
BERT = dict(SIZES, model_type="bert", type_vocab_size=2, max_position_embeddings=LIMIT, pad_token_id=0)
ROBERTA = dict(SIZES, model_type="roberta", type_vocab_size=1, max_position_embeddings=LIMIT + 2, pad_token_id=1, bos_token_id=0,
               eos_token_id=2)

def named(*names):
    return dict(id2label={str(i): name for i, name in enumerate(names)}, label2id={name: i for i, name in enumerate(names)})


TAGS = named("O", "B-PER", "I-PER", "B-LOC", "I-LOC")

# The class that saves it, and what config.json says beside the sizes.
MODELS = {
    "bert-words": dict(seed=61, kind="BertForMaskedLM", config=BERT),
    "bert-labels": dict(seed=62, kind="BertForSequenceClassification", config=dict(BERT, **named("bad", "fair", "good"))),
    "bert-multi": dict(seed=63, kind="BertForSequenceClassification", config=dict(
        BERT, problem_type="multi_label_classification", **named("rude", "loud", "late"))),
    "bert-number": dict(seed=64, kind="BertForSequenceClassification", config=dict(
        BERT, problem_type="regression", **labels(1))),
    "bert-cross": dict(seed=65, kind="BertForSequenceClassification", config=dict(BERT, **labels(1))),
    "bert-tags": dict(seed=66, kind="BertForTokenClassification", config=dict(BERT, **TAGS)),
    "bert-answers": dict(seed=67, kind="BertForQuestionAnswering", config=BERT),
    "roberta-words": dict(seed=71, kind="RobertaForMaskedLM", config=ROBERTA),
    "roberta-labels": dict(seed=72, kind="RobertaForSequenceClassification", config=dict(ROBERTA, **named("no", "maybe", "yes"))),
    "roberta-tags": dict(seed=73, kind="RobertaForTokenClassification", config=dict(ROBERTA, **TAGS)),
    "roberta-answers": dict(seed=74, kind="RobertaForQuestionAnswering", config=ROBERTA),
}

CONTEXT = " ".join(SENTENCES[:2])
LONG = " ".join(SENTENCES)


def wordpiece():
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    words = re.findall(r"[a-z]+", " ".join(SENTENCES).lower().translate(str.maketrans("éï", "ei")))
    letters = sorted(set("".join(words)))
    # Words of more than six letters are made of pieces.
    pieces = letters + [f"##{c}" for c in letters] + ["un", "##ly", "##ed", "##ing", "##burg", "mer", "##kel", "person"]
    vocab = dict.fromkeys(special + list(".,;?'!") + pieces + [word for word in words if len(word) <= 6])
    tokenizer = Tokenizer(models.WordPiece({token: i for i, token in enumerate(vocab)}, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    ids = [(token, tokenizer.token_to_id(token)) for token in ("[CLS]", "[SEP]")]
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS]:0 $A:0 [SEP]:0", pair="[CLS]:0 $A:0 [SEP]:0 $B:1 [SEP]:1", special_tokens=ids)
    tokenizer.decoder = decoders.WordPiece(prefix="##")
    return transformers.BertTokenizerFast(tokenizer_object=tokenizer, do_lower_case=True, model_max_length=LIMIT)


def byte_level():
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    special = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    tokenizer.train_from_iterator(SENTENCES, trainers.BpeTrainer(
        vocab_size=320, special_tokens=special, show_progress=False, initial_alphabet=pre_tokenizers.ByteLevel.alphabet()))
    tokenizer.post_processor = processors.RobertaProcessing(sep=("</s>", 2), cls=("<s>", 0), add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    return transformers.RobertaTokenizerFast(tokenizer_object=tokenizer, add_prefix_space=False, model_max_length=LIMIT)


def make(name, made, tokenizer):
    folder = FOLDER / name
    folder.mkdir(parents=True)
    tokenizer.save_pretrained(folder)
    for file in ("vocab.txt", "vocab.json", "merges.txt"):
        (folder / file).unlink(missing_ok=True)
    # Without its indentation a tokenizer is half as large.
    tokens = json.loads((folder / "tokenizer.json").read_text())
    (folder / "tokenizer.json").write_text(json.dumps(tokens, ensure_ascii=False) + "\n")
    config = dict(made["config"], vocab_size=len(tokenizer), architectures=[made["kind"]], torch_dtype="float16")
    (folder / "config.json").write_text(json.dumps(dict(sorted(config.items())), indent=2) + "\n")
    kind = getattr(transformers, made["kind"])
    empty = kind(kind.config_class.from_pretrained(folder))
    # The table of words is theirs and the head's.
    tied = {"cls.predictions.decoder.weight", "cls.predictions.decoder.bias", "lm_head.decoder.weight", "lm_head.decoder.bias"}
    own = {k: v for k, v in empty.state_dict().items() if k not in tied and v.is_floating_point()}
    save_file(weights(dict(made, dtype="float16"), own), folder / "model.safetensors", metadata={"format": "pt"})
    model = kind.from_pretrained(folder, dtype=torch.float64, attn_implementation="eager").eval()
    return model, tokenizer


def fill(pipe, mask):
    texts = [("Paris is the {} of France.", 5), ("The quick {} fox jumps", 3), ("{} was born in {}, wasn't she?", 2), ("{}", 5),
             ("I don't  like {} near the café!", 4), ("Where is \U0001F980 {}?", 1), ("a{}b", 2), ("Rome {}", 100000)]
    out = []
    for text, top_k in texts:
        text = text.replace("{}", mask)
        # More than there are is an error there.
        size = pipe.model.config.vocab_size
        masks = pipe(text, top_k=min(top_k, size))
        masks = masks if isinstance(masks[0], list) else [masks]
        kept = [[candidate for candidate in best[:8]] for best in masks]
        out.append(dict(text=text, top_k=top_k, found=[len(best) for best in masks], masks=kept))
    return out


def classify(pipe):
    texts = ["I like the café.", "nobody likes it, isn't it?", "", "\U0001F980 is not in the vocabulary", "Paris"]
    out = [dict(text=text, labels=pipe(text, top_k=None)) for text in texts]
    pairs = [("A happy person", "is sunny"), ("Where did she study?", "She studied physics at Leipzig."), ("", "a"),
             ("A happy person", "")]
    long = dict(text=LONG[:120], text_pair=LONG)
    out += [dict(text=a, pair=b, labels=pipe(dict(text=a, text_pair=b), top_k=None)) for a, b in pairs]
    out.append(dict(text=long["text"], pair=long["text_pair"], cut=True, labels=pipe(long, top_k=None, truncation=True)))
    out.append(dict(text=LONG, cut=True, labels=pipe(LONG, top_k=None, truncation=True)))
    return out


def tag(pipe):
    texts = ["Angela Merkel was born in Hamburg.", "Unhappily, Barack Obama   studied physics!", "The caf\u00e9 \U0001F980 near na\u00efve Rome-Berlin",
             "", "isn't it?", LONG]
    out = []
    for strategy in ("simple", "first", "average", "max"):
        for text in texts:
            entities = pipe(text, aggregation_strategy=strategy)
            entities = [dict(entity, score=float(entity["score"])) for entity in entities]
            out.append(dict(text=text, aggregation=strategy, cut=text == LONG, entities=entities))
    return out


def answer(pipe):
    out = []
    runs = [("Who was born in Hamburg?", SENTENCES[1], {}), ("What is the capital of France?", CONTEXT, {}),
            ("What is the capital of France?", LONG, dict(top_k=3)), ("Where?", LONG, dict(top_k=4, doc_stride=5, max_seq_len=32)),
            ("Who?", "Rome", {}), ("Who?", CONTEXT, dict(top_k=3, max_answer_len=2)), ("Is it raining?", "\U0001F980 caf\u00e9: It is raining", {}),
            ("Who?", SENTENCES[0], dict(handle_impossible_answer=True, top_k=2)),
            ("Who?", LONG, dict(handle_impossible_answer=True, top_k=50, max_answer_len=1))]
    for question, context, options in runs:
        found = pipe(question=question, context=context, **options)
        found = found if isinstance(found, list) else [found]
        # Spans of no probability are none.
        found = [dict(a, score=float(a["score"])) for a in found if a["score"] > 0 or options.get("handle_impossible_answer") and not a["answer"]]
        out.append(dict(question=question, context=context, options=options, answers=found))
    return out


def rank(model, tokenizer):
    query, texts = "Where was she born?", ["She was born in Hamburg.", "It is raining", "", LONG, "A happy dog"]
    inputs = tokenizer([query] * len(texts), texts, padding=True, truncation=True, return_tensors="pt")
    with torch.no_grad():
        scores = torch.sigmoid(model(**inputs).logits[:, 0]).tolist()
    ranked = sorted(range(len(texts)), key=lambda i: -scores[i])
    return [dict(query=query, texts=texts, ranked=[dict(index=i, score=scores[i]) for i in ranked])]


def main():
    shutil.rmtree(FOLDER, ignore_errors=True)
    tokenizers = dict(bert=wordpiece(), roberta=byte_level())
    golden = {}
    for name, made in MODELS.items():
        model, tokenizer = make(name, made, tokenizers[name.split("-")[0]])
        pipe = lambda task: transformers.pipeline(task, model=model, tokenizer=tokenizer, device="cpu")
        match made["kind"].split("For")[1]:
            case "MaskedLM":
                golden[name] = fill(pipe("fill-mask"), tokenizer.mask_token)
            case "TokenClassification":
                golden[name] = tag(pipe("token-classification"))
            case "QuestionAnswering":
                golden[name] = answer(pipe("question-answering"))
            case _:
                golden[name] = rank(model, tokenizer) if name == "bert-cross" else classify(pipe("text-classification"))
        print(name, sum(p.stat().st_size for p in (FOLDER / name).iterdir()))
    (HERE / "tasks.json").write_text(json.dumps(golden, indent=1, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
