"""Token networks: the compiled loop equals torch; training, generation, evaluation and adaptation work with codes."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import scipy.signal
import soundfile
import torch
from conftest import RATE, quick_train, tone

import noizenet
from noizenet.base.errors import ConfigError, TrainingError, UsageError
from noizenet.corpus.corpus import Corpus
from noizenet.corpus.speech import count_speech
from noizenet.evaluation.likelihood import likelihood
from noizenet.generation.stream import Stream
from noizenet.model import CELLS
from noizenet.model.architecture import Architecture, ModelOptions
from noizenet.model.batch import step_batch
from noizenet.model.factory import make_network
from noizenet.model.network import Network
from noizenet.model.sampling import Sampling
from noizenet.model.stack import Stack
from noizenet.model.stepper import Stepper
from noizenet.model.weights import expected_shapes
from noizenet.representation.base import create
from noizenet.store.model import load
from noizenet.training.adapting import load_initial_weights
from noizenet.training.collection import check_collection, check_sound
from noizenet.training.encoded import EncodedTracks
from noizenet.training.log import read_metrics
from noizenet.training.step import corrupt_codes, drop_condition
from noizenet.training.windows import WindowReader

BOOKS, LEVELS = 3, 12


def make(
    cell: str = "lstm", layers: int = 2, genres: int = 3, *, residual: bool = False, dilations: tuple[int, ...] = ()
) -> Network:
    torch.manual_seed(5)
    options = ModelOptions(
        cell=cell, layers=layers, hidden=24, embedding=16, depth_width=20, genre_embedding=4, head="depth",
        residual=residual, dilations=dilations,
    )  # fmt: skip
    network = make_network(Architecture(options, "classes", LEVELS, BOOKS, genres)).eval()
    with torch.no_grad():
        network.start.normal_()  # type: ignore[operator, union-attr]
    return network


def codes(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, LEVELS, (count, BOOKS)).astype(np.int16)


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("dilations", [(1,), (1, 1, 1), (1, 4, 3)])
def test_ten_thousand_forced_frames_equal_the_network(cell: str, dilations: tuple[int, ...]) -> None:
    network = make(cell, len(dilations), residual=dilations[-1] > 1, dilations=dilations)
    assert {k: tuple(v.shape) for k, v in network.state_dict().items()} == expected_shapes(network.architecture)
    frames = codes(10_001)
    stepper = Stepper(network, frames[:1])
    mix = np.array([0.5, 0.3, 0.2], np.float32)
    stepper.set_genre(mix)
    compiled = stepper.predict(frames[1:])
    x = torch.from_numpy(frames.astype(np.int64))[None]
    with torch.inference_mode():
        reference, _ = network(x[:, :-1], torch.from_numpy(mix)[None], network.start_state(1), x[:, 1:])
    assert np.abs(compiled - reference[0].numpy()).max() < 1e-4


def test_the_nll_of_a_frame_is_the_sum_over_its_codes_each_given_the_earlier_ones() -> None:
    network = make()
    x = torch.from_numpy(codes(30).astype(np.int64))[None]
    mix = torch.tensor([[1.0, 0, 0]])
    with torch.inference_mode():
        nats, output, _ = network.compute_loss(x[:, :-1], x[:, 1:], mix, network.start_state(1))
        logs = torch.log_softmax(output.reshape(29, BOOKS, LEVELS), -1)
    expected = -sum(logs[t, k, x[0, t + 1, k]] for t in range(29) for k in range(BOOKS)) / 29
    assert float(nats) == pytest.approx(float(expected), rel=1e-5)
    changed = x[:, 1:].clone()
    changed[..., 1] = (changed[..., 1] + 1) % LEVELS
    with torch.inference_mode():
        other, _ = network(x[:, :-1], mix, network.start_state(1), changed)
    same = (other == output).reshape(29, BOOKS, LEVELS).all(-1).all(0)
    assert same.tolist() == [True, True, False]  # only the third code is conditioned on the second


def test_draws_follow_the_distribution_and_do_not_depend_on_the_chunks() -> None:
    network = make()
    whole = Stepper(network, codes(1), 3)
    parts = Stepper(network, codes(1), 3)
    options = {"inject_every": 5, "inject_amount": 0.5}
    a = whole.run(60, Sampling(temperature=1.3, top_p=0.9), **options)
    cuts = [parts.run(n, Sampling(temperature=1.3, top_p=0.9), **options) for n in (1, 7, 20, 32)]
    assert np.array_equal(a, np.concatenate(cuts))
    fork = whole.fork()
    assert np.array_equal(whole.run(40), fork.run(40))
    saved = whole.save()
    first = whole.run(30)
    whole.restore(saved)
    assert np.array_equal(first, whole.run(30))

    logits = Stepper(network, codes(1)).predict(codes(1, 1))[0, :LEVELS]
    p = np.exp(logits - logits.max())
    drawn = np.array([Stepper(network, codes(1), seed).run(1)[0, 0] for seed in range(2000)])
    assert np.abs(np.bincount(drawn, minlength=LEVELS) / 2000 - p / p.sum()).max() < 0.05


def test_other_heads_need_frames_of_one_code() -> None:
    with pytest.raises(ConfigError, match="one code a frame"):
        Architecture(ModelOptions(head="categorical"), "classes", 16, 3, 0)
    with pytest.raises(ConfigError, match="tiers"):
        Architecture(ModelOptions(head="depth", tiers=((4, 8),)), "classes", 16, 3, 0)


def test_corrupted_codes_stay_in_their_codebook() -> None:
    torch.manual_seed(0)
    inputs = torch.stack([torch.randint(10 * k, 10 * k + 10, (8, 50)) for k in range(3)], -1)
    changed = corrupt_codes(inputs, 0.3)
    assert torch.equal(changed // 10, inputs // 10)
    assert 0.1 < float((changed != inputs).float().mean()) < 0.5
    assert torch.equal(corrupt_codes(inputs, 0.0), inputs)


class TestModel:
    def test_generation_is_reproducible(self, token_model: Path, tmp_path: Path) -> None:
        digests = set()
        for name in ("a", "b"):
            controls = noizenet.Controls(seconds=3.0, seed=4, genre="waltz")
            made = noizenet.generate(token_model, tmp_path / f"{name}.wav", controls)
            assert made.seconds == pytest.approx(3.0)
            digests.add(hashlib.sha256((tmp_path / f"{name}.wav").read_bytes()).hexdigest())
        assert len(digests) == 1
        info = soundfile.info(tmp_path / "a.wav")
        assert (info.samplerate, info.frames) == (RATE, 3 * RATE)

    def test_the_block_size_does_not_change_the_output(self, token_model: Path) -> None:
        sounds = []
        for block_s in (0.1, 0.7):
            controls = noizenet.Controls(seconds=4.0, seed=1, genre="waltz", block_seconds=block_s, watch="off")
            sounds.append(np.concatenate([b.samples for b in noizenet.stream(token_model, controls)]))
        assert np.array_equal(*sounds)

    def test_a_batch_of_streams_equals_single_streams(
        self, token_model: Path, tmp_path: Path, cli: Callable[..., tuple[int, str, str]]
    ) -> None:
        code, _, err = cli("generate", token_model, tmp_path / "x.wav", "--count", 3, "--seconds", 2, "--seed", 5)
        assert code == 0, err
        for i in range(3):
            controls = noizenet.Controls(seconds=2.0, seed=5 + i)
            noizenet.generate(token_model, tmp_path / "alone.wav", controls)
            assert (tmp_path / "alone.wav").read_bytes() == (tmp_path / f"x-{i + 1}.wav").read_bytes()

    def test_streams_with_different_controls_equal_single_streams(self, token_model: Path) -> None:
        model = load(token_model)
        controls = [noizenet.Controls(seconds=1.0, seed=i, temperature=1.0 + i, watch="off") for i in range(2)]
        blocks = list(Stream.generate_batch([Stream(model, c) for c in controls]))
        for i, c in enumerate(controls):
            separate = np.concatenate([b.samples for b in noizenet.stream(model, c)])
            assert np.array_equal(np.concatenate([b[i].samples for b in blocks]), separate)
        short = [Stream(model, noizenet.Controls(seconds=1.0 + i, watch="off")) for i in range(2)]
        with pytest.raises(UsageError, match="same length"):
            list(Stream.generate_batch(short))

    def test_a_prompt_continues_without_a_click(self, token_model: Path, tmp_path: Path) -> None:
        soundfile.write(tmp_path / "song.wav", tone(3.0), RATE)
        controls = noizenet.Controls(
            seconds=2.0, seed=1, genre="waltz", prompt=tmp_path / "song.wav", prompt_seconds=2.0, include_prompt=True
        )
        sound = np.concatenate([b.samples for b in noizenet.stream(token_model, controls)])
        join = 2 * RATE
        steps = np.abs(np.diff(sound))
        assert steps[join - 200 : join + 200].max() <= 2 * max(steps[: join - 200].max(), steps[join + 200 :].max())

    def test_prompt_noise_changes_the_start(self, token_model: Path) -> None:
        """Each kind of prompt noise gives another start."""
        sounds = {}
        for noise in (None, "normal", "perlin"):
            controls = noizenet.Controls(seconds=1.0, seed=3, genre="waltz", prompt_noise=noise, watch="off")
            sounds[noise] = np.concatenate([b.samples for b in noizenet.stream(token_model, controls)])
        assert not np.array_equal(sounds["normal"], sounds["perlin"])
        assert not np.array_equal(sounds["normal"], sounds[None])

    def test_likelihood_and_echo_are_measured(self, token_model: Path, corpus: Corpus, tmp_path: Path) -> None:
        found = likelihood(load(token_model), corpus)
        assert found["unit"] == "bits per frame of codes"
        assert 0 < found["mean"]["bits"] < 1.2 * found["mean"]["zeroth_order"]
        assert "linear_prediction" not in found["mean"]
        soundfile.write(tmp_path / "song.wav", tone(3.0), RATE)
        made, _ = noizenet.reproduce(token_model, tmp_path / "song.wav", tmp_path / "e.wav", genre="waltz")
        assert made.domain == "the codes' embeddings"
        assert made.model["mse"] > 0
        assert abs(soundfile.info(tmp_path / "e.wav").frames - 3 * RATE) < 1000

    def test_a_corpus_with_another_rate_and_two_channels_works(
        self, codec: Path, tmp_path: Path, cli: Callable[..., tuple[int, str, str]]
    ) -> None:
        folder = tmp_path / "album"
        folder.mkdir()
        for i in range(6):
            soundfile.write(folder / f"{i}.wav", np.stack([tone(8.0, 16_000, 200 + 40 * i)] * 2, 1), 16_000)
        assert cli("corpus", "build", folder, tmp_path / "c", "--sample-rate", 16_000, "--channels", 2)[0] == 0
        model = quick_train(
            noizenet.load_corpus(tmp_path / "c"), tmp_path / "m", "token-lstm", f"representation.codec={codec}",
            "training.init_from=", epochs=1,
        )  # fmt: skip
        assert (model.representation.sample_rate, model.representation.channels) == (RATE, 2)
        noizenet.generate(model, tmp_path / "x.wav", noizenet.Controls(seconds=2.0))
        assert soundfile.info(tmp_path / "x.wav").channels == 2

    def test_transposed_tracks_are_read(self, token_model: Path, corpus: Corpus) -> None:
        r, track = load(token_model).representation, corpus.split("train")[0]
        encoded = EncodedTracks(corpus, r)
        lengths = [len(encoded.frames(track, shift)) for shift in (-2, 0, 2)]
        for length, shift in zip(lengths, (-2, 0, 2), strict=True):
            assert length == pytest.approx(lengths[1] * 2 ** (-shift / 12), abs=2)
        plain, wide = (
            WindowReader(corpus, corpus.split("train"), r, batch=2, window=16, segment_seconds=2.0, seed=0, transpose=n)
            for n in (0, 1)
        )
        assert wide.windows_per_epoch == pytest.approx(3 * plain.windows_per_epoch, rel=0.05)
        with pytest.raises(UsageError, match="transpose"):
            WindowReader(
                corpus, corpus.split("train"), create({"name": "mu-law"}, sample_rate=corpus.sample_rate, channels=1),
                batch=2, window=16, segment_seconds=2.0, seed=0, transpose=1,
            )  # fmt: skip

    def test_tracks_are_encoded_once(self, token_model: Path, corpus: Corpus, monkeypatch: pytest.MonkeyPatch) -> None:
        r, track = load(token_model).representation, corpus.split("train")[0]
        before = EncodedTracks(corpus, r).frames(track)
        cached = next((corpus.folder / "codes").rglob(f"{track.content[:32]}*.npy"))
        cached.write_bytes(cached.read_bytes()[:-8])  # damaged: encoded again
        assert np.array_equal(EncodedTracks(corpus, r).frames(track), before)

        def refuse(*_: object) -> None:
            raise AssertionError

        monkeypatch.setattr(type(r), "_encode", refuse)
        assert np.array_equal(EncodedTracks(corpus, r).frames(track), before)


def test_missing_bandwidth_of_the_recordings_is_reported(corpus: Corpus) -> None:
    assert check_sound(corpus, create({"name": "mu-law"}, sample_rate=corpus.sample_rate, channels=1)) == ""
    stereo = create({"name": "fullband", "codec": "noizenet-2"}, sample_rate=corpus.sample_rate, channels=1)
    assert "--channels 2 --sample-rate 44100" in check_sound(corpus, stereo)


class TestInitialWeights:
    def test_genres_are_matched_by_name(self, token_model: Path) -> None:
        model = load(token_model)
        genres = [model.genres[2], "new", model.genres[0]]
        network = make_network(dataclasses.replace(model.architecture, genres=3))
        load_initial_weights(model, network, model.representation, genres)
        old, new = model.weights["genre.weight"], network.state_dict()["genre.weight"].numpy()
        assert np.array_equal(new[0], old[2])
        assert np.array_equal(new[2], old[0])
        assert np.allclose(new[1], old.mean(0))
        assert np.array_equal(network.state_dict()["codes.0.weight"].numpy(), model.weights["codes.0.weight"])

    def test_other_codes_or_shapes_are_refused(self, token_model: Path) -> None:
        model = load(token_model)
        network = make_network(model.architecture)
        with pytest.raises(UsageError, match=r"stereo.*--channels 1"):
            load_initial_weights(model, network, dataclasses.replace(model.representation, channels=2), model.genres)
        load_initial_weights(model, network, dataclasses.replace(model.representation, noise_fill=0.5), model.genres)
        spectra = create({"name": "log-magnitude"}, sample_rate=22_050, channels=1)
        with pytest.raises(
            UsageError, match=r"is 'codec', the configuration's is 'log-magnitude'.*representation.name=codec"
        ):
            load_initial_weights(model, network, spectra, model.genres)
        options = dataclasses.replace(model.architecture.options, hidden=32)
        with pytest.raises(UsageError, match=f"shape.*--set model.hidden={model.architecture.options.hidden},"):
            load_initial_weights(
                model, make_network(dataclasses.replace(model.architecture, options=options)), model.representation,
                model.genres,
            )  # fmt: skip

    def test_training_starts_from_the_initial_weights(self, token_model: Path, corpus: Corpus, tmp_path: Path) -> None:
        codec = load(token_model).representation.codec  # type: ignore[attr-defined]
        bits = []
        for start in ("", str(token_model)):
            model = quick_train(
                corpus, tmp_path / f"m{bool(start)}", "token-lstm", f"representation.codec={codec}",
                f"training.init_from={start}", "training.warmup_steps=0", epochs=0.5,
            )  # fmt: skip
            bits.append(model.training["metrics"]["best_validation_bits_per_frame"])
        assert bits[1] < bits[0]

    def test_the_learning_rate_is_scaled(self, token_model: Path, corpus: Corpus, tmp_path: Path) -> None:
        codec = load(token_model).representation.codec  # type: ignore[attr-defined]
        rates = []
        for start in ("", str(token_model)):
            folder = tmp_path / f"m{bool(start)}"
            quick_train(
                corpus, folder, "token-lstm", f"representation.codec={codec}", f"training.init_from={start}",
                "training.init_lr_scale=0.125", "training.schedule=constant", "training.warmup_steps=0", epochs=0.2,
            )  # fmt: skip
            rates.append({r["learning_rate"] for r in read_metrics(folder) if "learning_rate" in r})
        assert rates == [{0.002}, {0.00025}]


def test_a_dilated_layer_continues_from_its_state_d_frames_ago() -> None:
    """A whole sequence, single steps and chunks give the same, and interleaved sequences do not interact."""
    torch.manual_seed(0)
    stack = Stack("gru", 8, 8, 2, 0.0, (1, 3), residual=True).eval()
    x, state = torch.randn(2, 13, 8), torch.randn(4, 1, 2, 8)
    with torch.no_grad():
        whole, after = stack(x, state)
        parts, now = [], state
        for first, last in ((0, 2), (2, 9), (9, 13)):
            y, now = stack(x[:, first:last], now)
            parts.append(y)
        steps, stepped = [], state
        for t in range(13):
            y, stepped = stack.step(x[:, t], stepped)
            steps.append(y)
        for other, end in ((torch.cat(parts, 1), now), (torch.stack(steps, 1), stepped)):
            assert torch.allclose(whole, other, atol=1e-6)
            assert torch.allclose(after, end, atol=1e-6)
        single = Stack("gru", 8, 8, 1, 0.0, (3,)).eval()
        moved = x.clone()
        moved[:, 4] += 1
        differs = (single(x, state[:3])[0] != single(moved, state[:3])[0]).any(-1)[0]
        assert differs.nonzero()[:, 0].tolist() == [4, 7, 10]


@pytest.mark.parametrize("genre_guidance", [0.0, 1.5])
@pytest.mark.parametrize("cell", CELLS)
def test_a_batch_of_streams_equals_single_streams(cell: str, genre_guidance: float) -> None:
    network = make(cell, residual=True, dilations=(1, 4))
    first = Stepper(network, codes(1), 0)
    steppers = [first, *(first.fork() for _ in range(3))]
    for i, stepper in enumerate(steppers):
        stepper.reset(i)
        stepper.set_genre(np.eye(3, dtype=np.float32)[i % 3])
    sampling = Sampling(top_p=0.95, genre_guidance=genre_guidance)
    separate = [s.fork().run(50, sampling) for s in steppers]
    batched = step_batch(steppers, 50, sampling)
    assert np.array_equal(np.stack(separate), batched)
    assert steppers[0].pop_nll() == pytest.approx(_mean_nll(network, separate[0]), rel=0.05)


def test_sampling_options_per_code() -> None:
    network = make()
    stepper = Stepper(network, codes(1))
    logits = stepper.fork().predict(stepper.fork().run(1, Sampling(0.0)))
    most_probable = logits.reshape(BOOKS, LEVELS).argmax(1)
    drawn = []
    for seed in range(60):
        other = stepper.fork()
        other.reset(seed)
        drawn.append(other.run(1, Sampling(2.0, code_temperatures=(0.0, 0.0, 1.0)))[0])
    first, second, third = np.array(drawn).T
    assert (first == most_probable[0]).all()
    assert (second == most_probable[1]).all()
    assert len(set(third.tolist())) > 3
    other.reset(1)
    nearly = [other.run(1, Sampling(1.0, code_top_p=(1e-6, 1e-6, 1.0)))[0, :2].tolist() for _ in range(1)]
    assert nearly == [most_probable[:2].tolist()]


def test_genre_guidance_scales_the_logits() -> None:
    network = make()
    with torch.no_grad():
        network.head.genre_proj[0].weight.mul_(20)  # type: ignore[union-attr, operator, index]
    frames = torch.from_numpy(codes(2)[None].astype(np.int64))
    mix = torch.eye(3)[1:2]
    with torch.no_grad():
        conditional, _ = network(frames[:, :1], mix, network.start_state(1), frames[:, 1:])
        unconditional, _ = network(frames[:, :1], torch.zeros(1, 3), network.start_state(1), frames[:, 1:])
    assert (conditional - unconditional)[..., :LEVELS].abs().max() > 0.5
    wanted = torch.softmax((conditional + 1.5 * (conditional - unconditional))[0, 0, :LEVELS].double(), -1).numpy()
    first, drawn = Stepper(network, frames[0, :1].numpy(), 0), []
    for i in range(4000):
        one = first.fork()
        one.reset(i)
        one.set_genre(mix[0].numpy())
        drawn.append(one.run(1, Sampling(genre_guidance=1.5))[0, 0])
    share = np.bincount(drawn, minlength=LEVELS) / len(drawn)
    assert np.abs(share - wanted).max() < 4 * np.sqrt(0.25 / len(drawn))
    plain = torch.softmax(conditional[0, 0, :LEVELS].double(), -1).numpy()
    assert np.abs(share - plain).max() > 8 * np.sqrt(0.25 / len(drawn))


def test_genre_dropout_zeroes_a_share_of_the_rows() -> None:
    torch.manual_seed(0)
    mix = torch.eye(4).repeat(500, 1)
    dropped = drop_condition(mix, 0.25)
    totals = dropped.sum(1)
    assert set(totals.tolist()) == {0.0, 1.0}
    assert 0.7 < totals.mean() < 0.8
    assert torch.equal(dropped[totals > 0], mix[totals > 0])
    assert torch.equal(drop_condition(mix, 0.0), mix)


def _mean_nll(network: Network, played: np.ndarray) -> float:
    stepper = Stepper(network, codes(1), 0)
    stepper.set_genre(np.eye(3, dtype=np.float32)[0])
    stepper.prefill(played)
    return stepper.pop_nll() or 0.0


class TestCollections:
    def build(self, folder: Path, seconds: float) -> Corpus:
        (folder / "in").mkdir()
        for i in range(5):
            soundfile.write(folder / "in" / f"{i}.wav", tone(seconds / 5, RATE, 200 + 30 * i), RATE)
        return noizenet.build_corpus(folder / "in", folder / "corpus", sample_rate=RATE, min_seconds=1.0)

    def test_the_missing_duration_is_reported(self, codec: Path, tmp_path: Path) -> None:
        corpus = self.build(tmp_path, 12)
        with pytest.raises(TrainingError, match=r"at least \d+ s more"):
            quick_train(corpus, tmp_path / "m", "token-lstm", f"representation.codec={codec}")

    def test_silent_recordings_are_refused(self, codec: Path, tmp_path: Path) -> None:
        """Each file has one click only. Quiet music is amplified when a corpus is built; silence is not music."""
        (tmp_path / "in").mkdir()
        for i in range(5):
            click = np.zeros(16 * RATE, np.float32)
            click[(i + 2) * RATE] = 0.2
            soundfile.write(tmp_path / "in" / f"{i}.wav", click, RATE)
        corpus = noizenet.build_corpus(tmp_path / "in", tmp_path / "corpus", sample_rate=RATE, min_seconds=1.0)
        with pytest.raises(TrainingError, match="silent"):
            quick_train(corpus, tmp_path / "m", "token-lstm", f"representation.codec={codec}")

    def test_a_small_collection_gives_a_warning(self, tmp_path: Path) -> None:
        corpus = self.build(tmp_path, 80)
        assert "little to learn from" in check_collection(corpus, corpus.tracks)

    def test_speech_gives_a_warning(self, tmp_path: Path) -> None:
        """Syllables with gliding pitch, two formants, consonants and pauses give a warning; music does not."""
        (tmp_path / "in").mkdir()
        for i in range(5):
            soundfile.write(tmp_path / "in" / f"{i}.wav", babble(80.0, i), RATE)
        corpus = noizenet.build_corpus(tmp_path / "in", tmp_path / "corpus", sample_rate=RATE, min_seconds=1.0)
        assert "sounds like speech" in check_collection(corpus, corpus.tracks)
        demo = noizenet.demo_corpus(tmp_path / "demo", minutes=3.0, seed=1)
        spoken, heard = count_speech(demo, demo.tracks)
        assert heard > 20
        assert spoken < heard / 2


def babble(seconds: float, seed: int) -> np.ndarray:
    """Return a speech-like sound: 4 syllables a second."""
    rng, parts = np.random.default_rng(seed), []
    while sum(map(len, parts)) < seconds * RATE:
        n = int(rng.uniform(0.1, 0.2) * RATE)
        pitch = np.cumsum(np.linspace(rng.uniform(90, 160), rng.uniform(90, 160), n) / RATE)
        voice = np.diff(np.floor(pitch), prepend=0) + 0.01 * rng.standard_normal(n)
        for hz in (rng.uniform(300, 800), rng.uniform(900, 2400)):
            r = np.exp(-np.pi * 90 / RATE)
            voice = scipy.signal.lfilter([1 - r], [1, -2 * r * np.cos(2 * np.pi * hz / RATE), r * r], voice)
        voice *= np.hanning(n) / (np.abs(voice).max() + 1e-9)
        hiss = 0.05 * rng.standard_normal(int(rng.uniform(0.02, 0.07) * RATE))
        pause = np.zeros(int(rng.choice([0.01, 0.05, 0.3], p=[0.6, 0.25, 0.15]) * RATE))
        parts += [hiss, 0.4 * voice, pause]
    return np.concatenate(parts)[: int(seconds * RATE)].astype(np.float32)
