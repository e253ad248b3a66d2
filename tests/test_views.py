"""Views: measurements are correct and pictures are drawn, at any length."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from conftest import tone

import noizenet
from noizenet.audio.waveform import Waveform
from noizenet.base.errors import NoizenetError, UsageError
from noizenet.corpus.synth.instruments import Adsr, envelope
from noizenet.views import VIEWS
from noizenet.views.curves import draw_curves
from noizenet.views.envelope import EnvelopeView, find_notes
from noizenet.views.page import analyse
from noizenet.views.sound import Sound


def notes(shape: Adsr, held: float, gap: float, count: int, rate: int = 22_050) -> Waveform:
    one = envelope(shape, held, rate)
    one = one * np.sin(2 * np.pi * 440 * np.arange(len(one)) / rate)
    rest = np.zeros(int(gap * rate))
    return Waveform(
        np.concatenate([rest, *[np.concatenate([one, rest]) for _ in range(count)]]).astype(np.float32), rate
    )


@pytest.mark.parametrize(
    "shape",
    [Adsr(0.05, 0.1, 0.5, 0.2), Adsr(0.2, 0.15, 0.6, 0.3), Adsr(0.01, 0.2, 0.3, 0.15), Adsr(0.1, 0.05, 0.8, 0.4)],
)
def test_adsr_is_measured(shape: Adsr) -> None:
    found = analyse(notes(shape, 0.7, 0.4, 4), "envelope").notes
    assert len(found) == 4
    spacing = np.diff([n.onset for n in found])
    assert np.allclose(spacing, 0.7 + shape.release_s + 0.4, atol=0.02)
    for n in found:
        # Attack counts from a tenth to nine tenths of the peak; the release ends at a tenth.
        assert n.attack == pytest.approx(0.8 * shape.attack_s, abs=0.02)
        assert n.sustain / n.peak == pytest.approx(shape.sustain, abs=0.06)
        assert n.decay == pytest.approx(shape.decay_s, abs=0.05)
        assert 0.2 * shape.release_s < n.release < shape.release_s + 0.03
        assert n.sustained_until - n.onset == pytest.approx(0.7, abs=0.06)


def test_no_notes_in_silence_or_a_steady_tone() -> None:
    assert find_notes(np.zeros(1000, np.float32), 0.004) == []
    assert len(find_notes(np.full(1000, 0.3, np.float32), 0.004)) <= 1


def test_no_peak_is_lost() -> None:
    x = np.zeros(5_000_000, np.float32)
    x[3_333_333], x[1_234_567] = 0.9, -0.7
    peaks = analyse(Waveform(x, 22_050), "waveform")
    assert len(peaks.low) < 7000
    assert peaks.high.max() == np.float32(0.9)
    assert peaks.low.min() == np.float32(-0.7)
    assert peaks.times[peaks.high.argmax()] == pytest.approx(3_333_333 / 22_050, abs=0.1)


def test_the_spectrogram_finds_a_tone_and_its_level() -> None:
    rate = 22_050
    x = 0.5 * np.sin(2 * np.pi * 1000 * np.arange(3 * rate) / rate)
    s = analyse(Waveform(x.astype(np.float32), rate), "spectrogram")
    middle = s.levels_db[:, s.levels_db.shape[1] // 2]
    assert abs(s.frequencies[middle.argmax()] - 1000) < 11
    assert middle.max() == pytest.approx(-6.0, abs=0.5)
    assert s.seconds == pytest.approx(3.0)


def test_the_spectrogram_equals_librosa() -> None:
    import librosa

    x = tone(2.0, 22_050)
    ours = analyse(Waveform(x, 22_050), "spectrogram").levels_db
    theirs = np.abs(librosa.stft(x, n_fft=2048, hop_length=512)) * 2 / np.hanning(2049)[:-1].sum()
    theirs = 20 * np.log10(np.maximum(theirs, 1e-6))
    n = min(ours.shape[1], theirs.shape[1]) - 3
    assert np.abs(ours[:, 2:n] - theirs[:, 2:n]).max() < 0.5


def test_three_hours_take_constant_memory() -> None:
    """No view may hold the whole audio, from a generator of three hours, in memory."""
    import tracemalloc

    rate, block = 8_000, tone(60.0, 8_000)

    def blocks() -> Iterator[np.ndarray]:
        for _ in range(180):
            yield block

    for name in VIEWS:
        tracemalloc.start()
        data = VIEWS.load(name)().analyse(Sound("long", rate, blocks()))
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert data.seconds == pytest.approx(3 * 3600)
        assert peak < 200e6, (name, peak)


@pytest.mark.parametrize("suffix", [".png", ".svg"])
@pytest.mark.parametrize("kind", [*VIEWS, "all"])
def test_pictures(kind: str, suffix: str, tmp_path: Path, song: Waveform) -> None:
    path = tmp_path / f"p{suffix}"
    noizenet.view(song.cut(0, 3), path, kind=kind, names=["a $ b"])
    data = path.read_bytes()
    assert data.startswith(b"\x89PNG") if suffix == ".png" else b"<svg" in data
    assert len(data) > 5000


def test_comparison_shares_scales(song: Waveform, tmp_path: Path) -> None:
    quiet = Waveform(song.samples * 0.1, song.sample_rate)
    figure = noizenet.view([song, quiet], tmp_path / "c.png", scale="linear")
    waves = [a for a in figure.axes if a.get_ylabel() == "amplitude"]
    assert len(waves) == 2
    assert waves[0].get_ylim() == waves[1].get_ylim()


def test_short_and_silent_sounds_are_drawn(tmp_path: Path) -> None:
    for i, x in enumerate(
        [np.zeros(8000), np.ones(1), np.full(100, 0.5), np.random.default_rng(0).normal(0, 0.1, 300)]
    ):
        noizenet.view(Waveform(x.astype(np.float32), 8000), tmp_path / f"{i}.png")


def test_wrong_use(song: Waveform, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"\.png or \.svg"):
        noizenet.view(song, tmp_path / "a.gif")
    with pytest.raises(UsageError, match="no such folder"):
        noizenet.view(song, tmp_path / "x" / "a.png")
    with pytest.raises(UsageError, match="unknown view"):
        noizenet.view(song, tmp_path / "a.png", kind="smell")
    with pytest.raises(UsageError, match="scale"):
        noizenet.view(song, tmp_path / "a.png", scale="mel")
    with pytest.raises(NoizenetError, match="zero length"):
        noizenet.view(Waveform(np.zeros(0, np.float32), 8000), tmp_path / "a.png")


def test_curves() -> None:
    rows = [{"step": i, "loss": 3.0 / (i + 1), "seconds": float(i)} for i in range(50)]
    rows += [{"step": 10, "validation_loss": 0.5, "seconds": 10.0}]
    assert draw_curves(rows).axes


def test_the_same_sound_gives_the_same_picture(song: Waveform, tmp_path: Path) -> None:
    for i in (1, 2):
        noizenet.view(song.cut(0, 2), tmp_path / f"{i}.png")
    assert (tmp_path / "1.png").read_bytes() == (tmp_path / "2.png").read_bytes()


def test_the_envelope_view_has_labels() -> None:
    assert EnvelopeView.name in VIEWS
