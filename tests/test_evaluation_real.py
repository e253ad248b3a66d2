"""Sanity of the metrics on real music: slow, and only if the tiny corpus is available (NOIZENET_REAL_MUSIC).

The tiny corpus has ten tracks, too few to hold whole tracks out. Each is cut into segments of half a minute, and every
other segment counts as held-out music.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest

import noizenet
from noizenet.corpus.corpus import Corpus, Track
from noizenet.evaluation.controls import CONTROLS
from noizenet.evaluation.judge import compute_metrics
from noizenet.evaluation.metric import MetricInputs
from noizenet.evaluation.metrics import FRECHET_CRAFTED, KERNEL_CRAFTED
from noizenet.evaluation.recording import AnalyzedRecording, Recording, analyze

pytestmark = pytest.mark.slow
FOLDER = os.environ.get("NOIZENET_REAL_MUSIC", "")
SEGMENT_S = 30


@dataclass
class Real:
    """Segments of real music: training and held-out ones, and the recordings of the latter."""

    corpus: Corpus
    train: list[AnalyzedRecording]
    held_out: list[AnalyzedRecording]
    recordings: list[Recording]

    def inputs(
        self, made: list[AnalyzedRecording], controls: dict[str, list[AnalyzedRecording]] | None = None
    ) -> MetricInputs:
        return MetricInputs(self.train, self.held_out, made, controls or {}, self.corpus)


def segment(corpus: Corpus, track: Track, at: int) -> Recording:
    def blocks() -> Iterator[np.ndarray]:
        for i in range(SEGMENT_S):
            yield corpus.mono(track, (at * SEGMENT_S + i) * corpus.sample_rate, corpus.sample_rate)

    return Recording(f"{track.id} {at}", track.genre, corpus.sample_rate, blocks, f"{track.id} {at}")


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Real:
    if not FOLDER:
        pytest.skip("NOIZENET_REAL_MUSIC names no folder; fill one with tools/fetch_corpus.py --tiny")
    corpus = noizenet.build_corpus(Path(FOLDER), tmp_path_factory.mktemp("real") / "corpus", sample_rate=16_000)
    cut = [segment(corpus, t, i) for t in corpus.tracks for i in range(int(t.seconds) // SEGMENT_S)]
    return Real(corpus, [analyze(r, None) for r in cut[::2]], [analyze(r, None) for r in cut[1::2]], cut[1::2])


def noisy(recording: Recording, amount: float) -> Recording:
    def blocks() -> Iterator[np.ndarray]:
        generator = np.random.default_rng(1)
        for block in recording.blocks():
            yield (block + generator.normal(0, amount, len(block))).astype(np.float32)

    return replace(recording, blocks=blocks)


def test_distances_increase_with_added_noise(real: Real) -> None:
    sides = [real.held_out] + [[analyze(noisy(r, a), None) for r in real.recordings] for a in (0.003, 0.02, 0.1)]
    for metric in (FRECHET_CRAFTED, KERNEL_CRAFTED):
        values = [metric.score(real.inputs(side), side).value for side in sides]
        assert values == sorted(values), metric.title


def test_distances_increase_with_music_of_another_genre(real: Real) -> None:
    electronic = [s for s in real.held_out if s.features.genre == "electronic"]
    acoustic = [s for s in real.held_out if s.features.genre == "acoustic"]
    reference = replace_train(real, "electronic")
    count = min(len(electronic), len(acoustic))
    values = []
    for swapped in (0, count // 3, 2 * count // 3, count):
        made = electronic[: count - swapped] + acoustic[:swapped]
        # The kernel distance, because one genre has too few segments here for a Fréchet distance.
        values.append(KERNEL_CRAFTED.score(reference.inputs(made), made).value)
    assert values == sorted(values)
    assert values[-1] > 2 * values[0]


def replace_train(real: Real, genre: str) -> Real:
    return replace(real, train=[s for s in real.train if s.features.genre == genre])


def test_real_music_is_better_than_controls_unless_a_metric_is_insensitive(real: Real) -> None:
    controls = {}
    for name in ("white noise", "shuffled windows"):
        controls[name] = []
        for genre in real.corpus.genres:
            tracks = [t for t in real.corpus.tracks if t.genre == genre]
            for seed in range(8):
                samples = np.concatenate(list(CONTROLS[name](real.corpus, tracks, 30.0, seed)))
                one = Recording(f"{name} {genre} {seed}", genre, 16_000, lambda samples=samples: iter([samples]))
                controls[name].append(analyze(one, None))
    found = {f.name: f for f in compute_metrics(real.inputs(real.held_out, controls)).results}
    for name in ("frechet-crafted", "kernel-crafted", "tempo-clarity"):
        assert found[name].insensitive == [], name
    for name in ("genre", "key-clarity", "onset-rate", "self-similarity-4"):
        assert "white noise" not in found[name].insensitive, name
    assert found["alive"].insensitive == ["shuffled windows"]  # they do not degenerate, but are not music
    assert found["alive"].real is not None
    assert found["alive"].real.value >= 0.99
    for result in found.values():
        assert set(result.comparisons) == set(controls), result.name


def test_replayed_training_music_is_distinguished_from_new_music(real: Real) -> None:
    replayed = compute_metrics(real.inputs(real.train[:8]), ["copying"])
    new = compute_metrics(real.inputs(real.held_out), ["copying"])
    assert replayed.details["copying"]["verdict"] == "copies"
    assert new.details["copying"]["verdict"] != "copies"
