"""A network's weights as arrays: all that generation needs, without loading torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from noizenet.model.architecture import Architecture
from noizenet.model.cells.description import Cell
from noizenet.model.features import COARSE

if TYPE_CHECKING:
    from torch import Tensor

    from noizenet.model.network import Network

F32 = NDArray[np.float32]
Shapes = dict[str, tuple[int, ...]]


@dataclass(frozen=True)
class Weights:
    """An architecture and its arrays, named as in the network's ``state_dict``."""

    architecture: Architecture
    arrays: dict[str, F32]

    def __getitem__(self, name: str) -> F32:
        return self.arrays[name]

    def get(self, name: str) -> F32 | None:
        """Return an array, or None if this network does not have it."""
        return self.arrays.get(name)

    @classmethod
    def of(cls, network: Network) -> Weights:
        """Copy a network's weights."""
        return cls.of_state(network.architecture, network.state_dict())

    @classmethod
    def of_state(cls, architecture: Architecture, state: dict[str, Tensor]) -> Weights:
        """Copy the weights of a network's ``state_dict``."""
        return cls(architecture, {k: np.array(v.detach().float().cpu().numpy(), np.float32) for k, v in state.items()})


def expected_shapes(architecture: Architecture) -> Shapes:
    """Return the shape of every array of a network by name; tests/test_store.py compares it with the networks."""
    if architecture.tokens:
        return _tokens(architecture)
    return _tiered(architecture) if architecture.options.tiers else _plain(architecture)


def _linear(name: str, outputs: int, inputs: int, *, bias: bool = True) -> Shapes:
    weight: Shapes = {f"{name}.weight": (outputs, inputs)}
    return weight | {f"{name}.bias": (outputs,)} if bias else weight


def _layer(name: str, cell: Cell, inputs: int, hidden: int) -> Shapes:
    return {f"{name}.kernel.{part}": shape for part, shape in cell.arrays(inputs, hidden).items()}


def _plain(a: Architecture) -> Shapes:
    o, cell = a.options, a.cell
    shapes: Shapes = {}
    if a.kind == "classes":
        shapes["frame.weight"] = (a.levels, o.embedding)
    if a.genre_size:
        shapes["genre.weight"] = (a.genres, a.genre_size)
    for i in range(o.layers):
        inputs = o.hidden if i else a.frame_size + a.genre_size
        shapes |= _layer(f"stack.cells.{i}", cell, inputs, o.hidden)
    return shapes | _linear("head.linear", a.outputs, o.hidden)


def _tokens(a: Architecture) -> Shapes:
    o, cell = a.options, a.cell
    shapes: Shapes = {f"codes.{k}.weight": (a.levels, o.embedding) for k in range(a.dim)}
    if a.genre_size:
        shapes["genre.weight"] = (a.genres, a.genre_size)
    if o.clock:
        shapes["phase_embedding.weight"] = (o.clock + 1, o.embedding)
        shapes |= {f"head.phase_embedding.{k}.weight": (o.clock + 1, o.depth_width) for k in range(a.dim)}
    if o.phrase:
        shapes["phrase_embedding.weight"] = (o.phrase + 1, o.embedding)
        shapes |= {f"head.phrase_embedding.{k}.weight": (o.phrase + 1, o.depth_width) for k in range(a.dim)}
    if o.lookback_beats:
        shapes |= _linear("lookback", o.embedding, len(o.lookback_beats) * o.embedding, bias=False)
        tables = len(o.lookback_beats) * a.dim
        shapes |= {f"head.lookback.{i}.weight": (a.levels + 1, o.depth_width) for i in range(tables)}
    for i in range(o.layers):
        shapes |= _layer(f"stack.cells.{i}", cell, o.hidden if i else o.embedding, o.hidden)
    shapes["start"] = (o.layers, len(cell.states), o.hidden)
    for k in range(a.dim):
        shapes |= _linear(f"head.in_proj.{k}", o.depth_width, o.hidden) | _linear(
            f"head.out_proj.{k}", a.levels, o.depth_width
        )
        if a.genre_size:
            shapes |= _linear(f"head.genre_proj.{k}", o.depth_width, a.genre_size, bias=False)
        if o.depth_block == "gated":
            shapes[f"head.norm.{k}"] = (o.depth_width,)
            shapes |= _linear(f"head.up.{k}", 2 * o.depth_width, o.depth_width, bias=False)
            shapes |= _linear(f"head.down.{k}", o.depth_width, o.depth_width, bias=False)
    return shapes | {f"head.code_embeddings.{i}.weight": (a.levels, o.depth_width) for i in range(a.n_code_tables)}


def _tiered(a: Architecture) -> Shapes:
    o, cell = a.options, a.cell
    shapes: Shapes = {"values": (a.levels,)}
    if a.genre_size:
        shapes["genre.weight"] = (a.genres, a.genre_size)
    for k, tier in enumerate(a.tiers):
        name = f"tiers.{k}"
        shapes |= _linear(f"{name}.frame", o.tier_inputs, tier.input_size)
        if a.genre_size:
            shapes |= _linear(f"{name}.genre", o.tier_inputs, a.genre_size, bias=False)
        shapes |= _layer(f"{name}.cell", cell, o.tier_inputs, tier.hidden)
        shapes[f"{name}.start"] = (len(cell.states), tier.hidden)
        shapes |= _linear(f"{name}.out_proj", tier.ratio * tier.lower, tier.hidden)
    if o.coarse_features:
        shapes["coarse.logit_bias"] = (len(COARSE), a.n_bias_rows, COARSE[0].classes)
        for s, scale in enumerate(COARSE):
            shapes |= _linear(f"coarse.out_proj.{s}", scale.classes, o.tiers[-1][1])
            if s:
                shapes[f"coarse.previous.{s - 1}.weight"] = (COARSE[s - 1].classes, scale.classes)
            for i, size in enumerate(a.condition_sizes):
                shapes[f"coarse.embeddings.{s}.{i}.weight"] = (scale.classes, size)
    shapes |= _linear("latest", o.width, a.latest_size)
    for i in range(o.embedded):
        shapes[f"tables.{i}.weight"] = (a.levels, o.width)
    if a.genre_size:
        shapes |= _linear("genre_proj", o.width, a.genre_size, bias=False)
    for i in range(o.depth):
        shapes |= _linear(f"layers.{i}", o.width, o.width)
    shapes |= _linear("head.linear", a.outputs, o.width)
    if a.order:
        shapes["taps"] = (a.order,)
        if o.prediction == "adaptive":
            shapes |= _linear("adapt", a.order, o.tiers[0][1])
    return shapes
