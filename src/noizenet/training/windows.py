"""Windows for truncated back-propagation through time: B lanes, each walking along a stretch of a track.

Every epoch cuts the tracks into segments of some seconds, shuffles them and deals them to the lanes. A lane
reads its segment window by window with its state carried; at a segment's start the state is reset. What is
read depends only on the seed and on the number of windows read, so that a resumed run reads the same.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from noizenet.audio.beats import beat_phase_ids, phrase_beat_ids
from noizenet.base.errors import TrainingError, UsageError
from noizenet.base.seeds import derive_seed
from noizenet.corpus.corpus import Corpus, Track
from noizenet.model.lookback import frames_before, steps_of
from noizenet.representation.base import Frames, Representation
from noizenet.training.encoded import EncodedTracks


class Batch(NamedTuple):
    """One window of every lane.

    `frames` [B, T + 1, ...] holds the frame before the window, then the window: inputs are all but the last, targets
    all but the first. `genres` [B] are genre numbers, `fresh` [B] tells which lanes begin a segment. `beat_phase` [B, T
    + 1], of networks with a clock, tell where between two beats each frame is: 1 to the clock's number of phases, 0
    where no beat is clear. `phrase_beat` [B, T + 1] tell in which beat of a phrase, 1 to 16, and `lookback_codes` [B, T
    + 1, L, K] the codes of so many beats before; 0 and -1 where there is nothing to tell.
    """

    frames: NDArray[Any]
    genres: NDArray[np.int64]
    fresh: NDArray[np.bool_]
    beat_phase: NDArray[np.int64] | None = None
    phrase_beat: NDArray[np.int64] | None = None
    lookback_codes: NDArray[np.int64] | None = None


class Segment(NamedTuple):
    """A stretch of a track: first frame and number of windows."""

    track: int
    start: int
    windows: int


class WindowReader:
    """Deals windows of a corpus's tracks.

    Parameters
    ----------
    corpus : Corpus
    tracks : sequence of Track
        Those to read.
    representation : Representation
    batch, window : int
        Lanes, and frames per window.
    segment_seconds : float
        About how long a lane stays with one stretch.
    seed : int
    balance : float
        0: every stretch is read once an epoch; 1: stretches of short genres are read again until genres are alike.
    transpose : int
        Of representations whose frames are kept: every track is also read up to so many semitones higher and lower.
    clock : int
        Phases of a beat that a network with a clock tells apart; 0: it has none.
    phrase : int
        Beats of a phrase that it tells apart; 0: none.
    lookback : sequence of int
        Beats ago of which it is told the codes, of the whole track and not only of the stretch that is read.
    on_track : callable, optional
        Told the share of the tracks that is encoded, where they are encoded once and kept.

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
        clock: int = 0,
        phrase: int = 0,
        lookback: Sequence[int] = (),
        on_track: Callable[[float], None] | None = None,
    ) -> None:
        self._corpus, self._r, self._seed = corpus, representation, seed
        self._batch, self._window = batch, window
        if window % representation.frame_multiple:
            raise UsageError(f"training.window: {window} is odd; stereo samples come in pairs, choose an even number")
        self._encoded = EncodedTracks(corpus, representation) if representation.cache_key else None
        if transpose and self._encoded is None:
            raise UsageError("training.transpose: only representations of codes are read transposed; leave it at 0")
        if clock and self._encoded is None:
            raise UsageError("model.clock: only networks over codes have one; leave it at 0")
        self._clock, self._phrase, self._lookback = clock, phrase, tuple(lookback)
        self._before = dict[int, NDArray[np.int32]]()
        if self._encoded is None:
            versions = [(t, 0) for t in tracks]
            lengths = [representation.frames_for(t.frames) for t in tracks]
        else:
            shifts = sorted(range(-transpose, transpose + 1), key=abs)  # as it is first
            versions = [(t, shift) for shift in shifts for t in tracks]
            self._encoded.prepare(versions, on_track, beats=clock > 0, phrases=bool(phrase or lookback))
            lengths = [len(self._encoded.frames(t, shift)) for t, shift in versions]
        self.skipped = [t for (t, shift), n in zip(versions, lengths, strict=True) if n < window and not shift]
        self._tracks = [v for v, n in zip(versions, lengths, strict=True) if n >= window]
        if not self._tracks:
            seconds = window / representation.frame_rate
            raise TrainingError(
                f"every track is shorter than one window ({window} frames = {seconds:.2f} s); "
                "add longer recordings or lower training.window"
            )
        self._lengths = [n for n in lengths if n >= window]
        self._genres = [corpus.genres.index(t.genre) for t, _ in self._tracks]
        per_genre = np.zeros(len(corpus.genres))
        np.add.at(per_genre, self._genres, self._lengths)
        often = np.maximum(per_genre, 1) ** -balance
        self._repeats = (often / often[per_genre > 0].min())[self._genres]
        self._segment_windows = max(1, round(segment_seconds * representation.frame_rate / window))
        self.windows_per_epoch = sum(n // window for n in self._lengths)
        self._next_segment = 0  # segments dealt so far, over all epochs
        self._epoch, self._order = -1, list[Segment]()
        self._dealt_before = 0  # segments in the epochs before the current one
        self._lanes: list[tuple[int, int]] = [(-1, 0)] * batch  # (number of the deal, window within it)
        self._held: list[tuple[int, Segment, Frames] | None] = [None] * batch

    @property
    def steps_per_epoch(self) -> int:
        """Steps after which about every window was read once."""
        return max(1, self.windows_per_epoch // self._batch)

    def next(self) -> Batch:
        """Return the next window of every lane."""
        frames, beat_phase, phrase_beat, lookback_codes, genres = [], [], [], [], np.zeros(self._batch, np.int64)
        fresh = np.zeros(self._batch, bool)
        for row in range(self._batch):
            number, at = self._lanes[row]
            held = self._held[row]
            if held is None and number >= 0:
                held = self._held[row] = self._load(number)
            if held is None or at >= held[1].windows:
                number, at = self._next_segment, 0
                self._next_segment += 1
                held = self._held[row] = self._load(number)
            first = at * self._window
            frames.append(held[2][first : first + self._window + 1])
            if self._clock:
                beat_phase.append(self._beat_phase(held[1], first))
            if self._phrase:
                phrase_beat.append(self._phrase_beat(held[1], first))
            if self._lookback:
                lookback_codes.append(self._lookback_codes(held[1], first))
            genres[row] = self._genres[held[1].track]
            fresh[row] = at == 0
            self._lanes[row] = (number, at + 1)
        told = [np.stack(x) if x else None for x in (beat_phase, phrase_beat, lookback_codes)]
        return Batch(np.stack(frames), genres, fresh, *told)

    def tempi(self) -> dict[str, list[float]]:
        """Return the tempi of each genre's tracks in beats a minute, 0 where no beat is clear; none without a clock."""
        found: dict[str, list[float]] = {}
        if self._clock and self._encoded is not None:
            for track, shift in self._tracks:
                if not shift:
                    found.setdefault(track.genre, []).append(round(self._encoded.tempo(track), 2))
        return found

    def state(self) -> dict[str, Any]:
        """Return where the reader stands, as plain data."""
        return {"deal": self._next_segment, "lanes": [list(row) for row in self._lanes]}

    def restore(self, state: dict[str, Any]) -> None:
        """Go to where :meth:`state` was taken."""
        self._next_segment = int(state["deal"])
        rows = [(int(n), int(at)) for n, at in state["lanes"]]
        if len(rows) != self._batch or not all(-1 <= n < self._next_segment and at >= 0 for n, at in rows):
            raise ValueError("reader: not a place in these tracks")
        self._lanes = rows
        self._held = [None] * self._batch

    def _beat_phase(self, segment: Segment, first: int) -> NDArray[np.int64]:
        """Return the ticks of the window of a segment that begins with its `first` frame, which is the one before."""
        assert self._encoded is not None
        phases = self._encoded.phases(*self._tracks[segment.track])
        return self._aligned(beat_phase_ids(self._cut(phases, segment, first), self._clock), segment, first, 0)

    def _phrase_beat(self, segment: Segment, first: int) -> NDArray[np.int64]:
        """Return the places in a phrase of such a window."""
        assert self._encoded is not None
        positions = self._encoded.positions(*self._tracks[segment.track])
        return self._aligned(phrase_beat_ids(self._cut(positions, segment, first), self._phrase), segment, first, 0)

    def _lookback_codes(self, segment: Segment, first: int) -> NDArray[np.int64]:
        """Return the codes of so many beats before such a window, [T + 1, L, K]."""
        assert self._encoded is not None
        track = self._tracks[segment.track]
        if segment.track not in self._before:
            steps = steps_of(self._encoded.positions(*track))
            self._before[segment.track] = frames_before(steps, self._lookback, len(steps), len(steps)).astype(np.int32)
        before = self._cut(self._before[segment.track], segment, first)[..., None]
        codes = np.where(before >= 0, self._encoded.frames(*track)[before[..., 0].clip(min=0)], -1)
        return self._aligned(codes.astype(np.int64), segment, first, -1)

    def _cut(self, whole: NDArray[Any], segment: Segment, first: int) -> NDArray[Any]:
        """Return what a window of a segment has of a track, but for what comes before the track."""
        begin = segment.start + first - 1
        return whole[max(0, begin) : begin + self._window + 1]

    def _aligned(self, told: NDArray[np.int64], segment: Segment, first: int, none: int) -> NDArray[np.int64]:
        """Return what a window is told; every stretch begins from silence, of which there is nothing to tell."""
        if first:
            return told
        return np.concatenate([np.full_like(told[-1:], none), told[-self._window :]])

    def _load(self, number: int) -> tuple[int, Segment, Frames]:
        segment = self._segment(number)
        return number, segment, self._read(segment)

    def _segment(self, number: int) -> Segment:
        """Return the segment of a deal; epochs are laid out as they are reached (or, on resume, again)."""
        if number < self._dealt_before:
            self._epoch, self._order, self._dealt_before = -1, [], 0
        while number >= self._dealt_before + len(self._order):
            self._dealt_before += len(self._order)
            self._epoch += 1
            self._order = self._shuffled(self._epoch)
        return self._order[number - self._dealt_before]

    def _shuffled(self, epoch: int) -> list[Segment]:
        rng = np.random.default_rng(derive_seed(self._seed, "windows", epoch))
        segments = list[Segment]()
        for index, length in enumerate(self._lengths):
            # Another offset in each epoch, so that windows do not always end at the same sounds.
            offset = int(rng.integers(0, min(self._window, length - self._window) + 1)) if epoch else 0
            offset -= offset % self._r.frame_multiple
            windows = (length - offset) // self._window
            for first in range(0, windows, self._segment_windows):
                count = min(self._segment_windows, windows - first)
                times = int(self._repeats[index] + (rng.random() if self._repeats[index] > 1 else 0))
                segments += [Segment(index, offset + first * self._window, count)] * times
        rng.shuffle(segments)
        return [Segment(*map(int, s)) for s in segments]

    def _read(self, segment: Segment) -> Frames:
        r = self._r
        count = segment.windows * self._window
        if self._encoded is not None:
            whole = self._encoded.frames(*self._tracks[segment.track])
            # Every stretch begins as a stream does, from silence: a stream then begins amid music, not as tracks do.
            return np.concatenate([r.silence(), whole[segment.start : segment.start + count]])
        lead = min(r.left_context, segment.start)
        first = r.samples_for(segment.start - lead)
        track, _ = self._tracks[segment.track]
        frames = r.encode(self._corpus.waveform(track, first, r.samples_for(lead + count)))
        if lead:
            return frames[lead - 1 : lead + count]
        return np.concatenate([r.silence(), frames[:count]])
