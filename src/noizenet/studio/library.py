"""The available models: bundled, given at the start, or trained in the studio.

A model takes some 70 MB and is read in a second. Models in use are in memory once each, and so is the last one.
"""

from __future__ import annotations

import json
import threading
import weakref
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from noizenet.base.bundled import bundled
from noizenet.base.errors import UsageError, suggest
from noizenet.model.stepper import Stepper
from noizenet.store.model import ABOUT, MAX_ABOUT_BYTES, Model, load
from noizenet.studio.memory import release_memory
from noizenet.studio.refusals import check_sendable, without_paths
from noizenet.studio.settings import Settings


@dataclass
class _Loaded:
    modified: float
    model: Model

    @cached_property
    def packed(self) -> Stepper:
        return Stepper(self.model.weights, self.model.representation.silence())


class Library:
    """Finds and loads models by name.

    Parameters
    ----------
    settings : Settings
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._loaded: dict[str, _Loaded] = {}
        self._in_use_refs: dict[str, tuple[float, weakref.ref[Model], weakref.ref[Stepper]]] = {}
        self._lock = threading.Lock()

    def folders(self) -> dict[str, Path]:
        """Return the folder of each model, by name."""
        found = {p.name: p for p in sorted(self._settings.folder("models").iterdir()) if (p / ABOUT).is_file()}
        return {**bundled("models"), **{p.resolve().name: p for p in self._settings.models}, **found}

    def describe(self) -> list[dict[str, Any]]:
        """Return the properties of each model, or the problem of a model that cannot be read."""
        return [_about(name, folder) for name, folder in self.folders().items()]

    def folder(self, name: str) -> Path:
        """Return a model's folder.

        Raises
        ------
        UsageError
            If there is no such model.
        """
        folders = self.folders()
        if name not in folders:
            raise UsageError(f"unknown model {name[:80]!r}: {suggest(name, list(folders))}")
        return folders[name]

    def load(self, name: str) -> Model:
        """Return a model; a model that has changed on disk is read again."""
        return self._entry(name).model

    def packed(self, name: str) -> tuple[Model, Stepper]:
        """Return a model and its packed weights, which all listeners share."""
        entry = self._entry(name)
        with self._lock:
            self._in_use_refs[name] = entry.modified, weakref.ref(entry.model), weakref.ref(entry.packed)
            return entry.model, entry.packed

    def _entry(self, name: str) -> _Loaded:
        folder = self.folder(name)
        modified = (folder / ABOUT).stat().st_mtime if folder.is_dir() else folder.stat().st_mtime
        with self._lock:
            loaded = self._loaded.get(name)
            if loaded is None or loaded.modified != modified:
                self._loaded.clear()  # before the next one is read, so that only one is in memory
                self._loaded[name] = self._find_in_use(name, modified) or self._read(folder, modified)
            return self._loaded[name]

    def _find_in_use(self, name: str, modified: float) -> _Loaded | None:
        """Return a model that an instrument still uses."""
        previous, model_ref, packed_ref = self._in_use_refs.get(name, (0.0, _nothing, _nothing))
        model, packed = model_ref(), packed_ref()
        if previous != modified or model is None or packed is None:
            return None
        entry = _Loaded(modified, model)
        entry.__dict__["packed"] = packed
        return entry

    def _read(self, folder: Path, modified: float) -> _Loaded:
        release_memory()
        return _Loaded(modified, load(folder))


def _nothing() -> None:
    return None


def _about(name: str, folder: Path) -> dict[str, Any]:
    try:
        path = folder / ABOUT
        if path.stat().st_size > MAX_ABOUT_BYTES:
            raise ValueError("model.json is too large")
        about = json.loads(path.read_bytes())
        options = about["architecture"]["options"]
        genres = [str(genre) for genre in about["genres"]]
        found = {
            "name": name, "genres": genres, "sample_rate": about["representation"]["sample_rate"],
            "head": options["head"], "clock": options.get("clock", 0),
            "told": bool(options["genre_embedding"] and genres),
            "minutes": about.get("training", {}).get("metrics", {}).get("minutes"),
            "licence": about.get("training", {}).get("corpus", {}).get("licence", ""),
        }  # fmt: skip
        check_sendable(found)
        return found
    # The file is untrusted: whatever is in it, the other models are listed.
    except (OSError, ValueError, LookupError, TypeError, AttributeError, ArithmeticError, RecursionError) as error:
        problem = without_paths(f"{type(error).__name__}: {error}", [folder.parent])[:200]
        return {"name": _escaped(name), "problem": f"cannot be read ({_escaped(problem)})"}


def _escaped(text: str) -> str:
    """Return a text with backslash escapes for what is not Unicode (undecodable file names, lone surrogates)."""
    return text.encode("utf-8", "backslashreplace").decode()
