"""Playback in real time: the monitor and its recoveries, prefetching, the sound card, warnings about prompts."""

from __future__ import annotations

import os
import subprocess
import sys
import time
import types
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile

import noizenet.api as api
from noizenet.audio.card import Card
from noizenet.audio.waveform import Waveform
from noizenet.base.errors import AudioError, UsageError
from noizenet.generation.controls import Controls
from noizenet.generation.monitor import StreamMonitor
from noizenet.generation.prefetch import Pace, Prefetcher
from noizenet.generation.stream import Stream
from noizenet.model.stepper import Stepper
from noizenet.store.model import Model, load


@pytest.fixture(scope="module")
def model(sample_model: Path) -> Model:
    """A model without metrics, so that the monitor does not check the likelihood."""
    trained = load(sample_model)
    return Model(trained.weights, trained.representation, trained.genres, {})


def collect(stream: Stream) -> np.ndarray:
    return np.concatenate([b.samples for b in stream])


class TestMonitor:
    def test_a_monitor_that_detects_nothing_changes_nothing(self, model: Model) -> None:
        healthy = lambda samples, rate: ""  # noqa: E731
        sounds = [
            collect(Stream(model, Controls(seconds=4.3, seed=2, watch=watch), healthy))
            for watch in ("off", "report", "recover")
        ]
        assert np.array_equal(sounds[0], sounds[1])
        assert np.array_equal(sounds[0], sounds[2])

    def test_degenerate_output_is_reported_once_a_second(self, model: Model) -> None:
        stream = Stream(model, Controls(seconds=6.0), lambda samples, rate: "silence")
        collect(stream)
        assert stream.watch is not None
        assert stream.watch.causes == {"silence": pytest.approx(6.0)}
        assert stream.watch.degenerate_s == pytest.approx(6.0)
        assert not stream.watch.recoveries

    def test_the_detector_is_given_the_last_three_seconds(self, model: Model) -> None:
        windows: list[np.ndarray] = []
        stream = Stream(model, Controls(seconds=5.0, watch="report"), lambda s, rate: windows.append(s.copy()) or "")
        sound = collect(stream)
        rate = stream.sample_rate
        assert len(windows) == 3
        assert np.array_equal(windows[-1], sound[2 * rate : 5 * rate])

    def test_a_degenerate_stream_is_restored_and_its_temperature_changed(self, model: Model) -> None:
        modes = iter(["", "", "tone", "", "", "", "noise", "", "", "", ""])
        stream = Stream(model, Controls(seconds=12.0, seed=1, watch="recover"), lambda s, rate: next(modes))
        plain = Stream(model, Controls(seconds=12.0, seed=1, watch="off"))
        recovered, unmonitored = collect(stream), collect(plain)
        assert stream.watch is not None
        assert stream.watch.recoveries[0] == 5.0
        assert len(stream.watch.recoveries) == 2
        rate = stream.sample_rate
        assert np.array_equal(recovered[: 5 * rate], unmonitored[: 5 * rate])
        assert not np.array_equal(recovered[5 * rate :], unmonitored[5 * rate :])
        # The cross-fade starts with the continuation of the old state: no click.
        assert abs(recovered[5 * rate] - unmonitored[5 * rate]) < 0.01 + 0.01 * np.abs(recovered).max()

    def test_a_correction_reaches_the_default_temperature_and_lasts_longer_each_time(self, model: Model) -> None:
        rate = 8000
        second = np.zeros(rate, np.float32)
        mode = ""
        monitor = StreamMonitor(lambda s, r: mode, rate, None, 0.8, recover=True)
        stepper = Stepper(model.weights, model.representation.silence())
        for _ in range(4):
            monitor.update(second, stepper)
        assert monitor.temperature(0.1) == 0.1
        durations = []
        for mode in ("silence", "tone", "noise"):
            monitor.update(second, stepper)
            detected = monitor.report.seconds
            raised = mode != "noise"
            assert monitor.temperature(0.1) == (0.8 if raised else pytest.approx(0.09))
            assert monitor.temperature(1.0) == pytest.approx(1.1 if raised else 0.8)
            mode = ""
            while monitor.temperature(0.1) != 0.1:
                monitor.update(second, stepper)
            durations.append(monitor.report.seconds - detected)
        assert durations == [10, 20, 40]
        for _ in range(31):
            monitor.update(second, stepper)
        mode = "tone"
        monitor.update(second, stepper)
        for _ in range(9):
            monitor.update(second, stepper)
            mode = ""
        assert monitor.temperature(0.1) != 0.1
        monitor.update(second, stepper)
        assert monitor.temperature(0.1) == 0.1  # after half a minute of healthy output: as short as the first

    def test_recoveries_are_reproducible(self, model: Model) -> None:
        def detector(samples: np.ndarray, rate: int) -> str:
            return "tone" if samples.sum() > 0 else ""

        a, b = (collect(Stream(model, Controls(seconds=8.0, seed=4, watch="recover"), detector)) for _ in range(2))
        assert np.array_equal(a, b)

    def test_a_likelihood_unlike_the_trainings_is_reported(self, model: Model) -> None:
        training = {"metrics": {"best_validation_bits_per_frame": 0.05}}
        monitored = Model(model.weights, model.representation, model.genres, training)
        stream = Stream(monitored, Controls(seconds=6.0, temperature=3.0), lambda s, rate: "")
        collect(stream)
        assert stream.watch is not None
        assert set(stream.watch.causes) == {"likelihood"}

    def test_wrong_controls(self) -> None:
        with pytest.raises(UsageError, match="watch"):
            Controls(watch="maybe")
        with pytest.raises(UsageError, match="precision"):
            Controls(precision="fp64")


