"""Calibration: the coarse features of generated audio are shifted to the means of the training music."""

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


def uncalibrated(**options: object) -> Weights:
    weights = Weights.of(make(shake=0.02, **options))  # type: ignore[arg-type]
    weights.arrays["coarse.logit_bias"][:] = 0
    return weights


def test_every_genre_reaches_its_target() -> None:
    weights = uncalibrated()
    target = np.array([[38.0, np.nan, np.nan], [29.0, np.nan, np.nan], [np.nan] * 3])
    calibration = calibrate(weights, START, target, 6000, 0)
    assert np.abs(calibration.before_db[:2, 0]).min() > 4
    assert np.abs(calibration.after_db[:2]).max() < 3
    assert calibration.logit_bias.shape == (3, 3, 48)
    assert not calibration.logit_bias[:, 2].any()  # no music of this genre, so no target
    assert np.abs(calibration.logit_bias).max() <= 48 * MAX_TILT
    # A second calibration has nothing left to correct; the same seed gives the same result.
    weights.arrays["coarse.logit_bias"] = calibration.logit_bias
    again = calibrate(replace(weights, arrays=weights.arrays), START, target, 6000, 1)
    assert np.abs(again.after_db[:2]).max() < 4
    assert np.array_equal(calibrate(uncalibrated(), START, target, 6000, 0).logit_bias, calibration.logit_bias)


def test_a_model_without_genres_has_one_target() -> None:
    target = np.array([[30.0, 12.0, 12.0], [40.0, 12.0, 12.0]])
    calibration = calibrate(uncalibrated(genres=2, genre_embedding=0), START, target, 6000, 0)
    assert calibration.logit_bias.shape == (3, 1, 48)
    assert abs(calibration.after_db[0, 0]) < 3


def test_the_callback_can_stop_it() -> None:
    def stop(share: float, note: str) -> None:
        if share > 0.3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        calibrate(uncalibrated(), START, np.full((3, 3), 20.0), 500, 0, stop)


def test_targets_are_the_means_of_the_music(corpus: Corpus) -> None:
    r = MuLaw(sample_rate=corpus.sample_rate, channels=1)
    means = target_means(corpus, corpus.tracks, r, 64, 0)
    assert means.shape == (len(corpus.genres), len(COARSE))
    for genre, mean in zip(corpus.genres, means, strict=True):
        waves = [corpus.read(t)[:, 0].astype(np.float32) / 32768 for t in corpus.tracks if t.genre == genre]
        found = [classify(measure(torch.from_numpy(x[: len(x) // 64 * 64]).reshape(-1, 64))).double() for x in waves]
        assert mean == pytest.approx(torch.cat(found).mean(0).numpy(), abs=1.5)
    only = [t for t in corpus.tracks if t.genre == corpus.genres[0]]
    assert np.isnan(target_means(corpus, only, r, 64, 0)[1:]).all()
