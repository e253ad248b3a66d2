"""Whether a collection is enough to learn music from."""

from __future__ import annotations

import math
from collections.abc import Sequence

from noizenet.base.errors import TrainingError
from noizenet.corpus.corpus import Corpus, Track
from noizenet.representation.base import Representation
from noizenet.training.speech import speech_in

LEAST_S, FEW_S = 15.0, 300.0
SILENT_RMS = 1e-3
"""-60 dB."""
SPOKEN_SHARE = 0.6
"""Of a talk nine stretches in ten are taken for speech, of music with sparse short notes up to four in ten."""


def check_collection(corpus: Corpus, tracks: Sequence[Track]) -> str:
    """Return what a user should know about the tracks that a training will read; empty where all is well.

    Raises
    ------
    TrainingError
        If they are too few to learn from, or nearly all silent; the message says what is missing.
    """
    seconds = sum(t.seconds for t in tracks)
    nonsilent = sum(t.seconds for t in tracks if t.rms > SILENT_RMS)
    if seconds < LEAST_S:
        raise TrainingError(
            f"{corpus.folder}: {seconds:.0f} s to train on are too few to learn music from: at least "
            f"{math.ceil(LEAST_S - seconds)} s more are needed, and {FEW_S / 60:.0f} minutes are a good start; "
            "add recordings and build the corpus again"
        )
    if nonsilent < LEAST_S:
        raise TrainingError(
            f"{corpus.folder}: the tracks to train on are nearly all silent ({nonsilent:.0f} of {seconds:.0f} s lie "
            "above -60 dB); are these the right files?"
        )
    if nonsilent < seconds / 2:
        return (
            f"more than half of the music to train on is silent ({nonsilent:.0f} of {seconds:.0f} s lie above -60 dB)"
        )
    spoken, heard = speech_in(corpus, tracks)
    if spoken > SPOKEN_SHARE * heard:
        return (
            f"most of what is to be learned from sounds like speech ({spoken} of {heard} stretches of 3 s): what is "
            "learned will sound like it; are these the right files?"
        )
    if seconds < FEW_S:
        return f"{seconds / 60:.1f} minutes of music are little to learn from: expect fragments of it to come back"
    return ""


def check_sound(corpus: Corpus, representation: Representation) -> str:
    """Return a remark where a network plays more than its recordings hold: a second channel, high frequencies."""
    rate, channels = representation.sample_rate, representation.channels
    if rate <= corpus.sample_rate and channels <= corpus.channels:
        return ""
    return (
        f"the corpus holds {corpus.channels} channel(s) at {corpus.sample_rate:,} Hz, and the model plays {channels} "
        f"at {rate:,} Hz: what is not in the recordings cannot be learned; build the corpus again with "
        f"--channels {channels} --sample-rate {rate}"
    )
