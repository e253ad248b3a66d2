"""The fullband representation: measures of the top octave, round trips, streams, and refused inputs."""

from __future__ import annotations

import json
import shutil
from functools import lru_cache
from pathlib import Path

import numpy as np
import pytest
from conftest import check_batch_equals_single, quick_train, tone

from noizenet.audio.resample import resample
from noizenet.audio.waveform import Waveform
from noizenet.base.bundled import bundled
from noizenet.base.errors import ConfigError, ModelError, UsageError
from noizenet.corpus.corpus import Corpus
from noizenet.generation.controls import Controls
from noizenet.generation.stream import Stream
from noizenet.representation import panning
from noizenet.representation.base import create
from noizenet.representation.codec import CodecTokens
from noizenet.representation.fullband import FullbandTokens
from noizenet.representation.highband import (
    BANDS,
    EDGES_HZ,
    FILE,
    levels,
    load_codebook,
    reference_levels,
    relative,
    save_codebook,
)
from noizenet.representation.noise_bands import LOOPS, NoiseBands, noise
from noizenet.representation.upsampling import REACH, Upsampler
from noizenet.store.codecs import find_codec, keep_codec
from noizenet.store.model import load

RATE, HOP = 44_100, 512
MIDDLE = panning.steps(256) ** 2 // 2 - panning.steps(256) // 2
"""The panning code of equal channels."""


def shaped_noise(levels_db: dict[tuple[float, float], float], seconds: float, seed: int = 0) -> np.ndarray:
    """Return noise whose bands [Hz] have these levels in dB of mean square, float32 [N]."""
    count = round(seconds * RATE)
    hz = np.fft.rfftfreq(count, 1 / RATE)
    rng, total = np.random.default_rng(seed), np.zeros(count)
    for (low, high), level in levels_db.items():
        inside = (hz >= low) & (hz < high)
        part = np.fft.irfft(rng.standard_normal(len(hz)) * np.exp(2j * np.pi * rng.random(len(hz))) * inside, count)
        total += part / np.sqrt(np.square(part).mean()) * 10 ** (level / 20)
    return total.astype(np.float32)


