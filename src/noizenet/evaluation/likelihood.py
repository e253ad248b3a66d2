"""What held-out music costs a model in bits, genre by genre, beside predictors that learn next to nothing."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from noizenet.audio.write import from_pcm16
from noizenet.corpus.corpus import Corpus, Track
from noizenet.evaluation.baselines import linear_prediction, persistence, zeroth_order
from noizenet.store.model import Model

EXCERPT_S, EXCERPTS, TRAINING_EXCERPTS = 2.0, 8, 64


def likelihood(model: Model, corpus: Corpus) -> dict[str, Any]:
    """Return bits per sample and per second over excerpts of every genre's held-out tracks.

    Each excerpt of two seconds begins from the model's start state. Bits are exact: of the sample classes, sketch
    included; the baselines' are of the same classes.

    Returns
    -------
    dict
        ``unsaid``, why there is none, where the model predicts no distribution of samples or was trained at another
        rate; or ``genres`` of figures: ``bits`` (the model's), ``zeroth_order``, ``persistence``,
        ``linear_prediction``, all bits per sample, and ``bits_per_second`` and ``seconds``; and their ``mean``.
    """
    r = model.representation
    values = r.values()
    if values is None or model.architecture.kind != "classes" or not model.architecture.samples:
        return {"unsaid": "this model predicts no distribution of samples: it has no likelihood to compare"}
    if (r.sample_rate, r.channels) != (corpus.sample_rate, corpus.channels):
        return {
            "unsaid": f"the model plays {r.channels} channel(s) at {r.sample_rate} Hz, the corpus holds "
            f"{corpus.channels} at {corpus.sample_rate} Hz: build it anew at the model's"
        }
    train = _lanes(model, corpus, corpus.split("train"), TRAINING_EXCERPTS)
    genres: dict[str, dict[str, float]] = {}
    for genre in corpus.genres:
        held = [t for t in corpus.split("validation") + corpus.split("test") if t.genre == genre]
        lanes = _lanes(model, corpus, held, EXCERPTS)
        if not len(lanes) or not len(train):
            continue
        bits = _bits(model, lanes, genre)
        genres[genre] = {
            "bits": bits,
            "zeroth_order": zeroth_order(train, lanes, r.levels),
            "persistence": persistence(train, lanes, r.levels),
            "linear_prediction": linear_prediction(lanes, values),
            "bits_per_second": bits * r.frame_rate,
            "seconds": lanes.size / r.frame_rate,
        }
    if not genres:
        return {"unsaid": f"no held-out track is as long as {EXCERPT_S:g} s"}
    keys = ("bits", "zeroth_order", "persistence", "linear_prediction", "bits_per_second")
    return {"genres": genres, "mean": {k: float(np.mean([g[k] for g in genres.values()])) for k in keys}}


def _lanes(model: Model, corpus: Corpus, tracks: Sequence[Track], count: int) -> NDArray[np.int64]:
    """Return excerpts [B, T + 1] in classes, spread evenly over the tracks; T is a multiple of the network's step."""
    granule = math.lcm(model.network.granule, corpus.channels)
    samples = round(EXCERPT_S * corpus.sample_rate)
    frames = samples * corpus.channels // granule * granule
    long = [t for t in tracks if t.frames > samples + 1]
    lanes = []
    for i in range(count if long else 0):
        track = long[i * len(long) // count] if len(long) > count else long[i % len(long)]
        start = round((i + 0.5) / count * (track.frames - samples - 1))
        sound = model.representation.as_waveform(from_pcm16(corpus.read(track, start, samples + 1)))
        encoded = model.representation.encode(sound)
        lanes.append(encoded[: frames + 1, 0].astype(np.int64))
    return np.stack(lanes) if lanes else np.zeros((0, frames + 1), np.int64)


def _bits(model: Model, lanes: NDArray[np.int64], genre: str) -> float:
    import torch

    network = model.network
    count = max(1, len(model.genres))
    mix = torch.eye(count)[model.genres.index(genre)] if genre in model.genres else torch.full((count,), 1 / count)
    frames = torch.from_numpy(lanes)[..., None]
    with torch.inference_mode():
        nats, _, _ = network.nats(
            frames[:, :-1], frames[:, 1:], mix.expand(len(lanes), -1), network.start_state(len(lanes))
        )
    return float(nats) / math.log(2)
