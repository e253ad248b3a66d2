"""Representations: round trips within the declared bound; decoding does not depend on chunks; cuts have no effect."""

from __future__ import annotations

import dataclasses

import librosa
import numpy as np
import pytest
from conftest import GRIFFIN_LIM_SEED
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from noizenet.audio.waveform import Waveform
from noizenet.base.errors import ConfigError
from noizenet.representation import REPRESENTATIONS
from noizenet.representation.base import Representation, create
from noizenet.representation.mulaw import compress, expand

CASES = [(name, channels) for name in REPRESENTATIONS for channels in (1, 2) if name != "hub-codec"]
ids = [f"{n}-{c}ch" for n, c in CASES]


def make(name: str, channels: int, song: Waveform) -> tuple[Representation, Waveform]:
    samples = song.samples[: 4 * 22_050]
    if channels == 2:
        samples = np.stack([samples, 0.5 * np.roll(samples, 300)], axis=1)
    w = Waveform(samples, song.sample_rate)
    r = create({"name": name}, sample_rate=22_050, channels=channels).fit([w])
    return r, r.as_waveform(r.samples_of(w))  # some have a fixed rate or number of channels


@pytest.mark.parametrize(("name", "channels"), CASES, ids=ids)
class TestContract:
    def test_round_trip_stays_within_the_declared_bound(self, name: str, channels: int, song: Waveform) -> None:
        r, w = make(name, channels, song)
        back = r.decode(r.encode(w))
        assert back.sample_rate == w.sample_rate
        assert 0 <= len(back) - len(w) < r.samples_for(1) + r.channels
        assert round_trip_error(r, w, back) <= r.bound.limit

    def test_frames_have_the_declared_shape_and_type(self, name: str, channels: int, song: Waveform) -> None:
        r, w = make(name, channels, song)
        frames = r.encode(w)
        assert frames.shape[1] == r.dim
        assert np.issubdtype(frames.dtype, np.signedinteger if r.kind == "classes" else np.float32)
        assert abs(len(frames) / w.seconds - r.frame_rate) <= r.frame_rate / 50
        if r.kind == "classes":
            assert frames.min() >= 0
            assert frames.max() < r.levels
        assert r.silence().shape == (1, r.dim)

    def test_decoding_in_chunks_equals_decoding_at_once(self, name: str, channels: int, song: Waveform) -> None:
        r, w = make(name, channels, song)
        frames = r.encode(w)[: 40_000 // max(1, r.dim // 100)]
        decoder, parts, at = r.decoder(), [], 0
        for size in [1, 2, 7, 100, 3, 1] * 1000:
            parts.append(decoder.push(frames[at : at + size]))
            at += size
            if at >= len(frames):
                break
        parts.append(decoder.push(frames[at:]))
        parts.append(decoder.finish())
        joined = np.concatenate([p for p in parts if len(p)])
        assert np.array_equal(joined, r.decode(frames).samples.reshape(-1, r.channels))

    def test_a_cut_with_left_context_gives_the_frames_of_the_whole(
        self, name: str, channels: int, song: Waveform
    ) -> None:
        r, w = make(name, channels, song)
        whole = r.encode(w)
        start = 10 * r.frame_multiple if r.samples_for(1) > 1 else 1000 * r.frame_multiple
        first = r.samples_for(start - r.left_context)
        cut = r.encode(Waveform(w.samples[first:], w.sample_rate))[r.left_context :]
        assert np.allclose(cut[:20], whole[start : start + 20], atol=1e-5)

    def test_it_is_restored_from_its_stored_form(self, name: str, channels: int, song: Waveform) -> None:
        r, w = make(name, channels, song)
        stored = r.to_dict()
        again = create(stored, sample_rate=22_050, channels=channels)
        assert again == r
        assert np.array_equal(again.encode(w), r.encode(w))

    def test_another_rate_is_converted(self, name: str, channels: int, song: Waveform) -> None:
        r, w = make(name, channels, song)
        half = Waveform(w.samples[::2], w.sample_rate // 2)
        assert abs(len(r.encode(half)) - len(r.encode(w))) <= max(4, r.frame_rate / 100)

    def test_silence_decodes_to_silence(self, name: str, channels: int, song: Waveform) -> None:
        r, _ = make(name, channels, song)
        frames = np.repeat(r.silence(), 64, axis=0)
        assert np.abs(r.decode(frames).samples).max() < 2e-3


def round_trip_error(r: Representation, w: Waveform, back: Waveform) -> float:
    a, b = (x.samples.reshape(len(x), -1) for x in (w, back))
    b = b[: len(a)]
    if r.bound.metric == "max-abs":
        return float(np.abs(a - b).max())
    assert r.bound.metric == "spectral-convergence-db"
    spectra = [np.abs(librosa.stft(x.T, n_fft=1024, hop_length=256)) for x in (a, b)]
    return float(20 * np.log10(np.linalg.norm(spectra[0] - spectra[1]) / np.linalg.norm(spectra[0])))


samples = hnp.arrays(np.float32, st.integers(1, 400), elements=st.floats(-1, 1, width=32))


@pytest.mark.parametrize("name", ["mu-law", "z-score", "min-max", "fft"])
@settings(max_examples=50, deadline=None)
@given(x=samples)
def test_any_samples_survive_a_round_trip(name: str, x: np.ndarray) -> None:
    r = REPRESENTATIONS.load(name)(sample_rate=8000)
    w = Waveform(x, 8000)
    assert np.abs(r.decode(r.encode(w)).samples[: len(x)] - x).max() <= r.bound.limit


@settings(max_examples=25, deadline=None)
@given(x=samples)
def test_log_magnitude_accepts_any_samples(x: np.ndarray) -> None:
    r = REPRESENTATIONS.load("log-magnitude")(sample_rate=8000, n_fft=64, hop=16)
    back = r.decode(r.encode(Waveform(x, 8000)))
    assert np.isfinite(back.samples).all()
    assert np.abs(back.samples).max() <= 1


@settings(max_examples=50, deadline=None)
@given(x=hnp.arrays(np.float64, 50, elements=st.floats(-1, 1)))
def test_mu_law_agrees_with_librosa(x: np.ndarray) -> None:
    expected = librosa.mu_compress(x, mu=255, quantize=True) + 128
    found = compress(x, 256)
    assert np.abs(expected - found).max() <= 1  # librosa's bins are shifted by half a step
    curve = librosa.mu_expand(2 * np.arange(256) / 255 - 1, mu=255, quantize=False)
    assert np.allclose(expand(np.arange(256), 256), curve, atol=1e-6)


@given(levels=st.integers(2, 1024))
def test_mu_law_classes_are_fixed_points(levels: int) -> None:
    classes = np.arange(levels)
    assert np.array_equal(compress(expand(classes, levels).astype(np.float64), levels), classes)


def test_the_phase_search_beats_griffin_lim(song: Waveform) -> None:
    r = REPRESENTATIONS.load("log-magnitude")(sample_rate=22_050)
    w = song.cut(0, 4)
    magnitude = np.abs(librosa.stft(w.samples, n_fft=1024, hop_length=256))
    expected = librosa.griffinlim(magnitude, n_iter=32, hop_length=256, n_fft=1024, length=len(w), **GRIFFIN_LIM_SEED)
    found = r.decode(r.encode(w)).samples[: len(w)]
    error = [np.linalg.norm(magnitude - np.abs(librosa.stft(y, n_fft=1024, hop_length=256))) for y in (found, expected)]
    assert error[0] <= error[1]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"name": "nope"}, "representation.name"),
        ({"name": "mu-law", "levels": 1}, "too small"),
        ({"name": "mu-law", "levls": 1}, "did you mean 'levels'"),
        ({"name": "mu-law", "levels": "many"}, "whole number"),
        ({"name": "fft", "n_fft": 511}, "odd"),
        ({"name": "log-magnitude", "hop": 300}, "does not divide"),
        ({"name": "z-score", "std": float("nan")}, "finite"),
    ],
)
def test_wrong_configurations_are_reported(values: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        create(values, sample_rate=22_050, channels=1)


def test_fitted_frames_are_standardised(song: Waveform) -> None:
    for name in ("z-score", "fft", "log-magnitude"):
        frames = REPRESENTATIONS.load(name)(sample_rate=22_050).fit([song]).encode(song)
        spread = frames.std(0)
        assert abs(float(frames.mean())) < 0.02
        assert np.median(np.abs(spread - 1)) < 0.05
    low_high = REPRESENTATIONS.load("min-max")(sample_rate=22_050).fit([song]).encode(song)
    assert low_high.min() == pytest.approx(-1, abs=1e-5)
    assert low_high.max() == pytest.approx(1, abs=1e-5)


def test_representations_are_immutable(song: Waveform) -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        REPRESENTATIONS.load("mu-law")().levels = 3
