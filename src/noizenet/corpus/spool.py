"""Temporary storage of a decoded recording: in memory, or in an unnamed file if it is long."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType

import numpy as np
from numpy.typing import NDArray

from noizenet.audio.fold import FoldStatistics
from noizenet.base.files import explain_os_error

MEMORY_BYTES = 64 << 20
"""Longer recordings are stored on disk (at 22,050 Hz in stereo: longer than six minutes)."""
BLOCK_FRAMES = 1 << 17
SEGMENT_FRAMES = 1024
LOUD_PEAK, FAINT_PEAK = 1e4, 1e-3
EDGE_SEGMENTS, EDGE_SHARE = 2, 0.05
"""Number and share of segments ignored by `typical_range`: resampling rings at the edges of a constant signal."""


class Levels:
    """Levels of a signal, accumulated block by block.

    Attributes
    ----------
    peak : float
        Largest magnitude, linear.
    """

    def __init__(self) -> None:
        self.peak = 0.0
        self._count = 0
        self._total = self._squares = self._neighbours = 0.0
        self._ranges: list[NDArray[np.float32]] = []

    def push(self, block: NDArray[np.float32]) -> None:
        """Add a block, [n, C]."""
        if not block.size:
            return
        aligned = len(block) // SEGMENT_FRAMES * SEGMENT_FRAMES
        segments = block[:aligned].reshape(-1, SEGMENT_FRAMES, block.shape[1]) if aligned else block[None]
        highs, lows = segments.max(axis=1), segments.min(axis=1)
        self._ranges.append((highs - lows).max(axis=1))
        rest = block[aligned:] if aligned and len(block) > aligned else block[:1]
        peak = max(float(highs.max()), -float(lows.min()), float(np.abs(rest).max()))
        self.peak = max(self.peak, peak)
        # The squares of samples far above full scale overflow 32 bits.
        exact = block if peak < LOUD_PEAK else block.astype(np.float64)
        self._count += exact.size
        self._total += float(exact.sum(dtype=np.float64))
        self._squares += float(np.vdot(exact, exact))
        if peak < FAINT_PEAK:  # needed for faint recordings only
            self._neighbours += float(np.vdot(exact[1:], exact[:-1]))

    @property
    def offset(self) -> float:
        """Mean of the samples."""
        return self._total / max(1, self._count)

    @property
    def power(self) -> float:
        """Mean square of the samples, without the offset."""
        return max(0.0, self._squares / max(1, self._count) - self.offset**2)

    @property
    def rms(self) -> float:
        """Root mean square of the samples, without the offset."""
        return float(np.sqrt(self.power))

    @property
    def smoothness(self) -> float:
        """Correlation of neighbouring samples: 0 for noise, near 1 for music; valid below :data:`FAINT_PEAK`."""
        return self._neighbours / self._squares if self._squares > 0 else 0.0

    @property
    def typical_range(self) -> float:
        """Largest range (maximum - minimum) of 1,024 samples, ignoring the widest twentieth (at least two) of them."""
        if not self._ranges:
            return 0.0
        segments = np.sort(np.concatenate(self._ranges))
        return float(segments[max(0, len(segments) - 1 - max(EDGE_SEGMENTS, round(EDGE_SHARE * len(segments))))])


class Spool:
    """Samples of one recording, appended block by block, read again from the beginning.

    Parameters
    ----------
    folder : Path
        Folder of the temporary file of a long recording. The file has no name, so a killed process leaves nothing.
    channels : int
        1 or 2.

    Attributes
    ----------
    frames : int
    stereo : FoldStatistics
        Whether two channels cancel in a mono mix.
    """

    def __init__(self, folder: Path, channels: int) -> None:
        self.channels = channels
        self.frames = 0
        self.stereo = FoldStatistics()
        self._folder = folder
        self._file = tempfile.SpooledTemporaryFile(MEMORY_BYTES, dir=str(folder))  # noqa: SIM115 - closed by __exit__

    def __enter__(self) -> Spool:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self._file.close()
        except OSError as failed:  # the remaining buffer could not be written
            if kind is None:
                raise explain_os_error(failed, self._folder) from failed

    def append(self, block: NDArray[np.float32]) -> None:
        """Store a block, [n, channels].

        Raises
        ------
        NoizenetError
            If the disk is full.
        """
        if self.channels > 1:
            self.stereo.push(block)
        try:
            self._file.write(np.ascontiguousarray(block, dtype="<f4").tobytes())
        except OSError as error:
            raise explain_os_error(error, self._folder) from error
        self.frames += len(block)

    def blocks(self) -> Iterator[NDArray[np.float32]]:
        """Yield all samples from the beginning, [n, channels] at a time."""
        try:
            self._file.seek(0)
            while data := self._file.read(BLOCK_FRAMES * self.channels * 4):
                yield np.frombuffer(data, "<f4").astype(np.float32).reshape(-1, self.channels)
        except OSError as error:
            raise explain_os_error(error, self._folder) from error
