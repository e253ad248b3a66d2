"""Frames of a corpus's tracks for the windows of a training: encoded when they are read, or once for all."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from noizenet.audio.beats import beat_phase_ids, phrase_beat_ids
from noizenet.base.errors import UsageError
from noizenet.corpus.corpus import Corpus, Track
from noizenet.model.lookback import frames_before, steps_of
from noizenet.representation.base import Frames, Representation
from noizenet.training.encoded import EncodedTracks


class BeatOptions(NamedTuple):
    """What of the beat conditions a network.

    `clock` is the number of beat phases, 0 for none; `phrase` the number of beats of a phrase, 0 for none; `lookback`
    the distances in beats of the lookback codes.
    """

    clock: int = 0
    phrase: int = 0
    lookback: Sequence[int] = ()


NO_BEAT = BeatOptions()


class BeatFrames(NamedTuple):
    """Beat conditioning of some frames: phases and beats of the phrase [T], 0 for none; codes [T, L, K], -1 for none.

    None for what does not condition the network.
    """

    beat_phase: NDArray[np.int64] | None = None
    phrase_beat: NDArray[np.int64] | None = None
    lookback_codes: NDArray[np.int64] | None = None


class FrameSource(ABC):
    """Frames of versions of tracks: a track, and by how many semitones it is shifted.

    Attributes
    ----------
    versions : list of (Track, int)
    lengths : list of int
        Frames of each version.
    """

    versions: list[tuple[Track, int]]
    lengths: list[int]

    @abstractmethod
    def frames(self, version: int, first: int, count: int) -> Frames:
        """Return the frame before `first` (silence, where the source begins with it) and `count` frames from it on."""

    def beats(self, version: int, first: int, stop: int) -> BeatFrames:
        """Return the beat conditioning of frames."""
        return BeatFrames()

    def tempi(self, read: Sequence[int]) -> dict[str, list[float]]:
        """Return the tempi of each genre's tracks among the versions `read`, in beats a minute.

        0 without a clear beat; empty without a clock.
        """
        return {}


class SampleSource(FrameSource):
    """Encodes audio at every reading: for representations that are quickly computed.

    Raises
    ------
    UsageError
        If the tracks shall be transposed, or a clock is asked for.
    """

    def __init__(
        self, corpus: Corpus, tracks: Sequence[Track], representation: Representation, transpose: int, beat: BeatOptions
    ) -> None:
        if transpose:
            raise UsageError("training.transpose: only representations over codes can be transposed; set it to 0")
        if beat.clock:
            raise UsageError("model.clock: only networks over codes have a clock; set it to 0")
        self._corpus, self._r = corpus, representation
        self.versions = [(t, 0) for t in tracks]
        self.lengths = [representation.frames_for(t.frames) for t in tracks]

    def frames(self, version: int, first: int, count: int) -> Frames:
        """Return the frame before `first`, silence at the start of a track, and `count` frames from it on."""
        r = self._r
        context = min(r.left_context, first)
        start = r.samples_for(first - context)
        track, _ = self.versions[version]
        frames = r.encode(self._corpus.waveform(track, start, r.samples_for(context + count)))
        if context:
            return frames[context - 1 : context + count]
        return np.concatenate([r.silence(), frames[:count]])


class EncodedSource(FrameSource):
    """Reads tracks that are encoded once and stored in the corpus folder, transposed too, with their beats.

    Parameters
    ----------
    corpus, tracks, representation
    transpose : int
        Every track is also read up to so many semitones higher and lower.
    beat : BeatOptions
    on_track : callable, optional
        Called with the share of the tracks that is encoded.
    """

    def __init__(
        self, corpus: Corpus, tracks: Sequence[Track], representation: Representation, transpose: int,
        beat: BeatOptions, on_track: Callable[[float], None] | None = None,
    ) -> None:  # fmt: skip
        self.encoded = EncodedTracks(corpus, representation)
        self._silence, self._beat = representation.silence(), beat
        shifts = sorted(range(-transpose, transpose + 1), key=abs)  # untransposed first
        self.versions = [(t, shift) for shift in shifts for t in tracks]
        self.encoded.prepare(self.versions, on_track, beats=beat.clock > 0, phrases=bool(beat.phrase or beat.lookback))
        self.lengths = [len(self.encoded.frames(*version)) for version in self.versions]
        self._lookback_frames = dict[int, NDArray[np.int32]]()

    def frames(self, version: int, first: int, count: int) -> Frames:
        """Return silence and `count` frames from `first` on.

        Like a stream, every segment starts from silence; so streams start within music and not like tracks.
        """
        whole = self.encoded.frames(*self.versions[version])
        return np.concatenate([self._silence, whole[first : first + count]])

    def beats(self, version: int, first: int, stop: int) -> BeatFrames:
        """Return the beat conditioning of the frames from `first` to `stop`."""
        track, part, beat = self.versions[version], slice(first, stop), self._beat
        phases = beat_phase_ids(self.encoded.phases(*track)[part], beat.clock) if beat.clock else None
        beats = phrase_beat_ids(self.encoded.positions(*track)[part], beat.phrase) if beat.phrase else None
        return BeatFrames(phases, beats, self._lookback_codes(version, part) if beat.lookback else None)

    def _lookback_codes(self, version: int, part: slice) -> NDArray[np.int64]:
        track = self.versions[version]
        if version not in self._lookback_frames:
            steps = steps_of(self.encoded.positions(*track))
            found = frames_before(steps, self._beat.lookback, len(steps), len(steps))
            self._lookback_frames[version] = found.astype(np.int32)
        before = self._lookback_frames[version][part][..., None]
        codes = np.where(before >= 0, self.encoded.frames(*track)[before[..., 0].clip(min=0)], -1)
        return codes.astype(np.int64)

    def tempi(self, read: Sequence[int]) -> dict[str, list[float]]:
        """Return the tempi of each genre's tracks among the versions `read`, in beats a minute."""
        found: dict[str, list[float]] = {}
        for version in read if self._beat.clock else ():
            track, shift = self.versions[version]
            if not shift:
                found.setdefault(track.genre, []).append(round(self.encoded.tempo(track), 2))
        return found
