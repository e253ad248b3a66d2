"""Sampling options and the truncated distribution: pure functions, the reference for the compiled kernels."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from noizenet.base.errors import UsageError

if TYPE_CHECKING:
    from torch import Tensor

    from noizenet.model.architecture import Architecture


@dataclass(frozen=True)
class Sampling:
    """Sampling controls.

    Parameters
    ----------
    temperature : float
        Divides the logits; 0 always takes the most probable class.
    top_k : int
        Keep only the k most probable classes; 0 keeps all.
    top_p : float
        Keep the most probable classes that together have this probability, in (0, 1] (A. Holtzman et al., 2020).
    genre_guidance : float
        Scale of classifier-free guidance by the genre: the logits are l(genre) + guidance · (l(genre) - l(any)), after
        J. Ho and T. Salimans, "Classifier-free diffusion guidance", 2022. 0: no guidance. Only token networks with
        genre conditioning use it.
    beat_guidance : float
        Scale of classifier-free guidance by the phase of the beat. Only networks with a clock use it.
    code_temperatures, code_top_p : tuple of float
        For token networks: a factor of the temperature, and a top-p instead of `top_p`, for each code of a frame;
        empty: the same for all codes.

    Raises
    ------
    UsageError
        For a value out of range.
    """

    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0
    genre_guidance: float = 0.0
    code_temperatures: tuple[float, ...] = ()
    code_top_p: tuple[float, ...] = ()
    beat_guidance: float = 0.0

    def __post_init__(self) -> None:
        # Kernels are compiled for the types of their arguments: an int would cause another compilation.
        for name in ("temperature", "top_p", "genre_guidance", "beat_guidance"):
            object.__setattr__(self, name, float(getattr(self, name)))
        for name in ("code_temperatures", "code_top_p"):
            object.__setattr__(self, name, tuple(map(float, getattr(self, name))))
        object.__setattr__(self, "top_k", int(self.top_k))
        if not (math.isfinite(self.temperature) and 0 <= self.temperature <= 100):
            raise UsageError(f"temperature: {self.temperature} is not between 0 and 100")
        if self.top_k < 0:
            raise UsageError(f"top-k: {self.top_k} is negative; 0 keeps every class")
        if self.top_k >= 1 << 31:
            raise UsageError(f"top-k: {self.top_k} is more than any model has classes; 0 keeps every class")
        if not (math.isfinite(self.top_p) and 0 < self.top_p <= 1):
            raise UsageError(f"top-p: {self.top_p} is not above 0 and at most 1")
        if any(not (math.isfinite(t) and 0 <= t <= 100) for t in self.code_temperatures):
            raise UsageError(f"code temperatures: {self.code_temperatures} are not between 0 and 100")
        if any(not (math.isfinite(p) and 0 < p <= 1) for p in self.code_top_p):
            raise UsageError(f"code top-p: {self.code_top_p} are not above 0 and at most 1")
        if not (math.isfinite(self.genre_guidance) and 0 <= self.genre_guidance <= 20):
            raise UsageError(f"guidance: {self.genre_guidance} is not between 0 and 20")
        if not (math.isfinite(self.beat_guidance) and 0 <= self.beat_guidance <= 20):
            raise UsageError(f"beat_guidance: {self.beat_guidance} is not between 0 and 20")

    def by_code(self, codes: int) -> tuple[list[float], list[float]]:
        """Return the temperatures and the top-p of each of `codes` codes."""
        return (
            [self.temperature * factor for factor in self.code_temperatures or (1.0,) * codes],
            list(self.code_top_p or (self.top_p,) * codes),
        )


def default_sampling(architecture: Architecture) -> Sampling:
    """Return the sampling at which a network's music is closest to real music (docs/results.md)."""
    a = architecture
    mixture = a.options.head == "mixture"
    return Sampling(
        temperature=1.2 if a.tokens else 0.85 if mixture else 1.0,
        genre_guidance=1.0 if a.tokens and a.genre_size else 0.0,
        beat_guidance=2.0 if a.options.clock else 0.0,
    )


def probabilities(logits: Tensor, sampling: Sampling) -> Tensor:
    """Return the distribution [..., V] that a class is drawn from.

    Top-k is applied first, then top-p to the remaining classes, which are then normalised.
    """
    import torch

    if sampling.temperature == 0:
        return torch.nn.functional.one_hot(logits.argmax(-1), logits.shape[-1]).to(logits.dtype)
    p = torch.softmax(logits / sampling.temperature, -1)
    if 0 < sampling.top_k < p.shape[-1]:
        least = p.topk(sampling.top_k, -1).values[..., -1:]
        p = torch.where(p >= least, p, 0.0)
    if sampling.top_p < 1:
        p = p / p.sum(-1, keepdim=True)
        ordered, order = p.sort(-1, descending=True)
        before = ordered.cumsum(-1) - ordered
        kept = torch.where(before < sampling.top_p, ordered, 0.0)
        p = torch.zeros_like(p).scatter(-1, order, kept)
    return p / p.sum(-1, keepdim=True)
