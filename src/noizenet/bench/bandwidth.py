"""How fast this machine could read a tiered network's weights, did it nothing else."""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
from numba import float32


@numba.njit(cache=True, fastmath=True, nogil=True)
def read_schedule(weights: Any, blocks: Any, samples: Any) -> Any:
    """Read blocks of weights as a stream does; return their sum, so that nothing is left out.

    `blocks` [n, 4] holds first, length, period and parts of each: once in `period` samples the block is due; where it
    has several parts, one of them is read each time, in turn.
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


def schedule(layout: np.ndarray, tiers: np.ndarray) -> np.ndarray:
    """Return the blocks that a tiered engine reads, from its layout and its tiers' table."""
    from noizenet.model.kernel_tiered import ADAPT, BRIGHT, LEVEL, TIER
    from noizenet.model.numeric import COLUMNS, ROWS, W

    bottom = len(tiers) * TIER
    blocks, below = [], 1
    for k, (samples, _, ratio, _) in enumerate(tiers):
        for j in range(TIER):
            row = layout[k * TIER + j]
            last = j == TIER - 1
            blocks.append([row[W], row[ROWS] * row[COLUMNS], below if last else samples, ratio if last else 1])
        below = samples
    for j in range(bottom, len(layout)):
        row = layout[j]
        period = tiers[0, 0] if j == bottom + ADAPT else below if bottom + LEVEL <= j <= bottom + BRIGHT else 1
        blocks.append([row[W], row[ROWS] * row[COLUMNS], period, 1])
    return np.asarray([b for b in blocks if b[1]], np.int64)
