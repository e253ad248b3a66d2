"""Tracks as frames, encoded once: a cache in memory and in the corpus folder."""

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
FRAMES = "sounding"
"""Part of the names of cached frames; caches of earlier versions have it."""
SILENCE_RMS, MAX_SILENT_FRAMES = 10 ** (-55 / 20), 12
"""RMS level below which a frame is silent; number of frames of each silence that are kept."""
CACHED_COST = 0.01
"""Cost of reading cached frames, relative to encoding them."""
STALE_S = 24 * 3600.0
"""Age of partial files that were left by a killed training."""


def nonsilent(samples: NDArray[np.float32], frames: int, frame_samples: int) -> NDArray[np.bool_]:
    """Return a mask [frames] of the frames to train on: all but the rest of a silence after its first quarter second.

    A network that is trained on recordings with long silent ends learns to stay silent.

    Examples
    --------
    >>> sound = np.concatenate([np.ones((40, 1)), np.zeros((400, 1)), np.ones((40, 1))]).astype(np.float32)
    >>> int(nonsilent(sound, 48, 10).sum())
    20
    """
    mono = np.pad(samples.mean(1), (0, max(0, frames * frame_samples - len(samples))))[: frames * frame_samples]
    quiet = np.sqrt(np.square(mono.reshape(frames, frame_samples)).mean(1)) < SILENCE_RMS
    run, mask = 0, np.ones(frames, bool)
    for i in range(frames):
        run = run + 1 if quiet[i] else 0
        mask[i] = run <= MAX_SILENT_FRAMES
    return mask if mask.any() and not quiet.all() else np.ones(frames, bool)


