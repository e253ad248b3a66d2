"""The public interface: functions for everything that the command line does.

The layers below do not import their neighbours. Where one needs another (generation uses the failure detector of
evaluation), this layer passes a function.
"""

from __future__ import annotations

from typing import Any

from noizenet.api.judging import aliveness, evaluate, reproduce, view
from noizenet.api.making import build_corpus, demo_corpus, export_onnx, fetch_corpus, figures, load_corpus, train
from noizenet.api.models import bundled_models, load_model
from noizenet.api.playing import Generated, Playing, generate, generate_batch, play, stream
from noizenet.audio.read import read
from noizenet.audio.waveform import Waveform
from noizenet.audio.write import write
from noizenet.corpus.corpus import Corpus
from noizenet.generation.controls import Controls

__all__ = [
    "Controls",
    "Corpus",
    "Generated",
    "Playing",
    "Waveform",
    "aliveness",
    "build_corpus",
    "bundled_models",
    "demo_corpus",
    "evaluate",
    "export_onnx",
    "fetch_corpus",
    "figures",
    "generate",
    "generate_batch",
    "load_corpus",
    "load_model",
    "play",
    "read",
    "reproduce",
    "stream",
    "train",
    "view",
    "write",
]


def __getattr__(name: str) -> Any:
    if name == "Model":  # loads torch
        from noizenet.store.model import Model

        return Model
    raise AttributeError(f"module 'noizenet.api' has no attribute {name!r}")
