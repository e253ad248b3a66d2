"""The sketch: how loud and how bright the next few milliseconds will be, drawn before their samples.

Sample by sample, nothing in the likelihood holds the level of music: a filter driven by noise in proportion to what
it hears is as content twice as loud, so that a network that plays to itself drifts to full scale or to silence over
seconds, by steps that cost it nothing. The slowest tier therefore first says, as two categorical distributions, the
level and the brightness of the samples of its coming step, and everything below is told what was drawn. Both are
functions of those samples, so that P(samples) = P(sketch) P(samples | sketch): bits stay exact, and are counted.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from noizenet.model.features import NEPERS
from noizenet.model.weights import LEVEL_LOW_DB, LEVEL_STEP_DB, SKETCH_CLASSES

LEVEL_CLASSES, BRIGHT_CLASSES = SKETCH_CLASSES
BRIGHT_STEP_DB, BRIGHT_LOW_DB = 2.0, -42.0


def measure(samples: Tensor) -> Tensor:
    """Return level and brightness of stretches of samples, [..., N] → [..., 2], in dB.

    The level is the mean square (0 dB: full scale), the brightness the mean square of differences of neighbours over
    it, which rises with the spectrum's centre of gravity.
    """
    power = samples.square().mean(-1)
    change = (samples[..., 1:] - samples[..., :-1]).square().mean(-1)
    level = 10 * torch.log10(power + 1e-9)
    return torch.stack([level, 10 * torch.log10((change + 1e-12) / (power + 1e-9))], -1)


def classify(measured: Tensor) -> Tensor:
    """Return the classes [..., 2] of measures [..., 2]."""
    level = ((measured[..., 0] - LEVEL_LOW_DB) / LEVEL_STEP_DB).floor().clamp(0, LEVEL_CLASSES - 1)
    bright = ((measured[..., 1] - BRIGHT_LOW_DB) / BRIGHT_STEP_DB).floor().clamp(0, BRIGHT_CLASSES - 1)
    return torch.stack([level, bright], -1).long()


def log_rms(level_class: Tensor) -> Tensor:
    """Return the natural logarithm of the root mean square that the middle of a class of levels stands for."""
    return (LEVEL_LOW_DB + (level_class + 0.5) * LEVEL_STEP_DB) * NEPERS


def scale(measured: Tensor) -> Tensor:
    """Return measures as a layer likes them, about -1 to 1."""
    return torch.stack([measured[..., 0] / 30 + 1, measured[..., 1] / 15 + 1], -1)


class Sketch(nn.Module):
    """Predicts the sketch and tells it.

    Parameters
    ----------
    hidden : int
        Units of the slowest tier.
    sizes : list of int
        Size of each layer that is told: the lower tiers', fastest first, then the per-sample network's.
    """

    def __init__(self, hidden: int, sizes: list[int]) -> None:
        super().__init__()
        self.level = nn.Linear(hidden, LEVEL_CLASSES)
        self.bright = nn.Linear(hidden, BRIGHT_CLASSES)
        self.bright_at = nn.Embedding(LEVEL_CLASSES, BRIGHT_CLASSES)
        nn.init.zeros_(self.bright_at.weight)
        self.tell_level = nn.ModuleList(_ordered(LEVEL_CLASSES, size) for size in sizes)
        self.tell_bright = nn.ModuleList(_ordered(BRIGHT_CLASSES, size) for size in sizes)

    def nats(self, h: Tensor, classes: Tensor) -> Tensor:
        """Return the mean cost of sketches [B, n, 2] after outputs [B, n, H] of the slowest tier, in nats a step."""
        level, bright = classes.unbind(-1)
        of_bright = self.bright(h).float() + self.bright_at(level)
        first = F.cross_entropy(self.level(h).float().flatten(0, 1), level.flatten())
        return first + F.cross_entropy(of_bright.flatten(0, 1), bright.flatten())

    def tell(self, layer: int, classes: Tensor) -> Tensor:
        """Return what a layer is told of sketches [B, n, 2]: [B, n, size]."""
        told: Tensor = self.tell_level[layer](classes[..., 0]) + self.tell_bright[layer](classes[..., 1])
        return told


def _ordered(classes: int, size: int) -> nn.Embedding:
    """Return an embedding that begins on a line: classes are steps of one measure."""
    table = nn.Embedding(classes, size)
    with torch.no_grad():
        table.weight.copy_(torch.linspace(-1, 1, classes)[:, None] * 0.3 * torch.randn(size))
    return table
