"""Damaged model folders, checkpoints, corpora, configurations and tables."""

from __future__ import annotations

import functools
import hashlib
import json
import random
import shutil
import struct
import tempfile
import zipfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from robustness import material, mutations
from robustness.fuzz_audio import command, leftover_files

MODELS = ("sample", "paper", "token")
SHARES = {"model": 30, "zip": 5, "checkpoint": 15, "corpus": 20, "config": 15, "set": 5, "table": 10}
"""Relative frequency of each kind of input."""
EVERY_RESUME, EVERY_TRAIN = 8, 10


def tasks(numbers: Iterable[int], seed: int) -> Iterator[dict[str, Any]]:
    """Yield recipes by index; they depend only on the seed and the index."""
    kinds = [k for k, parts in SHARES.items() for _ in range(parts)]
    for index in numbers:
        rng = random.Random(f"{seed} state {index}")
        yield {"what": rng.choice(kinds), "seed": rng.randrange(2**31), "index": index}


def setup(folder: Path) -> Callable[[dict[str, Any]], tuple[str, str]]:
    """Return the function that tests one recipe; called once in each worker."""
    import torch

    import noizenet.api  # noqa: F401 - loaded before time is measured
    from noizenet.generation.stream import Stream  # noqa: F401

    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as scratch:
        for name in MODELS:  # kernels are loaded before time is measured
            _play(folder / name, Path(scratch))
    return functools.partial(attempt, fixtures=folder)


def attempt(task: dict[str, Any], fixtures: Path) -> tuple[str, str]:
    """Test one recipe; return the kind of outcome and a message."""
    rng = random.Random(task["seed"])
    with tempfile.TemporaryDirectory(prefix="noizenet-robust-") as scratch:
        found = ATTEMPTS[task["what"]](rng, fixtures, Path(scratch))
        return found if found[0] == "traceback" else leftover_files(Path(scratch)) or found


def _damage(rng: random.Random, data: bytes) -> bytes:
    operations = [o for o in mutations.draw(rng, ["own"], max(1, len(data))) if o[0] != "swap"]
    return mutations.apply(data, operations, {"own": data})


def _text(tree: Any) -> bytes:
    return json.dumps(tree, indent=1).encode("utf-8", "surrogatepass")


def _tensors(rng: random.Random, data: bytes) -> bytes:
    """Damage a safetensors file: its bytes or the values in its header."""
    if rng.random() < 0.4:
        return _damage(rng, data)
    size = struct.unpack("<Q", data[:8])[0]
    header = json.loads(data[8 : 8 + size])
    inner = header.get("__metadata__", {}).get("noizenet")
    if inner and rng.random() < 0.7:
        header["__metadata__"]["noizenet"] = _text(mutations.change_tree(rng, json.loads(inner))).decode(
            "utf-8", "replace"
        )
    else:
        header = mutations.change_tree(rng, header)
    text = _text(header)
    return struct.pack("<Q", len(text)) + text + data[8 + size :]


def _model_parts(rng: random.Random, fixtures: Path) -> dict[str, bytes]:
    folder = fixtures / rng.choice(MODELS)
    metadata, weights = (folder / "model.json").read_bytes(), (folder / "model.safetensors").read_bytes()
    if rng.random() < 0.35:
        weights = _tensors(rng, weights)
        if rng.random() < 0.8:  # with a matching digest, so that the digest does not reveal the damage
            tree = json.loads(metadata)
            tree["weights_sha256"] = hashlib.sha256(weights).hexdigest()
            metadata = _text(tree)
    elif rng.random() < 0.8:
        metadata = _text(mutations.change_tree(rng, json.loads(metadata)))
    else:
        metadata = _damage(rng, metadata)
    return {"model.json": metadata, "model.safetensors": weights}


def _model(rng: random.Random, fixtures: Path, scratch: Path) -> tuple[str, str]:
    folder = scratch / "model"
    folder.mkdir()
    for name, data in _model_parts(rng, fixtures).items():
        (folder / name).write_bytes(data)
    return _play(folder, scratch)


def _zip(rng: random.Random, fixtures: Path, scratch: Path) -> tuple[str, str]:
    path = scratch / "model.zip"
    with zipfile.ZipFile(path, "w", rng.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED))) as bundle:
        for name, data in _model_parts(rng, fixtures).items():
            bundle.writestr(rng.choice(("", "m/", "../")) + name, data)
    if rng.random() < 0.8:
        path.write_bytes(_damage(rng, path.read_bytes()))
    return _play(path, scratch)


def _play(model: Path, scratch: Path) -> tuple[str, str]:
    return command(["generate", model, scratch / "out.wav", "--seconds", 0.1])


def _checkpoint(rng: random.Random, fixtures: Path, scratch: Path) -> tuple[str, str]:
    name = rng.choice(("sample", "paper"))
    shutil.copytree(fixtures / name, scratch / "model")
    path = scratch / "model" / "resume.safetensors"
    path.write_bytes(_tensors(rng, path.read_bytes()))
    if rng.randrange(EVERY_RESUME):
        from noizenet.base.errors import NoizenetError
        from noizenet.training import checkpoint

        try:
            checkpoint.read(scratch / "model")
        except NoizenetError as error:
            return "refused", str(error)
        return "fine", ""
    arguments = material.training(fixtures / "corpus", scratch / "model", f"{name}-lstm", 0.11)
    return command([*arguments, "--resume"])


