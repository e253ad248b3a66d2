"""The codec: NumPy equals torch; phases; stereo panning; damaged folders are refused."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import librosa
import numpy as np
import pytest
import scipy.signal
import torch
from conftest import CODEC_STEPS, GRIFFIN_LIM_SEED, SMALL_CODEC, check_batch_equals_single, tone
from filelock import FileLock
from safetensors.torch import load_file

from noizenet.audio.waveform import Waveform
from noizenet.base.errors import ConfigError, LockedError, ModelError, UsageError
from noizenet.corpus.corpus import Corpus
from noizenet.representation import panning
from noizenet.representation.base import create
from noizenet.representation.codec import CodecDecoder, CodecTokens
from noizenet.representation.codec_kernel import PackedDecoder
from noizenet.representation.codec_network import encode, spectra
from noizenet.representation.codec_weights import ABOUT, ARRAYS, CodecShape, load_codec
from noizenet.representation.phase import PhaseOptions, PhaseSearch
from noizenet.training import checkpoint
from noizenet.training.codec import CodecNetwork
from noizenet.training.codec_training import Crops, train_codec


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Train with one thread: with two, waiting would take most of the CPU time of the budget."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def convergence_db(magnitudes: np.ndarray, sound: np.ndarray, n_fft: int, hop: int) -> float:
    again = np.abs(librosa.stft(sound, n_fft=n_fft, hop_length=hop))
    count = min(again.shape[1], magnitudes.shape[1])
    apart = np.linalg.norm(again[:, :count] - magnitudes[:, :count]) / np.linalg.norm(magnitudes[:, :count])
    return float(20 * np.log10(apart))


class TestPhases:
    N, HOP = 1024, 256

    def search(self, magnitudes: np.ndarray, cuts: tuple[int, ...] = (), **options: float) -> np.ndarray:
        found = PhaseSearch(self.N, self.HOP, PhaseOptions(**options))  # type: ignore[arg-type]
        parts = [found.push(p) for p in np.split(magnitudes.T.astype(np.float32), cuts)]
        return np.concatenate([*parts, found.finish()])

    def test_phases_are_better_than_three_times_the_griffin_lim_iterations(self, song: Waveform) -> None:
        magnitudes = np.abs(librosa.stft(song.samples[:110_250], n_fft=self.N, hop_length=self.HOP))
        theirs = librosa.griffinlim(magnitudes, n_iter=12, hop_length=self.HOP, **GRIFFIN_LIM_SEED)
        ours = self.search(magnitudes, iterations=4)
        assert convergence_db(magnitudes, ours, self.N, self.HOP) < convergence_db(magnitudes, theirs, self.N, self.HOP)

    def test_integrated_gradients_are_a_good_initial_guess(self, song: Waveform) -> None:
        magnitudes = np.abs(librosa.stft(song.samples[:110_250], n_fft=self.N, hop_length=self.HOP))
        assert convergence_db(magnitudes, self.search(magnitudes, iterations=0), self.N, self.HOP) < -10

    def test_chunks_do_not_change_the_result(self, song: Waveform) -> None:
        magnitudes = np.abs(librosa.stft(song.samples[:44_100], n_fft=self.N, hop_length=self.HOP))
        assert np.array_equal(self.search(magnitudes), self.search(magnitudes, (1, 2, 50, 51, 90)))

    def test_a_tone_stays_one_tone(self) -> None:
        x = 0.5 * np.sin(2 * np.pi * 443.7 * np.arange(44_100) / 22_050).astype(np.float32)
        back = self.search(np.abs(librosa.stft(x, n_fft=self.N, hop_length=self.HOP)))[: len(x)]
        inside = back[4_000:40_000] * np.hanning(36_000)
        spectrum = np.abs(np.fft.rfft(inside))
        peak = spectrum.argmax()
        assert abs(peak * 22_050 / 36_000 - 443.7) < 1
        assert np.square(spectrum[peak - 5 : peak + 6]).sum() > 0.999 * np.square(spectrum).sum()

    def test_silence_is_silent(self) -> None:
        assert not self.search(np.zeros((513, 40))).any()


class TestNumbers:
    def test_numpy_encodes_and_decodes_like_torch(self, codec: Path, corpus: Corpus) -> None:
        weights = load_codec(str(codec))
        network = CodecNetwork.of(weights)
        sound = corpus.mono(corpus.tracks[0], 0, 24_000)
        magnitudes = spectra(sound, weights.shape)
        with torch.inference_mode():
            theirs = network.spectra(torch.from_numpy(sound)[None])
            assert np.abs(theirs[0].numpy() - magnitudes[: theirs.shape[1]]).max() < 1e-5
            latent, codes, _ = network.quantise(network.encode(torch.from_numpy(magnitudes)[None]))
            middle, _ = network.decode(latent)
        ours = encode(sound, weights)
        assert (codes[0].numpy() == ours).mean() > 0.995  # ties may differ
        decoder = CodecDecoder(weights, noise_fill=0.0)
        output = np.concatenate([decoder.push(codes[0].numpy()), decoder.finish()])[:, 0]
        wanted = np.maximum(np.exp(middle[0].numpy()) - weights.shape.floor, 0) * weights.shape.n_fft / 4
        assert convergence_db(wanted.T, output, weights.shape.n_fft, weights.shape.hop) < -3
        assert len(output) == len(codes[0]) * weights.shape.samples

    @pytest.mark.parametrize("quantiser", ["product", "residual"])
    def test_it_learns(self, corpus: Corpus, tmp_path: Path, quantiser: str) -> None:
        shape = CodecShape(**(SMALL_CODEC | {"quantiser": quantiser}))
        crops = Crops(corpus, corpus.split("train"), 1).next(8)
        losses = []
        for steps in (1, CODEC_STEPS):
            network = train_codec(corpus, tmp_path / str(steps), shape, steps=steps)
            with torch.inference_mode():
                losses.append(network.loss(crops)[1]["bins"])
        assert losses[1] < 0.8 * losses[0]

    def test_another_rate_is_refused(self, corpus: Corpus, tmp_path: Path) -> None:
        with pytest.raises(UsageError, match="8000 Hz"):
            train_codec(corpus, tmp_path, CodecShape(), minutes=0.01)


class TestCodecRun:
    SHAPE = CodecShape(**SMALL_CODEC)

    def stop_at(self, step: int, number: int = signal.SIGINT) -> Callable[[str, float], None]:
        def on_progress(text: str, _: float) -> None:
            if text.startswith(f"step {step}:"):
                os.kill(os.getpid(), number)

        return on_progress

    def same(self, a: Path, b: Path) -> None:
        assert (a / ARRAYS).read_bytes() == (b / ARRAYS).read_bytes()
        one, two = load_file(a / checkpoint.NAME), load_file(b / checkpoint.NAME)
        assert set(one) == set(two)
        assert all(torch.equal(v, two[k]) for k, v in one.items())

    def test_a_stopped_run_resumes_bit_for_bit(self, corpus: Corpus, tmp_path: Path) -> None:
        uninterrupted, stopped = tmp_path / "whole", tmp_path / "cut"
        train_codec(corpus, uninterrupted, self.SHAPE, steps=120)
        with pytest.raises(KeyboardInterrupt):
            train_codec(corpus, stopped, self.SHAPE, steps=120, on_progress=self.stop_at(50))
        assert not (stopped / ARRAYS).exists()
        train_codec(corpus, stopped, self.SHAPE, steps=120)
        self.same(uninterrupted, stopped)
        first = json.loads((stopped / ABOUT).read_text())["training"]
        assert first["steps"] == 120
        train_codec(corpus, stopped, self.SHAPE, steps=122)  # a longer run may follow
        assert json.loads((stopped / ABOUT).read_text())["training"]["steps"] == 122

    def test_a_killed_run_resumes_bit_for_bit(self, corpus: Corpus, tmp_path: Path) -> None:
        uninterrupted, stopped = tmp_path / "whole", tmp_path / "cut"
        train_codec(corpus, uninterrupted, self.SHAPE, steps=30)
        code = f"""
