"""Weights that were trained by benchmarks/accelerator are converted to a model with the same logits."""

from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch

from noizenet.base.errors import UsageError
from noizenet.model.stepper import Stepper
from noizenet.store.model import load, save

FOLDER = Path(__file__).resolve().parents[1] / "benchmarks" / "accelerator"
SMALL = {"hidden": 40, "embedding": 24, "depth_width": 32, "genre": 8}
COUNT = 260


@pytest.fixture(scope="module")
def modules() -> Iterator[dict[str, ModuleType]]:
    """The benchmark's modules, which are scripts in one folder."""
    sys.path.insert(0, str(FOLDER))
    yield {name: importlib.import_module(name) for name in ("network", "data", "convert")}
    sys.path.remove(str(FOLDER))
    for name in ("network", "data", "convert"):
        del sys.modules[name]


def saved(modules: dict[str, ModuleType], folder: Path, **options: object) -> torch.nn.Module:
    """Save a small random network as train.py does; return it with the saved weights."""
    torch.manual_seed(0)
    o = {**modules["network"].DEFAULT, **SMALL, **options}
    network: torch.nn.Module = modules["network"].Network(o, 9).eval()
    with torch.no_grad():
        for name, x in network.named_parameters():
            if not x.any():
                x.normal_(0, 0.3)
            if any(part in name for part in ("clock", "beat", "bar")):
                x[0] = 0
            x.copy_(x.half().float())
    torch.save({k: v.half() for k, v in network.state_dict().items()}, folder / "n.pt")
    first = {"name": "n", "options": o, "seed": 3, "hours": 0.5}
    row = {"step": 7, "seconds": 60.0, "read_hours": 0.1, "old": {"all": 1000.0, "hours": 1.0}}
    row["new"] = {"all": float("nan"), "hours": 0.0}
    (folder / "n.jsonl").write_text("\n".join(map(json.dumps, (first, row))))
    return network


@pytest.mark.parametrize("options", [
    {}, {"bar": 1, "lookback": 2, "share": 1, "head": "mlp", "stack": "lstm,lstm,lstm"}, {"bar": 1}, {"lookback": 1},
    {"head": "mlp"}, {"share": 1, "lookback": 2},
])  # fmt: skip
def test_the_logits_are_the_same(modules: dict[str, ModuleType], tmp_path: Path, options: dict[str, object]) -> None:
    network = saved(modules, tmp_path, **options)
    save(modules["convert"].convert(tmp_path / "n.pt", {"jazz": [120]}), tmp_path / "m", half=True)
    model = load(tmp_path / "m")
    assert model.genres[4] == "jazz"
    assert model.training["tempi"]["jazz"] == [120.0]
    assert model.training["metrics"]["best_validation_bits_per_frame"] == pytest.approx(1000 / 22050 * 1024)
    assert (model.representation.sample_rate, model.representation.channels, model.architecture.dim) == (44_100, 2, 10)
    codes = np.random.default_rng(1).integers(0, 256, (COUNT + 1, 10))
    pace = 0.1137
    stepper = Stepper(model.weights, codes[:1])
    mix = np.eye(9, dtype=np.float32)[4]
    stepper.set_genre(mix)
    stepper.set_pace(pace, 0.0)
    ours = stepper.predict(codes[1:].astype(np.int16))
    beats = (np.arange(COUNT) + 0.5) * pace
    beat_phase = 1 + np.floor(beats % 1 * 32).astype(int)
    places, ago = modules["data"].beats_of(beat_phase, np.floor(beats))
    lookback_codes = np.where(ago[..., None] >= 0, codes[1:][np.maximum(ago, 0)], -1)
    conditions = [torch.from_numpy(np.asarray(x, np.int64))[None] for x in (beat_phase, places, lookback_codes)]
    x = torch.from_numpy(codes)[None]
    with torch.inference_mode():
        state = network.start[None]  # type: ignore[index]
        logits, _ = network(x[:, :-1], *conditions, torch.from_numpy(mix)[None], state, x[:, 1:])
    assert (lookback_codes >= 0).any() or COUNT * pace < 4
    assert np.abs(ours - logits[0].flatten(1).numpy()).max() < 1e-3


def test_options_without_a_counterpart_are_refused(modules: dict[str, ModuleType], tmp_path: Path) -> None:
    saved(modules, tmp_path, stack="lstm,mlstm")
    with pytest.raises(UsageError, match="mlstm"):
        modules["convert"].convert(tmp_path / "n.pt", {})
    saved(modules, tmp_path)
    with pytest.raises(UsageError, match="polka"):
        modules["convert"].convert(tmp_path / "n.pt", {"polka": [120.0]})
