"""The sketch: how loud and how bright the next few milliseconds will be, drawn before their samples.

Sample by sample, nothing in the likelihood holds the level of music: a filter driven by noise in proportion to what
it hears is as content twice as loud, so that a network that plays to itself drifts to full scale or to silence over
seconds, by steps that cost it nothing. The slowest tier therefore first says, as categorical distributions, the
level, brightness and sharpness of the samples of its coming step, and everything below is told what was drawn. All are
functions of those samples, so that P(samples) = P(sketch) P(samples | sketch): bits stay exact, and are counted.
"""

from __future__ import annotations

import itertools

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from noizenet.model.features import COARSE, LEVEL, NEPERS


def measure(samples: Tensor) -> Tensor:
    """Return level, brightness and sharpness of stretches of samples, [..., N] → [..., 3], in dB.

    The level is the mean square (0 dB: full scale). The brightness is the mean square of differences of neighbours over
    it, the sharpness that of differences of those differences over that of the differences: the first rises with the
    spectrum's centre of gravity, the second tells hiss from a body of sound as bright.
    """
    slope = samples[..., 1:] - samples[..., :-1]
    power = samples.square().mean(-1) + 1e-9
    change = slope.square().mean(-1) + 1e-12
    bend = (slope[..., 1:] - slope[..., :-1]).square().sum(-1) / max(1, samples.shape[-1] - 2) + 1e-12
    return 10 * torch.log10(torch.stack([power, change / power, bend / change], -1))


def classify(measured: Tensor) -> Tensor:
    """Return the classes [..., 3] of measures [..., 3]."""
    found = [
        ((measured[..., s] - scale.low_db) / scale.step_db).floor().clamp(0, scale.classes - 1)
        for s, scale in enumerate(COARSE)
    ]
    return torch.stack(found, -1).long()


def coarse_of(samples: Tensor, step: int) -> Tensor:
    """Return the sketch classes [B, n, 3] of samples [B, n · step]."""
    return classify(measure(samples.reshape(len(samples), -1, step)))


def log_rms(level_class: Tensor) -> Tensor:
    """Return the natural logarithm of the root mean square that the middle of a class of levels stands for."""
    return (LEVEL.low_db + (level_class + 0.5) * LEVEL.step_db) * NEPERS


def scale(measured: Tensor) -> Tensor:
    """Return measures as a layer likes them, about -1 to 1."""
    return measured / measured.new_tensor([30.0, 15.0, 15.0]) + 1


class CoarseFeatures(nn.Module):
    """Predicts the sketch and tells it.

    Parameters
    ----------
    hidden : int
        Units of the slowest tier.
    sizes : list of int
        Size of each layer that is told: the lower tiers', fastest first, then the per-sample network's.
    genres : int
        Rows of ``pull`` [3, G, L], which each genre adds to the logits of each measure. Not trained: zeros until
        they are settled by what the network plays to itself (:mod:`noizenet.training.calibration`).
    """

    logit_bias: Tensor

    def __init__(self, hidden: int, sizes: list[int], genres: int) -> None:
        super().__init__()
        self.register_buffer("logit_bias", torch.zeros(len(COARSE), genres, LEVEL.classes))
        self.out_proj = nn.ModuleList(nn.Linear(hidden, scale.classes) for scale in COARSE)
        self.previous = nn.ModuleList(
            nn.Embedding(one.classes, next_one.classes) for one, next_one in itertools.pairwise(COARSE)
        )
        for table in self.previous:
            assert isinstance(table, nn.Embedding)
            nn.init.zeros_(table.weight)
        self.embeddings = nn.ModuleList(
            nn.ModuleList(_ordered(scale.classes, size) for size in sizes) for scale in COARSE
        )

    def compute_loss(self, h: Tensor, classes: Tensor, mix: Tensor) -> Tensor:
        """Return the mean cost of sketches [B, n, 3] after outputs [B, n, H] of the slowest tier, in nats a step.

        Each measure is drawn given the one before and the genre mix [B, G].
        """
        total = h.new_zeros((), dtype=torch.float32)
        for s, say in enumerate(self.out_proj):
            logits = say(h).float() + (mix.float() @ self.logit_bias[s])[:, None, : COARSE[s].classes]
            if s:
                logits = logits + self.previous[s - 1](classes[..., s - 1])
            total = total + F.cross_entropy(logits.flatten(0, 1), classes[..., s].flatten())
        return total

    def embed(self, layer: int, classes: Tensor) -> Tensor:
        """Return what a layer is told of sketches [B, n, 3]: [B, n, size]."""
        return torch.stack(
            [
                tables[layer](classes[..., s])
                for s, tables in enumerate(self.embeddings)
                if isinstance(tables, nn.ModuleList)
            ]
        ).sum(0)


def _ordered(classes: int, size: int) -> nn.Embedding:
    """Return an embedding that begins on a line: classes are steps of one measure."""
    table = nn.Embedding(classes, size)
    with torch.no_grad():
        table.weight.copy_(torch.linspace(-1, 1, classes)[:, None] * 0.3 * torch.randn(size))
    return table
