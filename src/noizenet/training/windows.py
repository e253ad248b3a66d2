"""Windows for truncated back-propagation through time: each of the B rows of a batch reads consecutive windows.

In each epoch the tracks are cut into segments of some seconds, which are shuffled and assigned to rows. A row reads its
segment window by window and carries its state; the state is reset at the start of a segment. The windows depend only on
the seed and on the number of windows read, so a resumed run reads the same ones.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from noizenet.base.errors import TrainingError, UsageError
from noizenet.base.seeds import derive_seed
from noizenet.corpus.corpus import Corpus, Track
from noizenet.representation.base import Frames, Representation
from noizenet.training.sources import NO_BEAT, BeatFrames, BeatOptions, EncodedSource, FrameSource, SampleSource


class Batch(NamedTuple):
    """One window of every row.

    `frames` [B, T + 1, ...] holds the frame before the window and the window: all but the last are inputs, all but the
    first are targets. `genres` [B] are genre numbers; `fresh` [B] is true for rows that start a segment. The others are
    for networks with a clock: `beat_phase` [B, T + 1] from 1 to the clock's number of phases, 0 where there is no clear
    beat; `phrase_beat` [B, T + 1], the beat of a phrase from 1 to 16, or 0; `lookback_codes` [B, T + 1, L, K], the
    codes of so many beats before, or -1.
    """

    frames: NDArray[Any]
    genres: NDArray[np.int64]
    fresh: NDArray[np.bool_]
    beat_phase: NDArray[np.int64] | None = None
    phrase_beat: NDArray[np.int64] | None = None
    lookback_codes: NDArray[np.int64] | None = None


class Segment(NamedTuple):
    """Part of a track: number of the track, first frame and number of windows."""

    track: int
    start: int
    windows: int


class WindowReader:
    """Reads batches of windows of a corpus's tracks.

    Parameters
    ----------
    corpus : Corpus
    tracks : sequence of Track
        The tracks to read.
    representation : Representation
    batch, window : int
        Number of rows, and of frames per window.
    segment_seconds : float
        Approximate length of a segment.
    seed : int
    balance : float
        0: every segment is read once per epoch; 1: segments of short genres are repeated until all genres are equal.
    transpose : int
        Every track is also read up to so many semitones higher and lower; only of representations with cached frames.
    beat : BeatOptions
        The beat conditioning of the network; lookback codes may lie before the segment.
    on_track : callable, optional
        Called with the share of the tracks that is encoded, of representations with cached frames.

    Attributes
    ----------
    skipped : list of Track
        Tracks shorter than one window.
    windows_per_epoch : int

    Raises
    ------
    TrainingError
        If no track holds a single window.
    """

    def __init__(
        self,
        corpus: Corpus,
        tracks: Sequence[Track],
        representation: Representation,
        *,
        batch: int,
        window: int,
        segment_seconds: float,
        seed: int,
        balance: float = 0.0,
        transpose: int = 0,
        beat: BeatOptions = NO_BEAT,
        on_track: Callable[[float], None] | None = None,
    ) -> None:
        self._seed, self._batch, self._window, self._multiple = seed, batch, window, representation.frame_multiple
        if window % representation.frame_multiple:
            raise UsageError(f"training.window: {window} is odd; stereo samples are interleaved, choose an even number")
        self.source: FrameSource = (
            EncodedSource(corpus, tracks, representation, transpose, beat, on_track)
            if representation.cache_key
            else SampleSource(corpus, tracks, representation, transpose, beat)
        )
        versions, lengths = self.source.versions, self.source.lengths
        self.skipped = [t for (t, shift), n in zip(versions, lengths, strict=True) if n < window and not shift]
        self._version_of = [i for i, n in enumerate(lengths) if n >= window]  # versions of the tracks that are read
        self._tracks = [versions[i] for i in self._version_of]
        if not self._tracks:
            seconds = window / representation.frame_rate
            raise TrainingError(
                f"every track is shorter than one window ({window} frames = {seconds:.2f} s); "
                "add longer recordings or lower training.window"
            )
        self._lengths = [lengths[i] for i in self._version_of]
        self._genres = [corpus.genres.index(t.genre) for t, _ in self._tracks]
        per_genre = np.zeros(len(corpus.genres))
        np.add.at(per_genre, self._genres, self._lengths)
        genre_weights = np.maximum(per_genre, 1) ** -balance
        self._repeats = (genre_weights / genre_weights[per_genre > 0].min())[self._genres]
        self._segment_windows = max(1, round(segment_seconds * representation.frame_rate / window))
        self.windows_per_epoch = sum(n // window for n in self._lengths)
        self._next_segment = 0  # segments assigned so far, over all epochs
        self._epoch, self._order = -1, list[Segment]()
        self._segments_before = 0  # segments in the epochs before the current one
        self._rows: list[tuple[int, int]] = [(-1, 0)] * batch  # (number of the segment, window within it)
        self._current: list[tuple[int, Segment, Frames] | None] = [None] * batch

    @property
    def steps_per_epoch(self) -> int:
        """Steps in which about every window is read once."""
        return max(1, self.windows_per_epoch // self._batch)

    def next(self) -> Batch:
        """Return the next window of every row."""
        frames, beats = list[Frames](), list[BeatFrames]()
        genres, fresh = np.zeros(self._batch, np.int64), np.zeros(self._batch, bool)
        for row in range(self._batch):
            number, index = self._rows[row]
            current = self._current[row]
            if current is None and number >= 0:
                current = self._current[row] = self._load(number)
            if current is None or index >= current[1].windows:
                number, index = self._next_segment, 0
                self._next_segment += 1
                current = self._current[row] = self._load(number)
            first = index * self._window
            frames.append(current[2][first : first + self._window + 1])
            beats.append(self._beats(current[1], first))
            genres[row] = self._genres[current[1].track]
            fresh[row] = index == 0
            self._rows[row] = (number, index + 1)
        columns = (None if part[0] is None else np.stack(part) for part in zip(*beats, strict=True))
        return Batch(np.stack(frames), genres, fresh, *columns)

    def tempi(self) -> dict[str, list[float]]:
        """Return the tempi of each genre's tracks in beats a minute, 0 without a clear beat; empty without a clock."""
        return self.source.tempi(self._version_of)

    def state(self) -> dict[str, Any]:
        """Return the position of the reader as plain data."""
        return {"deal": self._next_segment, "lanes": [list(row) for row in self._rows]}

    def restore(self, state: dict[str, Any]) -> None:
        """Restore a position that :meth:`state` returned."""
        self._next_segment = int(state["deal"])
        rows = [(int(n), int(index)) for n, index in state["lanes"]]
        if len(rows) != self._batch or not all(-1 <= n < self._next_segment and index >= 0 for n, index in rows):
            raise ValueError("reader: not a position in these tracks")
        self._rows = rows
        self._current = [None] * self._batch

    def _beats(self, segment: Segment, first: int) -> BeatFrames:
        """Return the beat conditioning [T + 1] of a segment's window, of which `first` is the frame before it.

        The silence before a segment has none.
        """
        begin = segment.start + first - 1
        found = self.source.beats(self._version_of[segment.track], max(0, begin), begin + self._window + 1)
        if first:
            return found
        aligned = (
            None if values is None else np.concatenate([np.full_like(values[-1:], none), values[-self._window :]])
            for values, none in zip(found, (0, 0, -1), strict=True)
        )
        return BeatFrames(*aligned)

    def _load(self, number: int) -> tuple[int, Segment, Frames]:
        segment = self._segment(number)
        count = segment.windows * self._window
        return number, segment, self.source.frames(self._version_of[segment.track], segment.start, count)

    def _segment(self, number: int) -> Segment:
        """Return a segment by its number; epochs are shuffled when they are reached, or again after a resume."""
        if number < self._segments_before:
            self._epoch, self._order, self._segments_before = -1, [], 0
        while number >= self._segments_before + len(self._order):
            self._segments_before += len(self._order)
            self._epoch += 1
            self._order = self._shuffled(self._epoch)
        return self._order[number - self._segments_before]

    def _shuffled(self, epoch: int) -> list[Segment]:
        rng = np.random.default_rng(derive_seed(self._seed, "windows", epoch))
        segments = list[Segment]()
        for index, length in enumerate(self._lengths):
            # Another offset in each epoch, so that windows do not always end at the same frames.
            offset = int(rng.integers(0, min(self._window, length - self._window) + 1)) if epoch else 0
            offset -= offset % self._multiple
            windows = (length - offset) // self._window
            for first in range(0, windows, self._segment_windows):
                count = min(self._segment_windows, windows - first)
                times = int(self._repeats[index] + (rng.random() if self._repeats[index] > 1 else 0))
                segments += [Segment(index, offset + first * self._window, count)] * times
        rng.shuffle(segments)
        return [Segment(*map(int, s)) for s in segments]
