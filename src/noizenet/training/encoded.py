"""Tracks as frames, encoded once and kept: in memory, and beside the corpus for the next training."""

from __future__ import annotations

import io
import math
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from noizenet.audio.beats import Beats, find_beats
from noizenet.audio.phrases import find_phrases
from noizenet.audio.waveform import Waveform
from noizenet.base.errors import NoizenetError
from noizenet.base.files import make_folder, remove_stale, write_bytes
from noizenet.base.regular import open_regular
from noizenet.corpus.corpus import Corpus, Track
from noizenet.representation.base import Frames, Representation

FOLDER = "codes"
QUIET, PAUSE = 10 ** (-55 / 20), 12
"""Frames below this level are silence, and of a silence no more than so many are kept."""
KEPT_COST = 0.01
"""Of reading frames that are kept, in costs of encoding them."""
STALE_S = 24 * 3600.0
"""Half-written files of this age were left by a killed training."""


def nonsilent(samples: NDArray[np.float32], frames: int, each: int) -> NDArray[np.bool_]:
    """Return which frames to learn from, [frames]: all but what goes on of a silence after its first quarter second.

    A network that has heard recordings fade out and stay silent takes silence for a place to stay.

    Examples
    --------
    >>> sound = np.concatenate([np.ones((40, 1)), np.zeros((400, 1)), np.ones((40, 1))]).astype(np.float32)
    >>> int(sounding(sound, 48, 10).sum())
    20
    """
    mono = np.pad(samples.mean(1), (0, max(0, frames * each - len(samples))))[: frames * each]
    quiet = np.sqrt(np.square(mono.reshape(frames, each)).mean(1)) < QUIET
    run, kept = 0, np.ones(frames, bool)
    for i in range(frames):
        run = run + 1 if quiet[i] else 0
        kept[i] = run <= PAUSE
    return kept if kept.any() and not quiet.all() else np.ones(frames, bool)


