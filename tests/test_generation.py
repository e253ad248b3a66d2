"""Generation: it is reproducible and continuous, has the requested length and follows its controls."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile
from conftest import RATE, quick_train, tone
from hypothesis import given
from hypothesis import strategies as st

import noizenet
from noizenet.audio.waveform import Waveform, concatenate
from noizenet.base.errors import NoizenetError, UsageError
from noizenet.corpus.corpus import Corpus
from noizenet.evaluation.echo import frame_chunks
from noizenet.generation.controls import Controls, parse_injection
from noizenet.generation.genre import format_mix, parse_mix, parse_schedule
from noizenet.generation.prompts import load_prompt
from noizenet.generation.stream import Stream
from noizenet.representation import REPRESENTATIONS
from noizenet.representation.base import create
from noizenet.store.model import Model, load


def play(model: Model, **controls: object) -> np.ndarray:
    return concatenate(list(Stream(model, Controls(**controls)))).samples  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def sampler(sample_model: Path) -> Model:
    return load(sample_model)


@pytest.fixture(scope="module")
def paper(paper_model: Path) -> Model:
    return load(paper_model)


def test_the_same_seed_gives_the_same_samples_for_every_block_size(sampler: Model) -> None:
    a = play(sampler, seconds=2.0, seed=3, genre="techno")
    assert len(a) == 2 * RATE
    for block in (0.001, 0.1, 5.0):
        assert np.array_equal(a, play(sampler, seconds=2.0, seed=3, genre="techno", block_seconds=block))
    assert not np.array_equal(a, play(sampler, seconds=2.0, seed=4, genre="techno"))
    assert not np.array_equal(a, play(sampler, seconds=2.0, seed=3, genre="waltz"))


def test_a_longer_piece_starts_with_the_shorter_one(sampler: Model) -> None:
    assert np.array_equal(play(sampler, seconds=1.0), play(sampler, seconds=3.0)[:RATE])


def test_controls_change_the_samples(sampler: Model) -> None:
    base = play(sampler, seconds=1.0, genre="techno")
    for change in ({"temperature": 0.5}, {"top_p": 0.3}, {"inject_every": 0.05, "inject_amount": 0.5}):
        assert not np.array_equal(base, play(sampler, seconds=1.0, genre="techno", **change))
    cold = play(sampler, seconds=1.0, temperature=0.0, seed=1, genre="techno")
    assert np.array_equal(cold, play(sampler, seconds=1.0, temperature=0.0, seed=2, genre="techno"))


def test_an_endless_stream_has_the_same_samples(sampler: Model) -> None:
    endless = Stream(sampler, Controls(seconds=None, seed=1))
    parts = [next(endless).samples for _ in range(8)]
    assert np.array_equal(np.concatenate(parts), play(sampler, seconds=2.0, seed=1))


@pytest.mark.parametrize("kind", ["normal", "perlin"])
def test_noise_prompts_change_the_samples(sampler: Model, kind: str) -> None:
    a = play(sampler, seconds=0.5, prompt_noise=kind, prompt_seconds=0.5, genre="waltz")
    assert not np.array_equal(a, play(sampler, seconds=0.5, genre="waltz"))
    both = play(sampler, seconds=0.5, prompt_noise=kind, prompt_seconds=0.5, include_prompt=True, genre="waltz")
    assert len(both) == RATE
    assert np.array_equal(both[RATE // 2 :], a)
    prompt = load_prompt(Controls(prompt_noise=kind, prompt_seconds=0.5), sampler.representation, 0.0).sound
    assert prompt is not None
    assert np.abs(both[: RATE // 2] - prompt.samples).max() < 0.03


def test_a_recording_is_continued(sampler: Model, tmp_path: Path) -> None:
    soundfile.write(tmp_path / "song.wav", tone(3.0, 44_100), 44_100)
    a = play(sampler, seconds=1.0, prompt=tmp_path / "song.wav", prompt_seconds=1.0, include_prompt=True, genre="waltz")
    prompt = noizenet.read(tmp_path / "song.wav", sample_rate=RATE).samples[-RATE:]
    assert np.abs(a[:RATE] - prompt).max() < 0.03
    short = play(sampler, seconds=0.2, prompt=tmp_path / "song.wav", prompt_seconds=60.0, genre="waltz")
    assert len(short) == round(0.2 * RATE)
    with pytest.raises(NoizenetError, match=r"none\.wav"):
        play(sampler, prompt=tmp_path / "none.wav")


def test_genres_are_mixed_and_morphed(sampler: Model) -> None:
    mixed = play(sampler, seconds=0.5, genre="techno:0.5,waltz:0.5")
    assert not np.array_equal(mixed, play(sampler, seconds=0.5, genre="techno"))
    morphed = play(sampler, seconds=1.0, morph="techno>waltz")
    pure = play(sampler, seconds=1.0, genre="techno")
    assert np.array_equal(morphed[:100], pure[:100])
    assert not np.array_equal(morphed, pure)


@pytest.mark.parametrize("recipe", ["paper-fft-gru", "paper-rnn"])
def test_other_models_generate(recipe: str, corpus: Corpus, tmp_path: Path) -> None:
    extra = ("training.window=4",) if "fft" in recipe else ()
    model = quick_train(corpus, tmp_path / "m", recipe, *extra, epochs=0.1)
    assert len(play(model, seconds=1.5)) == 1.5 * RATE


def test_log_magnitude_generates_exact_lengths(corpus: Corpus, tmp_path: Path) -> None:
    model = quick_train(
        corpus, tmp_path / "m", "paper-gru", "representation.name=log-magnitude", "training.window=4", epochs=0.2
    )
    for seconds in (0.01, 0.777, 1.5):
        assert len(play(model, seconds=seconds)) == round(seconds * RATE)
    song = tmp_path / "s.wav"
    soundfile.write(song, tone(2.0), RATE)
    assert len(play(model, seconds=0.7, prompt=song, prompt_seconds=1.0)) == round(0.7 * RATE)


class TestRequests:
    genres = ("a", "b:c", "d")

    def test_mixes(self) -> None:
        g = list(self.genres)
        assert parse_mix("b:c", g).tolist() == [0, 1, 0]
        assert parse_mix("a:1,b:c:3", g).tolist() == [0.25, 0.75, 0]
        assert format_mix(parse_mix("a:1,d:3", g), g) == "a:0.25,d:0.75"
        assert parse_schedule(None, "a>d", g, True, 0).at(0.5).tolist() == [0.5, 0, 0.5]
        assert parse_schedule(None, "a>d>a", g, True, 0).at(0.5).tolist() == [0, 0, 1]
        assert parse_schedule(None, None, g, True, 7).at(0).sum() == 1

    @pytest.mark.parametrize("text", ["x", "a:", "a:-1", "a:nan", "a:0", "", "a,,d"])
    def test_wrong_mixes(self, text: str) -> None:
        with pytest.raises(UsageError):
            parse_mix(text, list(self.genres))

    def test_wrong_schedules(self, paper: Model) -> None:
        with pytest.raises(UsageError, match="not both"):
            parse_schedule("a", "a>d", list(self.genres), True, 0)
        with pytest.raises(UsageError, match="expected genres"):
            parse_schedule(None, "a", list(self.genres), True, 0)
        with pytest.raises(UsageError, match="is not conditioned on genres"):
            play(paper, genre="waltz")
        with pytest.raises(UsageError, match="nothing to sample"):
            play(paper, temperature=0.5)

    @given(weights=st.lists(st.floats(0.01, 100), min_size=1, max_size=3))
    def test_mixes_sum_to_one(self, weights: list[float]) -> None:
        text = ",".join(f"{g}:{w}" for g, w in zip(self.genres, weights, strict=False))
        assert parse_mix(text, list(self.genres)).sum() == pytest.approx(1)

    @pytest.mark.parametrize(
        "wrong",
        [
            {"seconds": 0}, {"seconds": -1}, {"seconds": float("nan")}, {"temperature": -1}, {"top_p": 0},
            {"seconds": None, "morph": "a>b"}, {"prompt": Path("x"), "prompt_noise": "normal"},
            {"prompt_noise": "pink"}, {"prompt_seconds": 0}, {"seed": -1}, {"inject_every": float("inf")},
        ],
    )  # fmt: skip
    def test_wrong_controls(self, wrong: dict[str, object]) -> None:
        with pytest.raises(UsageError):
            Controls(**wrong)  # type: ignore[arg-type]

    @pytest.mark.parametrize("text", ["", "1", "a:b", ":", "0:1", "1:"])
    def test_wrong_injections(self, text: str) -> None:
        with pytest.raises(UsageError, match="EVERY:AMOUNT"):
            parse_injection(text)


class TestReproduce:
    def test_the_persistence_baseline_is_written(self, paper: Model, paper_model: Path, tmp_path: Path) -> None:
        x = tone(3.0)
        soundfile.write(tmp_path / "song.wav", x, RATE)
        made, baseline = noizenet.reproduce(paper_model, tmp_path / "song.wav", tmp_path / "echo.wav")
        echo, repeat = noizenet.read(tmp_path / "echo.wav"), noizenet.read(baseline)
        assert len(echo) == len(repeat) == len(x)
        pcm = noizenet.read(tmp_path / "song.wav").samples
        persistence = np.concatenate([[0], pcm[:-1]]) - pcm
        assert made.persistence["mse"] == pytest.approx(np.square(persistence).mean(), rel=1e-3)
        assert made.persistence["mae"] == pytest.approx(np.abs(persistence).mean(), rel=1e-3)
        assert np.abs(repeat.samples[1:] - pcm[:-1]).max() < 1e-4

    def test_the_reproduction_equals_the_steppers_predictions(
        self, paper: Model, paper_model: Path, tmp_path: Path
    ) -> None:
        from noizenet.model.stepper import Stepper

        soundfile.write(tmp_path / "song.wav", tone(2.0), RATE)
        noizenet.reproduce(paper_model, tmp_path / "song.wav", tmp_path / "echo.wav")
        r = paper.representation
        predicted = Stepper(paper.network, r.silence()).predict(r.encode(noizenet.read(tmp_path / "song.wav")))
        expected = r.decode(predicted).samples
        assert np.abs(noizenet.read(tmp_path / "echo.wav").samples - expected).max() < 1e-4

    def test_a_distribution_is_reproduced_by_its_mean(self, sample_model: Path, tmp_path: Path) -> None:
        soundfile.write(tmp_path / "song.wav", tone(2.0), RATE)
        made, _ = noizenet.reproduce(sample_model, tmp_path / "song.wav", tmp_path / "echo.wav", genre="waltz")
        assert made.domain == "samples"
        assert len(noizenet.read(tmp_path / "echo.wav")) == 2 * RATE

    @pytest.mark.parametrize("name", [n for n in REPRESENTATIONS if n != "hub-codec"])
    @pytest.mark.parametrize("channels", [1, 2])
    def test_chunks_of_frames_equal_the_frames_of_the_whole(self, name: str, channels: int) -> None:
        r = create({"name": name}, sample_rate=RATE, channels=channels)
        x = np.stack([tone(9.0, r.sample_rate)] * r.channels, 1)
        blocks = [x[:5], x[5:30_000], x[30_000:]]
        whole = r.encode(Waveform(x, r.sample_rate))
        chunks = np.concatenate(list(frame_chunks(r, blocks)))
        assert np.allclose(chunks, whole, atol=1e-5)


@pytest.mark.parametrize("prompt_seconds", [0.37, 1.0, 1.903])
@pytest.mark.parametrize("kind", ["samples", "codes", "spectra"])
def test_an_included_prompt_adds_its_length(
    kind: str, prompt_seconds: float, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    fixtures = {"samples": "sample_model", "codes": "token_model", "spectra": "paper_model"}
    model = load(request.getfixturevalue(fixtures[kind]))
    rate = model.representation.sample_rate
    soundfile.write(tmp_path / "song.wav", tone(3.0, 44_100), 44_100)
    controls = {"seconds": 0.8, "prompt": tmp_path / "song.wav", "prompt_seconds": prompt_seconds}
    both = play(model, include_prompt=True, **controls)
    assert len(both) == round(0.8 * rate) + round(prompt_seconds * rate)
    after = play(model, **controls)
    starts = [i for i in range(len(both) - len(after) + 1) if np.array_equal(both[i : i + 200], after[:200])]
    assert any(np.array_equal(both[i : i + len(after)], after) for i in starts)


def test_include_prompt_needs_a_prompt() -> None:
    with pytest.raises(UsageError, match="no prompt to include"):
        Controls(include_prompt=True)
