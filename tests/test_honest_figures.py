"""Metrics are estimated only if the data support them: minimum counts, equal sets, coverage of intervals."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from noizenet.base.errors import UsageError
from noizenet.evaluation.aliveness import Report
from noizenet.evaluation.copying import Excerpts, Pair, compare
from noizenet.evaluation.distance import Gaussian, feature_scales, frechet, frechet_distance, kernel_distance
from noizenet.evaluation.features import CHROMA, MEL_BANDS, Features
from noizenet.evaluation.genre import GenreClassifier
from noizenet.evaluation.intervals import MIN_RECORDINGS, bootstrap, mean_proportion, proportion
from noizenet.evaluation.judge import compute_metrics
from noizenet.evaluation.metric import MetricInputs
from noizenet.evaluation.recording import AnalyzedRecording

D = 8


def draw(
    seed: int, recordings: int, each: int = 10, *, shift: float = 0.0, correlation: float = 0.3
) -> tuple[np.ndarray, np.ndarray]:
    """Return points of recordings, correlated within each recording, and the recording of each point."""
    g = np.random.default_rng(seed)
    centres = np.repeat(g.normal(size=(recordings, D)), each, 0)
    points = math.sqrt(correlation) * centres + math.sqrt(1 - correlation) * g.normal(size=(recordings * each, D))
    return points * np.logspace(0, -1, D) + shift, np.repeat(np.arange(recordings), each)


class TestFrechet:
    def test_the_distance_of_equal_sets_is_near_zero(self) -> None:
        total = (np.logspace(0, -1, D) ** 2).sum()
        x, groups = draw(0, 12)
        same = frechet_distance(x, x, groups, real_groups=groups)
        assert same.value == 0
        assert "given as 0" in same.note
        found = [
            frechet_distance(*(draw(s, 12)[0] for s in (2 * i, 2 * i + 1)), groups, i, real_groups=groups)
            for i in range(1, 9)
        ]
        assert np.mean([f.value for f in found]) < 0.05 * total
        assert all(f.value >= 0 and f.low >= 0 for f in found)
        assert all("given as 0" in f.note for f in found if f.value == 0)

    @pytest.mark.parametrize("count", [1, D // 2 + 2, D, 2 * D - 1])
    def test_too_few_points_on_either_side_are_rejected(self, count: int) -> None:
        (many, of), few = draw(0, 12), draw(1, count, 1)
        for pair in ((many, *few, of), (few[0], many, of, few[1])):
            with pytest.raises(UsageError, match=f"at least {2 * D} are needed"):
                frechet_distance(pair[0], pair[1], pair[2], real_groups=pair[3])

    def test_many_points_of_few_recordings_are_rejected(self) -> None:
        many, of = draw(0, 12)
        for recordings in range(1, MIN_RECORDINGS):
            points, groups = draw(1, recordings, 200)
            with pytest.raises(UsageError, match="recording"):
                frechet_distance(many, points, groups, real_groups=of)
            with pytest.raises(UsageError, match="recording"):
                frechet_distance(points, many, of, real_groups=groups)

    @pytest.mark.parametrize("bad", [np.nan, np.inf])
    def test_values_that_are_not_finite_are_rejected(self, bad: float) -> None:
        (many, of), (points, groups) = draw(0, 12), draw(1, 12)
        points[3, 2] = bad
        for distance in (frechet_distance, kernel_distance):
            with pytest.raises(UsageError, match="not finite"):
                distance(many, points, groups, real_groups=of)
            with pytest.raises(UsageError, match="not finite"):
                distance(points, many, of, real_groups=groups)

    def test_the_interval_covers_the_true_value_and_widens_with_less_data(self) -> None:
        shift = 0.25
        scale = np.logspace(0, -1, D)
        truth = frechet(Gaussian(np.zeros(D), np.diag(scale**2)), Gaussian(np.full(D, shift), np.diag(scale**2)))
        real, of = draw(999, 1500, 2)  # the interval is over the evaluated recordings only
        widths, held = {}, {}
        for recordings in (6, 40):
            found = [frechet_distance(real, *draw(s, recordings, shift=shift), s, real_groups=of) for s in range(16)]
            widths[recordings] = np.mean([f.high - f.low for f in found])
            held[recordings] = np.mean([f.low <= truth <= f.high for f in found])
            assert np.mean([f.value for f in found]) == pytest.approx(truth, rel=0.25)
        assert widths[6] > 1.5 * widths[40]
        assert min(held.values()) >= 0.75  # nominally 0.9; 16 tries

    def test_distances_increase_with_added_noise(self) -> None:
        real, of = draw(0, 30)
        points, groups = draw(1, 30)
        noise = np.random.default_rng(2).normal(size=points.shape) * np.logspace(0, -1, D)
        for distance in (frechet_distance, kernel_distance):
            values = [distance(real, points + a * noise, groups, real_groups=of).value for a in (0, 0.3, 1, 3)]
            assert values == sorted(values)
            assert values[-1] > values[0]

    def test_constant_dimensions_have_no_effect(self) -> None:
        real, of = draw(0, 30)
        points, groups = draw(1, 30, shift=0.5)
        flat = [np.concatenate([p, np.full((len(p), 2), 7.0)], 1) for p in (real, points)]
        assert feature_scales(flat[0])[-1] == feature_scales(flat[0]).max()
        plain = frechet_distance(real, points, groups, real_groups=of).value
        assert frechet_distance(*flat, groups, real_groups=of).value == pytest.approx(plain, rel=0.02)
        still = np.ones((100, D))
        for distance in (frechet_distance, kernel_distance):
            assert distance(still, still, np.arange(100) // 10).value == pytest.approx(0, abs=1e-9)


class TestKernel:
    def test_pairs_of_one_recording_do_not_count(self) -> None:
        """A high correlation within recordings does not increase the distance."""
        real, of = draw(0, 60)
        found = [kernel_distance(real, *draw(s, 20, correlation=0.95), s, real_groups=of).value for s in range(1, 5)]
        far = kernel_distance(real, *draw(9, 20, shift=0.5), real_groups=of).value
        assert np.mean(found) < 0.5 * far

    def test_the_distance_of_a_set_to_itself_is_zero(self) -> None:
        x, groups = draw(0, 12)
        found = kernel_distance(x, x, groups, real_groups=groups)
        assert found.value == 0
        assert "given as 0" in found.note

    def test_few_recordings_have_no_interval_and_one_has_no_estimate(self) -> None:
        real, of = draw(0, 30)
        two = kernel_distance(real, *draw(1, 2, 20), real_groups=of)
        assert math.isfinite(two.value)
        assert math.isnan(two.low)
        with pytest.raises(UsageError, match="recording"):
            kernel_distance(real, *draw(1, 1, 40), real_groups=of)
        with pytest.raises(UsageError, match="at least 16"):
            kernel_distance(real, *draw(1, 3, 5), real_groups=of)


class TestIntervals:
    @pytest.mark.parametrize("recordings", [5, 8, 20])
    def test_the_interval_of_a_mean_covers_it_nine_times_of_ten(self, recordings: int) -> None:
        g, held, tries = np.random.default_rng(recordings), 0, 300
        for i in range(tries):
            centres = g.normal(size=recordings)
            found = bootstrap([c + 0.1 * g.normal(size=6) for c in centres], lambda x: float(x.mean()), i, rounds=60)
            held += found.low <= 0 <= found.high
        assert 0.84 <= held / tries <= 0.96

    @pytest.mark.parametrize(("p", "n"), [(0.5, 6), (0.9, 10), (0.1, 40), (0.97, 24)])
    def test_the_interval_of_a_proportion_covers_it(self, p: float, n: int) -> None:
        hits = np.random.default_rng(0).binomial(n, p, 2000)
        found = [proportion(int(k), n) for k in hits]
        assert np.mean([f.low <= p <= f.high for f in found]) >= 0.85
        assert all(0 <= f.low <= f.value <= f.high <= 1 for f in found)

    def test_the_interval_is_not_empty_if_all_recordings_agree(self) -> None:
        assert proportion(5, 5).low < 0.8
        found = mean_proportion([np.ones(1)] * 6, 0)
        assert (found.value, found.high) == (1, 1)
        assert found.low < 0.8
        assert math.isnan(mean_proportion([np.ones(1)] * (MIN_RECORDINGS - 1), 0).low)
        assert mean_proportion([np.ones(1)] * 1000, 0).low > 0.99

    @settings(max_examples=100, deadline=None)
    @given(st.lists(st.lists(st.floats(0, 1), max_size=5), max_size=9))
    def test_a_proportion_is_in_its_interval(self, parts: list[list[float]]) -> None:
        arrays = [np.array(p) for p in parts]
        if not sum(map(len, arrays)):
            with pytest.raises(UsageError):
                mean_proportion(arrays, 0)
            return
        found = mean_proportion(arrays, 0, rounds=20)
        assert -1e-12 <= found.value <= 1 + 1e-12
        recordings = sum(len(a) > 0 for a in arrays)
        assert math.isnan(found.low) == (recordings < MIN_RECORDINGS)
        if recordings >= MIN_RECORDINGS:
            assert found.low - 1e-9 <= found.value <= found.high + 1e-9


def test_copying_needs_enough_music_on_both_sides() -> None:
    def pairs(recordings: int, seconds: int, likeness: float) -> list[list[Pair]]:
        g = np.random.default_rng(0)
        return [[Pair("m", i, "s", i, likeness + 0.01 * g.random()) for i in range(seconds)] for _ in range(recordings)]

    assert compare(pairs(8, 20, 0.9), pairs(8, 20, 0.3)).verdict == "copies"
    assert compare(pairs(8, 20, 0.2), pairs(8, 20, 0.3)).verdict == "as new as held-out music"
    for made, held in (((8, 20), (3, 30)), ((1, 19), (8, 20)), ((0, 0), (8, 20)), ((8, 20), (0, 0))):
        found = compare(pairs(*made, 0.9), pairs(*held, 0.3))
        assert found.verdict.startswith("unknown")
        assert math.isnan(found.share.value)
    one = compare(pairs(1, 200, 0.9), pairs(8, 20, 0.3))  # one recording gives no interval
    assert one.share.value == 1
    assert math.isnan(one.share.low)
    assert one.verdict == "cannot tell"


def test_a_classifier_needs_finite_values_and_enough_recordings() -> None:
    g = np.random.default_rng(0)
    points = np.concatenate([g.normal(0, 1, (40, D)), g.normal(4, 1, (40, D))])
    labels = ["a"] * 40 + ["b"] * 40
    classifier = GenreClassifier(points, labels)
    made = [("a", g.normal(0, 1, (5, D)))] * 4
    with pytest.raises(UsageError, match="at least 5"):
        classifier.evaluate(made)
    with pytest.raises(UsageError, match="at least 5"):
        classifier.evaluate([*made, ("unknown", made[0][1]), ("b", np.zeros((0, D)))])
    verdict = classifier.evaluate([*made, *made])
    assert verdict.accuracy.value == 1
    assert verdict.accuracy.low < 0.9
    points[0, 0] = np.nan
    with pytest.raises(UsageError, match="not finite"):
        GenreClassifier(points, labels)
    flat = GenreClassifier(np.ones((20, D)), ["a"] * 10 + ["b"] * 10).evaluate([("a", np.ones((3, D)))] * 6)
    assert 0 <= flat.accuracy.value <= 1


def features(name: str, genre: str, seed: int, segments: int) -> Features:
    g = np.random.default_rng(seed)
    chroma_mel = g.normal(size=(24 * segments, CHROMA + MEL_BANDS))
    chroma_mel /= np.linalg.norm(chroma_mel, axis=1, keepdims=True)
    return Features(
        name, genre, g.normal(size=(segments, 64)).astype(np.float32), np.zeros((0, 200), np.float32),
        chroma_mel.astype(np.float32), np.abs(g.normal(size=187 * segments)).astype(np.float32),
        g.normal(-20, 3, segments).astype(np.float32), g.normal(1000, 200, segments).astype(np.float32), 0,
    )  # fmt: skip


def analyzed_recordings(count: int, segments: int, seed: int = 0) -> list[AnalyzedRecording]:
    report = Report(3.0 * segments, 0.0, None)
    return [
        AnalyzedRecording(features(f"r{i}", "ab"[i % 2], seed + i, segments), report, f"artist {i}")
        for i in range(count)
    ]


CASES = {
    "nothing": analyzed_recordings(0, 0),
    "one recording": analyzed_recordings(1, 40),
    "one segment": analyzed_recordings(1, 1),
    "no segment": analyzed_recordings(3, 0),
    "few": analyzed_recordings(3, 3),
    "identical": [analyzed_recordings(1, 20)[0]] * 8,
    "constant": [
        dataclasses.replace(
            s,
            features=dataclasses.replace(
                s.features, crafted=np.ones_like(s.features.crafted), chroma_mel=np.zeros_like(s.features.chroma_mel),
                onsets=np.zeros_like(s.features.onsets), level=np.full_like(s.features.level, -20.0),
            ),
        )
        for s in analyzed_recordings(8, 20)
    ],
    "not finite": [
        dataclasses.replace(s, features=dataclasses.replace(s.features, crafted=np.full_like(s.features.crafted, np.nan)))
        for s in analyzed_recordings(8, 20)
    ],
    "as real": analyzed_recordings(8, 20, 500),
}  # fmt: skip


@pytest.mark.parametrize("train", ["constant", "not finite", "as real"])
@pytest.mark.parametrize("made", list(CASES))
def test_degenerate_sets_give_results_or_reasons(made: str, train: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every metric gives a finite result or a reason why there is none, for any input."""
    for name, count in (("distance.BOOTSTRAPS", 2), ("distance.DRAWS", 1), ("distance.KERNEL_DRAWS", 2)):
        monkeypatch.setattr(f"noizenet.evaluation.{name}", count)
    inputs = MetricInputs(CASES[train], CASES["as real"], CASES[made], {"constant": CASES["constant"]}, corpus=None)  # type: ignore[arg-type]
    found = compute_metrics(inputs)
    for result in found.results:
        assert math.isfinite(result.made.value), result
        assert result.made.value >= 0, result
        for other in (result.real, *result.comparisons.values()):
            assert other is None or math.isfinite(other.value), result
        assert math.isnan(result.made.low) == math.isnan(result.made.high)
    for reason in found.skipped.values():
        assert len(reason) > 10
    names = {f.name for f in found.results}
    assert ("frechet-crafted" in names) == (
        made in ("identical", "constant", "as real") and train in ("identical", "constant", "as real")
    )
    assert Excerpts([s.features for s in CASES[made]]).nearest(CASES["as real"][0].features) is not None
