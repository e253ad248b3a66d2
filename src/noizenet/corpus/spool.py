"""A decoded recording on its way: kept until all of it is known, in memory or, if it is long, in an unnamed file."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType

import numpy as np
from numpy.typing import NDArray

from noizenet.audio.fold import FoldStatistics
from noizenet.base.files import explain_os_error

MEMORY_BYTES = 64 << 20
"""Longer recordings go through the disk (at 22,050 Hz in stereo: than six minutes)."""
BLOCK_FRAMES = 1 << 17
PIECE = 1024
EDGES, EDGE_SHARE = 2, 0.05
"""So many pieces, or such a share, may be louder in what is called constant: converted edges ring."""


class Levels:
    """Levels of a signal that is heard block by block.

    Attributes
    ----------
    peak : float
        Largest magnitude, linear.
    """

    def __init__(self) -> None:
        self.peak = 0.0
        self._count = 0
        self._total = self._squares = self._neighbours = 0.0
        self._spreads: list[NDArray[np.float32]] = []

    def push(self, block: NDArray[np.float32]) -> None:
        """Hear a block of one channel, [n]."""
        if not block.size:
            return
        self.peak = max(self.peak, float(block.max()), -float(block.min()))
        exact = block.astype(np.float64)  # the square of a sample far above full scale has no place in 32 bits
        self._count += exact.size
        self._total += float(exact.sum())
        self._squares += float(np.dot(exact, exact))
        self._neighbours += float(np.dot(exact[1:], exact[:-1]))
        whole = len(block) // PIECE * PIECE
        self._spreads.append(np.ptp(block[:whole].reshape(-1, PIECE) if whole else block[None], axis=1))

    @classmethod
    def of(cls, parts: Sequence[Levels]) -> Levels:
        """Return the levels of several channels together."""
        found = cls()
        found.peak = max(p.peak for p in parts)
        found._count = sum(p._count for p in parts)
        found._total = sum(p._total for p in parts)
        found._squares = sum(p._squares for p in parts)
        found._neighbours = sum(p._neighbours for p in parts)
        found._spreads = [np.maximum.reduce(blocks) for blocks in zip(*(p._spreads for p in parts), strict=True)]
        return found

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
        """Correlation of neighbouring samples: 0 for white noise, near 1 for music."""
        return self._neighbours / self._squares if self._squares > 0 else 0.0

    @property
    def spread(self) -> float:
        """How far samples of one piece of 1,024 lie apart, in all but the widest twentieth (at least two) of them."""
        if not self._spreads:
            return 0.0
        pieces = np.sort(np.concatenate(self._spreads))
        return float(pieces[max(0, len(pieces) - 1 - max(EDGES, round(EDGE_SHARE * len(pieces))))])


class Spool:
    """Samples of one recording, appended block by block, read again from the beginning.

    Parameters
    ----------
    folder : Path
        Where a long recording waits, in a file without a name that a killed process cannot leave behind.
    channels : int
        1 or 2.

    Attributes
    ----------
    frames : int
    each : list of Levels
        Of each channel.
    mean : Levels
        Of the mean of the channels.
    stereo : FoldStatistics
        Of two channels: whether they cancel.
    """

    def __init__(self, folder: Path, channels: int) -> None:
        self.channels = channels
        self.frames = 0
        self.each = [Levels() for _ in range(channels)]
        self.mean = Levels() if channels > 1 else self.each[0]
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
        except OSError as failed:  # what was still in a buffer found no room
            if kind is None:
                raise explain_os_error(failed, self._folder) from failed

    def append(self, block: NDArray[np.float32]) -> None:
        """Keep a block, [n, channels].

        Raises
        ------
        NoizenetError
            If the disk takes no more.
        """
        for column, levels in enumerate(self.each):
            levels.push(block[:, column])
        if self.channels > 1:
            self.mean.push(block.mean(axis=1))
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