import os, signal, torch
import noizenet.base.files as files
from noizenet.corpus.corpus import Corpus
from noizenet.representation.codec_weights import CodecShape
from noizenet.training.codec_training import train_codec
torch.set_num_threads(1)
real, calls = os.fsync, []
def fsync(handle):
    calls.append(1)
    if len(calls) == 12:
        os.kill(os.getpid(), signal.SIGKILL)
    real(handle)
files.os.fsync = fsync
train_codec(Corpus({str(corpus.folder)!r}), {str(stopped)!r}, CodecShape(**{SMALL_CODEC!r}), steps=30, checkpoint_seconds=0)
"""
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
        assert done.returncode == -signal.SIGKILL, done.stderr
        assert list(stopped.glob(".*.part*"))
        train_codec(corpus, stopped, self.SHAPE, steps=30)
        self.same(uninterrupted, stopped)
        assert not list(stopped.glob(".*.part*"))

    def test_minutes_are_counted_over_resumes(self, corpus: Corpus, tmp_path: Path) -> None:
        train_codec(corpus, tmp_path, self.SHAPE, minutes=0.005)
        first = json.loads((tmp_path / ABOUT).read_text())["training"]
        train_codec(corpus, tmp_path, self.SHAPE, minutes=first["cpu_minutes"] + 0.005)
        second = json.loads((tmp_path / ABOUT).read_text())["training"]
        assert second["steps"] > first["steps"]
        assert second["cpu_minutes"] >= first["cpu_minutes"] + 0.005

    def test_another_run_is_not_resumed(self, corpus: Corpus, tmp_path: Path) -> None:
        train_codec(corpus, tmp_path, self.SHAPE, steps=2)
        with pytest.raises(UsageError, match="the seed is not"):
            train_codec(corpus, tmp_path, self.SHAPE, steps=3, seed=1)
        with pytest.raises(UsageError, match="the shape is not"):
            train_codec(corpus, tmp_path, CodecShape(**(SMALL_CODEC | {"width": 32})), steps=3)
        with FileLock(str(tmp_path / ".lock")), pytest.raises(LockedError, match="another process"):
            train_codec(corpus, tmp_path, self.SHAPE, steps=3)
        for wrong in ({}, {"minutes": 1.0, "steps": 1}):
            with pytest.raises(UsageError, match="either"):
                train_codec(corpus, tmp_path, self.SHAPE, **wrong)

    def test_bad_numbers_are_recovered_from(
        self, corpus: Corpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        real, calls, messages = CodecNetwork.loss, [], []

        def loss(self: CodecNetwork, sound: torch.Tensor) -> tuple[torch.Tensor, dict[str, float]]:
            calls.append(1)
            total, parts = real(self, sound)
            return total * (float("nan") if len(calls) == 30 else 1.0), parts

        monkeypatch.setattr(CodecNetwork, "loss", loss)
        network = train_codec(corpus, tmp_path, self.SHAPE, steps=50, on_progress=lambda text, _: messages.append(text))
        assert any("step 30: the loss is nan" in text for text in messages)
        assert all(torch.isfinite(v).all() for v in network.parameters())


class TestTokens:
    def test_chunks_decode_like_the_whole(self, codec: Path) -> None:
        r = create({"name": "codec", "codec": str(codec)}, sample_rate=44_100, channels=2)
        assert r.sample_rate == 8_000  # that of the codec; other audio is resampled
        x = np.stack([tone(3.0), 0.2 * tone(3.0)], 1)
        codes = r.encode(Waveform(x, 8_000))
        decoder = r.decoder()
        parts = [decoder.push(codes[i : i + 5]) for i in range(0, len(codes), 5)]
        assert np.array_equal(np.concatenate([*parts, decoder.finish()]), r.decode(codes).samples)
        assert len(r.decode(codes)) == r.samples_for(len(codes))

    def test_another_version_is_refused(self, codec: Path) -> None:
        digest = load_codec(str(codec)).digest
        CodecTokens(sample_rate=8_000, codec=str(codec), digest=digest)
        with pytest.raises(ConfigError, match="another version"):
            CodecTokens(sample_rate=8_000, codec=str(codec), digest="0" * 64)

    @pytest.mark.parametrize("what", ["missing", "cut", "json", "shape", "newer"])
    def test_damaged_codecs_are_refused(self, codec: Path, tmp_path: Path, what: str) -> None:
        folder = tmp_path / what
        folder.mkdir()
        about = json.loads((codec / ABOUT).read_text())
        data = (codec / ARRAYS).read_bytes()
        if what == "shape":
            about["shape"]["width"] = 64
        if what == "newer":
            about["format"] = 99
        (folder / ABOUT).write_text("{" if what == "json" else json.dumps(about))
        if what != "missing":
            (folder / ARRAYS).write_bytes(data[:-10] if what == "cut" else data)
        with pytest.raises((ModelError, UsageError), match=str(folder)):
            load_codec(str(folder))

    def test_noise_fill_restores_the_spread_of_noise(self, codec: Path) -> None:
        """With a large spread the magnitudes are distributed like noise; with none they do not change."""
        weights = load_codec(str(codec))
        decoder, frames = PackedDecoder(weights), np.arange(40)
        middle = np.full((40, weights.shape.bins), -2.0, np.float32)
        unsure = np.full((40, weights.shape.bands), 0.5, np.float32)
        logs = np.log(decoder.magnitudes(middle, unsure, frames, 1.0) / (weights.shape.n_fft / 4) + 1e-9)
        assert abs(logs.std() - 0.64) < 0.1  # of the log of a Rayleigh variable: pi / sqrt(24)
        for spread, noise_fill in ((np.zeros_like(unsure), 1.0), (unsure, 0.0)):
            assert np.ptp(decoder.magnitudes(middle, spread, frames, noise_fill)) < 1e-6

    def test_batched_decoding_equals_single_streams(self, codec: Path) -> None:
        r = create({"name": "codec", "codec": str(codec)}, sample_rate=22_050, channels=1)
        codes = np.random.default_rng(1).integers(0, r.levels, (3, 50, r.dim)).astype(np.int16)
        check_batch_equals_single(r, codes)


class TestTwoChannels:
    @pytest.mark.parametrize(("left", "right"), [(1.0, 1.0), (1.0, 0.0), (0.3, 0.9)])
    def test_panning_is_reproduced(self, left: float, right: float) -> None:
        x = tone(2.0)
        both = np.stack([left * x, right * x], 1).astype(np.float32)
        panner = panning.Panner(512, 256)
        panner.push_codes(panning.encode(both, 512, 256))
        back = panner.push(both.mean(1))
        level = np.sqrt(np.square(back).mean(0)) / np.sqrt(np.square(both).mean(0).max())
        assert np.abs(level - np.array([left, right]) / max(left, right)).max() < 0.1

    def test_width_is_reproduced(self) -> None:
        both = np.random.default_rng(0).normal(0, 0.1, (40_000, 2)).astype(np.float32)
        panner = panning.Panner(512, 256)
        panner.push_codes(panning.encode(both, 512, 256))
        back = panner.push(both.mean(1))
        assert abs(np.corrcoef(back.T)[0, 1]) < 0.3
        assert panning.encode(np.zeros((1024, 2), np.float32), 512, 256).tolist() == [7 * 15] * 2

    def test_an_all_pass_filter_is_scipys(self) -> None:
        x, delay = np.random.default_rng(0).normal(0, 0.1, 1_000), 37
        top = np.zeros(delay + 1)
        top[0], top[-1] = -panning.FEEDBACK, 1
        ours = panning.AllPass(delay)
        chunks = [ours.push(part) for part in np.split(x, [1, 36, 500])]
        assert np.array_equal(np.concatenate(chunks), scipy.signal.lfilter(top, top[::-1], x))

    def test_delays_are_in_seconds(self) -> None:
        click = np.zeros(4_000, np.float32)
        click[0] = 1
        first = []
        for rate in (22_050, 44_100):
            panner = panning.Panner(512, 256, rate)
            panner.push_codes(np.full(9, 7 * 15 + 14))  # centred, with the largest width
            first.append(np.flatnonzero(np.abs(np.diff(panner.push(click), axis=1)[1:]) > 1e-4)[0] + 1)
        assert first[1] == 2 * first[0] == 2 * panning.DELAYS[0]
