"""Detection of degenerate output: whether, when and how a stream has collapsed.

A segment of 3 seconds is **degenerate** ("dead" in reports; any other is "alive") if one of these failure modes covers
all of it:

========== =====================================================================================
silence    no sample is farther than -60 dB from zero
dc         no sample is farther than -60 dB from a constant that is not zero
frozen     nine tenths of the segment stay at one value for 15 ms and more at a time: stuck, with rare jumps
tone       99.9 % of the energy lies in one spectral line that keeps its level within 0.5 dB
loop       the segment repeats itself: some lag up to 1 s explains 99.98 % of its energy
noise      its spectrum is flat (spectral flatness over 0.8): white noise
========== =====================================================================================

The thresholds are calibrated on real music: held-out tracks score at least 99 % alive (docs/results.md), and each
synthetic failure at least 99 % dead (tests/test_aliveness.py).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import fft

from noizenet.audio.dsp import hann
from noizenet.audio.waveform import Waveform, mix_channels

SEGMENT_S, HOP_S, MIN_S = 3.0, 1.0, 0.25
QUIET = 10 ** (-60 / 20)
FROZEN_SHARE, FROZEN_RUN_S = 0.9, 0.015
TONE_SHARE, TONE_DRIFT_DB = 0.999, 0.5
LOOP_RESIDUAL, LOOP_MAX_S = 2e-4, 1.0
FLATNESS = 0.8
N_FFT = 1024


@dataclass
class Report:
    """Degenerate time of a stream.

    Attributes
    ----------
    seconds, dead_s : float
        Duration of the stream, and of its degenerate part.
    death_s : float, optional
        Start of the first degenerate segment, in seconds; None if there is none.
    causes : dict of str to float
        Seconds by failure mode.
    """

    seconds: float
    dead_s: float
    death_s: float | None
    causes: dict[str, float] = field(default_factory=dict)

    @property
    def judged(self) -> bool:
        """Whether the stream was long enough to be classified: a quarter of a second."""
        return self.seconds >= MIN_S

    @property
    def alive(self) -> float:
        """Share of the time that is not degenerate, in [0, 1]."""
        return 1.0 - self.dead_s / self.seconds if self.seconds else 0.0

    def to_dict(self) -> dict[str, Any]:
        """Return plain data."""
        return {
            "seconds": round(self.seconds, 3),
            "alive": round(self.alive, 6) if self.judged else None,
            "death_s": self.death_s,
            "causes": {k: round(v, 3) for k, v in self.causes.items()},
        }


class Aliveness:
    """Streaming detector of degenerate output, in constant memory.

    Parameters
    ----------
    sample_rate : int
        Hz.

    Examples
    --------
    >>> watch = Aliveness(8000)
    >>> watch.push(np.zeros(40000, np.float32))
    >>> report = watch.finish()
    >>> report.alive, report.death_s, list(report.causes)
    (0.0, 0.0, ['silence'])
    """

    def __init__(self, sample_rate: int) -> None:
        self._rate = sample_rate
        self._segment, self._hop = round(SEGMENT_S * sample_rate), round(HOP_S * sample_rate)
        self._buffer = np.zeros(0, np.float32)
        self._position = 0  # sample at which `_buffer` begins
        self._marked_until = 0
        self._report = Report(0.0, 0.0, None)
        self._last_cause = ""

    def push(self, samples: NDArray[np.float32]) -> None:
        """Add the next samples, [n] or [n, C]."""
        mono = samples if samples.ndim == 1 else mix_channels(samples, 1)[:, 0]
        self._buffer = np.concatenate([self._buffer, mono])
        self._report.seconds += len(mono) / self._rate
        while len(self._buffer) >= self._segment:
            self._classify(self._buffer[: self._segment])
            self._buffer = self._buffer[self._hop :]
            self._position += self._hop

    def finish(self) -> Report:
        """Return the report. A stream shorter than a segment is classified as one, unless it is too short."""
        end = self._position + len(self._buffer)
        if self._position == 0 and MIN_S * self._rate <= len(self._buffer):
            self._classify(self._buffer)
        elif self._last_cause and self._marked_until < end:  # the tail after the last segment, too short to classify
            self._add_failure(self._marked_until, end, self._last_cause)
        return self._report

    def _classify(self, segment: NDArray[np.float32]) -> None:
        cause = self._last_cause = failure_mode(segment, self._rate)
        if cause:
            self._add_failure(max(self._position, self._marked_until), self._position + len(segment), cause)

    def _add_failure(self, first: int, last: int, cause: str) -> None:
        r = self._report
        if r.death_s is None:
            r.death_s = round(self._position / self._rate, 3)
        seconds = (last - first) / self._rate
        r.dead_s += seconds
        r.causes[cause] = r.causes.get(cause, 0.0) + seconds
        self._marked_until = last


def measure(blocks: Iterable[Waveform]) -> Report:
    """Return the report of a whole stream of blocks."""
    watch: Aliveness | None = None
    for block in blocks:
        watch = watch or Aliveness(block.sample_rate)
        watch.push(block.samples)
    return watch.finish() if watch else Report(0.0, 0.0, None)


def failure_mode(segment: NDArray[np.float32], sample_rate: int) -> str:
    """Return the failure mode of a segment of mono samples [n], or an empty string if it has none."""
    x = segment.astype(np.float64)
    if np.abs(x).max() < QUIET:
        return "silence"
    x = x - x.mean()
    if np.abs(x).max() < QUIET:
        return "dc"
    if _is_frozen(segment, sample_rate):
        return "frozen"
    power = _spectra(x)
    if _is_tone(power):
        return "tone"
    mean = power.mean(0)[1:-1]
    if np.exp(np.mean(np.log(mean + 1e-20))) > FLATNESS * mean.mean():
        return "noise"
    if _is_loop(x, sample_rate):
        return "loop"
    return ""


def _spectra(x: NDArray[np.float64]) -> NDArray[np.float64]:
    frames = np.lib.stride_tricks.sliding_window_view(x, N_FFT)[:: N_FFT // 2]
    return np.asarray(np.square(np.abs(fft.rfft(frames * hann(N_FFT), axis=-1))))


def _is_frozen(segment: NDArray[np.float32], sample_rate: int) -> bool:
    """Return whether the samples stay constant for most of the time."""
    edges = np.flatnonzero(np.diff(segment)) + 1
    runs = np.diff(np.concatenate([[0], edges, [len(segment)]]))
    return bool(runs[runs >= FROZEN_RUN_S * sample_rate].sum() > FROZEN_SHARE * len(segment))


def _is_tone(power: NDArray[np.float64]) -> bool:
    top = int(power.sum(0).argmax())
    line = power[:, max(0, top - 2) : top + 3].sum(1)
    if line.sum() < TONE_SHARE * power.sum():
        return False
    # The phase under the Hann window changes the line's sum only slightly, so quarters of the segment can be compared.
    quarters = [q.mean() for q in np.array_split(line, 4)]
    return bool(10 * np.log10(max(quarters) / max(min(quarters), 1e-20)) < TONE_DRIFT_DB)


def _is_loop(x: NDArray[np.float64], sample_rate: int) -> bool:
    """Return whether x(t) ≈ x(t - lag) for one lag over the whole segment."""
    n = len(x)
    longest = min(round(LOOP_MAX_S * sample_rate), n // 2)
    size = fft.next_fast_len(n + longest, real=True)  # circular wrap-around affects larger lags only
    spectrum = fft.rfft(x, size)
    product = fft.irfft(np.square(np.abs(spectrum)), size)[: longest + 1]
    energy = np.concatenate([[0.0], np.cumsum(np.square(x))])
    lags = np.arange(longest + 1)
    late, early = energy[n] - energy[lags], energy[n - lags]
    # ‖x(t) - x(t - lag)‖² over t ≥ lag, relative to the mean energy of both sides
    residual = (late + early - 2 * product) / np.maximum((late + early) / 2, 1e-20)
    # Neighbouring samples of slow signals are similar: a lag counts only after the signal has decorrelated from lag 0.
    changed = np.nonzero(residual > 0.5)[0]
    if not len(changed):
        return False
    return bool(residual[changed[0] :].min() < LOOP_RESIDUAL)
