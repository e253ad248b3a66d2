"""Parametric stereo: panning and width of each frame as one code, and two channels from one.

After J. Breebaart et al., "Parametric coding of stereo audio", EURASIP JASP 2005, with one band: the ratio of the
channels' levels and their correlation. The uncorrelated part is synthesised from the mono signal by a chain of all-pass
filters (M. Schroeder, 1962).
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

F32 = NDArray[np.float32]
QUIET = 1e-4
DELAYS, DELAYS_RATE, FEEDBACK = (241, 383, 619), 22_050, 0.5
"""Delays of the all-pass filters in samples at this rate in Hz (11 to 28 ms, without a common divisor), and their gain.
"""
MIN_COMMON = 0.3
"""Least share of the common signal: channels of (nearly) opposite phase would cancel in the mono mix."""


def steps(levels: int) -> int:
    """Return the number of steps of panning and of width: both fit in one code, and it is odd to include the centre."""
    return max(1, (math.isqrt(levels) - 1) | 1)


def encode(samples: F32, frame: int, levels: int) -> NDArray[np.int16]:
    """Return the codes [T] of frames of `frame` samples of two channels [N, 2]; silence is in the centre."""
    count = -(-len(samples) // frame)
    x = np.pad(samples, ((0, count * frame - len(samples)), (0, 0))).reshape(count, frame, 2).astype(np.float64)
    power = np.square(x).mean(1)
    common = (x[..., 0] * x[..., 1]).mean(1)
    quiet = power.sum(1) < QUIET**2
    pan = np.where(quiet, 0.5, np.arctan2(np.sqrt(power[:, 1]), np.sqrt(power[:, 0])) / (math.pi / 2))
    one_sided = power.min(1) <= 1e-6 * power.max(1)  # a silent channel has no correlation
    correlation = np.where(quiet | one_sided, 1.0, common / np.maximum(np.sqrt(power.prod(1)), 1e-12))
    width = np.sqrt(np.clip((1 - correlation) / 2, 0, 1))
    top = steps(levels) - 1
    return np.asarray(np.rint(pan * top) * (top + 1) + np.rint(width * top), np.int16)


class Panner:
    """One channel and codes in, two channels out.

    Parameters
    ----------
    frame : int
        Samples per code.
    levels : int
        Number of values of a code.
    sample_rate : int
        Hz.
    """

    def __init__(self, frame: int, levels: int, sample_rate: int = DELAYS_RATE) -> None:
        self._frame, self._steps = frame, steps(levels)
        self._gains = np.zeros((0, 4))
        self._at = 0  # samples into the oldest frame whose gains are kept
        self._filters = [AllPass(round(d * sample_rate / DELAYS_RATE)) for d in DELAYS]

    def push_codes(self, codes: NDArray[np.integer]) -> None:
        """Add the codes [n] of the next frames."""
        self._gains = np.concatenate([self._gains, self._gains_of(codes)])

    def push(self, samples: F32, extra: F32 | None = None) -> F32:
        """Pan samples [n] of frames whose codes are known; return [n, 2]. Gains are interpolated between frames.

        `extra` [n, 2] is added: its first column to the common signal, its second to the uncorrelated one.
        """
        if not len(samples):
            return np.zeros((0, 2), np.float32)
        common, other = samples, samples.astype(np.float64)
        for each in self._filters:
            other = each.push(other)
        if extra is not None:
            common, other = common + extra[:, 0], other + extra[:, 1]
        position = (self._at + np.arange(len(samples))) / self._frame
        edges = np.arange(len(self._gains))
        gains = [np.interp(position, edges, self._gains[:, j]) for j in range(4)] if len(self._gains) else [1.0] * 4
        left = gains[0] * common + gains[1] * other
        right = gains[2] * common + gains[3] * other
        self._at += len(samples)
        done = min(self._at // self._frame, max(0, len(self._gains) - 1))
        self._gains, self._at = self._gains[done:], self._at - done * self._frame
        return np.stack([left, right], 1).astype(np.float32)

    def _gains_of(self, codes: NDArray[np.integer]) -> NDArray[np.float64]:
        """Return the gains of the common and of the uncorrelated signal, left and right, [n, 4]."""
        top = max(1, self._steps - 1)
        pan = np.minimum(codes // self._steps, top) / top * math.pi / 2
        width = codes % self._steps / top
        if self._steps == 1:
            pan, width = np.full(len(codes), math.pi / 4), np.zeros(len(codes))
        angle = np.arcsin(np.minimum(width, math.sqrt(1 - MIN_COMMON**2)))
        left, right = np.cos(pan), np.sin(pan)
        both = ((left + right) * np.cos(angle)) ** 2 + ((left - right) * np.sin(angle)) ** 2
        scale = 2 / np.sqrt(both)  # so that the mono mix is as loud as the input
        parts = (left * np.cos(angle), left * np.sin(angle), right * np.cos(angle), -right * np.sin(angle))
        return np.stack([scale * p for p in parts], 1)


class AllPass:
    """All-pass filter y[i] = x[i - delay] + FEEDBACK · (y[i - delay] - x[i]).

    Parameters
    ----------
    delay : int
        Samples.
    """

    def __init__(self, delay: int) -> None:
        self._line = np.zeros(delay)  # x + FEEDBACK · y of the last `delay` samples

    def push(self, samples: NDArray[np.float64]) -> NDArray[np.float64]:
        """Filter samples [n]."""
        out, delay = np.empty(len(samples)), len(self._line)
        for first in range(0, len(samples), delay):
            x = samples[first : first + delay]
            y = self._line[: len(x)] - FEEDBACK * x
            self._line = np.concatenate([self._line[len(x) :], x + FEEDBACK * y])
            out[first : first + len(x)] = y
        return out
