"""The displayed gates and states are those of the network's next step."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from test_clock import PHASES, make
from test_stepper import make as make_plain
from test_stepper import start
from test_tokens import BOOKS
from test_tokens import make as make_tokens

from noizenet.generation.gates import OPS, SHOWN, visible
from noizenet.model import CELLS
from noizenet.model.cells.description import Cell
from noizenet.model.stepper import Stepper
from noizenet.model.weights import Weights

ROUNDED = 6e-4
"""Displayed values are rounded to three decimals."""


@settings(max_examples=25, deadline=None)
@given(
    pace=st.sampled_from([0.0, 0.01, 0.07, 0.5]),
    phase=st.floats(0, 0.999),
    played=st.integers(0, 40),
    dilations=st.sampled_from([(1, 1), (2, 1), (3, 2)]),
)
def test_the_displayed_gates_give_the_next_state(
    pace: float, phase: float, played: int, dilations: tuple[int, int]
) -> None:
    network = make(dilations=dilations)
    weights = Weights.of(network)
    stepper = Stepper(weights, np.zeros((1, BOOKS)), seed=played)
    stepper.set_pace(pace, phase)
    if played:
        stepper.run(played)
    shown = {name: np.array(part) for name, part in visible(stepper, weights).items()}
    clock = stepper.engine.memory["clock"].copy()
    before = stepper.engine.memory["c"][0][:SHOWN].copy()  # the oldest state of the bottom layer's queue
    assert (visible(stepper, weights)["i"] == shown["i"]).all()
    np.testing.assert_array_equal(stepper.engine.memory["clock"], clock)  # display does not advance the clock
    stepper.run(1)
    newest = dilations[0] - 1
    after_c, after_h = (stepper.engine.memory[k][newest][:SHOWN] for k in "ch")
    expected = shown["f"] * before + shown["i"] * shown["g"]
    assert np.abs(expected - after_c).max() < 4 * ROUNDED
    assert np.abs(shown["o"] * np.tanh(after_c) - after_h).max() < ROUNDED
    top = visible(stepper, weights)
    assert np.abs(np.array(top["h"]) - stepper.engine.memory["h"][-1][:SHOWN]).max() < ROUNDED


def test_the_gates_equal_those_of_the_torch_network() -> None:
    network = make()
    weights = Weights.of(network)
    stepper = Stepper(weights, np.zeros((1, BOOKS)), seed=3)
    stepper.set_pace(0.05, 0.3)
    codes = stepper.run(30)
    stepper = Stepper(weights, np.zeros((1, BOOKS)), seed=3)
    stepper.set_pace(0.05, 0.3)
    stepper.run(29)
    shown = visible(stepper, weights)
    assert network.phase_embedding is not None
    beats = (0.3 + (np.arange(30) + 0.5) * 0.05) % 1
    beat_phase = torch.from_numpy(1 + np.floor(beats * PHASES).astype(int))[None]
    before = torch.from_numpy(np.concatenate([np.zeros((1, BOOKS)), codes[:-1]]).astype(np.int64))[None]
    with torch.inference_mode():
        x = network.embed_inputs(before, beat_phase)
        queues = network.stack.queues(network.start_state(1))
        _, after = network.stack(x[:, :29], queues)
        cell = network.stack.layers()[0].kernel
        z = x[0, 29] @ cell.weight_ih_l0.T + cell.bias_ih_l0 + after[0, 0, 0] @ cell.weight_hh_l0.T + cell.bias_hh_l0
        i, f, g, o = z.chunk(4)
        whole = {
            "i": i.sigmoid(),
            "f": f.sigmoid(),
            "g": g.tanh(),
            "o": o.sigmoid(),
            "h": after[-1, 0, 0],
            "c": after[-1, 1, 0],
        }
    for name, part in whole.items():
        assert np.abs(np.array(shown[name]) - part[:SHOWN].numpy()).max() < ROUNDED, name


@pytest.mark.parametrize("name", CELLS)
def test_the_gates_of_every_cell_give_its_next_state(name: str) -> None:
    cell: Cell = CELLS.load(name)
    network = make_tokens(name, 2)
    weights = Weights.of(network)
    stepper = Stepper(weights, np.zeros((1, BOOKS)), seed=4)
    stepper.run(25)
    shown = {part: np.array(values) for part, values in visible(stepper, weights).items()}
    assert set(shown) == {*cell.states, *cell.gates}
    before = [stepper.engine.memory[state][0][:SHOWN].copy() for state in cell.states]
    expected = cell.next_states([shown[gate] for gate in cell.gates], before, OPS)
    stepper.run(1)
    for state, wanted in zip(cell.states, expected, strict=True):
        assert np.abs(stepper.engine.memory[state][0][:SHOWN] - wanted).max() < 6 * ROUNDED, state


@pytest.mark.parametrize("kind", ["classes", "vectors"])
def test_other_networks_display_their_state(kind: str) -> None:
    network = make_plain("lstm", 2, kind)
    weights = Weights.of(network)
    stepper = Stepper(weights, start(network), seed=1)
    stepper.run(20)
    shown = visible(stepper, weights)
    assert set(shown) == {"h", "c"}
    assert len(shown["h"]) == 20
    assert np.abs(np.array(shown["h"]) - np.ravel(stepper.engine.memory["h"])[-20:]).max() < ROUNDED
