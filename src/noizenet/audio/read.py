"""Recordings, block by block, in constant memory: whatever is good of a file, and what was not as it says.

What a file is is decided by its content (:mod:`noizenet.audio.sniff`). FFmpeg's libraries decode it, in this process
and without access to anything but the file's own bytes; libsndfile is asked where they fail.
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
    """What a file says about itself.

    `seconds` is what the header promises, None where it promises nothing; `layout` is the channels' usual name
    ("stereo", "5.1"), `positions` what each of them is ("FL", "FR", ...); `container` and `codec` are what it was
    decoded as.
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
        A regular file that holds sound in any format, whatever its ending.

    Attributes
    ----------
    info : AudioInfo
    issues : list of Issue
        What was not as the file says: repaired, or lost. Complete once :meth:`blocks` is exhausted.

    Raises
    ------
    AudioError
        If the file is missing, empty, no regular file, or not sound that can be decoded; the message names it.
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
        """Yield the samples as finite float32 [n, C] blocks at the file's own rate, once.

        Damage in the middle is skipped and noted in `issues`; sound of another rate or of other channels after it
        (joined files) is converted.

        Raises
        ------
        AudioError
            If nothing at all can be decoded.
        """
        size = max(1, int(block_seconds * self.info.sample_rate))
        kept: list[NDArray[np.float32]] = []
        count = 0
        for piece in self._recording.samples():
            kept.append(piece)
            count += len(piece)
            if count < size:
                continue
            whole = kept[0] if len(kept) == 1 else np.concatenate(kept)
            cut = count - count % size
            for at in range(0, cut, size):
                yield whole[at : at + size]
            kept, count = [whole[cut:]], count - cut
        if count:
            yield np.concatenate(kept)


def converted_blocks(
    reader: AudioReader, sample_rate: int, channels: int, block_seconds: float = BLOCK_SECONDS
) -> Iterator[NDArray[np.float32]]:
    """Yield a reader's sound at another rate and channel count, float32 [n, channels], block by block.

    Channels are folded by their places (:mod:`noizenet.audio.fold`). Where two channels cancel in one (inverted
    stereo), the louder is kept and an issue is added; this is decided by the first sound of the file.
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
        Hz to convert to; the file's own by default.
    channels : int, optional
        1 or 2; the file's own by default.
    issues : list of Issue, optional
        What was repaired or lost is appended to it.

    Returns
    -------
    Waveform
        Shape [N] where the result is mono, else [N, C].

    Raises
    ------
    AudioError
        If the file cannot be read or holds no sound.
    """
    path = a_path(path, "path")
    with AudioReader(path) as reader:
        rate = sample_rate or reader.info.sample_rate
        count = channels or reader.info.channels
        # Here a mono fold is decided by all of the sound and not by its beginning: two channels are read, then folded.
        wide = 2 if count == 1 and reader.info.channels > 1 else count
        samples = np.concatenate(list(converted_blocks(reader, rate, wide)))
        found = reader.issues
    if wide > count:
        seen = FoldStatistics()
        seen.push(samples)
        keep = seen.louder if seen.cancels else -1
        samples = _mono(samples, keep)
        if keep >= 0:
            found.append(_cancelling(keep))
    if issues is not None:
        issues += found
    return Waveform(samples[:, 0] if count == 1 else samples, rate)


def mono_blocks(reader: AudioReader, block_seconds: float = BLOCK_SECONDS) -> Iterator[NDArray[np.float32]]:
    """Yield a reader's sound folded to mono at its own rate, float32 [n]."""
    for block in _folded(reader, 1, block_seconds):
        yield block[:, 0]


def _folded(reader: AudioReader, channels: int, block_seconds: float) -> Iterator[NDArray[np.float32]]:
    """Fold a reader's blocks; where only what the fold leaves out sounds, an issue is added."""
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
    seen, keep, decided = FoldStatistics(), -1, False
    for block in reader.blocks(block_seconds):
        dropped.push(block)
        stereo = fold(block, layout, 2)
        seen.push(stereo)
        if not decided:
            waiting.append(stereo)
            if not seen.nonsilent:
                continue
            decided, keep = True, seen.louder if seen.cancels else -1
            for held in waiting:
                yield _mono(held, keep)
            continue
        yield _mono(stereo, keep)
    if not decided:
        keep = seen.louder if seen.cancels else -1
        for held in waiting:
            yield _mono(held, keep)
    if keep >= 0:
        reader.issues.append(_cancelling(keep))
    elif seen.cancels:
        reader.issues.append(lost("its channels cancel in mono from some place on; read it in stereo"))


def _cancelling(keep: int) -> Issue:
    return repaired(f"its channels cancel in mono; the {('left', 'right')[keep]} one was kept")


def _mono(stereo: NDArray[np.float32], keep: int) -> NDArray[np.float32]:
    if keep >= 0:
        return np.ascontiguousarray(stereo[:, keep : keep + 1])
    total = stereo[:, 0] + stereo[:, 1]
    total *= np.float32(0.5)
    return np.asarray(total[:, None], np.float32)
