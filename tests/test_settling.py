"""Settling: what a network plays to itself is pulled to where the music is."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from test_tiered import make

from noizenet.corpus.corpus import Corpus
from noizenet.model.coarse import classify, measure
from noizenet.model.features import COARSE
from noizenet.model.weights import Weights
from noizenet.representation.mulaw import MuLaw
from noizenet.training.calibration import MAX_TILT, calibrate, target_means

START = np.full((1, 1), 128)


def still(**options: object) -> Weights:
    weights = Weights.of(make(shake=0.02, **options))  # type: ignore[arg-type]
    weights.arrays["coarse.logit_bias"][:] = 0
    return weights


def test_it_brings_every_genre_to_its_own_target() -> None:
    weights = still()
    target = np.array([[38.0, np.nan, np.nan], [29.0, np.nan, np.nan], [np.nan] * 3])
    calibration = calibrate(weights, START, target, 6000, 0)
    assert np.abs(calibration.before_db[:2, 0]).min() > 4
    assert np.abs(calibration.after_db[:2]).max() < 3
    assert calibration.logit_bias.shape == (3, 3, 48)
    assert not calibration.logit_bias[:, 2].any()  # no music of it, nothing to pull to
    assert np.abs(calibration.logit_bias).max() <= 48 * MAX_TILT
    # Settled again, there is nothing left to recover; the same seed finds the same.
    weights.arrays["coarse.logit_bias"] = calibration.logit_bias
    again = calibrate(replace(weights, arrays=weights.arrays), START, target, 6000, 1)
    assert np.abs(again.after_db[:2]).max() < 4
    assert np.array_equal(calibrate(still(), START, target, 6000, 0).logit_bias, calibration.logit_bias)


def test_a_model_without_genres_has_one_target() -> None:
    target = np.array([[30.0, 12.0, 12.0], [40.0, 12.0, 12.0]])
    calibration = calibrate(still(genres=2, genre_embedding=0), START, target, 6000, 0)
    assert calibration.logit_bias.shape == (3, 1, 48)
    assert abs(calibration.after_db[0, 0]) < 3


def test_a_round_may_stop_it() -> None:
    def stop(share: float, note: str) -> None:
        if share > 0.3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        calibrate(still(), START, np.full((3, 3), 20.0), 500, 0, stop)


def test_what_is_heard_is_the_mean_of_the_music(corpus: Corpus) -> None:
    r = MuLaw(sample_rate=corpus.sample_rate, channels=1)
    means = target_means(corpus, corpus.tracks, r, 64, 0)
    assert means.shape == (len(corpus.genres), len(COARSE))
    for genre, mean in zip(corpus.genres, means, strict=True):
        own = [corpus.read(t)[:, 0].astype(np.float32) / 32768 for t in corpus.tracks if t.genre == genre]
        found = [classify(measure(torch.from_numpy(x[: len(x) // 64 * 64]).reshape(-1, 64))).double() for x in own]
        assert mean == pytest.approx(torch.cat(found).mean(0).numpy(), abs=1.5)
    only = [t for t in corpus.tracks if t.genre == corpus.genres[0]]
    assert np.isnan(target_means(corpus, only, r, 64, 0)[1:]).all()
