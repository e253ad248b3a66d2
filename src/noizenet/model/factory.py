"""The network of an architecture."""

from __future__ import annotations

import torch
from numpy.typing import ArrayLike
from torch import Tensor

from noizenet.model.architecture import Architecture
from noizenet.model.network import Network
from noizenet.model.plain import PlainNetwork
from noizenet.model.tiered import TieredNetwork
from noizenet.model.tokens import TokenNetwork


def make_network(architecture: Architecture, values: ArrayLike | Tensor | None = None) -> Network:
    """Return a network with random weights.

    Parameters
    ----------
    architecture : Architecture
    values : array, optional
        The value of each class, increasing, [V]; evenly spaced over [-1, 1] by default. Only tiered networks use it.
    """
    if architecture.options.tiers:
        return TieredNetwork(architecture, None if values is None else torch.as_tensor(values))
    return TokenNetwork(architecture) if architecture.tokens else PlainNetwork(architecture)
