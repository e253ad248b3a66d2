"""Streaming upsampling by two: a linear-phase polyphase filter with compensated delay."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np

from noizenet.kernels.functions import compiled
from noizenet.representation.codec_weights import F32

REACH = 80
"""Input samples on either side that an output sample depends on."""
CUTOFF, BETA = 0.4943, 7.9
"""Half-amplitude frequency as a share of the input's rate (10.9 of 22.05 kHz), and the Kaiser window's parameter.

The passband is flat to 10.55 kHz, and images from 11.25 kHz on are 80 dB down (Kaiser's formulas: A. Oppenheim and
R. Schafer, "Discrete-time signal processing", 7.5).
"""


class Upsampler:
    """Samples in, twice as many out, in blocks of a fixed size: the output does not depend on the chunk size.

    Parameters
    ----------
    block : int
        Input samples of a block; its output is complete `REACH` samples later.
    """

    def __init__(self, block: int) -> None:
        self._block = block
        self._history = np.zeros(REACH, np.float32)  # starts `REACH` samples before the next output

    def push(self, samples: F32) -> F32:
        """Add samples [n]; return the complete samples [m], a multiple of two blocks. Output 2i is at input i."""
        x = np.concatenate([self._history, samples])
        count = max(0, (len(x) - 2 * REACH) // self._block)
        out = np.zeros((count, 2, self._block), np.float32)
        _filter(x, taps(), out)
        self._history = x[count * self._block :]
        return out.transpose(0, 2, 1).reshape(-1)


@lru_cache(maxsize=1)
def taps() -> F32:
    """Return the filters of even and odd output samples, [2, 2 · REACH + 1]."""
    at = np.arange(-2 * REACH, 2 * REACH + 1)
    whole = np.sinc(CUTOFF * at) * np.kaiser(len(at), BETA)
    odd = np.concatenate([[0], whole[1::2]])
    phases = np.stack([whole[::2], odd])
    return np.asarray(phases / phases.sum(1, keepdims=True), np.float32)


@compiled
def _filter(x: Any, taps: Any, out: Any) -> None:
    """Add the samples x [n · block + K - 1 or more], filtered with the taps [2, K], to out [n, 2, block]."""
    block = out.shape[2]
    for n in range(out.shape[0]):
        for phase in range(2):
            row = out[n, phase]
            for j in range(taps.shape[1]):
                weight, part = taps[phase, j], x[n * block + j : n * block + j + block]
                for i in range(block):
                    row[i] += weight * part[i]
