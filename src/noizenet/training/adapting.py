"""Beginning from another model's weights: what it knows of music goes over, its genres by name."""

from __future__ import annotations

import json
from dataclasses import fields

import torch

from noizenet.base.errors import UsageError
from noizenet.model.architecture import ModelOptions
from noizenet.model.network import Network
from noizenet.representation.base import Representation
from noizenet.store.model import Model

_SPOKEN = {1: "mono", 2: "stereo"}
BEAT_PARTS = (
    "phase_embedding.",
    "head.phase_embedding.",
    "phrase_embedding.",
    "head.phrase_embedding.",
    "lookback.",
    "head.lookback.",
)
"""Parts that hear of time, and add nothing before they are trained."""


def begin_from(model: Model, network: Network, representation: Representation, genres: list[str]) -> None:
    """Copy a model's weights into a fresh network.

    A genre that the model does not know begins as the mean of those it knows; a clock, a phrase or lookbacks that
    it has not begin unheard.

    Raises
    ------
    UsageError
        If the model hears other frames than the network, or has another shape.
    """
    mine, theirs = representation.channels, model.representation.channels
    if mine != theirs:
        raise UsageError(
            f"training.init_from: this corpus is {_SPOKEN[mine]}, the weights to begin with are {_SPOKEN[theirs]}; "
            f"build it again with --channels {theirs}, or begin without weights: --set training.init_from="
        )
    if representation.name != model.representation.name:
        raise UsageError(
            f"training.init_from: that model's representation is {model.representation.name!r}, this one's is "
            f"{representation.name!r}; give --set representation.name={model.representation.name}, or leave the model "
            "out with --set training.init_from="
        )
    if not representation.same_frames(model.representation):
        raise UsageError(
            f"training.init_from: that model's representation is {model.representation.name!r} with other settings "
            "than this one's: its weights mean something else; leave it out with --set training.init_from="
        )
    arrays = {k: torch.from_numpy(v) for k, v in model.weights.arrays.items()}
    if (known := arrays.pop("genre.weight", None)) is not None and "genre.weight" in network.state_dict():
        rows = [known[model.genres.index(g)] if g in model.genres else known.mean(0) for g in genres]
        arrays["genre.weight"] = torch.stack(rows)
    arrays = {k: v for k, v in network.state_dict().items() if k.startswith(BEAT_PARTS)} | arrays
    shapes = {k: v.shape for k, v in network.state_dict().items()}
    if {k: v.shape for k, v in arrays.items()} != shapes:
        raise UsageError(
            "training.init_from: that model has another shape than the one to be trained; give "
            f"{_settings(network.architecture.options, model.architecture.options)}, or leave it out with "
            "--set training.init_from="
        )
    network.load_state_dict(arrays)


def _settings(mine: ModelOptions, theirs: ModelOptions) -> str:
    """Return the assignments that make options of a network those of another."""
    changed = [f.name for f in fields(mine) if getattr(mine, f.name) != getattr(theirs, f.name)]
    values = {name: json.dumps(getattr(theirs, name)) for name in changed}
    return " ".join(f"--set model.{name}={value}" for name, value in values.items()) or "a corpus of as many genres"
