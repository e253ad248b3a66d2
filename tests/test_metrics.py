"""Metrics compared with real music and controls; metrics of a model; metrics that the data cannot support."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from test_evaluation import RATE, song

import noizenet
from noizenet.base.errors import UsageError
from noizenet.cli.main import main
from noizenet.corpus.corpus import Corpus
from noizenet.evaluation.controls import CONTROLS, control
from noizenet.evaluation.energy import joule_meter, read_joules
from noizenet.evaluation.intervals import Estimate, bootstrap
from noizenet.evaluation.judge import Results, compute_metrics
from noizenet.evaluation.metric import MetricInputs, is_worse
from noizenet.evaluation.recording import AnalyzedRecording, Recording, analyze
from noizenet.evaluation.run import Options, reference_set


def recording(name: str, samples: np.ndarray, genre: str = "", artist: str = "") -> Recording:
    def blocks() -> Iterator[np.ndarray]:
        yield from (samples[i : i + RATE] for i in range(0, len(samples), RATE))

    return Recording(name, genre, RATE, blocks, artist)


def side(seeds: range, genres: dict[str, float], seconds: float = 24.0) -> list[AnalyzedRecording]:
    return [
        analyze(recording(f"{g}{i}", song(i, seconds, base=base), g, f"artist {i}"), None)
        for g, base in genres.items()
        for i in seeds
    ]


@pytest.fixture(autouse=True)
def _few_excerpts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("noizenet.evaluation.likelihood.EXCERPTS", 2)


GENRES = {"low": 110.0, "high": 880.0}


@pytest.fixture(scope="module")
def inputs() -> MetricInputs:
    """Real training and held-out music, evaluated recordings of the same kind, and noise as a control."""
    noise = list[AnalyzedRecording]()
    for i in range(16):
        samples = np.random.default_rng(i).normal(0, 0.1, 24 * RATE).astype(np.float32)
        noise.append(analyze(recording(f"n{i}", samples, [*GENRES][i % 2]), None))
    made = side(range(30, 38), GENRES)
    return MetricInputs(
        side(range(8), GENRES),
        side(range(10, 20), GENRES),
        made,
        {"noise": noise},
        corpus=None,  # type: ignore[arg-type]
    )


@pytest.fixture(scope="module")
def found(inputs: MetricInputs) -> Results:
    return compute_metrics(inputs)


def results(found: Results) -> dict[str, object]:
    return {f.name: f for f in found.results}


def test_noise_is_worse_than_real_music_unless_a_metric_is_insensitive(found: Results) -> None:
    by_name = {f.name: f for f in found.results}
    for name in ("alive", "frechet-crafted", "kernel-crafted", "genre", "tempo-clarity", "key-clarity"):
        assert by_name[name].insensitive == [], name
        assert not is_worse(by_name[name].better, by_name[name].real, by_name[name].made) or name != "alive"
    # Noise copies nothing, so this metric is insensitive to it.
    assert by_name["copying"].insensitive == ["noise"]


def test_every_result_has_an_interval_and_a_count(found: Results) -> None:
    assert len(found.results) >= 9
    for result in found.results:
        assert result.made.low <= result.made.value <= result.made.high, result.name
        assert result.made.count > 1


def test_skipped_metrics_have_a_reason(found: Results) -> None:
    assert "two minutes" in found.skipped["drift of the level from first to last minute"]
    assert "no model is known" in found.skipped["likelihood of held-out music"]
    assert "tagger" in found.skipped["Fréchet distance, tagger"]


def test_held_out_halves_have_different_artists(inputs: MetricInputs) -> None:
    first, second = inputs.held_out_halves()
    assert first
    assert second
    assert not {s.artist for s in first} & {s.artist for s in second}
    alone = dataclasses.replace(inputs, held_out=[dataclasses.replace(s, artist="one") for s in inputs.held_out])
    assert all(alone.held_out_halves())


def test_one_silent_recording_gives_few_results(inputs: MetricInputs) -> None:
    silence = [analyze(recording("s", np.zeros(24 * RATE, np.float32), "low"), None)]
    found = compute_metrics(dataclasses.replace(inputs, made=silence, _cache={}))
    names = {f.name for f in found.results}
    assert "frechet-crafted" not in names
    assert "genre" not in names
    assert "copying" not in names
    assert next(f for f in found.results if f.name == "alive").made.value == 0


def test_a_bootstrap_interval_contains_the_value() -> None:
    g = np.random.default_rng(0)
    parts = [g.normal(i % 3, 0.1, 5) for i in range(12)]
    found = bootstrap(parts, lambda x: float(x.mean()), 0)
    assert found.low < found.value < found.high
    assert found.value == pytest.approx(np.concatenate(parts).mean())
    assert bootstrap(parts[:1], lambda x: 1.0, 0).low != bootstrap(parts[:1], lambda x: 1.0, 0).low  # NaN: none
    with pytest.raises(UsageError):
        bootstrap([np.zeros(0)], lambda x: 0.0, 0)


def test_worse_means_outside_the_interval() -> None:
    real = Estimate(1.0, 0.8, 1.2, 9)
    assert is_worse("lower", real, Estimate(1.3, 0, 0, 1))
    assert not is_worse("lower", real, Estimate(1.1, 0, 0, 1))
    assert is_worse("higher", real, Estimate(0.7, 0, 0, 1))
    assert not is_worse("higher", real, Estimate(0.9, 0, 0, 1))


@pytest.mark.parametrize("name", CONTROLS)
def test_controls_are_repeatable_and_have_the_level_of_the_tracks(name: str, corpus: Corpus) -> None:
    for one in control(name, corpus, per_genre=1, seconds=3.0, seed=2):
        first, again = (np.concatenate(list(one.blocks())) for _ in range(2))
        assert np.array_equal(first, again)
        assert len(first) == pytest.approx(3 * corpus.sample_rate, abs=corpus.sample_rate // 4)
        assert first.dtype == np.float32
        tracks = [t for t in corpus.tracks if t.genre == one.genre]
        level = np.sqrt(np.mean(np.square(first)))
        if name == "silence":
            assert level == 0
        else:
            assert 0.2 * min(t.rms for t in tracks) < level < 3 * max(t.rms for t in tracks)
    with pytest.raises(UsageError, match="white noise"):
        control("white nose", corpus)


def test_shuffled_windows_do_not_click(corpus: Corpus) -> None:
    """At the joins the signal changes no faster than within the music."""
    one = control("shuffled windows", corpus, per_genre=1, seconds=8.0)[0]
    steps = np.abs(np.diff(np.concatenate(list(one.blocks()))))
    window = round(0.25 * corpus.sample_rate)
    joins = np.concatenate([steps[i - 2 : i + 2] for i in range(window, len(steps) - 2, window)])
    assert joins.max() <= 1.5 * steps.max()


def test_joules_are_counted_across_a_counter_overflow(tmp_path: Path) -> None:
    assert read_joules(tmp_path) is None
    assert joule_meter(tmp_path)() is None
    for zone, joules in (("intel-rapl:0", 5_000_000), ("intel-rapl:0:0", 1), ("intel-rapl:1", 999_000_000)):
        (tmp_path / zone).mkdir()
        (tmp_path / zone / "energy_uj").write_text(f"{joules}\n")
        (tmp_path / zone / "max_energy_range_uj").write_text("1000000000\n")
    meter = joule_meter(tmp_path)
    (tmp_path / "intel-rapl:0" / "energy_uj").write_text("7500000\n")
    (tmp_path / "intel-rapl:1" / "energy_uj").write_text("1000000\n")  # after an overflow
    assert meter() == pytest.approx(2.5 + 2.0)


@pytest.mark.parametrize("which", ["sample_model", "paper_model"])
def test_a_model_is_evaluated_and_the_report_is_repeatable(
    which: str, request: pytest.FixtureRequest, corpus: Corpus, tmp_path: Path
) -> None:
    model = request.getfixturevalue(which)
    reports = []
    stale = tmp_path / "two" / "streams" / "any" / "099.flac"  # from an earlier evaluation in the same folder
    stale.parent.mkdir(parents=True)
    noizenet.write(stale, noizenet.Waveform(song(0)[:, None], RATE))
    for name in ("one", "two"):
        arguments = ["evaluate", str(model), str(corpus.folder), str(tmp_path / name), "--embedding", "crafted"]
        assert main([*arguments, "--streams", "4", "--seconds", "6", "--real-seconds", "5"]) == 0
        report = json.loads((tmp_path / name / "report.json").read_text())
        assert report["cost"].pop("generation_real_time") > 0
        assert report["cost"].pop("rss_mb") > 0
        timed = ("playing-speed", "memory", "energy")
        report["figures"] = [f for f in report["figures"] if f["name"] not in timed]
        report["cost"].pop("joules_per_second")
        reports.append(report)
    assert reports[0] == reports[1]
    by_name = {f["name"]: f for f in reports[0]["figures"]}
    assert by_name["model-size"]["made"]["value"] > 1000
    assert by_name["training-speed"]["made"]["value"] > 0
    assert by_name["echo"]["beside"]["persistence"]["value"] > 0
    assert ("likelihood" in by_name) == (which == "sample_model")
    assert main([*arguments, "--seconds", "2"]) == 2
    page = (tmp_path / "one" / "report.html").read_text()
    assert "Echo of held-out music" in page
    assert "Spectrograms" in page


def test_the_echo_metric_agrees_with_reproduce(sample_model: Path, corpus: Corpus, tmp_path: Path) -> None:
    from noizenet.evaluation.model_metrics import ECHO

    model = noizenet.load_model(sample_model)
    found = ECHO.details(MetricInputs([], [], [], {}, corpus, model))["echo"]
    track = [*corpus.split("validation"), *corpus.split("test")][0]
    noizenet.write(tmp_path / "song.wav", noizenet.Waveform(corpus.samples(track)[:, 0], corpus.sample_rate))
    made, _ = noizenet.reproduce(model, tmp_path / "song.wav", tmp_path / "echo.wav", genre=track.genre)
    assert 0 < made.model["mse"] < 1
    assert found["model"]["mse"] == pytest.approx(made.model["mse"], rel=3)  # other tracks, the same order of magnitude
    assert found["persistence"]["mbe"] == pytest.approx(0, abs=1e-3)


def test_a_reference_set_needs_training_and_held_out_tracks(corpus: Corpus) -> None:
    only = Corpus(corpus.folder)
    only.tracks = [t for t in only.tracks if t.split == "train"]
    with pytest.raises(UsageError, match="only one kind"):
        reference_set(only, Options("crafted"))
