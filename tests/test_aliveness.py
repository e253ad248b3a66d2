"""Aliveness: music is healthy, each synthetic failure is detected, and the time of failure is right."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from conftest import tone

from noizenet.audio.waveform import Waveform
from noizenet.corpus.synth.song import render
from noizenet.corpus.synth.styles import STYLES
from noizenet.evaluation.aliveness import Aliveness, measure
from noizenet.representation import REPRESENTATIONS

RATE = 22_050
RNG = np.random.default_rng(0)
T = np.arange(20 * RATE) / RATE

FAILURES: dict[str, tuple[str, Callable[[], np.ndarray]]] = {
    "digital silence": ("silence", lambda: np.zeros(len(T))),
    "almost silence": ("silence", lambda: RNG.normal(0, 1e-4, len(T))),
    "constant": ("dc", lambda: np.full(len(T), 0.3)),
    "constant with dither": ("dc", lambda: 0.3 + RNG.uniform(-1, 1, len(T)) / 32768),
    "stuck with rare jumps": ("frozen", lambda: np.repeat(RNG.uniform(-1, 1, len(T) // 441), 441)),
    "sine": ("tone", lambda: 0.5 * np.sin(2 * np.pi * 440 * T)),
    "sine with hiss": ("tone", lambda: 0.5 * np.sin(2 * np.pi * 123.4 * T) + RNG.normal(0, 0.002, len(T))),
    "square wave": ("loop", lambda: 0.5 * np.sign(np.sin(2 * np.pi * 100 * T) + 1e-9)),
    "short loop": ("loop", lambda: np.tile(RNG.normal(0, 0.2, 147), len(T) // 147)),
    "one-second loop": ("loop", lambda: np.tile(tone(0.9, RATE) * np.linspace(1, 0.2, int(0.9 * RATE)), 22)),
    "loop in mu-law": ("loop", lambda: _mu_law(np.tile(RNG.normal(0, 0.2, 500), len(T) // 500))),
    "white noise": ("noise", lambda: RNG.normal(0, 0.2, len(T))),
    "uniform noise": ("noise", lambda: RNG.uniform(-1, 1, len(T))),
}


def _mu_law(x: np.ndarray) -> np.ndarray:
    r = REPRESENTATIONS.load("mu-law")(sample_rate=RATE)
    return r.decode(r.encode(Waveform(x.astype(np.float32), RATE))).samples


def judge(x: np.ndarray, rate: int = RATE) -> object:
    detector = Aliveness(rate)
    detector.push(np.asarray(x, np.float32))
    return detector.finish()


@pytest.mark.parametrize("name", FAILURES)
def test_failures_are_detected(name: str) -> None:
    cause, make = FAILURES[name]
    report = judge(make())
    assert report.dead_s >= 0.99 * report.seconds, report
    assert report.causes.get(cause, 0) >= 0.9 * report.seconds, report
    assert report.death_s == 0


@pytest.mark.parametrize("style", STYLES)
def test_music_is_healthy(style: str) -> None:
    x = np.concatenate(list(render(style, 77, 60.0, RATE)))
    report = judge(x)
    assert report.alive >= 0.99, report
    assert report.death_s is None


@pytest.mark.parametrize("name", ["digital silence", "constant", "sine", "white noise", "short loop"])
def test_the_time_of_failure(name: str) -> None:
    music = np.concatenate(list(render("techno", 1, 10.0, RATE)))[: 8 * RATE]
    report = judge(np.concatenate([music, FAILURES[name][1]()]))
    assert report.death_s == pytest.approx(8.0, abs=1.01)
    assert report.dead_s == pytest.approx(20.0, abs=1.01)


def test_a_pause_in_music_is_no_failure() -> None:
    music = np.concatenate(list(render("waltz", 1, 10.0, RATE)))
    assert judge(np.concatenate([music, np.zeros(2 * RATE), music])).death_s is None


def test_block_size_and_channels_do_not_change_the_result() -> None:
    x = np.concatenate([tone(7.3, RATE), np.zeros(5 * RATE)]).astype(np.float32)
    whole = judge(x)
    detector = Aliveness(RATE)
    for i in range(0, len(x), 997):
        detector.push(np.stack([x[i : i + 997]] * 2, 1))
    assert detector.finish().to_dict() == whole.to_dict()
    assert measure(Waveform(b, RATE) for b in np.array_split(x, 9)).to_dict() == whole.to_dict()


def test_short_and_empty_streams() -> None:
    assert judge(np.zeros(0)).seconds == 0
    assert judge(np.zeros(RATE)).death_s == 0
    assert judge(tone(1.0, RATE)).death_s is None
    assert measure([]).alive == 0
