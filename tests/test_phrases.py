"""Phrases and lookbacks: detection, reading in training, learning, validation, generation, prompts, ONNX export."""

from __future__ import annotations

import dataclasses
import hashlib
import itertools
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from conftest import QUICK, RATE, TOKENS, quick_train
from test_clock import clicks, hum
from test_lookback import BOOKS, LEVELS, make
from test_training import assert_same_run

import noizenet
from noizenet.audio.beats import Beats, find_beats, phrase_beat_ids
from noizenet.audio.phrases import count_beats, find_phrases
from noizenet.audio.waveform import Waveform
from noizenet.corpus.build import build
from noizenet.corpus.corpus import Corpus
from noizenet.evaluation.likelihood import likelihood
from noizenet.generation.stream import Stream
from noizenet.generation.tempo import beat_of_song
from noizenet.model.factory import make_network
from noizenet.model.sampling import Sampling
from noizenet.model.stepper import Stepper
from noizenet.model.tokens import TokenNetwork
from noizenet.representation.base import create
from noizenet.store.model import Model, load, save
from noizenet.training.adapting import load_initial_weights
from noizenet.training.encoded import EncodedTracks
from noizenet.training.loop import train
from noizenet.training.options import TrainingOptions, configure
from noizenet.training.plan import Budget
from noizenet.training.sources import BeatOptions
from noizenet.training.step import corrupt_lookback, drop_lookback, train_step
from noizenet.training.windows import Batch, WindowReader

OPTIONS = (
    "model.phrase=16", "model.lookback_beats=[1, 4]", "model.depth_shared=true", 'model.depth_block="gated"',
    "training.code_noise=0.2", "training.threads=1", "model.dropout=0.2",
)  # fmt: skip