def band_levels(samples: np.ndarray) -> np.ndarray:
    """Return the mean power of each band in dB, [1 + BANDS]."""
    found = levels(samples, HOP, len(samples) // HOP)
    return np.asarray(10 * np.log10(np.power(10, found / 10).mean(0)))


@lru_cache(maxsize=1)
def hiss() -> np.ndarray:
    """Return 4 s of noise with much energy above 11 kHz and in the reference band; the spectrum falls like cymbals'."""
    bands = {(200, 4_000): -32, (4_000, 7_000): -32, (7_000, 10_500): -28, (10_500, 12_500): -33, (12_500, 15_000): -34}
    return shaped_noise({**bands, (15_000, 17_500): -38, (17_500, 21_000): -44}, 4.0)


def round_trip(samples: np.ndarray) -> np.ndarray:
    r = FullbandTokens()
    return r.decode(r.encode(Waveform(samples, RATE))).samples


class TestMeasure:
    AMPLITUDES = (0.3, 0.1, 0.2, 0.03, 0.001)

    def sines(self) -> np.ndarray:
        middles = [(a + b) / 2 for a, b in zip(EDGES_HZ, EDGES_HZ[1:], strict=False)]
        t = np.arange(2 * RATE) / RATE
        x = np.sum([a * np.sin(2 * np.pi * f * t) for a, f in zip(self.AMPLITUDES, middles, strict=True)], 0)
        return np.stack([x, x], 1).astype(np.float32)

    def test_a_band_has_the_level_of_its_sine(self) -> None:
        found = levels(self.sines(), HOP, 100)[10:90]
        wanted = 10 * np.log10(1.5 * np.square(self.AMPLITUDES))
        assert np.abs(found - wanted).max() < 0.1

    def test_channels_are_averaged_and_silence_is_at_the_floor(self) -> None:
        x = self.sines()
        x[:, 1] = 0
        assert np.allclose(
            levels(x, HOP, 50)[10:40], levels(self.sines(), HOP, 50)[10:40] - 10 * np.log10(2), atol=0.05
        )
        assert np.all(levels(np.zeros((9_000, 2), np.float32), HOP, 16) == -100)
        assert not relative(levels(np.zeros((9_000, 2), np.float32), HOP, 16), 4).any()

    def test_codes_quantise_levels_relative_to_the_reference(self) -> None:
        r = FullbandTokens()
        codes = r.encode(Waveform(self.sines(), RATE))
        wanted = np.clip(20 * np.log10(np.divide(self.AMPLITUDES[1:], self.AMPLITUDES[0])), -40, 10)
        nearest = np.square(r.codebook.rows - np.tile(wanted, 4)).sum(1).argmin()
        assert (codes[3:40, -1] == nearest).mean() > 0.9

    def test_a_codecs_magnitudes_have_the_same_levels(self) -> None:
        from noizenet.representation.codec_network import spectra

        x = hiss()[:, None]
        r = FullbandTokens()
        low = resample(x, RATE, 22_050)[:, 0]
        found = reference_levels(spectra(low, r.weights.shape), 1024, 22_050)
        assert abs(10 * np.log10(np.power(10, found / 10).mean()) - band_levels(x)[0]) < 0.3

    def test_the_other_codes_equal_those_of_codec_and_panning(self, song: Waveform) -> None:
        r = FullbandTokens()
        x = r.samples_of(Waveform(np.stack([song.samples[:60_000], np.roll(song.samples, 99)[:60_000]], 1), 22_050))
        codes = r.encode(Waveform(x, RATE))
        mono = resample(x.mean(1, keepdims=True), RATE, 22_050)
        assert np.array_equal(codes[:, :8], CodecTokens().encode(Waveform(mono[:, 0], 22_050)))
        assert np.array_equal(codes[:, 8], panning.encode(x, 2048, 256))


class TestRoundTrip:
    def test_a_hiss_keeps_its_level_in_each_band(self) -> None:
        x = np.stack([hiss(), hiss()], 1)
        error = band_levels(round_trip(x)[RATE // 2 :]) - band_levels(x[RATE // 2 :])
        assert np.abs(error[1:]).max() < 3

    def test_a_low_tone_gets_no_top_octave(self) -> None:
        x = (0.5 * np.sin(2 * np.pi * 300 * np.arange(3 * RATE) / RATE)).astype(np.float32)
        back = round_trip(np.stack([x, x], 1))[RATE // 2 : -RATE // 2]
        power = np.square(np.abs(np.fft.rfft(back[:, 0] * np.hanning(len(back)))))
        above = power[np.fft.rfftfreq(len(back), 1 / RATE) > 11_000].sum()
        assert 10 * np.log10(above / power.sum()) < -50

    def test_a_left_channel_stays_left(self) -> None:
        x = np.stack([hiss(), np.zeros_like(hiss())], 1)
        back = round_trip(x)
        assert np.abs(back[RATE:, 1]).max() < 1e-4
        assert np.square(back[:, 0]).mean() > 0.2 * np.square(x[:, 0]).mean()

    def test_a_wide_hiss_stays_wide(self) -> None:
        x = (
            shaped_noise({(3_000, 10_500): -28, (10_500, 20_000): -30}, 3.0, 1),
            shaped_noise({(3_000, 20_000): -28}, 3.0, 2),
        )
        back = round_trip(np.stack(x, 1))
        high = np.fft.rfft(back, axis=0)[round(11_500 * len(back) / RATE) :]
        coherence = np.abs((high[:, 0] * high[:, 1].conj()).sum()) / np.sqrt(np.prod(np.square(np.abs(high)).sum(0)))
        assert coherence < 0.4

    def test_length_and_timing_are_kept(self, song: Waveform) -> None:
        r = FullbandTokens()
        x = r.samples_of(song.cut(0, 4))
        codes = r.encode(Waveform(x, RATE))
        back = r.decode(codes).samples
        assert len(back) == 2048 * len(codes) == r.samples_for(len(codes))
        assert 0 <= len(back) - len(x) < 2048
        # The decoder generates its own phases, so the envelopes are compared.
        envelopes = [np.convolve(np.square(y[: len(x)].mean(1)), np.hanning(400), "same") for y in (x, back)]
        spectra = [np.fft.rfft(e - e.mean(), 2 * len(x)) for e in envelopes]
        lag = np.fft.irfft(spectra[0].conj() * spectra[1]).argmax()
        assert min(lag, 2 * len(x) - lag) < 300  # 7 ms

    def test_silence_is_silent(self) -> None:
        r = FullbandTokens()
        quiet = np.repeat(r.silence(), 40, 0)
        back = r.decode(quiet).samples
        assert np.sqrt(np.square(back).mean()) < 1e-3
        codec = CodecTokens()
        assert np.abs(back).max() < 1.05 * np.abs(codec.decode(quiet[:, :8]).samples).max()  # no top octave

    def test_mono_sound_of_any_rate_becomes_stereo_at_44_100_hz(self, song: Waveform) -> None:
        r = create({"name": "fullband"}, sample_rate=22_050, channels=1)
        assert (r.sample_rate, r.channels, r.dim, r.levels) == (44_100, 2, 10, 256)
        codes = r.encode(song.cut(0, 2))
        assert (codes[:, 8] == MIDDLE).all()
        back = r.decode(codes).samples
        assert np.abs(back[:, 0] - back[:, 1]).max() < 1e-6


class TestStreams:
    def codes(self, streams: int = 1, frames: int = 60) -> np.ndarray:
        return np.random.default_rng(1).integers(0, 225, (streams, frames, 10)).astype(np.int16)

    @pytest.mark.parametrize("size", [1, 2, 7, 23])
    def test_chunks_equal_the_whole(self, size: int) -> None:
        r, codes = FullbandTokens(), self.codes()[0]
        decoder = r.decoder()
        parts = [decoder.push(codes[i : i + size]) for i in range(0, len(codes), size)]
        assert np.array_equal(np.concatenate([*parts, decoder.finish()]), r.decode(codes).samples)

    def test_a_batch_equals_single_streams(self) -> None:
        r, codes = FullbandTokens(), self.codes(3)
        check_batch_equals_single(r, codes)

    def test_no_frames_decode_to_no_samples(self) -> None:
        decoder = FullbandTokens().decoder()
        assert decoder.push(self.codes()[0, :0]).shape == (0, 2)
        assert decoder.finish().shape == (0, 2)

    def test_doubling_the_rate_keeps_the_sound(self) -> None:
        t = np.arange(22_050) / 22_050
        x = np.sin(2 * np.pi * 9_000 * t).astype(np.float32)
        filtered = Upsampler(256)
        y = np.concatenate([filtered.push(x), filtered.push(np.zeros(256 + REACH, np.float32))])[:44_100]
        wanted = np.sin(2 * np.pi * 9_000 * np.arange(44_100) / 44_100)
        assert np.abs(y - wanted)[400:-400].max() < 1e-3

    def test_noise_has_unit_power_in_its_band(self) -> None:
        for band, (loop, count) in enumerate(zip(noise(HOP), LOOPS, strict=True)):
            assert loop.shape == (count, 2, HOP)
            flat = loop.transpose(0, 2, 1).reshape(-1, 2)
            assert np.square(flat).mean(0) == pytest.approx(1, abs=0.15)  # a little is beyond the edges
            assert abs(np.corrcoef(flat.T)[0, 1]) < 0.05
            inside = band_levels(flat[:, :1])[1:]
            assert inside.argmax() == band
            assert inside[band] == pytest.approx(10 * np.log10(3), abs=0.15)
        assert all(np.gcd(a, b) == 1 for a in LOOPS for b in LOOPS if a != b)  # the loops never realign

    def test_levels_are_interpolated(self) -> None:
        bands = NoiseBands(HOP)
        bands.push_levels(np.repeat([[-20.0], [-100.0], [-20.0]], BANDS, 1).astype(np.float32))
        sound = bands.render(3)
        power = np.square(sound).mean(1).reshape(-1, 64).mean(1)
        assert power[7] < 1e-4 * power[0]
        assert power[8] < 1e-4 * power[15]
        assert np.all(np.diff(np.log(power[:8])) < 0)
        assert power[16:].mean() == pytest.approx(BANDS * 10**-2 / 3, rel=0.3)  # the last level is held


class TestRefused:
    def other(self, folder: Path) -> Path:
        """Return a copy of the codec with another codebook."""
        shutil.copytree(bundled("codecs")["noizenet-2"], folder)
        codebook = load_codebook("noizenet-2", 256, 4)
        save_codebook(codebook.rows[::-1], folder)
        return folder

    def test_another_codebook_is_refused(self, tmp_path: Path) -> None:
        r = FullbandTokens().fit([])
        assert r.digest == r.version
        assert r.digest != CodecTokens().version
        assert r.cache_key == r.digest[:16]
        folder = self.other(tmp_path / "other")
        other = FullbandTokens(codec=str(folder))
        assert other.version != r.version
        assert not r.same_frames(other)
        with pytest.raises(ConfigError, match="another version"):
            FullbandTokens(codec=str(folder), digest=r.digest)

    def test_a_copy_of_the_codec_is_the_same_codec(self, tmp_path: Path) -> None:
        shutil.copytree(bundled("codecs")["noizenet-2"], tmp_path / "copy")
        here, there = (
            FullbandTokens(codec=c, noise_fill=t) for c, t in (("noizenet-2", 1.0), (str(tmp_path / "copy"), 0.5))
        )
        assert here.same_frames(there)
        assert not here.same_frames(CodecTokens())
        assert not CodecTokens().same_frames(here)

    def test_a_codec_without_a_codebook_is_refused(self, codec: Path, tmp_path: Path) -> None:
        with pytest.raises(ConfigError, match="8,000 Hz"):
            FullbandTokens(codec=str(codec))
        folder = self.other(tmp_path / "other")
        (folder / FILE).unlink()
        with pytest.raises(UsageError, match="no codebook"):
            FullbandTokens(codec=str(folder))

    @pytest.mark.parametrize("what", ["cut", "shape", "finite"])
    def test_a_damaged_codebook_is_refused(self, tmp_path: Path, what: str) -> None:
        folder = self.other(tmp_path / what)
        rows = load_codebook(str(folder), 256, 4).rows.copy()
        load_codebook.cache_clear()
        if what == "cut":
            (folder / FILE).write_bytes((folder / FILE).read_bytes()[:-10])
        else:
            rows[3, 3] = np.nan
            save_codebook(rows[:, :12] if what == "shape" else rows, folder)
        with pytest.raises(ModelError, match=FILE):
            FullbandTokens(codec=str(folder))

    @pytest.mark.parametrize("values", [{"sample_rate": 22_050}, {"channels": 1}])
    def test_other_rates_and_channels_are_refused(self, values: dict[str, int]) -> None:
        with pytest.raises(ConfigError, match=next(iter(values))):
            create({"name": "fullband", **values}, sample_rate=44_100, channels=2)

    def test_a_model_contains_a_codebook_that_is_not_bundled(self, tmp_path: Path) -> None:
        values = FullbandTokens(codec=str(self.other(tmp_path / "other"))).fit([]).to_dict()
        stored = json.loads(json.dumps(keep_codec(values, tmp_path / "model")))
        assert stored["codec"] == "codec"
        again = create(find_codec(stored, tmp_path / "model"), sample_rate=44_100, channels=2)
        assert isinstance(again, FullbandTokens)
        assert again.version == values["digest"]


def test_a_tone_keeps_its_frequency() -> None:
    x = resample(tone(2.0, 22_050)[:, None].astype(np.float32), 22_050, RATE)
    back = round_trip(np.concatenate([x, x], 1))[:, 0]
    spectra = [np.abs(np.fft.rfft(y[10_000:70_000] * np.hanning(60_000))) for y in (x[:, 0], back)]
    assert abs(int(spectra[0].argmax()) - int(spectra[1].argmax())) <= 2


def test_a_token_network_is_trained_and_generates(corpus: Corpus, tmp_path: Path) -> None:
    """Train on a mono corpus of another rate; a batch of two streams equals single streams."""
    quick_train(corpus, tmp_path / "model", "token-lstm", "representation.name=fullband", epochs=1)
    model = load(tmp_path / "model")
    assert (model.representation.name, model.representation.dim) == ("fullband", 10)
    controls = [Controls(seconds=1.0, seed=seed) for seed in (0, 1)]
    separate = [np.concatenate([w.samples for w in Stream(model, c)]) for c in controls]
    blocks = [[w.samples for w in pair] for pair in Stream.generate_batch(Stream.many(model, controls))]
    for a, parts in zip(separate, zip(*blocks, strict=True), strict=True):
        assert a.shape == (44_100, 2)
        assert np.array_equal(a, np.concatenate(parts))
