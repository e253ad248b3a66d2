"""Model folders: round trip, and errors for every kind of damage."""

from __future__ import annotations

import hashlib
import json
import pickle
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from noizenet.base.bundled import bundled
from noizenet.base.errors import ModelError, UsageError
from noizenet.model.architecture import Architecture, ModelOptions
from noizenet.model.factory import make_network
from noizenet.model.weights import expected_shapes
from noizenet.store.model import FORMAT, load, save


@pytest.fixture
def folder(sample_model: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(sample_model, tmp_path / "model"))


def edit(folder: Path, change: Callable[[dict], object]) -> None:
    about = json.loads((folder / "model.json").read_text())
    change(about)
    (folder / "model.json").write_text(json.dumps(about))


def reseal(folder: Path) -> None:
    digest = hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()
    edit(folder, lambda a: a.update(weights_sha256=digest))


def test_round_trip(folder: Path, tmp_path: Path) -> None:
    model = load(folder)
    save(model, tmp_path / "again", "card")
    again = load(tmp_path / "again")
    assert again.genres == model.genres
    assert again.representation == model.representation
    assert again.training == model.training
    for a, b in zip(model.network.parameters(), again.network.parameters(), strict=True):
        assert torch.equal(a, b)


def test_float16_weights_are_smaller_and_less_precise(folder: Path, tmp_path: Path) -> None:
    model = load(folder)
    save(model, tmp_path / "half", half=True)
    again = load(tmp_path / "half")
    for name, values in model.weights.arrays.items():
        assert again.weights.arrays[name].dtype == np.float32
        assert np.allclose(again.weights.arrays[name], values, rtol=1e-3, atol=1e-6), name
    sizes = [(f / "model.safetensors").stat().st_size for f in (folder, tmp_path / "half")]
    assert sizes[1] < 0.7 * sizes[0]


def test_bundled_files_are_small() -> None:
    files = [p for kind in ("models", "codecs") for f in bundled(kind).values() for p in f.rglob("*.safetensors")]
    sizes = [p.stat().st_size for p in files]
    assert max(sizes) <= 25e6
    assert sum(sizes) <= 60e6


def test_a_zip_of_the_folder(folder: Path, tmp_path: Path) -> None:
    archive = Path(shutil.make_archive(str(tmp_path / "m"), "zip", folder.parent, folder.name))
    assert load(archive).genres == load(folder).genres
    archive.write_bytes(archive.read_bytes()[:-200])
    with pytest.raises(ModelError, match="valid zip"):
        load(archive)
    with zipfile.ZipFile(archive, "w") as bundle:
        bundle.writestr("model.json", "{}")
    with pytest.raises(ModelError, match=r"0 files named model\.safetensors"):
        load(archive)


def test_a_zip_bomb_is_not_unpacked(tmp_path: Path) -> None:
    from noizenet.store.model import MAX_ABOUT_BYTES

    with zipfile.ZipFile(tmp_path / "bomb.zip", "w", zipfile.ZIP_DEFLATED) as bundle:
        bundle.writestr("model.json", b"0" * (MAX_ABOUT_BYTES + 1))
        bundle.writestr("model.safetensors", b"")
    with pytest.raises(ModelError, match="larger than any"):
        load(tmp_path / "bomb.zip")


