"""Optimizers by name."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

import torch
from torch import Tensor


class _Options(Protocol):
    @property
    def learning_rate(self) -> float: ...
    @property
    def momentum(self) -> float: ...
    @property
    def nesterov(self) -> bool: ...
    @property
    def weight_decay(self) -> float: ...


def adam(parameters: Iterable[Tensor], o: _Options) -> torch.optim.Optimizer:
    """Return Adam (D. Kingma, J. Ba, 2015)."""
    return torch.optim.Adam(parameters, lr=o.learning_rate, weight_decay=o.weight_decay, fused=True)


def adamw(parameters: Iterable[Tensor], o: _Options) -> torch.optim.Optimizer:
    """Return Adam with decoupled weight decay (I. Loshchilov, F. Hutter, 2019)."""
    return torch.optim.AdamW(parameters, lr=o.learning_rate, weight_decay=o.weight_decay, fused=True)


def sgd(parameters: Iterable[Tensor], o: _Options) -> torch.optim.Optimizer:
    """Return stochastic gradient descent with momentum; Nesterov's where asked for."""
    return torch.optim.SGD(
        parameters, lr=o.learning_rate, momentum=o.momentum, weight_decay=o.weight_decay,
        nesterov=o.nesterov and o.momentum > 0,
    )  # fmt: skip


def adadelta(parameters: Iterable[Tensor], o: _Options) -> torch.optim.Optimizer:
    """Return Adadelta (M. Zeiler, 2012)."""
    return torch.optim.Adadelta(parameters, lr=o.learning_rate, weight_decay=o.weight_decay)
