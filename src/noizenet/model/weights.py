"""A network's numbers without the network: what playing needs of it, without loading torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from noizenet.model.architecture import Architecture

if TYPE_CHECKING:
    from noizenet.model.network import Network

F32 = NDArray[np.float32]
Shapes = dict[str, tuple[int, ...]]
GATES = {"rnn": 1, "lstm": 4, "gru": 3}
SKETCH_CLASSES = (48, 24)
"""Classes of level and of brightness; see :mod:`noizenet.model.sketch`."""

LEVEL_STEP_DB, LEVEL_LOW_DB = 1.5, -72.0


@dataclass(frozen=True)
class Weights:
    """An architecture and its arrays, named as in the network's ``state_dict``."""

    architecture: Architecture
    arrays: dict[str, F32]

    def __getitem__(self, name: str) -> F32:
        return self.arrays[name]

    def get(self, name: str) -> F32 | None:
        """Return an array, or None where this network has no such part."""
        return self.arrays.get(name)

    @classmethod
    def of(cls, network: Network) -> Weights:
        """Copy a network's numbers."""
        arrays = {k: np.array(v.detach().float().cpu().numpy(), np.float32) for k, v in network.state_dict().items()}
        return cls(network.architecture, arrays)


def expected_shapes(architecture: Architecture) -> Shapes:
    """Return the shape of every array of a network, by name (compared with the networks in tests/test_store.py)."""
    return _tiered(architecture) if architecture.options.tiers else _plain(architecture)


def _linear(name: str, outputs: int, inputs: int, *, bias: bool = True) -> Shapes:
    weight: Shapes = {f"{name}.weight": (outputs, inputs)}
    return weight | {f"{name}.bias": (outputs,)} if bias else weight


def _cell(name: str, gates: int, inputs: int, hidden: int) -> Shapes:
    rows = gates * hidden
    return {
        f"{name}.kernel.weight_ih_l0": (rows, inputs), f"{name}.kernel.weight_hh_l0": (rows, hidden),
        f"{name}.kernel.bias_ih_l0": (rows,), f"{name}.kernel.bias_hh_l0": (rows,),
    }  # fmt: skip


def _plain(a: Architecture) -> Shapes:
    o = a.options
    shapes: Shapes = {}
    if a.kind == "classes":
        shapes["frame.weight"] = (a.levels, o.embedding)
    if a.genre_size:
        shapes["genre.weight"] = (a.genres, a.genre_size)
    for i in range(o.layers):
        inputs = o.hidden if i else a.frame_size + a.genre_size
        shapes |= _cell(f"stack.cells.{i}", GATES[o.cell], inputs, o.hidden)
    return shapes | _linear("head.linear", a.outputs, o.hidden)


def _tiered(a: Architecture) -> Shapes:
    o, slowest = a.options, len(a.options.tiers) - 1
    shapes: Shapes = {"values": (a.levels,)}
    if a.genre_size:
        shapes["genre.weight"] = (a.genres, a.genre_size)
    below, lower = 1, o.width
    for k, (samples, hidden) in enumerate(o.tiers):
        name = f"tiers.{k}"
        heard = 2 * samples * o.tier_context + (2 if o.sketch and k == slowest else 0)
        shapes |= _linear(f"{name}.frame", o.tier_inputs, heard)
        if a.genre_size:
            shapes |= _linear(f"{name}.genre", o.tier_inputs, a.genre_size, bias=False)
        shapes |= _cell(f"{name}.cell", GATES[o.cell], o.tier_inputs, hidden)
        shapes[f"{name}.start"] = (2 if o.cell == "lstm" else 1, hidden)
        shapes |= _linear(f"{name}.speak", samples // below * lower, hidden)
        below, lower = samples, o.tier_inputs
    if o.sketch:
        levels, brights = SKETCH_CLASSES
        shapes |= _linear("sketch.level", levels, o.tiers[-1][1]) | _linear("sketch.bright", brights, o.tiers[-1][1])
        shapes["sketch.bright_at.weight"] = (levels, brights)
        for i in range(slowest + 1):
            size = o.width if i == slowest else o.tier_inputs
            shapes[f"sketch.tell_level.{i}.weight"] = (levels, size)
            shapes[f"sketch.tell_bright.{i}.weight"] = (brights, size)
    shapes |= _linear("latest", o.width, 2 * o.lookback + (3 if a.lpc else 0))
    for i in range(o.embedded):
        shapes[f"tables.{i}.weight"] = (a.levels, o.width)
    if a.genre_size:
        shapes |= _linear("colour", o.width, a.genre_size, bias=False)
    for i in range(o.depth):
        shapes |= _linear(f"layers.{i}", o.width, o.width)
    shapes |= _linear("head.linear", a.outputs, o.width)
    if a.order:
        shapes["taps"] = (a.order,)
        if o.prediction == "adaptive":
            shapes |= _linear("adapt", a.order, o.tiers[0][1])
    return shapes
