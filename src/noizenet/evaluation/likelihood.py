"""What held-out music costs a model in bits, genre by genre, beside predictors that learn next to nothing."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from noizenet.base.errors import UsageError
from noizenet.corpus.corpus import Corpus, Track
from noizenet.evaluation.baselines import linear_prediction, persistence, zeroth_order
from noizenet.store.model import Model

EXCERPT_S, EXCERPTS, TRAINING_EXCERPTS = 2.0, 8, 64
BASELINES = ("linear_prediction", "persistence", "zeroth_order")


def likelihood(model: Model, corpus: Corpus) -> dict[str, Any]:
    """Return bits per sample and per second over excerpts of every genre's held-out tracks.

    Each excerpt of two seconds begins from the model's start state. Bits are exact: of the sample classes, sketch
    included; the baselines' are of the same classes.

    Returns
    -------
    dict
        ``genres``: figures of each: ``bits`` (the model's), ``zeroth_order``, ``persistence``,
        ``linear_prediction``, all bits per sample, ``bits_per_second`` and ``seconds``; their ``mean``;
        ``excerpts``: the bits of every excerpt, genre by genre; and ``signal_to_noise_db``, what is left of the sound
        in the classes: bits per second of two representations can be compared at like distortion only.

    Raises
    ------
    UsageError
        If the model predicts no distribution of samples, plays at another rate than the corpus, or no held-out track is
        long enough.
    """
    r = model.representation
    values = r.values()
    if values is None or model.architecture.kind != "classes" or not model.architecture.samples:
        raise UsageError("this model predicts no distribution of samples: it has no likelihood to compare")
    check_same_sound(model, corpus)
    train = _lanes(model, corpus, corpus.split("train"), TRAINING_EXCERPTS)
    genres, excerpts = dict[str, dict[str, float]](), list[dict[str, list[float]]]()
    ratios = list[float]()
    for genre in corpus.genres:
        held = [t for t in corpus.held_out() if t.genre == genre]
        lanes = _lanes(model, corpus, held, EXCERPTS, ratios)
        if not len(lanes) or not len(train):
            continue
        rows = {
            "bits": [_bits(model, lane[None], genre) for lane in lanes],
            "zeroth_order": zeroth_order(train, lanes, r.levels).tolist(),
            "persistence": persistence(train, lanes, r.levels).tolist(),
            "linear_prediction": linear_prediction(lanes, values).tolist(),
        }
        excerpts.append(rows)
        genres[genre] = {k: float(np.mean(v)) for k, v in rows.items()}
        genres[genre] |= {"bits_per_second": genres[genre]["bits"] * r.frame_rate, "seconds": lanes.size / r.frame_rate}
    if not genres:
        raise UsageError(f"no held-out track is as long as {EXCERPT_S:g} s")
    keys = ("bits", *BASELINES, "bits_per_second")
    return {
        "genres": genres,
        "mean": {k: float(np.mean([g[k] for g in genres.values()])) for k in keys},
        "excerpts": excerpts,
        "signal_to_noise_db": float(np.mean(ratios)),
    }


def check_same_sound(model: Model, corpus: Corpus) -> None:
    """See that a model can hear a corpus as it is.

    Raises
    ------
    UsageError
        If their rates or channels differ.
    """
    r = model.representation
    if (r.sample_rate, r.channels) != (corpus.sample_rate, corpus.channels):
        raise UsageError(
            f"the model plays {r.channels} channel(s) at {r.sample_rate} Hz, the corpus holds "
            f"{corpus.channels} at {corpus.sample_rate} Hz: build it anew at the model's"
        )


def _lanes(
    model: Model, corpus: Corpus, tracks: Sequence[Track], count: int, ratios: list[float] | None = None
) -> NDArray[np.int64]:
    """Return excerpts [B, T + 1] in classes, spread evenly over the tracks; T is a multiple of the network's step.

    Where `ratios` is given, each one's signal to noise in dB is appended to it.
    """
    granule = math.lcm(model.network.granule, corpus.channels)
    samples = round(EXCERPT_S * corpus.sample_rate)
    frames = samples * corpus.channels // granule * granule
    long = [t for t in tracks if t.frames > samples + 1]
    lanes = []
    for i in range(count if long else 0):
        track = long[i * len(long) // count] if len(long) > count else long[i % len(long)]
        start = round((i + 0.5) / count * (track.frames - samples - 1))
        sound = model.representation.as_waveform(corpus.samples(track, start, samples + 1))
        encoded = model.representation.encode(sound)
        if ratios is not None:
            ratios.append(_signal_to_noise(sound.samples, model.representation.decode(encoded).samples))
        lanes.append(encoded[: frames + 1, 0].astype(np.int64))
    return np.stack(lanes) if lanes else np.zeros((0, frames + 1), np.int64)


def _signal_to_noise(sound: NDArray[np.float32], kept: NDArray[np.float32]) -> float:
    power, noise = np.square(sound).mean(), np.square(sound - kept[: len(sound)]).mean()
    return float(10 * np.log10((power + 1e-12) / (noise + 1e-12)))


def mix_of(model: Model, genre: str) -> NDArray[np.float32]:
    """Return a genre as a model is told it, [G]; a genre that it does not know is all of them alike."""
    count = max(1, len(model.genres))
    if genre in model.genres:
        return np.asarray(np.eye(count)[model.genres.index(genre)], np.float32)
    return np.full(count, 1 / count, np.float32)


def _bits(model: Model, lanes: NDArray[np.int64], genre: str) -> float:
    import torch

    network = model.network
    mix = torch.from_numpy(mix_of(model, genre))
    frames = torch.from_numpy(lanes)[..., None]
    with torch.inference_mode():
        nats, _, _ = network.nats(
            frames[:, :-1], frames[:, 1:], mix.expand(len(lanes), -1), network.start_state(len(lanes))
        )
    return float(nats) / math.log(2)
