"""Memory bandwidth limit: how fast this machine reads a tiered network's weights."""

from __future__ import annotations

from typing import Any

from numba import float32

from noizenet.kernels.functions import compiled


@compiled
def read_schedule(weights: Any, blocks: Any, samples: Any) -> Any:
    """Read blocks of weights as often as a stream does; return their sum, so that no read is optimised away.

    `blocks` [n, 4] are :meth:`noizenet.model.engine_tiered.TieredEngine.schedule`.
    """
    total = float32(0.0)
    for t in range(samples):
        for i in range(blocks.shape[0]):
            first, length, period, parts = blocks[i]
            if t % period:
                continue
            size = length // parts
            at = first + (t // period % parts) * size
            part = weights[at : at + size]
            a, b, c, d = float32(0.0), float32(0.0), float32(0.0), float32(0.0)
            quarter = size // 4
            for k in range(quarter):
                a += part[k]
                b += part[quarter + k]
                c += part[2 * quarter + k]
                d += part[3 * quarter + k]
            total += a + b + c + d
    return total
