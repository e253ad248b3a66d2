"""Initialise a network from another model's weights; genre embeddings are matched by name."""

from __future__ import annotations

import json
from dataclasses import fields

import torch

from noizenet.base.errors import UsageError
from noizenet.model.architecture import ModelOptions
from noizenet.model.network import Network
from noizenet.representation.base import Representation
from noizenet.store.model import Model

_CHANNEL_NAMES = {1: "mono", 2: "stereo"}
BEAT_PARTS = (
    "phase_embedding.",
    "head.phase_embedding.",
    "phrase_embedding.",
    "head.phrase_embedding.",
    "lookback.",
    "head.lookback.",
)
"""Parts conditioned on the beat. They are initialised to zero, so a model without them can be loaded."""


def load_initial_weights(model: Model, network: Network, representation: Representation, genres: list[str]) -> None:
    """Copy a model's weights into a new network.

    The embedding of a genre that the model was not trained on is the mean of its genre embeddings. A clock, a phrase
    embedding or lookbacks that the model lacks stay at their initial zeros.

    Raises
    ------
    UsageError
        If the model has another representation or another shape than the network.
    """
    channels, model_channels = representation.channels, model.representation.channels
    if channels != model_channels:
        raise UsageError(
            f"training.init_from: this corpus is {_CHANNEL_NAMES[channels]}, the model is "
            f"{_CHANNEL_NAMES[model_channels]}; build the corpus again with --channels {model_channels}, or train from "
            "random weights: --set training.init_from="
        )
    if representation.name != model.representation.name:
        raise UsageError(
            f"training.init_from: the model's representation is {model.representation.name!r}, the configuration's is "
            f"{representation.name!r}; give --set representation.name={model.representation.name}, or train from "
            "random weights: --set training.init_from="
        )
    if not representation.same_frames(model.representation):
        raise UsageError(
            f"training.init_from: the model's representation is {model.representation.name!r} with other settings than "
            "the configuration's, so its weights do not fit; train from random weights: --set training.init_from="
        )
    arrays = {k: torch.from_numpy(v) for k, v in model.weights.arrays.items()}
    if (genre_rows := arrays.pop("genre.weight", None)) is not None and "genre.weight" in network.state_dict():
        rows = [genre_rows[model.genres.index(g)] if g in model.genres else genre_rows.mean(0) for g in genres]
        arrays["genre.weight"] = torch.stack(rows)
    arrays = {k: v for k, v in network.state_dict().items() if k.startswith(BEAT_PARTS)} | arrays
    shapes = {k: v.shape for k, v in network.state_dict().items()}
    if {k: v.shape for k, v in arrays.items()} != shapes:
        raise UsageError(
            "training.init_from: the model has another shape than the network to train; give "
            f"{_assignments(network.architecture.options, model.architecture.options)}, or train from random weights: "
            "--set training.init_from="
        )
    network.load_state_dict(arrays)


def _assignments(own: ModelOptions, given: ModelOptions) -> str:
    """Return the ``--set`` assignments that turn the options `own` into `given`."""
    changed = [f.name for f in fields(own) if getattr(own, f.name) != getattr(given, f.name)]
    values = {name: json.dumps(getattr(given, name)) for name in changed}
    return " ".join(f"--set model.{name}={value}" for name, value in values.items()) or "a corpus with as many genres"