def test_a_missing_model_is_reported(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no such model"):
        load(tmp_path / "none")
    with pytest.raises(UsageError, match="not a model folder"):
        load(tmp_path)


@pytest.mark.parametrize("name", ["model.json", "model.safetensors"])
def test_a_missing_file_is_named(folder: Path, name: str) -> None:
    (folder / name).unlink()
    with pytest.raises(ModelError, match=f"{name}: the file is missing"):
        load(folder)


@pytest.mark.parametrize("keep", [0, 5, 100, -50])
@pytest.mark.parametrize("name", ["model.json", "model.safetensors"])
def test_a_truncated_file_is_named(folder: Path, name: str, keep: int) -> None:
    data = (folder / name).read_bytes()
    (folder / name).write_bytes(data[:keep])
    with pytest.raises(ModelError, match=name):
        load(folder)


def test_a_newer_format(folder: Path) -> None:
    edit(folder, lambda a: a.update(format=FORMAT + 1))
    with pytest.raises(ModelError, match="upgrade noizenet"):
        load(folder)


def test_changed_weights(folder: Path) -> None:
    data = bytearray((folder / "model.safetensors").read_bytes())
    data[-1] ^= 1
    (folder / "model.safetensors").write_bytes(data)
    with pytest.raises(ModelError, match="does not match"):
        load(folder)


@pytest.mark.parametrize(
    "change",
    [
        lambda a: a["architecture"]["options"].update(hidden=10**9),
        lambda a: a["architecture"]["options"].update(hidden="x"),
        lambda a: a["architecture"]["options"].update(cell="os.system"),
        lambda a: a["architecture"]["options"].update(tiers=[[4, 10**9]]),
        lambda a: a["architecture"]["options"].update(tiers=[["4", 8]]),
        lambda a: a["architecture"]["options"].update(tiers=7),
        lambda a: a["architecture"].update(levels=10**12),
        lambda a: a["architecture"].update(levels=512),
        lambda a: a["architecture"].update(extra=1),
        lambda a: a.pop("architecture"),
        lambda a: a.update(genres=["a"]),
        lambda a: a.update(genres=7),
        lambda a: a["representation"].update(name="os:system"),
        lambda a: a["representation"].update(sample_rate=-5),
        lambda a: a["representation"].pop("name"),
        lambda a: a.update(architecture=[]),
    ],
)
def test_a_tampered_description(folder: Path, change: Callable[[dict], object]) -> None:
    edit(folder, change)
    with pytest.raises(ModelError, match=r"model\.json|does not fit"):
        load(folder)


def test_weights_that_claim_to_be_huge_take_no_memory(folder: Path) -> None:
    edit(
        folder,
        lambda a: a["architecture"]["options"].update(tiers=[[4, 4096], [16, 4096]], tier_inputs=4096, width=4096),
    )
    with pytest.raises(ModelError, match="does not fit the architecture"):
        load(folder)


def test_a_pickle_is_never_opened(folder: Path, tmp_path: Path) -> None:
    class Bomb:
        def __reduce__(self) -> tuple[object, ...]:
            return (Path.touch, (tmp_path / "executed",))

    (folder / "model.safetensors").write_bytes(pickle.dumps(Bomb()))
    reseal(folder)
    with pytest.raises(ModelError, match="damaged"):
        load(folder)
    assert not (tmp_path / "executed").exists()


@pytest.mark.parametrize("what", ["nan", "dtype", "name", "shape"])
def test_weights_of_the_wrong_kind(folder: Path, what: str) -> None:
    path = folder / "model.safetensors"
    tensors = load_file(path)
    key = "head.linear.bias"
    if what == "nan":
        tensors[key][0] = float("nan")
    elif what == "dtype":
        tensors[key] = tensors[key].double()
    elif what == "name":
        tensors["other"] = tensors.pop(key)
    else:
        tensors[key] = tensors[key][:-1].clone()
    save_file(tensors, path)
    reseal(folder)
    with pytest.raises(ModelError, match=r"model\.safetensors"):
        load(folder)


@pytest.mark.parametrize(
    "options",
    [
        {}, {"cell": "gru", "layers": 3, "genre_embedding": 0}, {"head": "point"},
        {"tiers": ((4, 9), (16, 12)), "head": "mixture"},
        {"tiers": ((2, 9), (4, 5), (16, 12)), "head": "categorical", "coarse_features": False, "embedded": 2, "depth": 3},
        {"tiers": ((8, 9),), "head": "mixture", "prediction": "fixed", "cell": "rnn", "genre_embedding": 0},
        {"tiers": ((8, 9),), "head": "mixture", "prediction_order": 0, "depth": 0, "tier_context": 3},
    ],
)  # fmt: skip
def test_the_expected_shapes_are_the_networks(options: dict[str, Any]) -> None:
    kind = ("vectors", 0, 5) if options.get("head") == "point" else ("classes", 32, 1)
    architecture = Architecture(ModelOptions(**options), *kind, 3)
    shapes = {k: tuple(v.shape) for k, v in make_network(architecture).state_dict().items()}
    assert expected_shapes(architecture) == shapes


def test_generation_does_not_load_torch(folder: Path) -> None:
    code = (
        "import sys, noizenet; s = noizenet.stream(sys.argv[1], noizenet.Controls()); next(s); "
        "print([m for m in ('torch', 'librosa', 'matplotlib', 'pandas') if m in sys.modules])"
    )
    run = subprocess.run([sys.executable, "-c", code, str(folder)], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"