def _corpus(rng: random.Random, fixtures: Path, scratch: Path) -> tuple[str, str]:
    shutil.copytree(fixtures / "corpus", scratch / "corpus")
    part = rng.choice(("corpus.json", "corpus.json", "tracks.csv", "tracks.csv", "problems.csv", "wav"))
    waves = sorted((scratch / "corpus" / "audio").glob("*.wav"))
    path = rng.choice(waves) if part == "wav" else scratch / "corpus" / part
    data = path.read_bytes() if path.exists() else b""
    if part == "corpus.json" and rng.random() < 0.7:
        path.write_bytes(_text(mutations.change_tree(rng, json.loads(data))))
    elif part == "tracks.csv" and rng.random() < 0.7:
        path.write_bytes(_change_cells(rng, data))
    else:
        path.write_bytes(_damage(rng, data))
    found = command(["corpus", "show", scratch / "corpus", "--json"])
    if found[0] != "fine" or rng.randrange(EVERY_TRAIN):
        return found if found[0] != "fine" else _read_all(scratch / "corpus")
    return command(material.training(scratch / "corpus", scratch / "model", "sample-lstm", 0.01))


def _read_all(folder: Path) -> tuple[str, str]:
    from noizenet.base.errors import NoizenetError
    from noizenet.corpus.corpus import Corpus

    try:
        with Corpus(folder) as corpus:
            for track in corpus.tracks:
                corpus.read(track)
    except NoizenetError as error:
        return "refused", str(error)
    return "fine", ""


def _change_cells(rng: random.Random, data: bytes) -> bytes:
    """Change cells of a table, or add or remove a cell of a row."""
    lines = data.decode("utf-8").splitlines()
    for _ in range(rng.choice((1, 1, 3))):
        at = rng.randrange(len(lines))
        cells = lines[at].split(",")
        what = rng.random()
        if what < 0.6:
            value = str(rng.choice(mutations.EXTREME_VALUES)).replace("\n", " ")
            cells[rng.randrange(len(cells))] = value if rng.random() < 0.7 else f'"{value}\n{value}"'
        elif what < 0.75:
            cells.append("more")
        elif what < 0.9:
            del cells[rng.randrange(len(cells))]
        else:
            cells = ['"', *cells]
        lines[at] = ",".join(cells)
    return "\n".join(lines).encode("utf-8", "surrogatepass")


def _recipe(rng: random.Random) -> tuple[str, dict[str, Any]]:
    from noizenet.training.options import configure

    name = rng.choice(("sample-lstm", "paper-lstm", "token-lstm", "spectral-lstm"))
    try:
        return name, configure(name).to_dict()
    except Exception:
        return "sample-lstm", configure("sample-lstm").to_dict()


def _config(rng: random.Random, fixtures: Path, scratch: Path) -> tuple[str, str]:
    import tomli_w

    from noizenet.base.config import write_toml

    name, tree = _recipe(rng)
    data = write_toml(tree).encode()
    if rng.random() < 0.7:
        try:
            data = tomli_w.dumps(mutations.change_tree(rng, tree)).encode("utf-8", "surrogatepass")
        except (TypeError, ValueError, AttributeError):  # TOML has no null
            data = _damage(rng, data)
    else:
        data = _damage(rng, data)
    path = scratch / "config.toml"
    path.write_bytes(data)
    return _configure(name, path, ())


def _set(rng: random.Random, fixtures: Path, scratch: Path) -> tuple[str, str]:
    name, tree = _recipe(rng)
    section = rng.choice(list(tree))
    key = rng.choice([*tree[section], "", "x", "a.b", "\0"])
    value = rng.choice((*mutations.EXTREME_VALUES, "[1, 2", "'", '"""', "= =", "1979-05-27", "0x1F", "[[]]"))
    return _configure(
        name, None, (rng.choice((f"{section}.{key}={value}", f"{key}={value}", f"{section}.{key}", str(value))),)
    )


def _configure(name: str, path: Path | None, sets: tuple[str, ...]) -> tuple[str, str]:
    from noizenet.base.errors import NoizenetError
    from noizenet.representation.base import create
    from noizenet.training.options import configure

    try:
        found = configure(name, path, sets)
        if "codec" not in found.representation:
            create(dict(found.representation), sample_rate=material.RATE, channels=1)
    except NoizenetError as error:
        return "refused", str(error)
    return "fine", ""


def _table(rng: random.Random, fixtures: Path, scratch: Path) -> tuple[str, str]:
    shutil.copytree(fixtures / "fma", scratch / "fma")
    path = scratch / "fma" / "fma_metadata" / f"{rng.choice(('tracks', 'tracks', 'genres', 'raw_artists'))}.csv"
    path.write_bytes(_change_cells(rng, path.read_bytes()) if rng.random() < 0.6 else _damage(rng, path.read_bytes()))
    return command(
        ["corpus", "build", scratch / "fma", scratch / "out", "--layout", "fma", "--sample-rate", 8000, "--workers", 1]
    )


ATTEMPTS: dict[str, Callable[[random.Random, Path, Path], tuple[str, str]]] = {
    "model": _model, "zip": _zip, "checkpoint": _checkpoint, "corpus": _corpus, "config": _config, "set": _set,
    "table": _table,
}  # fmt: skip