class EncodedTracks:
    """Whole tracks, without their long silences, as frames of a representation that is expensive to encode.

    Parameters
    ----------
    corpus : Corpus
    representation : Representation
        With a :attr:`~noizenet.representation.base.Representation.cache_key`, which names the folder of its frames.

    Notes
    -----
    The files in the corpus folder are a cache: they may be deleted, and nothing is cached if the folder is read-only.
    Their names contain :attr:`~noizenet.corpus.corpus.Track.key`, which changes with the audio.
    """

    def __init__(self, corpus: Corpus, representation: Representation) -> None:
        self._corpus, self._r = corpus, representation
        self._frames = dict[tuple[str, int], Frames]()
        self._beats = dict[str, Beats]()
        self._numbers = dict[str, NDArray[np.int64]]()
        self._phases = dict[tuple[str, int], NDArray[np.float32]]()
        self._positions = dict[tuple[str, int], NDArray[np.float64]]()
        self._folder = corpus.folder / FOLDER / representation.cache_key
        if not self._folder.parent.is_symlink() and not self._folder.is_symlink():
            remove_stale(self._folder, older_s=STALE_S)

    def frames(self, track: Track, shift: int = 0) -> Frames:
        """Return a track's frames [T, ...], transposed by `shift` semitones (which also changes the tempo)."""
        if (track.key, shift) not in self._frames:
            self._frames[track.key, shift] = self._read(track, shift)
        return self._frames[track.key, shift]

    def phases(self, track: Track, shift: int = 0) -> NDArray[np.float32]:
        """Return the beat phase of each of :meth:`frames`, [T] in [0, 1); NaN where there is no clear beat."""
        if (track.key, shift) not in self._phases:
            self._phases[track.key, shift] = self._per_frame(
                track, shift, "phases", np.float32, lambda middles: self._beats_of(track).phases(middles)
            )
        return self._phases[track.key, shift]

    def positions(self, track: Track, shift: int = 0) -> NDArray[np.float64]:
        """Return the position in beats of each of :meth:`frames`, [T], increasing; NaN where there is no clear beat.

        A phrase of 16 beats starts where a position is a multiple of 16 (see :mod:`noizenet.audio.phrases`).
        """
        if (track.key, shift) not in self._positions:

            def positions(middles: NDArray[np.float64]) -> NDArray[np.float64]:
                return self._beats_of(track).positions(middles, self._numbers_of(track))

            self._positions[track.key, shift] = self._per_frame(track, shift, "positions", np.float64, positions)
        return self._positions[track.key, shift]

    def tempo(self, track: Track) -> float:
        """Return a track's tempo in beats a minute; 0 if it has no clear beat."""
        return self._beats_of(track).tempo

    def prepare(
        self,
        tracks: Sequence[tuple[Track, int]],
        on_track: Callable[[float], None] | None = None,
        *,
        beats: bool = False,
        phrases: bool = False,
    ) -> None:
        """Encode the tracks that are not cached, with their beats and phrases if wanted; report the share done.

        The share is that of the work: seconds of audio, of which cached ones count little.
        """
        parts = [FRAMES, *["phases"] * beats, *["positions"] * phrases]
        work = [t.frames * (CACHED_COST if self._is_cached(t, shift, parts) else 1.0) for t, shift in tracks]
        done, whole = 0.0, max(1.0, sum(work))
        for (track, shift), cost in zip(tracks, work, strict=True):
            self.frames(track, shift)
            if beats:
                self.phases(track, shift)
            if phrases:
                self.positions(track, shift)
            done += cost
            if on_track is not None:
                on_track(min(1.0, done / whole))

    def _is_cached(self, track: Track, shift: int, parts: Sequence[str]) -> bool:
        return all(self._path(track, part, shift).exists() for part in parts)

    def _path(self, track: Track, part: str, shift: int) -> Path:
        return self._folder / f"{track.key}-{part}{_shift_suffix(shift)}.npy"

    def _read(self, track: Track, shift: int) -> Frames:
        path = self._path(track, FRAMES, shift)
        frames = _load_array(path)
        fits = frames is not None and frames.ndim == 2 and frames.shape[1] == self._r.dim
        if frames is not None and fits and frames.max(initial=0) < self._r.levels:
            return frames
        samples = self._samples(track, shift)
        frames = self._r.encode(self._r.as_waveform(samples))
        frames = frames[nonsilent(samples, len(frames), self._r.samples_for(1))]
        _save_array(path, frames)
        return frames

    def _per_frame(
        self, track: Track, shift: int, part: str, kind: type[np.floating],
        compute: Callable[[NDArray[np.float64]], NDArray[np.float64]],
    ) -> NDArray[Any]:  # fmt: skip
        """Return `compute` of the times of a track's frames in seconds, from the cache or computed and cached."""
        path, count = self._path(track, part, shift), len(self.frames(track, shift))
        cached = _load_array(path)
        if cached is not None and cached.shape == (count,) and cached.dtype == kind:
            return cached
        samples, frame_samples = self._samples(track, shift), self._r.samples_for(1)
        whole = self._r.frames_for(len(samples))
        # Transposing changes the speed, so these are times in the original track.
        middles = (np.arange(whole) + 0.5) * frame_samples / self._r.sample_rate * 2 ** (shift / 12)
        values = compute(middles)[nonsilent(samples, whole, frame_samples)].astype(kind)
        values = np.resize(values, count) if len(values) != count else values
        _save_array(path, values)
        return values

    def _beats_of(self, track: Track) -> Beats:
        if track.key not in self._beats:
            path = self._folder / f"{track.key}-beats.npy"
            cached = _load_array(path)
            if cached is None or cached.ndim != 1 or not len(cached) or not 0 <= cached[0] < len(cached):
                found = find_beats(self._corpus.mono(track), self._corpus.sample_rate)
                cached = np.concatenate([[len(found.times)], found.times, found.clear.astype(np.float64)])
                _save_array(path, cached)
            end = 1 + int(cached[0])
            self._beats[track.key] = Beats(cached[1:end], cached[end:] > 0.5)
        return self._beats[track.key]

    def _numbers_of(self, track: Track) -> NDArray[np.int64]:
        """Return the numbers of a track's beats, counted so that a phrase starts at each multiple of 16."""
        if track.key not in self._numbers:
            path, times = self._folder / f"{track.key}-phrases.npy", self._beats_of(track).times
            cached = _load_array(path)
            if cached is None or cached.shape != times.shape or cached.dtype != np.int64 or (np.diff(cached) < 1).any():
                cached = find_phrases(self._corpus.mono(track), self._corpus.sample_rate, times)
                _save_array(path, cached)
            self._numbers[track.key] = cached
        return self._numbers[track.key]

    def _samples(self, track: Track, shift: int) -> NDArray[np.float32]:
        sound = self._corpus.waveform(track)
        return self._r.samples_of(Waveform(sound.samples, round(sound.sample_rate * 2 ** (shift / 12))))


def _shift_suffix(shift: int) -> str:
    return f"{shift:+d}" if shift else ""


def _load_array(path: Path) -> NDArray[Any] | None:
    """Return a cached array; None if it is missing or damaged, and so has to be computed again."""
    try:
        if path.parent.parent.is_symlink() or path.parent.is_symlink() or path.is_symlink():
            return None  # a link could point to any file
        with open_regular(path) as handle:
            return _parse_array(handle)
    except (OSError, ValueError, EOFError, SyntaxError, OverflowError):
        return None


def _parse_array(handle: BinaryIO) -> NDArray[Any] | None:
    """Read an array if its header matches the size of the file; so a forged header cannot claim more memory."""
    version = np.lib.format.read_magic(handle)
    if version != (1, 0):
        return None
    shape, fortran, kind = np.lib.format.read_array_header_1_0(handle)
    count, data = math.prod(shape), os.fstat(handle.fileno()).st_size - handle.tell()
    if fortran or kind.hasobject or count * kind.itemsize != data:
        return None
    return np.frombuffer(handle.read(data), kind, count).reshape(shape).copy()


def _save_array(path: Path, values: NDArray[Any]) -> None:
    buffer = io.BytesIO()
    np.save(buffer, np.ascontiguousarray(values), allow_pickle=False)
    try:
        if path.parent.parent.is_symlink() or path.parent.is_symlink():
            return
        make_folder(path.parent)
        write_bytes(path, buffer.getvalue())
    except (OSError, NoizenetError):
        pass  # the corpus folder is read-only