def blocks(count: int, wait: float = 0.0) -> Iterator[Waveform]:
    for i in range(count):
        time.sleep(wait)
        yield Waveform(np.full(800, i / 100, np.float32), 8000)


class TestPrefetcher:
    def test_blocks_come_in_order_and_end(self) -> None:
        assert [round(float(b.samples[0]) * 100) for b in Prefetcher(blocks(50))] == list(range(50))

    def test_the_buffer_is_no_larger_than_requested(self) -> None:
        generated = 0

        def counted() -> Iterator[Waveform]:
            nonlocal generated
            for b in blocks(100):
                generated += 1
                yield b

        prefetcher = Prefetcher(counted(), seconds=0.5)
        for count in (5, 6):
            deadline = time.monotonic() + 60
            while generated < count and time.monotonic() < deadline:
                time.sleep(0.01)
            time.sleep(0.2)  # enough time to generate more
            assert generated == count
            next(prefetcher)
        prefetcher.close()

    def test_errors_are_raised_in_the_consumer(self) -> None:
        def failing() -> Iterator[Waveform]:
            yield from blocks(2)
            raise AudioError("no more")

        prefetcher = Prefetcher(failing())
        assert len([next(prefetcher), next(prefetcher)]) == 2
        for _ in range(2):
            with pytest.raises(AudioError, match="no more"):
                next(prefetcher)

    def test_the_pace(self) -> None:
        pace = Pace()
        pace.add(1.0, 5.0)  # the first block includes compilation and does not count
        assert pace.real_time_factor == 0
        for _ in range(3):
            pace.add(1.0, 0.25)
        assert pace.real_time_factor == pytest.approx(4)
        assert pace.margin == pytest.approx(0.75)
        for _ in range(20):
            pace.add(1.0, 2.0)
        assert pace.margin == pytest.approx(-1, abs=0.1)


class FakeCard(types.ModuleType):
    """A fake of the sounddevice module."""

    class PortAudioError(Exception):
        pass

    def __init__(self) -> None:
        super().__init__("sounddevice")
        self.played: list[np.ndarray] = []
        self.underrun_blocks, self.gone_after, self.missing = set[int](), 10**9, False
        outer = self

        class OutputStream:
            def __init__(self, **options: object) -> None:
                if outer.missing:
                    raise FakeCard.PortAudioError("Error querying device -1")

            def write(self, samples: np.ndarray) -> bool:
                if len(outer.played) >= outer.gone_after:
                    raise FakeCard.PortAudioError("Device unavailable")
                outer.played.append(samples.copy())
                return len(outer.played) - 1 in outer.underrun_blocks

            def start(self) -> None: ...
            def stop(self) -> None: ...
            def abort(self) -> None: ...
            def close(self) -> None: ...

        self.OutputStream = OutputStream


@pytest.fixture
def card(monkeypatch: pytest.MonkeyPatch) -> FakeCard:
    fake = FakeCard()
    monkeypatch.setitem(sys.modules, "sounddevice", fake)
    return fake


