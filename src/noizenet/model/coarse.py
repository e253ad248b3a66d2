"""Coarse features: level, brightness and sharpness of the next few milliseconds, drawn before their samples.

The likelihood of single samples barely constrains the level of the music: a filter driven by noise in proportion to its
input has the same likelihood at twice the level. In free running such a network drifts to full scale or to silence
within seconds. The slowest tier therefore first draws the level, brightness and sharpness of the samples of its next
step from categorical distributions, and all layers below are conditioned on them. The features are functions of those
samples, so P(samples) = P(features) P(samples | features): the likelihood stays exact, and includes the features.
"""

from __future__ import annotations

import itertools

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from noizenet.model.features import COARSE, LEVEL, NEPERS


def measure(samples: Tensor) -> Tensor:
    """Return level, brightness and sharpness of segments of samples, [..., N] → [..., 3], in dB.

    The level is the mean square (0 dB: full scale). The brightness is the mean square of the first differences divided
    by the level, and rises with the spectral centroid. The sharpness is the mean square of the second differences
    divided by that of the first, and distinguishes hiss from other sounds of the same brightness.
    """
    first = samples[..., 1:] - samples[..., :-1]
    second = first[..., 1:] - first[..., :-1]
    power = samples.square().mean(-1) + 1e-9
    first_power = first.square().mean(-1) + 1e-12
    second_power = second.square().sum(-1) / max(1, samples.shape[-1] - 2) + 1e-12
    return 10 * torch.log10(torch.stack([power, first_power / power, second_power / first_power], -1))


def classify(measured: Tensor) -> Tensor:
    """Return the classes [..., 3] of features [..., 3] in dB."""
    found = [
        ((measured[..., s] - scale.low_db) / scale.step_db).floor().clamp(0, scale.classes - 1)
        for s, scale in enumerate(COARSE)
    ]
    return torch.stack(found, -1).long()


def coarse_classes(samples: Tensor, step: int) -> Tensor:
    """Return the classes [B, n, 3] of samples [B, n · step]."""
    return classify(measure(samples.reshape(len(samples), -1, step)))


def log_rms(level_class: Tensor) -> Tensor:
    """Return the natural logarithm of the RMS at the middle of a level class."""
    return (LEVEL.low_db + (level_class + 0.5) * LEVEL.step_db) * NEPERS


def normalize(measured: Tensor) -> Tensor:
    """Return features [..., 3] in dB scaled to about -1 to 1."""
    return measured / measured.new_tensor([30.0, 15.0, 15.0]) + 1


class CoarseFeatures(nn.Module):
    """Predicts coarse features, and embeds them for the layers below.

    Parameters
    ----------
    hidden : int
        Units of the slowest tier.
    sizes : list of int
        Size of each conditioned layer: the lower tiers', fastest first, then the per-sample network's.
    genres : int
        Rows G of ``logit_bias`` [3, G, L], which is added to the logits of each feature. It is not trained: zeros until
        it is calibrated on generated audio (:mod:`noizenet.training.calibration`).
    """

    logit_bias: Tensor

    def __init__(self, hidden: int, sizes: list[int], genres: int) -> None:
        super().__init__()
        self.register_buffer("logit_bias", torch.zeros(len(COARSE), genres, LEVEL.classes))
        self.out_proj = nn.ModuleList(nn.Linear(hidden, scale.classes) for scale in COARSE)
        self.previous = nn.ModuleList(
            nn.Embedding(scale.classes, next_scale.classes) for scale, next_scale in itertools.pairwise(COARSE)
        )
        for table in self.previous:
            assert isinstance(table, nn.Embedding)
            nn.init.zeros_(table.weight)
        self.embeddings = nn.ModuleList(
            nn.ModuleList(_ordinal_embedding(scale.classes, size) for size in sizes) for scale in COARSE
        )

    def compute_loss(self, h: Tensor, classes: Tensor, mix: Tensor) -> Tensor:
        """Return the mean loss of classes [B, n, 3] given outputs [B, n, H] of the slowest tier, in nats per step.

        Each feature is conditioned on the one before and on the genre mix [B, G].
        """
        total = h.new_zeros((), dtype=torch.float32)
        for s, projection in enumerate(self.out_proj):
            logits = projection(h).float() + (mix.float() @ self.logit_bias[s])[:, None, : COARSE[s].classes]
            if s:
                logits = logits + self.previous[s - 1](classes[..., s - 1])
            total = total + F.cross_entropy(logits.flatten(0, 1), classes[..., s].flatten())
        return total

    def embed(self, layer: int, classes: Tensor) -> Tensor:
        """Return the embedding [B, n, size] of classes [B, n, 3] for a layer."""
        return torch.stack(
            [
                tables[layer](classes[..., s])
                for s, tables in enumerate(self.embeddings)
                if isinstance(tables, nn.ModuleList)
            ]
        ).sum(0)


def _ordinal_embedding(classes: int, size: int) -> nn.Embedding:
    """Return an embedding initialised on a line, since classes are steps of one feature."""
    table = nn.Embedding(classes, size)
    with torch.no_grad():
        table.weight.copy_(torch.linspace(-1, 1, classes)[:, None] * 0.3 * torch.randn(size))
    return table
