"""The clock: beat detection, beat phases in training, conditioning of the network, tempo of generated music."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from conftest import RATE, quick_train
from test_tokens import BOOKS, LEVELS, codes

import noizenet
from noizenet.audio.beats import Beats, find_beats
from noizenet.audio.waveform import Waveform
from noizenet.base.errors import ConfigError, UsageError
from noizenet.corpus.build import build
from noizenet.corpus.corpus import Corpus
from noizenet.evaluation.overtime import ONSET_RATE
from noizenet.evaluation.recording import Recording, analyze
from noizenet.generation.instrument import Instrument, replay
from noizenet.generation.stream import Stream
from noizenet.generation.tempo import beat_of_song, tempo_of_genre
from noizenet.model.architecture import Architecture, ModelOptions
from noizenet.model.batch import step_batch
from noizenet.model.factory import make_network
from noizenet.model.sampling import Sampling
from noizenet.model.stepper import Stepper
from noizenet.model.tokens import TokenNetwork
from noizenet.model.weights import expected_shapes
from noizenet.representation.base import create
from noizenet.store.model import Model, load
from noizenet.training.adapting import load_initial_weights
from noizenet.training.encoded import EncodedTracks
from noizenet.training.sources import BeatOptions
from noizenet.training.step import drop_beat
from noizenet.training.windows import WindowReader

PHASES = 8


def clicks(seconds: float, tempo: float, first: float = 0.4, rate: int = RATE) -> np.ndarray:
    """Return a burst of noise at every beat."""
    rng, x = np.random.default_rng(0), np.zeros(round(seconds * rate), np.float32)
    for at in np.arange(first, seconds, 60 / tempo):
        i = round(at * rate)
        length = min(rate // 10, len(x) - i)
        x[i : i + length] += 0.5 * rng.standard_normal(length) * np.exp(-np.arange(length) / (rate / 60))
    return x.astype(np.float32)


def make(**options: object) -> TokenNetwork:
    torch.manual_seed(5)
    o = ModelOptions(layers=2, hidden=24, embedding=16, depth_width=20, genre_embedding=4, head="depth",
                     residual=True, clock=PHASES, **options)  # type: ignore[arg-type]  # fmt: skip
    network = make_network(Architecture(o, "classes", LEVELS, BOOKS, 3)).eval()
    assert isinstance(network, TokenNetwork)
    with torch.no_grad():
        assert network.phase_embedding is not None
        for table in (network.phase_embedding, *network.head.phase_embedding):
            table.weight[1:].normal_()  # type: ignore[union-attr]
    return network


@pytest.fixture(scope="module")
def clocked(token_model: Path) -> Path:
    return token_model


@pytest.fixture(scope="module")
def clockless(corpus: Corpus, codec: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A token model without a clock, trained briefly."""
    folder = tmp_path_factory.mktemp("clockless") / "m"
    quick_train(corpus, folder, "token-lstm", f"representation.codec={codec}", "model.clock=0")
    return folder


def hum(seconds: float) -> np.ndarray:
    return (0.3 * np.sin(2 * np.pi * 220 * np.arange(round(seconds * RATE)) / RATE)).astype(np.float32)


class TestBeats:
    @pytest.mark.parametrize("tempo", [80.0, 112.0, 140.0])
    def test_clicks_are_found(self, tempo: float) -> None:
        found = find_beats(clicks(30.0, tempo, rate=22_050), 22_050)
        assert found.tempo == pytest.approx(tempo, rel=0.01)
        assert found.clear.all()
        on = found.phases(0.4 + 60 / tempo * np.arange(8, 24))
        assert np.abs((on + 0.5) % 1 - 0.5).max() < 0.12
        off = found.phases(0.4 + 60 / tempo * (np.arange(8, 24) + 0.5))
        assert np.abs(off - 0.5).max() < 0.12

    @pytest.mark.parametrize("what", ["silence", "short", "noise", "hum"])
    def test_sounds_without_a_beat_have_none(self, what: str) -> None:
        rng = np.random.default_rng(1)
        x = {
            "silence": np.zeros(20 * RATE), "short": clicks(1.5, 120.0), "noise": rng.standard_normal(20 * RATE),
            "hum": hum(20.0),
        }[what]  # fmt: skip
        found = find_beats(np.asarray(x, np.float32).reshape(-1), RATE)
        assert found.tempo == 0
        assert np.isnan(found.phases(np.linspace(0, 20, 50))).all()

    def test_beats_are_used_only_where_they_are_clear(self) -> None:
        beats = Beats(np.arange(0.0, 40.0, 0.5), np.array([True, False, False, False, False, True]))
        phases = beats.phases(np.array([1.25, 8.0, 20.25, 36.25, 60.0]))
        assert np.allclose(phases[[0, 1, 3]], [0.5, 0.0, 0.5])
        assert np.isnan(phases[[2, 4]]).all()
        assert beats.tempo == 0  # most of the recording has no clear beat