class TestCard:
    def test_the_generated_samples_are_played(self, model: Model, card: FakeCard) -> None:
        controls = Controls(seconds=2.0, seed=3, watch="off")
        positions = []
        state = api.play(model, controls, on_block=lambda p: positions.append(p.seconds))
        assert np.array_equal(np.concatenate(card.played)[:, 0], collect(Stream(model, controls)))
        assert state.seconds == pytest.approx(2.0)
        assert state.real_time_factor > 0
        assert positions == sorted(positions)
        assert state.underruns == 0

    def test_underruns_are_counted_except_at_the_start(self, model: Model, card: FakeCard) -> None:
        card.underrun_blocks = {0, 3, 5}
        assert api.play(model, Controls(seconds=2.0)).underruns == 2

    def test_a_missing_card(self, card: FakeCard) -> None:
        card.missing = True
        with pytest.raises(AudioError, match=r"cannot be used \(Error querying device -1\).*--out -"):
            Card(8000, 1)

    def test_a_card_that_disappears(self, model: Model, card: FakeCard) -> None:
        card.gone_after = 3
        with pytest.raises(AudioError, match="disappeared while playing"):
            api.play(model, Controls(seconds=5.0))

    def test_no_library(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "sounddevice", None)
        with pytest.raises(UsageError, match=r"noizenet\[play\]"):
            Card(8000, 1)

    def test_the_command_line_reports_underruns(self, sample_model: Path, card: FakeCard, cli: object) -> None:
        card.underrun_blocks = {2}
        code, _, err = cli("play", sample_model, "--seconds", "1.5")  # type: ignore[operator]
        assert code == 0
        assert "buffer underruns: 1," in err
        assert "real time" in err
        assert "margin" in err


class TestPromptWarnings:
    def remarks(self, model: Model, path: Path, samples: np.ndarray, rate: int, seconds: float = 0.5) -> list[str]:
        soundfile.write(path, samples, rate)
        return Stream(model, Controls(seconds=0.2, prompt=path, prompt_seconds=seconds)).remarks

    def test_each_problem_gives_a_remark(self, model: Model, tmp_path: Path) -> None:
        rate, path = model.representation.sample_rate, tmp_path / "song.wav"
        wave = 0.3 * np.sin(np.arange(rate))
        assert self.remarks(model, path, wave, rate) == []
        assert "less than the network's left context" in self.remarks(model, path, wave[:10], rate)[0]
        assert "less than the 0.5 s asked for" in self.remarks(model, path, wave[: rate // 4], rate)[0]
        assert "silent" in self.remarks(model, path, 0 * wave, rate)[0]
        assert "clipped" in self.remarks(model, path, np.sign(wave) * 0.9999, rate)[0]
        (text,) = self.remarks(model, path, np.repeat(wave, 2), 2 * rate)
        assert "converted from 16,000" in text
        assert str(path) in text


def portaudio() -> bool:
    try:
        import sounddevice  # noqa: F401
    except (ImportError, OSError):
        return False
    return Path("/usr/share/alsa/alsa.conf").exists()


@pytest.mark.skipif(not portaudio(), reason="needs sounddevice, PortAudio and ALSA (Debian's libportaudio2)")
class TestRealPortAudio:
    """The real library, with ALSA's file device instead of hardware."""

    def play(self, sample_model: Path, config: Path) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "noizenet", "play", str(sample_model), "--seconds", "1.5", "--watch", "off"]
        return subprocess.run(
            command, env={**os.environ, "ALSA_CONFIG_PATH": str(config)}, capture_output=True, text=True, timeout=120,
            check=False,
        )  # fmt: skip

    def test_the_card_receives_the_generated_samples(self, model: Model, sample_model: Path, tmp_path: Path) -> None:
        config = tmp_path / "asound.conf"
        config.write_text(
            f'</usr/share/alsa/alsa.conf>\npcm.!default {{ type file slave.pcm "null" file {tmp_path}/out.raw '
            "format raw }\nctl.!default { type hw card 0 }\n"
        )
        done = self.play(sample_model, config)
        assert done.returncode == 0, done.stderr
        received = np.fromfile(tmp_path / "out.raw", np.float32)
        expected = collect(Stream(model, Controls(seconds=1.5, watch="off")))
        assert np.array_equal(received[: len(expected)], expected)

    @pytest.mark.skipif(Path("/proc/asound").exists(), reason="there is a sound card, or its driver")
    def test_no_card(self, sample_model: Path, tmp_path: Path) -> None:
        config = tmp_path / "empty.conf"
        config.write_text("</usr/share/alsa/alsa.conf>\n")  # the default configuration finds no card
        done = self.play(sample_model, config)
        assert done.returncode == 1
        assert "the sound card cannot be used" in done.stderr
        assert "Traceback" not in done.stderr
