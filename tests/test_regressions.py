"""Faults that the harness found (make robust), each minimised; the inputs are made by code."""

from __future__ import annotations

import json
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import die_while_writing

from noizenet.base.errors import ModelError, TrainingError
from noizenet.base.files import temporary_name
from noizenet.store.model import load
from noizenet.training import checkpoint
from robustness import fuzz_audio, sounds

RECORDINGS: list[tuple[str, list[Any]]] = [
    ("flac", [["lie", 32355, 4, 2147483647, "big"]]),  # FFmpeg's parser dropped the frame silently
    ("flac", [["flip", [[27870, 0]]]]),
    ("aifc", [["drop", 56, 193], ["splice", "w64", 47]]),  # a chunk claimed a size of 2**63
    ("ac3", [["set", [[1449, 157], [180, 98]]]]),  # loss before the first good frame was not reported
]


@pytest.mark.parametrize(("name", "operations"), RECORDINGS)
def test_recordings(name: str, operations: list[Any]) -> None:
    task = {"format": name, "operations": operations, "how": "read", "duration": True}
    kind, text = fuzz_audio.attempt(task, sounds.good_files())
    assert kind == "refused" or "lost" in text, text


def test_partial_files_of_a_killed_process_are_removed(tmp_path: Path) -> None:
    die_while_writing(tmp_path / "a.wav")
    assert len(list(tmp_path.iterdir())) == 1
    ours = temporary_name(tmp_path / "b.wav")
    assert list(tmp_path.iterdir()) == []
    ours.touch()
    again = "import sys; from pathlib import Path; from noizenet.base.files import write_text; write_text(Path(sys.argv[1]), 'x')"
    subprocess.run([sys.executable, "-c", again, str(tmp_path / "c.wav")], check=True)
    assert ours.exists(), "partial files of a running process stay"
    ours.unlink()


Change = Callable[[dict[str, Any]], object]
DESCRIPTIONS: dict[str, Change] = {
    "options are no mapping": lambda d: d["architecture"].update(options=7),
    "tempi are no lists": lambda d: d["training"].update(tempi={"a": [[1.0]]}),
    "tempi are no mapping": lambda d: d["training"].update(tempi=[1.0]),
    "metrics are no mapping": lambda d: d["training"].update(metrics=3),
    "a metric is no number": lambda d: d["training"]["metrics"].update(best_validation_bits_per_frame="x"),
}


@pytest.mark.parametrize("what", DESCRIPTIONS)
def test_model_descriptions(what: str, paper_model: Path, tmp_path: Path) -> None:
    about = json.loads((paper_model / "model.json").read_text())
    DESCRIPTIONS[what](about)
    (tmp_path / "model.json").write_text(json.dumps(about))
    (tmp_path / "model.safetensors").write_bytes((paper_model / "model.safetensors").read_bytes())
    with pytest.raises(ModelError, match="damaged"):
        load(tmp_path)


def test_a_deeply_nested_description(paper_model: Path, tmp_path: Path) -> None:
    (tmp_path / "model.json").write_text("[" * 200_000)
    (tmp_path / "model.safetensors").write_bytes((paper_model / "model.safetensors").read_bytes())
    with pytest.raises(ModelError, match="damaged"):
        load(tmp_path)


def test_a_damaged_zip(paper_model: Path, tmp_path: Path) -> None:
    path = tmp_path / "model.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as bundle:
        for name in ("model.json", "model.safetensors"):
            bundle.write(paper_model / name, name)
    data = bytearray(path.read_bytes())
    for at in range(60, len(data) - 400, max(1, len(data) // 60)):
        path.write_bytes(data[:at] + b"\xff" * 40 + data[at + 40 :])
        with pytest.raises(ModelError):
            load(path)


@pytest.mark.parametrize("change", [lambda t, n: t["w"].add_(1e-3), lambda t, n: n.update(step=4)])
def test_a_changed_checkpoint(change: Callable[[Any, Any], object], tmp_path: Path) -> None:
    from safetensors.torch import save_file

    checkpoint.write(tmp_path, {"w": torch.ones(3), "e": torch.zeros(0), "s": torch.tensor(2.0)}, {"step": 3})
    tensors, numbers = checkpoint.read(tmp_path) or ({}, {})
    assert numbers["step"] == 3
    with (tmp_path / checkpoint.NAME).open("rb") as handle:
        size = int.from_bytes(handle.read(8), "little")
        metadata = json.loads(handle.read(size))["__metadata__"]
    change(tensors, numbers)
    save_file(tensors, tmp_path / checkpoint.NAME, {**metadata, "noizenet": json.dumps(numbers)})
    with pytest.raises(TrainingError, match="damaged"):
        checkpoint.read(tmp_path)
