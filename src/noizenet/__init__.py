"""noizenet: recurrent networks that learn music from recordings and play new music.

The whole public interface lies in :mod:`noizenet.api` and is also reachable from here::

    import noizenet

    corpus = noizenet.build_corpus("my-album", "corpus")
    noizenet.train(corpus, "model", model="sample-lstm", minutes=5)
    noizenet.generate("model", "new.wav", seconds=60)

Importing this package loads no heavy library and changes nothing global.
"""

from __future__ import annotations

from typing import Any

from noizenet._version import __version__

_API = (
    "Controls", "Corpus", "Model", "Waveform",
    "build_corpus",
    "bundled_models", "demo_corpus", "fetch_corpus", "load_corpus", "load_model",
    "train", "generate", "generate_batch", "Generated", "stream", "play", "Playing", "reproduce", "evaluate",
    "export_onnx", "figures", "view", "aliveness", "read", "write",
)  # fmt: skip

__all__ = ["__version__", *_API]  # noqa: PLE0604 - names from api.py, loaded on first use


def __getattr__(name: str) -> Any:
    if name in _API:
        import importlib

        return getattr(importlib.import_module("noizenet.api"), name)
    raise AttributeError(f"module 'noizenet' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
