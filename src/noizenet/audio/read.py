"""Recordings are read block by block in constant memory: all audio that can be decoded, and a list of issues.

The content of a file determines its format (:mod:`noizenet.audio.sniff`). FFmpeg's libraries decode it in this process,
without access to anything but the file's bytes. Where they fail, libsndfile is tried.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

import numpy as np
from numpy.typing import NDArray

from noizenet.audio.fold import ONLY_LFE, DroppedChannels, FoldStatistics, Layout, fold, layout_name
from noizenet.audio.issue import Issue, lost, repaired
from noizenet.audio.recording import Recording
from noizenet.audio.resample import StreamResampler
from noizenet.audio.sniff import AUDIO_SUFFIXES
from noizenet.audio.waveform import Waveform
from noizenet.base.arguments import a_path

__all__ = ["AUDIO_SUFFIXES", "BLOCK_SECONDS", "AudioInfo", "AudioReader", "Issue", "converted_blocks", "read"]

BLOCK_SECONDS = 8.0


@dataclass(frozen=True)
class AudioInfo:
    """Metadata of a file.

    `seconds` is the length that the header declares, None if it declares none. `layout` is the common name of the
    channel layout ("stereo", "5.1"), `positions` are the channel names ("FL", "FR", ...). `container` and `codec` are
    the format that was decoded.
    """

    sample_rate: int
    channels: int
    seconds: float | None
    artist: str
    title: str
    layout: str = ""
    positions: Layout = ()
    container: str = ""
    codec: str = ""


class AudioReader:
    """An open recording.

    Parameters
    ----------
    path : Path or str
        A regular file with audio of any format; its suffix does not matter.

    Attributes
    ----------
    info : AudioInfo
    issues : list of Issue
        What was repaired or lost. Complete once :meth:`blocks` is exhausted.

    Raises
    ------
    AudioError
        If the file is missing, empty, not a regular file, or has no audio that can be decoded; the message names it.
    """

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        self._recording = Recording(self.path)
        self.issues: list[Issue] = self._recording.issues
        r = self._recording
        self.info = AudioInfo(
            sample_rate=r.rate,
            channels=len(r.layout),
            seconds=r.seconds,
            artist=r.tag("artist", "album_artist", "author"),
            title=r.tag("title"),
            layout=layout_name(r.layout),
            positions=r.layout,
            container=r.container,
            codec=r.codec,
        )

    def __enter__(self) -> AudioReader:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Release the file and its decoder."""
        self._recording.close()

    def blocks(self, block_seconds: float = BLOCK_SECONDS) -> Iterator[NDArray[np.float32]]:
        """Yield the samples as finite float32 [n, C] blocks at the file's sample rate, once.

        Damage in the middle is skipped and reported in `issues`. A later part of another rate or channel count (joined
        files) is converted.

        Raises
        ------
        AudioError
            If nothing at all can be decoded.
        """
        size = max(1, int(block_seconds * self.info.sample_rate))
        pending: list[NDArray[np.float32]] = []
        count = 0
        for samples in self._recording.samples():
            pending.append(samples)
            count += len(samples)
            if count < size:
                continue
            whole = pending[0] if len(pending) == 1 else np.concatenate(pending)
            cut = count - count % size
            for at in range(0, cut, size):
                yield whole[at : at + size]
            pending, count = [whole[cut:]], count - cut
        if count:
            yield np.concatenate(pending)


def converted_blocks(
    reader: AudioReader, sample_rate: int, channels: int, block_seconds: float = BLOCK_SECONDS
) -> Iterator[NDArray[np.float32]]:
    """Yield a reader's audio at another rate and channel count, float32 [n, channels], block by block.

    Channels are mixed down by their layout (:mod:`noizenet.audio.fold`). If two channels cancel in mono (inverted
    stereo), the louder one is kept and an issue is added; the first audio that is not silent decides this.
    """
    resampler = StreamResampler(reader.info.sample_rate, sample_rate, channels)
    for block in _folded(reader, channels, block_seconds):
        out = resampler.push(block)
        if len(out):
            yield out
    out = resampler.finish()
    if len(out):
        yield out


