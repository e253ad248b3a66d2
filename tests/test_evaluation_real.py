"""Sanity of the measures on real music: slow, and only where the tiny corpus can be had (NOIZENET_REAL_MUSIC)."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import noizenet
from noizenet.corpus.corpus import Corpus
from noizenet.evaluation.judge import judge
from noizenet.evaluation.material import Recording, Sounding, of_corpus, sound
from noizenet.evaluation.measure import Evidence
from noizenet.evaluation.measures import FRECHET_CRAFTED, KERNEL_CRAFTED
from noizenet.evaluation.run import Backdrop, Options, backdrop

pytestmark = pytest.mark.slow
FOLDER = os.environ.get("NOIZENET_REAL_MUSIC", "")


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    if not FOLDER:
        pytest.skip("NOIZENET_REAL_MUSIC names no folder; fill one with ../shared/data/fetch-corpus --tiny")
    return noizenet.build_corpus(Path(FOLDER), tmp_path_factory.mktemp("real") / "corpus", sample_rate=16_000)


@pytest.fixture(scope="module")
def scene(corpus: Corpus) -> Backdrop:
    return backdrop(corpus, Options("crafted", real_seconds=120.0))


def evidence(scene: Backdrop, corpus: Corpus, made: list[Sounding]) -> Evidence:
    return Evidence(scene.train, scene.held, made, scene.controls, corpus)


def noisy(recording: Recording, amount: float) -> Recording:
    def blocks() -> Iterator[np.ndarray]:
        generator = np.random.default_rng(1)
        for block in recording.blocks():
            yield (block + generator.normal(0, amount, len(block))).astype(np.float32)

    return replace(recording, blocks=blocks)


def test_distances_rise_as_noise_is_mixed_in(corpus: Corpus, scene: Backdrop) -> None:
    held = of_corpus(corpus, [*corpus.split("validation"), *corpus.split("test")], 120.0)
    for measure in (FRECHET_CRAFTED, KERNEL_CRAFTED):
        values = []
        for amount in (0.0, 0.003, 0.02, 0.1):
            made = [sound(noisy(r, amount), None) for r in held]
            values.append(measure.score(evidence(scene, corpus, made), made).value)
        assert values == sorted(values), measure.title


def test_distances_rise_as_tracks_are_swapped_for_another_genres(corpus: Corpus, scene: Backdrop) -> None:
    own, other = ([s for s in scene.train if s.heard.genre == g] for g in corpus.genres)
    reference, rest = own[::2], own[1::2]
    count = min(len(rest), len(other))
    values = []
    for swapped in (0, count // 3, 2 * count // 3, count):
        made = rest[: count - swapped] + other[:swapped]
        judged = Evidence(reference, scene.held, made, {}, corpus)
        values.append(FRECHET_CRAFTED.score(judged, made).value)
    assert values == sorted(values)
    assert values[-1] > 2 * values[0]


def test_real_music_is_before_every_control_where_a_measure_claims_to_see(corpus: Corpus, scene: Backdrop) -> None:
    found = {f.name: f for f in judge(evidence(scene, corpus, list(scene.held))).figures}
    for name in ("frechet-crafted", "kernel-crafted"):
        assert found[name].blind == [], name
    assert "white noise" not in found["alive"].blind
    assert found["alive"].real is not None
    assert found["alive"].real.value >= 0.99
    for figure in found.values():  # a control that is not behind real music is named, whatever the measure
        assert set(figure.blind) <= set(figure.beside)


def test_replayed_training_music_is_told_from_new_music(corpus: Corpus, scene: Backdrop) -> None:
    held = judge(evidence(scene, corpus, list(scene.held)), ["copying"])
    replayed = judge(evidence(scene, corpus, list(scene.train[:6])), ["copying"])
    assert replayed.details["copying"]["verdict"] == "copies"
    assert held.details["copying"]["verdict"] != "copies"