class EncodedTracks:
    """Whole tracks, without their long silences, as frames of a representation whose frames are few and dear.

    Parameters
    ----------
    corpus : Corpus
    representation : Representation
        With a :attr:`~noizenet.representation.base.Representation.cache_key`, which names the folder of its frames.

    Notes
    -----
    What lies beside the corpus is a cache: it may be deleted, and where it cannot be written it is done without. It is
    kept by :attr:`~noizenet.corpus.corpus.Track.key`, which is another wherever the sound is.
    """

    def __init__(self, corpus: Corpus, representation: Representation) -> None:
        self._corpus, self._r = corpus, representation
        self._kept = dict[tuple[str, int], Frames]()
        self._beats = dict[str, Beats]()
        self._numbers = dict[str, NDArray[np.int64]]()
        self._phases = dict[tuple[str, int], NDArray[np.float32]]()
        self._positions = dict[tuple[str, int], NDArray[np.float64]]()
        self._folder = corpus.folder / FOLDER / representation.cache_key
        if not self._folder.parent.is_symlink() and not self._folder.is_symlink():
            remove_stale(self._folder, older_s=STALE_S)

    def frames(self, track: Track, shift: int = 0) -> Frames:
        """Return a track's frames [T, ...], played so many semitones higher (and so the faster)."""
        if (track.key, shift) not in self._kept:
            self._kept[track.key, shift] = self._read(track, shift)
        return self._kept[track.key, shift]

    def phases(self, track: Track, shift: int = 0) -> NDArray[np.float32]:
        """Return how far from beat to beat each of :meth:`frames` is, [T] in [0, 1); NaN where no beat is clear."""
        if (track.key, shift) not in self._phases:
            kept = self._timed(
                track, shift, "phases", np.float32, lambda middles: self._beats_of(track).phases(middles)
            )
            self._phases[track.key, shift] = kept
        return self._phases[track.key, shift]

    def positions(self, track: Track, shift: int = 0) -> NDArray[np.float64]:
        """Return where in beats each of :meth:`frames` is, [T], rising; NaN where no beat is clear.

        A phrase of 16 beats begins where a position is a multiple of 16 (see :mod:`noizenet.audio.phrases`).
        """
        if (track.key, shift) not in self._positions:

            def positions(middles: NDArray[np.float64]) -> NDArray[np.float64]:
                return self._beats_of(track).positions(middles, self._numbers_of(track))

            self._positions[track.key, shift] = self._timed(track, shift, "positions", np.float64, positions)
        return self._positions[track.key, shift]

    def tempo(self, track: Track) -> float:
        """Return a track's tempo in beats a minute, 0 where it has none that is clear."""
        return self._beats_of(track).tempo

    def prepare(
        self,
        tracks: Sequence[tuple[Track, int]],
        on_track: Callable[[float], None] | None = None,
        *,
        beats: bool = False,
        phrases: bool = False,
    ) -> None:
        """Encode what is not encoded yet, and find its beats and phrases where wanted; tell the share that is done.

        The share is of the work: of the seconds of sound, of which those that are kept already cost next to nothing.
        """
        wanted = ["sounding", *["phases"] * beats, *["positions"] * phrases]
        work = [t.frames * (KEPT_COST if self._are_kept(t, shift, wanted) else 1.0) for t, shift in tracks]
        done, whole = 0.0, max(1.0, sum(work))
        for (track, shift), own in zip(tracks, work, strict=True):
            self.frames(track, shift)
            if beats:
                self.phases(track, shift)
            if phrases:
                self.positions(track, shift)
            done += own
            if on_track is not None:
                on_track(min(1.0, done / whole))

    def _are_kept(self, track: Track, shift: int, wanted: Sequence[str]) -> bool:
        return all(self._path(track, what, shift).exists() for what in wanted)

    def _path(self, track: Track, what: str, shift: int) -> Path:
        return self._folder / f"{track.key}-{what}{_spell(shift)}.npy"

    def _read(self, track: Track, shift: int) -> Frames:
        path = self._path(track, "sounding", shift)
        frames = _load(path)
        fits = frames is not None and frames.ndim == 2 and frames.shape[1] == self._r.dim
        if frames is not None and fits and frames.max(initial=0) < self._r.levels:
            return frames
        samples = self._samples(track, shift)
        frames = self._r.encode(self._r.as_waveform(samples))
        frames = frames[nonsilent(samples, len(frames), self._r.samples_for(1))]
        _keep(path, frames)
        return frames

    def _timed(
        self, track: Track, shift: int, what: str, kind: type[np.floating],
        of: Callable[[NDArray[np.float64]], NDArray[np.float64]],
    ) -> NDArray[Any]:  # fmt: skip
        """Return what `of` makes of the moments of a track's frames in seconds, as it is kept, or made and kept."""
        path, count = self._path(track, what, shift), len(self.frames(track, shift))
        kept = _load(path)
        if kept is not None and kept.shape == (count,) and kept.dtype == kind:
            return kept
        samples, each = self._samples(track, shift), self._r.samples_for(1)
        whole = self._r.frames_for(len(samples))
        # Played higher is played faster: a frame's middle lies later in the track as it is.
        middles = (np.arange(whole) + 0.5) * each / self._r.sample_rate * 2 ** (shift / 12)
        values = of(middles)[nonsilent(samples, whole, each)].astype(kind)
        values = np.resize(values, count) if len(values) != count else values
        _keep(path, values)
        return values

    def _beats_of(self, track: Track) -> Beats:
        if track.key not in self._beats:
            path = self._folder / f"{track.key}-beats.npy"
            kept = _load(path)
            if kept is None or kept.ndim != 1 or not len(kept) or not 0 <= kept[0] < len(kept):
                found = find_beats(self._corpus.mono(track), self._corpus.sample_rate)
                kept = np.concatenate([[len(found.times)], found.times, found.clear.astype(np.float64)])
                _keep(path, kept)
            end = 1 + int(kept[0])
            self._beats[track.key] = Beats(kept[1:end], kept[end:] > 0.5)
        return self._beats[track.key]

    def _numbers_of(self, track: Track) -> NDArray[np.int64]:
        """Return the numbers of a track's beats, counted so that a phrase begins at each multiple of 16."""
        if track.key not in self._numbers:
            path, times = self._folder / f"{track.key}-phrases.npy", self._beats_of(track).times
            kept = _load(path)
            if kept is None or kept.shape != times.shape or kept.dtype != np.int64 or (np.diff(kept) < 1).any():
                kept = find_phrases(self._corpus.mono(track), self._corpus.sample_rate, times)
                _keep(path, kept)
            self._numbers[track.key] = kept
        return self._numbers[track.key]

    def _samples(self, track: Track, shift: int) -> NDArray[np.float32]:
        sound = self._corpus.waveform(track)
        return self._r.samples_of(Waveform(sound.samples, round(sound.sample_rate * 2 ** (shift / 12))))


def _spell(shift: int) -> str:
    return f"{shift:+d}" if shift else ""


def _load(path: Path) -> NDArray[Any] | None:
    """Return a kept array; None where it is not there, or damaged: it is made anew then."""
    try:
        if path.parent.parent.is_symlink() or path.parent.is_symlink() or path.is_symlink():
            return None  # it could lead to anything
        with open_regular(path) as handle:
            return _array(handle)
    except (OSError, ValueError, EOFError, SyntaxError, OverflowError):
        return None


def _array(handle: BinaryIO) -> NDArray[Any] | None:
    """Read an array whose header promises exactly what follows it: memory is taken for no more."""
    version = np.lib.format.read_magic(handle)
    if version != (1, 0):
        return None
    shape, fortran, kind = np.lib.format.read_array_header_1_0(handle)
    count, data = math.prod(shape), os.fstat(handle.fileno()).st_size - handle.tell()
    if fortran or kind.hasobject or count * kind.itemsize != data:
        return None
    return np.frombuffer(handle.read(data), kind, count).reshape(shape).copy()


def _keep(path: Path, values: NDArray[Any]) -> None:
    buffer = io.BytesIO()
    np.save(buffer, np.ascontiguousarray(values), allow_pickle=False)
    try:
        if path.parent.parent.is_symlink() or path.parent.is_symlink():
            return
        make_folder(path.parent)
        write_bytes(path, buffer.getvalue())
    except (OSError, NoizenetError):
        pass  # a corpus that cannot be written to