def read(
    path: Path | str, *, sample_rate: int | None = None, channels: int | None = None, issues: list[Issue] | None = None
) -> Waveform:
    """Read a whole recording.

    Parameters
    ----------
    path : Path or str
        The file.
    sample_rate : int, optional
        Hz to convert to; that of the file by default.
    channels : int, optional
        1 or 2; those of the file by default.
    issues : list of Issue, optional
        What was repaired or lost is appended to it.

    Returns
    -------
    Waveform
        Shape [N] if the result is mono, else [N, C].

    Raises
    ------
    AudioError
        If the file cannot be read or holds no sound.
    """
    path = a_path(path, "path")
    with AudioReader(path) as reader:
        rate = sample_rate or reader.info.sample_rate
        count = channels or reader.info.channels
        # The whole file decides the mono mix, not its beginning: two channels are read and then mixed.
        wide = 2 if count == 1 and reader.info.channels > 1 else count
        samples = np.concatenate(list(converted_blocks(reader, rate, wide)))
        found = reader.issues
    if wide > count:
        statistics = FoldStatistics()
        statistics.push(samples)
        keep = statistics.louder if statistics.cancels else -1
        samples = _mono(samples, keep)
        if keep >= 0:
            found.append(_cancelling(keep))
    if issues is not None:
        issues += found
    return Waveform(samples[:, 0] if count == 1 else samples, rate)


def mono_blocks(reader: AudioReader, block_seconds: float = BLOCK_SECONDS) -> Iterator[NDArray[np.float32]]:
    """Yield a reader's audio mixed to mono at its sample rate, float32 [n]."""
    for block in _folded(reader, 1, block_seconds):
        yield block[:, 0]


def _folded(reader: AudioReader, channels: int, block_seconds: float) -> Iterator[NDArray[np.float32]]:
    """Mix a reader's blocks down; if only dropped channels are not silent, add an issue."""
    layout = reader.info.positions
    dropped = DroppedChannels(layout)
    yield from _folded_all(reader, layout, channels, block_seconds, dropped)
    if channels < len(layout) and dropped.only_dropped:
        reader.issues.append(lost(ONLY_LFE))


def _folded_all(
    reader: AudioReader, layout: Layout, channels: int, block_seconds: float, dropped: DroppedChannels
) -> Iterator[NDArray[np.float32]]:
    if channels != 1 or len(layout) == 1:
        for block in reader.blocks(block_seconds):
            dropped.push(block)
            yield fold(block, layout, channels)
        return
    waiting: list[NDArray[np.float32]] = []
    statistics, keep, decided = FoldStatistics(), -1, False
    for block in reader.blocks(block_seconds):
        dropped.push(block)
        stereo = fold(block, layout, 2)
        statistics.push(stereo)
        if not decided:
            waiting.append(stereo)
            if not statistics.nonsilent:
                continue
            decided, keep = True, statistics.louder if statistics.cancels else -1
            for held in waiting:
                yield _mono(held, keep)
            continue
        yield _mono(stereo, keep)
    if not decided:
        keep = statistics.louder if statistics.cancels else -1
        for held in waiting:
            yield _mono(held, keep)
    if keep >= 0:
        reader.issues.append(_cancelling(keep))
    elif statistics.cancels:
        reader.issues.append(lost("its channels cancel in mono in a later part; read it in stereo"))


def _cancelling(keep: int) -> Issue:
    return repaired(f"its channels cancel in mono; the {('left', 'right')[keep]} one was kept")


def _mono(stereo: NDArray[np.float32], keep: int) -> NDArray[np.float32]:
    if keep >= 0:
        return np.ascontiguousarray(stereo[:, keep : keep + 1])
    total = stereo[:, 0] + stereo[:, 1]
    total *= np.float32(0.5)
    return np.asarray(total[:, None], np.float32)
