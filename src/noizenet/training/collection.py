"""Checks of whether the recordings suffice to train on."""

from __future__ import annotations

import math
from collections.abc import Sequence

from noizenet.base.errors import TrainingError
from noizenet.corpus.corpus import Corpus, Track
from noizenet.corpus.speech import count_speech
from noizenet.representation.base import Representation

MIN_S, RECOMMENDED_S = 15.0, 300.0
SILENT_RMS = 1e-3
"""-60 dB."""
SPEECH_SHARE = 0.6
"""Of a talk nine excerpts in ten are classified as speech, of music with sparse short notes up to four in ten."""


def check_collection(corpus: Corpus, tracks: Sequence[Track]) -> str:
    """Return a remark on the tracks of a training; an empty string if there is nothing to report.

    Raises
    ------
    TrainingError
        If they are too short or nearly all silent; the message says what is missing.
    """
    seconds = sum(t.seconds for t in tracks)
    nonsilent = sum(t.seconds for t in tracks if t.rms > SILENT_RMS)
    if seconds < MIN_S:
        raise TrainingError(
            f"{corpus.folder}: {seconds:.0f} s of training audio are too short: at least "
            f"{math.ceil(MIN_S - seconds)} s more are needed, and {RECOMMENDED_S / 60:.0f} minutes are a good start; "
            "add recordings and build the corpus again"
        )
    if nonsilent < MIN_S:
        raise TrainingError(
            f"{corpus.folder}: the training tracks are nearly all silent ({nonsilent:.0f} of {seconds:.0f} s are "
            "above -60 dB); check the recordings"
        )
    if nonsilent < seconds / 2:
        return f"more than half of the training audio is silent ({nonsilent:.0f} of {seconds:.0f} s are above -60 dB)"
    speech, judged = count_speech(corpus, tracks)
    if speech > SPEECH_SHARE * judged:
        return (
            f"most of the training audio sounds like speech ({speech} of {judged} excerpts of 3 s), and the model will "
            "sound like it; check the recordings"
        )
    if seconds < RECOMMENDED_S:
        return f"{seconds / 60:.1f} minutes of training audio are little to learn from: expect repeated fragments"
    return ""


def check_sound(corpus: Corpus, representation: Representation) -> str:
    """Return a remark if the model has more channels or a higher sample rate than the recordings."""
    rate, channels = representation.sample_rate, representation.channels
    if rate <= corpus.sample_rate and channels <= corpus.channels:
        return ""
    return (
        f"the corpus has {corpus.channels} channel(s) at {corpus.sample_rate:,} Hz, and the model plays {channels} "
        f"at {rate:,} Hz, which it cannot learn from these recordings; build the corpus again with "
        f"--channels {channels} --sample-rate {rate}"
    )
