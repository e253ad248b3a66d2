"""Free-running generation compared with an eager torch loop, one stream, one thread."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from noizenet.bench.figure import Measurement, time_alternately
from noizenet.model.architecture import Architecture, ModelOptions
from noizenet.model.factory import make_network
from noizenet.model.stepper import Stepper

EAGER_STEPS, OUR_STEPS = 1_500, 30_000
RATE = 22_050
TARGETS = {64: 10.0, 128: 5.0}


def measure(rounds: int) -> list[Measurement]:
    """Measure one LSTM layer with a 256-way output, sampled at every step."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        figures = []
        for hidden in (64, 128, 256):
            figures += _at(hidden, rounds)
        return figures
    finally:
        torch.set_num_threads(threads)


def _at(hidden: int, rounds: int) -> list[Measurement]:
    network = make_network(Architecture(ModelOptions(hidden=hidden), "classes", 256, 1, 0)).eval()
    stepper = Stepper(network, np.full((1, 1), 128))
    stepper.run(100)
    ours, eager, _ = time_alternately(lambda: stepper.run(OUR_STEPS), lambda: _eager(hidden, EAGER_STEPS), rounds)
    rate, eager_rate = OUR_STEPS / ours, EAGER_STEPS / eager
    detail = f"{rate:,.0f} against {eager_rate:,.0f} steps/s; {stepper.bytes_per_frame / 1e3:,.0f} kB of weights a step"
    figures = [
        Measurement(
            f"stepping, {hidden} hidden ÷ eager LSTMCell loop",
            rate / eager_rate,
            "×",
            TARGETS.get(hidden),
            detail=detail,
        )
    ]
    if hidden == 128:
        figures.append(
            Measurement("stepping, 128 hidden, real time at 22,050 Hz", rate / RATE, "×", 1.0, detail="one thread")
        )
    return figures


@torch.inference_mode()
def _eager(hidden: int, steps: int) -> None:
    embed, cell, head = nn.Embedding(256, 32), nn.LSTMCell(32, hidden), nn.Linear(hidden, 256)
    state = (torch.zeros(1, hidden), torch.zeros(1, hidden))
    x = torch.tensor([128])
    for _ in range(steps):
        state = cell(embed(x), state)
        x = torch.multinomial(torch.softmax(head(state[0]), -1), 1)[:, 0]
