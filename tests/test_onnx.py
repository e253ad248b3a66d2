"""Exported graphs in onnxruntime agree with the compiled stepper and the NumPy decoder."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import noizenet
from noizenet.base.errors import UsageError
from noizenet.model.stepper import Stepper
from noizenet.representation.codec_kernel import packed
from noizenet.representation.codec_network import embed
from noizenet.representation.codec_weights import load_codec
from noizenet.store.model import load

ort = pytest.importorskip("onnxruntime")
pytest.importorskip("onnxscript")


@pytest.fixture(scope="module")
def graphs(token_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("onnx")
    noizenet.export_onnx(token_model, folder)
    return folder


def test_a_sequence_of_frames_has_the_same_logits(token_model: Path, graphs: Path) -> None:
    model = load(token_model)
    about = json.loads((graphs / "model.json").read_text())
    stack, depth = (ort.InferenceSession(graphs / f"{n}.onnx") for n in ("stack", "depth"))
    codes = np.random.default_rng(0).integers(0, about["levels"], (200, about["codebooks"]))
    mix = np.array([[0.4, 0.3, 0.2, 0.1]], np.float32)
    stepper = Stepper(model.weights, model.representation.silence())
    stepper.set_genre(mix[0])
    assert about["clock"] == 32
    pace = 0.093
    stepper.set_pace(pace)
    compiled = stepper.predict(codes.astype(np.int16))
    state = np.array([about["start_state"]], np.float32)
    last = np.array([about["first_codes"]], np.int64)
    for t in range(200):
        phase = np.array([1 + int((t + 0.5) * pace % 1 * 32)])
        h, state = stack.run(None, {"codes": last, "state": state, "tick": phase})
        last = codes[t : t + 1].astype(np.int64)
        (logits,) = depth.run(None, {"h": h, "codes": last, "mix": mix, "tick": phase})
        assert np.abs(logits[0] - compiled[t]).max() < 1e-4


def test_the_decoder_agrees_for_a_batch(token_model: Path, codec: Path, graphs: Path) -> None:
    weights = load_codec(str(codec))
    shape = weights.shape
    size = shape.decoder_past + 1 + shape.decoder_ahead
    codes = np.random.default_rng(1).integers(0, shape.levels, (7, size, shape.codebooks))
    windows = embed(codes.reshape(-1, shape.codebooks), weights).reshape(7, -1)
    middle, spread = packed(weights).decode(windows)
    exported = ort.InferenceSession(graphs / "decoder.onnx").run(None, {"codes": codes})
    assert np.abs(exported[0].reshape(middle.shape) - middle).max() < 1e-4
    assert np.abs(exported[1].reshape(spread.shape) / spread - 1).max() < 1e-4


def test_other_models_are_refused(sample_model: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="token-lstm"):
        noizenet.export_onnx(sample_model, tmp_path)


def test_the_command_lists_its_files(
    token_model: Path, tmp_path: Path, cli: Callable[..., tuple[int, str, str]]
) -> None:
    code, out, _ = cli("export", token_model, tmp_path / "out", "--json")
    assert code == 0
    assert {Path(f).name for f in json.loads(out)["files"]} == {
        "stack.onnx", "depth.onnx", "decoder.onnx", "model.json"
    }  # fmt: skip