class TestReading:
    def test_beat_phases_match_the_frames_also_when_transposed(self, codec: Path, tmp_path: Path) -> None:
        source = tmp_path / "source" / "a"
        source.mkdir(parents=True)
        for tempo in (100, 120, 150):
            # With a hum, since long silence is removed.
            x = clicks(24.0, tempo) + 0.02 * hum(24.0)
            soundfile.write(source / f"{tempo}.wav", x, RATE)
        corpus = build(tmp_path / "source", tmp_path / "corpus", sample_rate=RATE, workers=1)
        r = create({"name": "codec", "codec": str(codec)}, sample_rate=RATE, channels=1)
        for _ in range(2):  # computed, then loaded from the cache
            encoded = EncodedTracks(corpus, r)
            for track in corpus.tracks:
                for shift in (0, 2, -2):
                    whole = corpus.waveform(track)
                    faster = Waveform(whole.samples, round(RATE * 2 ** (shift / 12)))
                    phases, each = encoded.phases(track, shift), r.samples_for(1)
                    assert len(phases) == len(encoded.frames(track, shift))
                    samples = r.samples_of(faster)[:, 0]
                    count = min(len(phases), len(samples) // each)
                    level, phases = np.abs(samples[: count * each]).reshape(count, each).mean(1), phases[:count]
                    rise = np.maximum(0, np.diff(np.log(level)))
                    with np.errstate(invalid="ignore"):
                        near = (phases[1:] > 0.8) | (phases[1:] < 0.3)  # half of a beat
                    assert rise[near].sum() > 0.85 * rise[~np.isnan(phases[1:])].sum()
        reader = WindowReader(
            corpus,
            corpus.tracks,
            r,
            batch=2,
            window=64,
            segment_seconds=2.0,
            seed=0,
            transpose=2,
            beat=BeatOptions(PHASES),
        )
        assert sorted(reader.tempi()["a"]) == pytest.approx([100, 120, 150], rel=0.02)
        assert reader.source.tempi([0]) == {"a": reader.tempi()["a"][:1]}  # a track that is not read does not count
        assert reader.source.tempi([]) == {}
        known: dict[bytes, list[bytes]] = {}
        for track in corpus.tracks:
            for shift in range(-2, 3):
                frames, phases = encoded.frames(track, shift), encoded.phases(track, shift)
                beat_phase = np.where(np.isnan(phases), 0, 1 + np.floor(np.nan_to_num(phases) * PHASES)).astype(
                    np.int64
                )
                for i in range(len(frames) - 63):
                    known.setdefault(frames[i : i + 64].tobytes(), []).append(beat_phase[i : i + 64].tobytes())
        found = 0
        for _ in range(40):
            batch = reader.next()
            assert batch.beat_phase is not None
            assert batch.beat_phase.shape == batch.frames.shape[:2]
            assert not batch.beat_phase[batch.fresh, 0].any()
            for frames, beat_phase in zip(batch.frames, batch.beat_phase, strict=True):
                assert beat_phase[1:].tobytes() in known[frames[1:].tobytes()]
                found += int((beat_phase > 0).sum())
        assert found > 500

    def test_a_clock_needs_codes(self, corpus: Corpus) -> None:
        r = create({"name": "mu-law"}, sample_rate=corpus.sample_rate, channels=1)
        with pytest.raises(UsageError, match="clock"):
            WindowReader(corpus, corpus.tracks, r, batch=1, window=64, segment_seconds=1.0, seed=0, beat=BeatOptions(8))
        with pytest.raises(ConfigError, match="clock"):
            ModelOptions(head="categorical", clock=8)

    def test_the_beat_is_dropped_for_a_share_of_rows(self) -> None:
        beat_phase = torch.ones(400, 5, dtype=torch.int64)
        remaining = drop_beat(beat_phase, 0.25)
        assert remaining is not None
        assert remaining.eq(remaining[:, :1]).all()
        assert 0.6 < remaining[:, 0].float().mean() < 0.9
        assert drop_beat(None, 0.5) is None


class TestNetwork:
    def test_the_compiled_loop_equals_torch(self) -> None:
        network = make()
        assert {k: tuple(v.shape) for k, v in network.state_dict().items()} == expected_shapes(network.architecture)
        given, pace = codes(2001), 0.0937
        stepper = Stepper(network, given[:1])
        mix = np.array([0.5, 0.3, 0.2], np.float32)
        stepper.set_genre(mix)
        stepper.set_pace(pace, 0.25)
        compiled = np.concatenate([stepper.predict(part) for part in (given[1:8], given[8:])])
        beat_phase = 1 + np.floor((0.25 + (np.arange(2000) + 0.5) * pace) % 1 * PHASES).astype(np.int64)
        x = torch.from_numpy(given.astype(np.int64))[None]
        with torch.inference_mode():
            arguments = x[:, :-1], torch.from_numpy(mix)[None], network.start_state(1), x[:, 1:]
            reference, _ = network(*arguments, torch.from_numpy(beat_phase)[None])
            unconditional, _ = network(*arguments)
        assert np.abs(compiled - reference[0].numpy()).max() < 1e-4
        assert np.abs(compiled - unconditional[0].numpy()).max() > 0.1
        without_clock = Stepper(network, given[:1])
        without_clock.set_genre(mix)
        assert np.abs(without_clock.predict(given[1:]) - unconditional[0].numpy()).max() < 1e-4

    def test_genre_and_beat_guidance_scale_the_logits(self) -> None:
        network, count = make(), 4000
        mix = np.array([1.0, 0, 0], np.float32)

        def logits(genre: bool, beat: bool) -> np.ndarray:
            one = Stepper(network, codes(1))
            one.set_genre(mix if genre else 0 * mix)
            one.set_pace(0.1 if beat else 0.0, 0.5)
            return one.predict(codes(1, 1))[0, :LEVELS].astype(np.float64)

        full = logits(True, True)
        wanted = full + 1.5 * (full - logits(False, True)) + 0.7 * (full - logits(True, False))
        p = np.exp(wanted - wanted.max())
        one = Stepper(network, codes(1))
        drawn = []
        for seed in range(count):
            one.reset(seed)
            one.set_genre(mix)
            one.set_pace(0.1, 0.5)
            drawn.append(one.run(1, Sampling(genre_guidance=1.5, beat_guidance=0.7))[0, 0])
        assert np.abs(np.bincount(drawn, minlength=LEVELS) / count - p / p.sum()).max() < 0.04

    @pytest.mark.parametrize("genre_guidance", [0.0, 1.5])
    def test_chunks_batches_and_forks_do_not_change_the_output(self, genre_guidance: float) -> None:
        network, sampling = make(), Sampling(genre_guidance=genre_guidance, beat_guidance=2.0)
        first = Stepper(network, codes(1), 0)
        steppers = [first, *(first.fork() for _ in range(3))]
        for i, stepper in enumerate(steppers):
            stepper.reset(i)
            stepper.set_pace((0.05, 0.08, 0.0, 0.11)[i], 0.1 * i)
        separate = []
        for stepper in steppers:
            fork = stepper.fork()
            separate.append(np.concatenate([fork.run(n, sampling) for n in (1, 13, 26)]))
        assert np.array_equal(np.stack(separate), step_batch(steppers, 40, sampling))
        saved = steppers[0].save()
        after = steppers[0].run(20, sampling)
        steppers[0].restore(saved)
        assert np.array_equal(after, steppers[0].run(20, sampling))

    def test_initial_weights_from_a_network_without_a_clock(self, clockless: Path) -> None:
        model = load(clockless)
        options = dataclasses.replace(model.architecture.options, clock=8)
        network = make_network(dataclasses.replace(model.architecture, options=options)).eval()
        load_initial_weights(model, network, model.representation, model.genres)
        a = model.architecture
        x, mix = torch.randint(a.levels, (1, 9, a.dim)), torch.full((1, a.genres), 1 / a.genres)
        with torch.inference_mode():
            clocked, _ = network(x[:, :-1], mix, network.start_state(1), x[:, 1:], torch.arange(8)[None])  # type: ignore[call-arg]
            plain, _ = model.network(x[:, :-1], mix, model.network.start_state(1), x[:, 1:])
        assert torch.equal(clocked, plain)


class TestPlaying:
    def test_a_tempo_is_drawn_from_the_genres_tracks(self, clocked: Path) -> None:
        model = load(clocked)
        assert set(model.training["tempi"]) == set(model.genres)
        rows = {seed: Stream(model, noizenet.Controls(seed=seed, genre="waltz")).tempo for seed in range(4)}
        assert all(t in model.training["tempi"]["waltz"] for t in rows.values())
        tempi = {"a": [90.0, 100.0], "b": [140.0], "c": []}
        mixed = [tempo_of_genre(tempi, ["a", "b", "c"], np.array([0.5, 0.5, 0], np.float32), s) for s in range(300)]
        assert [mixed.count(t) / 300 for t in (90, 100, 140)] == pytest.approx([0.25, 0.25, 0.5], abs=0.08)
        assert tempo_of_genre(tempi, ["a", "b", "c"], np.array([0, 0, 1], np.float32), 0) in (90, 100, 140)
        assert tempo_of_genre({}, ["a"], np.array([1], np.float32), 0) == 0

    def test_tempo_and_guidance_change_the_output_reproducibly(self, clocked: Path, cli: Callable[..., tuple[int, str, str]],
                                                   tmp_path: Path) -> None:  # fmt: skip
        made = {}
        for name, options in {"a": ("--tempo", "100"), "b": ("--tempo", "100"), "c": ("--tempo", "150"),
                           "d": ("--tempo", "100", "--beat-guidance", "0"), "e": ("--tempo", "0")}.items():  # fmt: skip
            code, _, err = cli("generate", clocked, tmp_path / f"{name}.wav", "--seconds", "2", *options)
            assert code == 0, err
            made[name] = (tmp_path / f"{name}.wav").read_bytes()
        assert made["a"] == made["b"]
        assert len(set(made.values())) == 4

    @pytest.mark.parametrize(
        "options", [{"tempo": 500.0}, {"tempo": float("nan")}, {"tempo": -1.0}, {"beat_guidance": 99.0}]
    )
    def test_invalid_controls_are_refused(self, options: dict[str, float]) -> None:
        with pytest.raises(UsageError, match=r"tempo|beat_guidance"):
            noizenet.Controls(**options)  # type: ignore[arg-type]

    def test_models_without_a_clock_refuse_a_tempo(self, sample_model: Path, clockless: Path) -> None:
        for path in (sample_model, clockless):
            for options in ({"tempo": 120.0}, {"beat_guidance": 1.0}):
                with pytest.raises(UsageError, match="no clock"):
                    Stream(load(path), noizenet.Controls(**options))  # type: ignore[arg-type]
            assert Stream(load(path), noizenet.Controls(tempo=0.0)).tempo == 0

    def test_a_prompts_beat_is_continued(self, clocked: Path, tmp_path: Path) -> None:
        soundfile.write(tmp_path / "song.wav", clicks(20.0, 132.0, rate=22_050), 22_050)
        tempo, phase = beat_of_song(Waveform(clicks(20.0, 132.0, rate=22_050), 22_050))
        assert tempo == pytest.approx(132, rel=0.01)
        turn = (phase + 0.4 * tempo / 60 + 0.5) % 1 - 0.5  # at the first click
        assert abs(turn) < 0.25
        stream = Stream(load(clocked), noizenet.Controls(prompt=tmp_path / "song.wav", prompt_seconds=15.0))
        assert stream.tempo == pytest.approx(132, rel=0.02)
        soundfile.write(tmp_path / "hum.wav", hum(20.0), RATE)
        assert Stream(load(clocked), noizenet.Controls(prompt=tmp_path / "hum.wav", tempo=77.0)).tempo == 77

    def test_changed_controls_are_replayed(self, clocked: Path) -> None:
        model = load(clocked)
        instrument = Instrument(model, noizenet.Controls(seconds=None, tempo=90.0, seed=2))
        played = [next(instrument).samples for _ in range(4)]
        instrument.set(tempo=180.0, beat_guidance=1.0)
        assert (instrument.settings()["tempo"], instrument.settings()["beat_guidance"]) == (180.0, 1.0)
        played += [next(instrument).samples for _ in range(4)]
        instrument.mark("here")
        played += [next(instrument).samples for _ in range(2)]
        instrument.restore("here")
        played += [next(instrument).samples for _ in range(2)]
        again = np.concatenate([b.samples for b in replay(model, instrument.recipe())])
        assert np.array_equal(np.concatenate([*played, instrument.take_ready().reshape(-1)])[: len(again)], again)
        with pytest.raises(UsageError, match="tempo"):
            instrument.set(tempo=1000.0)
        assert instrument.settings()["tempo"] == 180.0


def test_the_bundled_model_keeps_the_tempo() -> None:
    """Onsets repeat after a beat of the requested tempo, and much less so without a clock."""
    model: Model = noizenet.load_model("token-lstm")
    rate = model.representation.sample_rate

    def at_the_beat(requested: float, tempo: float) -> float:
        takes = [noizenet.Controls(seconds=14.0, seed=i, genre=g, tempo=requested, watch="off")
                 for i in range(2) for g in ("electronic", "pop", "acoustic")]  # fmt: skip
        streams = Stream.many(model, takes)
        parts: list[list[np.ndarray]] = [[] for _ in takes]
        for blocks in Stream.generate_batch(streams):
            for part, block in zip(parts, blocks, strict=True):
                part.append(block.samples)
        found = []
        for part in parts:
            x = np.concatenate(part)
            onsets = analyze(Recording("", "", rate, lambda x=x: iter([x])), None).features.onsets  # type: ignore[misc]
            y, lag = onsets - onsets.mean(), round(ONSET_RATE * 60 / tempo)
            near = [float((y[:-k] * y[k:]).mean() / (y * y).mean()) for k in range(lag - 1, lag + 2)]
            found.append(max(near))
        return float(np.mean(found))

    for tempo in (100.0, 132.0):
        assert at_the_beat(tempo, tempo) > 0.15 + at_the_beat(0.0, tempo)