def accented(seconds: float, tempo: float, accent: int, rate: int = RATE) -> np.ndarray:
    """Return clicks, the first at 0.4 s, of which every sixteenth from number `accent` on has a bass drum under it."""
    x = clicks(seconds, tempo, rate=rate) * np.float32(0.6)
    t = np.arange(rate // 4) / rate
    drum = (0.6 * np.sin(2 * np.pi * 60 * t) * np.exp(-12 * t)).astype(np.float32)
    for at in np.arange(0.4 + accent * 60 / tempo, seconds - 0.3, 16 * 60 / tempo):
        i = round(at * rate)
        x[i : i + len(drum)] += drum
    return x


@pytest.fixture(scope="module")
def phrased(corpus: Corpus, codec: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model with phrases and lookbacks, trained briefly."""
    folder = tmp_path_factory.mktemp("phrased") / "m"
    quick_train(corpus, folder, "token-lstm", f"representation.codec={codec}", *OPTIONS, epochs=4)
    return folder


class TestDetection:
    @pytest.mark.parametrize("accent", [0, 3, 13])
    @pytest.mark.parametrize(("tempo", "rate"), [(120.0, 22_050), (96.0, RATE)])
    def test_an_accent_every_sixteen_beats_is_found(self, accent: int, tempo: float, rate: int) -> None:
        x = accented(50.0, tempo, accent, rate)
        times = find_beats(x, rate).times
        numbers = find_phrases(x, rate, times)
        true = np.round((times - 0.4) * tempo / 60).astype(int)
        assert (np.diff(numbers) == 1).all()
        assert ((numbers - true + accent) % 16 == 0).all()

    def test_after_a_short_phrase_the_count_restarts(self) -> None:
        strengths = np.zeros(120)
        begins = [0, 16, 32, 42, 58, 74, 90, 106]  # the third phrase has ten beats
        for b, end in itertools.pairwise([*begins, 120]):
            for i, strength in ((b, 3.0), (b + 4, 1.0), (b + 8, 2.0), (b + 12, 1.0)):
                if i < end:
                    strengths[i] = strength
        numbers = count_beats(strengths)
        assert (np.diff(numbers) >= 1).all()
        assert (numbers[begins] % 16 == 0).all()
        assert np.flatnonzero(np.diff(numbers) != 1).shape == (1,)

    def test_too_few_beats_and_silence_are_counted(self) -> None:
        assert find_phrases(np.zeros(RATE, np.float32), RATE, np.array([0.1, 0.6])).tolist() == [0, 1]
        assert (np.diff(find_phrases(np.zeros(9 * RATE, np.float32), RATE, np.arange(0.2, 8, 0.5))) == 1).all()
        assert not len(find_phrases(np.zeros(0, np.float32), RATE, np.zeros(0)))

    def test_positions_are_beat_numbers_plus_phases(self) -> None:
        beats = Beats(np.arange(0.5, 40.0, 0.5), np.ones(6, bool))
        numbers = np.arange(79) + 5
        numbers[40:] += 7
        times = np.linspace(0, 40, 500)
        positions, phases = beats.positions(times, numbers), beats.phases(times)
        assert np.array_equal(np.isnan(positions), np.isnan(phases))
        known = ~np.isnan(positions)
        assert np.allclose(positions[known] % 1, phases[known])
        assert positions[known][0] >= 5
        assert (np.diff(positions[known]) > 0).all()
        assert phrase_beat_ids(positions, 16)[~known].max(initial=0) == 0
        assert phrase_beat_ids(np.array([0.0, 15.9, 16.0, 33.2]), 16).tolist() == [1, 16, 1, 2]


class TestReading:
    def test_phrase_beats_and_lookback_codes_are_those_of_the_track(self, codec: Path, tmp_path: Path) -> None:
        source = tmp_path / "source" / "a"
        source.mkdir(parents=True)
        for tempo in (100, 150):
            soundfile.write(source / f"{tempo}.wav", accented(24.0, tempo, 2) + 0.02 * hum(24.0), RATE)
        corpus = build(tmp_path / "source", tmp_path / "corpus", sample_rate=RATE, workers=1)
        r = create({"name": "codec", "codec": str(codec)}, sample_rate=RATE, channels=1)
        for _ in range(2):  # computed, then loaded from the cache
            encoded = EncodedTracks(corpus, r)
            for track, shift in itertools.product(corpus.tracks, (0, 1)):
                positions, phases = encoded.positions(track, shift), encoded.phases(track, shift)
                known = ~np.isnan(positions)
                assert np.array_equal(known, ~np.isnan(phases))
                assert known.mean() > 0.8
                assert np.allclose(positions[known] % 1, phases[known], atol=1e-6)
                assert (np.diff(positions[known]) >= 0).all()
        assert len(list((corpus.folder / "codes").rglob("*-phrases.npy"))) == 2
        assert len(list((corpus.folder / "codes").rglob("*-positions*.npy"))) == 4
        reader = WindowReader(
            corpus, corpus.tracks, r, batch=2, window=64, segment_seconds=4.0, seed=0, transpose=1,
            beat=BeatOptions(8, 16, (1, 4)),
        )  # fmt: skip
        found_codes = 0
        for _ in range(20):
            batch = reader.next()
            assert batch.phrase_beat is not None
            assert batch.lookback_codes is not None
            assert batch.lookback_codes.shape == (2, 65, 2, 3)
            for lane in range(2):
                held, (_, at) = reader._current[lane], reader._rows[lane]
                assert held is not None
                version = reader._tracks[held[1].track]
                positions, frames = encoded.positions(*version), encoded.frames(*version)
                begin = held[1].start + (at - 1) * 64
                track_positions = positions[begin : begin + 64]
                assert np.array_equal(batch.phrase_beat[lane, 1:], phrase_beat_ids(track_positions, 16))
                for i, beats in enumerate((1, 4)):
                    for t in range(0, 64, 5):
                        codes = batch.lookback_codes[lane, 1 + t, i]
                        if codes[0] >= 0:
                            near = np.flatnonzero(np.abs(positions - track_positions[t] + beats) < 0.2)
                            assert (frames[near] == codes).all(1).any()
                            found_codes += 1
                        else:
                            assert (
                                np.isnan(track_positions[t]) or track_positions[t] - beats < np.nanmin(positions) + 0.2
                            )
                if batch.fresh[lane]:
                    assert batch.phrase_beat[lane, 0] == 0
                    assert (batch.lookback_codes[lane, 0] == -1).all()
        assert found_codes > 500

    def test_lookbacks_are_dropped_for_a_share_of_rows_and_corrupted_with_codes(self) -> None:
        torch.manual_seed(0)
        lookback_codes = torch.randint(0, 12, (400, 5, 2, 3))
        lookback_codes[:, 0] = -1
        remaining = drop_lookback(lookback_codes, 0.25)
        assert remaining is not None
        lost = (remaining == -1).flatten(1).all(1)
        assert 0.15 < lost.float().mean() < 0.35
        assert torch.equal(remaining[~lost], lookback_codes[~lost])
        changed = corrupt_lookback(lookback_codes, 0.3)
        assert changed is not None
        assert (changed[:, 0] == -1).all()
        assert (changed[:, 1:] >= 0).all()
        assert 0.1 < float((changed != lookback_codes).float().mean()) < 0.4
        assert drop_lookback(None, 0.5) is None
        assert corrupt_lookback(None, 0.5) is None


class TestLearning:
    def test_a_resumed_training_equals_an_uninterrupted_one(self, corpus: Corpus, codec: Path, tmp_path: Path) -> None:
        sets = (*TOKENS, f"representation.codec={codec}", *OPTIONS, "training.schedule=constant")
        quick_train(corpus, tmp_path / "whole", "token-lstm", *sets, epochs=4)
        config = configure("token-lstm", None, (*QUICK, *sets))
        train(corpus, tmp_path / "cut", config, Budget(epochs=2))
        train(corpus, tmp_path / "cut", config, Budget(epochs=4), resume=True)
        assert_same_run(tmp_path / "whole", tmp_path / "cut")

    def test_codes_that_repeat_after_four_beats_are_predicted(self) -> None:
        """Every row repeats different codes, so that only the codes of four beats ago predict the next ones."""
        rows, frames, period = 16, 120, 40  # 0.1 beats a frame
        rng = np.random.default_rng(0)

        def batch() -> Batch:
            cycle = rng.integers(0, LEVELS, (rows, period, BOOKS))
            whole = np.tile(cycle, (1, 4, 1))[:, : frames + 1].astype(np.int32)
            at = np.arange(frames + 1)
            beat_phase = np.tile(1 + np.floor((at + 0.5) * 0.1 % 1 * 8).astype(int), (rows, 1))
            lookback_codes = np.full((rows, frames + 1, 1, BOOKS), -1)
            lookback_codes[:, period:, 0] = whole[:, :-period]
            return Batch(whole, rng.integers(0, 3, rows), np.ones(rows, bool), beat_phase, None, lookback_codes)

        bits = {}
        for beats in ((), (4,)):
            network = make(lookback_beats=beats).train()
            optimizer = torch.optim.Adam(network.parameters(), 0.01)
            options, state = TrainingOptions(), network.start_state(rows).detach()
            for _ in range(150):
                train_step(network, optimizer, batch(), state, options, bf16=False)
            # Generation too: the lookbacks come from the prefill, with a running clock.
            network.eval()
            cycle = rng.integers(0, LEVELS, (period, BOOKS)).astype(np.int16)
            stepper = Stepper(network, cycle[:1])
            stepper.set_pace(0.1, 0.0)
            stepper.prefill(np.tile(cycle, (2, 1)))
            stepper.pop_nll()
            stepper.prefill(np.tile(cycle, (2, 1)))
            bits[beats] = stepper.pop_nll() or 0.0
            if beats:
                generated = stepper.run(period, Sampling(0.0))
                assert (generated == cycle).mean() > 0.8
        chance = BOOKS * np.log2(LEVELS)
        assert bits[4,] < 0.4 * chance
        assert bits[()] > 0.8 * chance

    def test_a_model_is_stored_played_and_evaluated(
        self, phrased: Path, corpus: Corpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        model = load(phrased)
        assert model.architecture.options.lookback_beats == (1, 4)
        save(model, tmp_path / "again")
        assert load(tmp_path / "again").architecture == model.architecture
        parts = {}
        for block in (0.5, 0.11):
            stream = Stream(model, noizenet.Controls(seconds=4.0, seed=3, tempo=150.0, block_seconds=block))
            parts[block] = np.concatenate([b.samples for b in stream])
        assert np.array_equal(parts[0.5], parts[0.11])
        streams = Stream.many(model, [noizenet.Controls(seconds=4.0, seed=s, tempo=150.0) for s in (2, 3)])
        both = [
            np.concatenate(x)
            for x in zip(*[[b.samples for b in bs] for bs in Stream.generate_batch(streams)], strict=True)
        ]
        assert np.array_equal(both[1], parts[0.5])
        monkeypatch.setattr("noizenet.evaluation.likelihood.TRAINING_EXCERPTS", 2)
        with torch.no_grad():
            for name, table in model.network.named_parameters():
                if "lookback" in name:
                    table.normal_(0, 0.3)
        found = likelihood(model, corpus)["mean"]
        assert found["bits"] != found["bits_without_beat"]

    def test_initial_weights_from_a_model_without_lookbacks(self, token_model: Path) -> None:
        model = load(token_model)
        options = dataclasses.replace(model.architecture.options, phrase=16, lookback_beats=(4, 8))
        network = make_network(dataclasses.replace(model.architecture, options=options)).eval()
        load_initial_weights(model, network, model.representation, model.genres)
        a = model.architecture
        x, mix = torch.randint(a.levels, (1, 9, a.dim)), torch.full((1, a.genres), 1 / a.genres)
        beat = torch.arange(1, 9)[None], torch.arange(1, 9)[None], torch.zeros(1, 8, 2, a.dim, dtype=torch.int64)
        with torch.inference_mode():
            with_lookbacks, _ = network(x[:, :-1], mix, network.start_state(1), x[:, 1:], *beat)
            reference, _ = model.network(x[:, :-1], mix, model.network.start_state(1), x[:, 1:], beat[0])
        assert torch.equal(with_lookbacks, reference)


class TestPrompts:
    def test_a_prompt_sets_the_position_in_the_phrase(self) -> None:
        tempo, rate = 120.0, 22_050
        for seconds in (40.0, 90.0):
            song = Waveform(accented(seconds, tempo, 5, rate), rate)
            found, position = beat_of_song(song, phrases=True)
            assert found == pytest.approx(tempo, rel=0.01)
            number = round((seconds - 1 - 0.4) * tempo / 60)  # one of the last clicks; the fifth begins a phrase
            there = position + (0.4 + number * 60 / tempo) * found / 60
            assert abs((there - (number - 5) + 8) % 16 - 8) < 0.3
            assert beat_of_song(song)[1] == pytest.approx(position % 1, abs=1e-6)

    def test_lookbacks_reach_into_the_prompt(self, phrased: Path, tmp_path: Path) -> None:
        soundfile.write(tmp_path / "song.wav", accented(20.0, 132.0, 2, 22_050), 22_050)
        stream = Stream(load(phrased), noizenet.Controls(prompt=tmp_path / "song.wav", prompt_seconds=15.0))
        schedule = stream._stepper.engine.beat_schedule(1)  # type: ignore[attr-defined]
        assert stream.tempo == pytest.approx(132, rel=0.02)
        assert (schedule.lookback_codes >= 0).all()


def test_exported_graphs_use_phrases_and_lookbacks(tmp_path: Path, token_model: Path) -> None:
    ort = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    network = make(phrase=16, lookback_beats=(2, 4), depth_shared=True, depth_block="gated")
    assert isinstance(network, TokenNetwork)
    whole = load(token_model)
    options = dataclasses.replace(whole.architecture.options, phrase=16, lookback_beats=(2, 4), depth_block="gated")
    architecture = dataclasses.replace(whole.architecture, options=options)
    torch.manual_seed(1)
    network = make_network(architecture).eval()  # type: ignore[assignment]
    with torch.no_grad():
        for name, table in network.named_parameters():
            if "lookback" in name or "phrase" in name:
                table.normal_(0, 0.3)
                if "head" in name or "phrase" in name:
                    table[0] = 0
    from noizenet.model.weights import Weights

    noizenet.export_onnx(Model(Weights.of(network), whole.representation, whole.genres), tmp_path / "graphs")
    stack, depth = (ort.InferenceSession(tmp_path / "graphs" / f"{n}.onnx") for n in ("stack", "depth"))
    rng, a = np.random.default_rng(0), architecture
    codes = rng.integers(0, a.levels, (2, 5, a.dim))
    beat_phase, phrase_beat = rng.integers(0, 33, (2, 4)), rng.integers(0, 17, (2, 4))
    lookback_codes = rng.integers(0, a.levels, (2, 4, 2, a.dim))
    lookback_codes[0, 2] = -1
    mix = np.full((2, a.genres), 1 / a.genres, np.float32)
    state = network.start_state(2).detach()
    x = torch.from_numpy(codes)
    with torch.inference_mode():
        inputs = [torch.from_numpy(part) for part in (beat_phase, phrase_beat, lookback_codes)]
        wanted, _ = network(x[:, :-1], torch.from_numpy(mix), state, x[:, 1:], *inputs)
    now = state.numpy()
    for t in range(4):
        beat = {"tick": beat_phase[:, t], "place": phrase_beat[:, t], "back": lookback_codes[:, t]}
        h, now = stack.run(None, {"codes": codes[:, t], "state": now, **beat})
        (logits,) = depth.run(None, {"h": h, "codes": codes[:, t + 1], "mix": mix, **beat})
        assert np.abs(logits - wanted[:, t].numpy()).max() < 1e-4


def test_the_bundled_model_draws_the_same_codes_as_before_lookbacks() -> None:
    """The digest is that of the codes drawn by the last version without lookbacks."""
    model = noizenet.load_model("token-lstm")
    stepper = Stepper(model.weights, model.representation.silence(), 3)
    stepper.set_genre(np.eye(len(model.genres), dtype=np.float32)[0])
    stepper.set_pace(0.09, 0.3)
    codes = stepper.run(120, Sampling(1.2, genre_guidance=1.0, beat_guidance=2.0))
    assert set(stepper.save().memory) == {"h", "c", "current", "clock"}
    assert hashlib.sha256(codes.astype("<i2").tobytes()).hexdigest()[:32] == "b2474828f9c6ad13cdfee23f1f4edff7"
