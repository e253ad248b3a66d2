"""Basic measurements on samples: framing, levels, spectra."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
from numpy.typing import NDArray


def stream_frames(blocks: Iterable[NDArray[np.float32]], length: int, hop: int) -> Iterator[NDArray[np.float32]]:
    """Cut a stream of mono blocks into overlapping frames.

    Parameters
    ----------
    blocks : iterable of ndarray, float32 [n]
        Consecutive samples; the blocks' sizes do not matter.
    length, hop : int
        Samples per frame and from one frame's start to the next.

    Yields
    ------
    ndarray, float32 [m, length]
        As many whole frames as are ready. The tail shorter than a frame is dropped.
    """
    rest = np.zeros(0, np.float32)
    skip = 0  # where hop > length, samples between two frames
    for block in blocks:
        rest = np.concatenate([rest, block])
        if skip:
            drop = min(skip, len(rest))
            rest, skip = rest[drop:], skip - drop
        if len(rest) < length:
            continue
        count = 1 + (len(rest) - length) // hop
        view = np.lib.stride_tricks.sliding_window_view(rest, length)[: (count - 1) * hop + 1 : hop]
        yield np.ascontiguousarray(view)
        used = count * hop
        skip = max(0, used - len(rest))
        rest = rest[used:].copy()


def rms(frames: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the root mean square of each frame, [m, length] → [m]."""
    level: NDArray[np.float32] = np.sqrt(np.mean(np.square(frames, dtype=np.float64), axis=-1)).astype(np.float32)
    return level


def magnitude_spectra(frames: NDArray[np.float32], window: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return magnitudes [m, length // 2 + 1], scaled so that a full-scale sine peaks at 1."""
    scale = 2.0 / float(window.sum())
    return (np.abs(np.fft.rfft(frames * window, axis=-1)) * scale).astype(np.float32)


def hann(length: int) -> NDArray[np.float32]:
    """Return the periodic Hann window."""
    return (0.5 - 0.5 * np.cos(2 * np.pi * np.arange(length) / length)).astype(np.float32)
