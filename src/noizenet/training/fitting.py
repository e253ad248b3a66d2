"""Statistics of a corpus that a representation needs before training: range, mean and deviation."""

from __future__ import annotations

from collections.abc import Sequence

from noizenet.corpus.corpus import Corpus, Track
from noizenet.corpus.excerpts import excerpt_starts
from noizenet.representation.base import Representation

FIT_SECONDS, FIT_EACH = 300.0, 5.0


def fitted(representation: Representation, corpus: Corpus, tracks: Sequence[Track]) -> Representation:
    """Return the representation fitted to excerpts of 5 s, at most 5 minutes in all, spread evenly over the tracks."""
    count = max(1, round(min(FIT_SECONDS, sum(t.seconds for t in tracks)) / FIT_EACH))
    rate = corpus.sample_rate
    excerpts = excerpt_starts(tracks, count, FIT_EACH)
    return representation.fit(
        [corpus.waveform(t, round(start * rate), round(FIT_EACH * rate)) for t, start in excerpts]
    )
