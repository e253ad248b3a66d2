"""Sample-rate conversion of a stream (soxr), without seams between blocks."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from noizenet.base.errors import UsageError


class StreamResampler:
    """Convert blocks from one rate to another as if they were one signal.

    Parameters
    ----------
    from_hz, to_hz : int
        Rates.
    channels : int
        Columns of each block.

    Notes
    -----
    soxr's high-quality setting, a linear-phase polyphase filter; see https://sourceforge.net/p/soxr.
    """

    def __init__(self, from_hz: int, to_hz: int, channels: int) -> None:
        self._stream = None
        self._channels = channels
        if from_hz <= 0 or to_hz <= 0:
            raise UsageError(f"cannot resample from {from_hz} Hz to {to_hz} Hz")
        if from_hz != to_hz:
            import soxr

            self._stream = soxr.ResampleStream(from_hz, to_hz, channels, dtype="float32", quality="HQ")

    def push(self, block: NDArray[np.float32]) -> NDArray[np.float32]:
        """Add [n, C] samples; return the [m, C] that are ready."""
        return self._convert(block, last=False)

    def finish(self) -> NDArray[np.float32]:
        """Flush the filter; return [m, C]."""
        return self._convert(np.zeros((0, self._channels), np.float32), last=True)

    def _convert(self, block: NDArray[np.float32], *, last: bool) -> NDArray[np.float32]:
        if self._stream is None:
            return block
        out: NDArray[np.float32] = self._stream.resample_chunk(np.ascontiguousarray(block), last=last)
        return out.reshape(-1, self._channels)


def resample(samples: NDArray[np.float32], from_hz: int, to_hz: int) -> NDArray[np.float32]:
    """Convert samples [n, C] at once."""
    if from_hz == to_hz:
        return samples
    resampler = StreamResampler(from_hz, to_hz, samples.shape[1])
    return np.concatenate([resampler.push(samples), resampler.finish()])
