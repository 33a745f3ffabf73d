"""OPUS-MT as CTranslate2 stores it, laid out as Hugging Face's Marian: names, f16, safetensors; Python's standard library only.

The matrices of the archive are int8 with a scale for each row. What a weight was before that is lost; what is written here
is weight / scale in f32, rounded to f16, which are the numbers that numpy would give.
"""
import json
import struct
import zipfile
from array import array

TOP = "translate-zh_en-1_9/"
LAYERS, WIDTH, WORDS = 6, 512, 65001
PAD = WORDS - 1
# What a byte means as int8.
SIGNED = [*range(128), *range(-128, 0)]
# CTranslate2's types that occur, and their bytes.
F32, I8 = 0, 1
CONFIG = dict(
    model_type="marian", architectures=["MarianMTModel"], vocab_size=WORDS, d_model=WIDTH, encoder_layers=LAYERS,
    decoder_layers=LAYERS, encoder_attention_heads=8, decoder_attention_heads=8, encoder_ffn_dim=2048, decoder_ffn_dim=2048,
    max_position_embeddings=512, activation_function="swish", scale_embedding=True, static_position_embeddings=True,
    pad_token_id=PAD, eos_token_id=0, bos_token_id=0, decoder_start_token_id=PAD, tie_word_embeddings=True)


def read(binary):
    """The tensors of a model.bin, version 6: name -> type, shape, bytes."""
    at = 0

    def take(size):
        nonlocal at
        at += size
        return binary[at - size:at]

    def number(kind):
        return struct.unpack("<" + kind, take(struct.calcsize(kind)))[0]

    def text():
        return take(number("H"))[:-1].decode()
    assert number("I") == 6
    text(), number("I")
    tensors = {}
    for _ in range(number("I")):
        name, shape = text(), [number("I") for _ in range(number("B"))]
        kind, size = number("B"), number("I")
        tensors[name] = kind, shape, take(size)
    for _ in range(number("I")):
        alias = text()
        tensors[alias] = tensors[text()]
    return tensors


def half(numbers):
    return struct.pack(f"<{len(numbers)}e", *numbers)


def floats(data):
    return struct.unpack(f"<{len(data) // 4}f", data)


def halves(tensors, name):
    """A tensor's shape and its numbers in f16."""
    kind, shape, data = tensors[name]
    if kind == F32:
        return shape, half(floats(data))
    assert kind == I8 and len(shape) == 2
    out, width = bytearray(2 * len(data)), shape[1]
    for row, scale in enumerate(floats(tensors[name + "_scale"][2])):
        # A row has 256 numbers at most, so its bytes are looked up: first the low halves of the numbers, then the high ones.
        table = half(array("f", [byte / scale for byte in SIGNED]))
        begin, end = row * width, (row + 1) * width
        for part in range(2):
            out[2 * begin + part:2 * end:2] = data[begin:end].translate(table[part::2])
    return shape, bytes(out)


def marian(tensors):
    """Marian's names -> shape, f16."""
    out = {}

    def linear(to, source, parts):
        for kind in ("weight", "bias"):
            (rows, *columns), data = halves(tensors, f"{source}/{kind}")
            size = len(data) // len(parts)
            for i, part in enumerate(parts):
                out[f"{to}{part}.{kind}"] = [rows // len(parts), *columns], data[i * size:(i + 1) * size]

    def norm(to, source):
        out[to + ".weight"], out[to + ".bias"] = halves(tensors, source + "/gamma"), halves(tensors, source + "/beta")
    for side in ("encoder", "decoder"):
        for i in range(LAYERS):
            to, source = f"model.{side}.layers.{i}.", f"{side}/layer_{i}/"
            linear(to + "self_attn.", source + "self_attention/linear_0", ["q_proj", "k_proj", "v_proj"])
            linear(to + "self_attn.", source + "self_attention/linear_1", ["out_proj"])
            norm(to + "self_attn_layer_norm", source + "self_attention/layer_norm")
            if side == "decoder":
                linear(to + "encoder_attn.", source + "attention/linear_0", ["q_proj"])
                linear(to + "encoder_attn.", source + "attention/linear_1", ["k_proj", "v_proj"])
                linear(to + "encoder_attn.", source + "attention/linear_2", ["out_proj"])
                norm(to + "encoder_attn_layer_norm", source + "attention/layer_norm")
            linear(to, source + "ffn/linear_0", ["fc1"])
            linear(to, source + "ffn/linear_1", ["fc2"])
            norm(to + "final_layer_norm", source + "ffn/layer_norm")
    # CTranslate2 leaves out the word that only pads; Marian has it, and never writes it.
    _, words = halves(tensors, "decoder/embeddings/weight")
    out["model.shared.weight"] = [WORDS, WIDTH], words + bytes(2 * WIDTH)
    _, bias = halves(tensors, "decoder/projection/bias")
    out["final_logits_bias"] = [1, WORDS], bias + half([-1e4])
    return out


def safetensors(tensors):
    header, at = {}, 0
    for name, (shape, data) in tensors.items():
        header[name] = dict(dtype="F16", shape=shape, data_offsets=[at, at + len(data)])
        at += len(data)
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    return b"".join([struct.pack("<Q", len(text)), text, *(data for _, data in tensors.values())])


def folder(archive):
    """The files of a Hugging Face folder, from the archive: name -> bytes."""
    with zipfile.ZipFile(archive) as model:
        tensors = read(model.read(TOP + "model/model.bin"))
        pieces = json.loads(model.read(TOP + "model/shared_vocabulary.json"))
        vocab = {piece: i for i, piece in enumerate(pieces)} | {"<pad>": PAD}
        return {
            "README.md": model.read(TOP + "README.md"),
            "config.json": json.dumps(CONFIG, indent=1).encode(),
            "model.safetensors": safetensors(marian(tensors)),
            "source.spm": model.read(TOP + "sentencepiece.model"),
            "vocab.json": json.dumps(vocab, ensure_ascii=False).encode(),
        }
