"""What a representation learns of a corpus before the network does: its range, its mean and deviation."""

from __future__ import annotations

from collections.abc import Sequence

from noizenet.corpus.corpus import Corpus, Track
from noizenet.corpus.excerpts import excerpt_starts
from noizenet.representation.base import Representation

FIT_SECONDS, FIT_EACH = 300.0, 5.0


def fitted(representation: Representation, corpus: Corpus, tracks: Sequence[Track]) -> Representation:
    """Return the representation fitted to pieces of 5 s, of together 5 minutes at most, spread over the tracks."""
    count = max(1, round(min(FIT_SECONDS, sum(t.seconds for t in tracks)) / FIT_EACH))
    rate = corpus.sample_rate
    phrase_beat = excerpt_starts(tracks, count, FIT_EACH)
    return representation.fit([corpus.waveform(t, round(at * rate), round(FIT_EACH * rate)) for t, at in phrase_beat])
