"""Phase reconstruction for magnitude spectra, block by block: gradient integration, then a few projections.

The initial phases integrate the phase's partial derivatives, which for a Gaussian window follow from those of the
log-magnitude, along the loudest bins first, only from one frame to the next (Z. Průša and P. Søndergaard, "Real-time
spectrogram inversion using phase gradient heap integration", DAFx 2016). Griffin and Lim's projections with momentum
(N. Perraudin et al., "A fast Griffin-Lim algorithm", WASPAA 2013) then make neighbouring frames consistent. A block
looks ahead at some frames beyond its end, whose phases are decided with their own block.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numba import float32
from numpy.typing import NDArray
from scipy import fft

from noizenet.audio.dsp import hann
from noizenet.kernels.functions import compiled

F32 = NDArray[np.float32]
GAUSSIAN_OF_HANN = 0.25645
"""A Hann window of M samples is nearest to the Gaussian exp(-pi t² / (this · M²)) (Průša and Søndergaard, table 1)."""

AUDIBLE = 1e-4
"""Bins below this share of the loudest bin of a frame and its predecessor keep a random phase: they are inaudible."""
RANDOM_FRAMES = 256
"""Length of the loop of random phases in frames."""


@dataclass(frozen=True)
class PhaseOptions:
    """Options of the search.

    Attributes
    ----------
    block, ahead : int
        Frames in a block, and frames of look-ahead.
    iterations : int
        Number of projections.
    momentum : float
        Of the projections.
    integrate : bool
        Whether the initial phases come from gradient integration; else they are random.
    """

    block: int = 16
    ahead: int = 4
    iterations: int = 4
    momentum: float = 0.9
    integrate: bool = True


class PhaseSearch:
    """Magnitudes in, samples out, in constant memory.

    Parameters
    ----------
    n_fft, hop : int
        Window and hop in samples; frame i is centred on sample i × hop.
    options : PhaseOptions
    """

    def __init__(self, n_fft: int, hop: int, options: PhaseOptions = PhaseOptions()) -> None:
        self.n_fft, self.hop, self.options = n_fft, hop, options
        self._window = hann(n_fft).astype(np.float32)
        self._norm = float(np.square(self._window.astype(np.float64))[::hop].sum())
        bins = n_fft // 2 + 1
        self._open = np.zeros((0, bins), np.float32)
        self._past = np.zeros(n_fft, np.float32)  # overlap of the finished frames with the next samples
        self._last = np.zeros((1, bins), np.float32)  # log-magnitudes of the last finished frame
        self._phase = np.zeros(bins)
        self._step = np.zeros(bins)  # phase advance of the last frame per hop
        self._done = 0  # finished frames
        self._drop = n_fft // 2  # frame 0 is centred on the first sample

    def push(self, magnitudes: F32) -> F32:
        """Add frames [n, F]; return the samples [m] that are complete."""
        self._open = np.concatenate([self._open, magnitudes])
        o, parts = self.options, [np.zeros(0, np.float32)]
        while len(self._open) >= o.block + o.ahead:
            parts.append(self._block(o.block))
        return self._trimmed(np.concatenate(parts))

    def finish(self) -> F32:
        """Return the remaining samples: of the open frames, and the end of the last one."""
        parts = [np.zeros(0, np.float32)]
        while len(self._open):
            parts.append(self._block(min(self.options.block, len(self._open))))
        parts.append(self._past[: self.n_fft // 2] / self._norm)
        return self._trimmed(np.concatenate(parts))

    def _trimmed(self, samples: F32) -> F32:
        drop = min(self._drop, len(samples))
        self._drop -= drop
        return samples[drop:]

    def _block(self, count: int) -> F32:
        """Decide the phases of the first `count` open frames; return their samples."""
        o, n, hop = self.options, self.n_fft, self.hop
        magnitudes = self._open[: count + o.ahead]
        spectrum = _polar(magnitudes, self._initial_phases(magnitudes, count))
        signal = np.empty(n + (len(magnitudes) - 1) * hop, np.float32)
        analysed, before = np.empty((len(magnitudes), n), np.float32), spectrum
        for _ in range(o.iterations):
            frames = fft.irfft(spectrum, n, axis=-1)
            _reanalyse(frames, self._window, np.float32(1 / self._norm), hop, self._past, signal, analysed)
            rebuilt = fft.rfft(analysed, axis=-1)
            spectrum = _impose(rebuilt, before, magnitudes, np.float32(o.momentum))
            before = rebuilt
        # Only the finished frames contribute to the output.
        _overlap_add(fft.irfft(spectrum[:count], n, axis=-1), self._window, hop, self._past, signal)
        out = signal[: count * hop] / np.float32(self._norm)
        self._past = signal[count * hop : count * hop + n].copy()
        if len(self._past) < n:
            self._past = np.pad(self._past, (0, n - len(self._past)))
        self._done += count
        self._open = self._open[count:]
        self._phase = np.angle(spectrum[count - 1]).astype(np.float64)
        return out

    def _initial_phases(self, magnitudes: F32, count: int) -> NDArray[np.float64]:
        """Integrate phase gradients from the last finished frame on, [n, F]."""
        logs = np.log(np.maximum(magnitudes, np.float32(1e-7)))
        gamma = GAUSSIAN_OF_HANN * self.n_fft**2
        rows = (self._done + np.arange(len(magnitudes))) % RANDOM_FRAMES
        phases = _random_phases(magnitudes.shape[1])[rows]
        if not self.options.integrate:
            return phases
        logs = np.concatenate([self._last, logs])
        self._step = _integrate(logs, self._phase, self._step, phases, self.n_fft, self.hop, gamma, count)
        self._last = logs[count : count + 1].copy()
        return phases


@lru_cache(maxsize=4)
def _random_phases(bins: int) -> NDArray[np.float64]:
    return np.random.default_rng(0).uniform(-math.pi, math.pi, (RANDOM_FRAMES, bins))


@compiled
def _polar(magnitudes: Any, phases: Any) -> Any:
    """Return complex64 spectra of magnitudes and phases; sine and cosine are series, accurate to 4e-6."""
    out = np.empty((magnitudes.shape[0], 2 * magnitudes.shape[1]), np.float32)
    for i in range(magnitudes.shape[0]):
        row = out[i]
        for j in range(magnitudes.shape[1]):
            turns = phases[i, j] * (0.5 / math.pi)
            r = float32(turns - math.floor(turns + 0.5))  # -0.5 … 0.5 of a turn
            far = abs(r) > float32(0.25)
            half = float32(0.5) if r > float32(0.0) else float32(-0.5)
            x = (half - r if far else r) * float32(2 * math.pi)
            s = x * x
            sine = float32(1 / 362880)
            sine = sine * s - float32(1 / 5040)
            sine = sine * s + float32(1 / 120)
            sine = sine * s - float32(1 / 6)
            sine = (sine * s + float32(1)) * x
            cosine = float32(-1 / 3628800)
            cosine = cosine * s + float32(1 / 40320)
            cosine = cosine * s - float32(1 / 720)
            cosine = cosine * s + float32(1 / 24)
            cosine = cosine * s - float32(1 / 2)
            cosine = cosine * s + float32(1)
            row[2 * j] = magnitudes[i, j] * (-cosine if far else cosine)
            row[2 * j + 1] = magnitudes[i, j] * sine
    return out.view(np.complex64)


@compiled
def _overlap_add(frames: Any, window: Any, hop: Any, past: Any, signal: Any) -> None:
    """Set a signal to the sum of the past overlap and the windowed frames."""
    n = window.shape[0]
    signal[:n] = past
    signal[n:] = 0
    for i in range(frames.shape[0]):
        part, frame = signal[i * hop : i * hop + n], frames[i]
        for j in range(n):
            part[j] += frame[j] * window[j]


@compiled
def _reanalyse(frames: Any, window: Any, scale: Any, hop: Any, past: Any, signal: Any, analysed: Any) -> None:
    """Overlap-add frames, and cut the signal into windowed frames again."""
    _overlap_add(frames, window, hop, past, signal)
    n = window.shape[0]
    for i in range(analysed.shape[0]):
        part, frame = signal[i * hop : i * hop + n], analysed[i]
        for j in range(n):
            frame[j] = part[j] * window[j] * scale


@compiled
def _impose(rebuilt: Any, before: Any, magnitudes: Any, momentum: Any) -> Any:
    """Return rebuilt + momentum · (rebuilt - before), scaled to the given magnitudes."""
    out = np.empty(rebuilt.shape, np.complex64)
    for i in range(out.shape[0]):
        to, new, old = out[i].view(np.float32), rebuilt[i].view(np.float32), before[i].view(np.float32)
        for j in range(out.shape[1]):
            re = new[2 * j] + momentum * (new[2 * j] - old[2 * j])
            im = new[2 * j + 1] + momentum * (new[2 * j + 1] - old[2 * j + 1])
            scale = magnitudes[i, j] / np.sqrt(re * re + im * im + float32(1e-24))
            to[2 * j] = re * scale
            to[2 * j + 1] = im * scale
    return out


@compiled
def _move(log: Any, n_fft: Any, hop: Any, gamma: Any, out: Any) -> None:
    """Set `out` to each bin's phase advance per hop: its frequency, corrected by the slope of the log-magnitude."""
    F = log.shape[0]
    for m in range(F):
        slope = 0.5 * (log[min(m + 1, F - 1)] - log[max(m - 1, 0)])
        out[m] = 2 * math.pi * hop * m / n_fft + hop * n_fft / gamma * slope


@compiled
def _integrate(logs: Any, phase: Any, step: Any, phases: Any, n_fft: Any, hop: Any, gamma: Any, count: Any) -> Any:
    """Fill phases [n, F] frame by frame from logs [n + 1, F], which start with the previous frame; see above.

    A peak's phase is integrated over time from the last frame; the phases of its slopes are integrated over frequency
    from the peak to the valleys. Returns the phase advance of frame `count` - 1.
    """
    n, F = phases.shape
    now, across, kept = np.zeros(F), np.zeros(F), step.copy()
    last, move = phase.copy(), step.copy()
    for i in range(n):
        log, before = logs[i + 1], logs[i]
        _move(log, n_fft, hop, gamma, now)
        for m in range(
            F
        ):  # derivative over frequency, from the slope over time; the window starts at the frame's first sample
            across[m] = -gamma / (hop * n_fft) * (log[m] - before[m]) - math.pi
        peak = -1e9
        for m in range(F):
            peak = max(peak, log[m], before[m])
        floor = peak + math.log(AUDIBLE)
        for m in range(F):
            under = log[max(m - 1, 0)]
            over = log[min(m + 1, F - 1)]
            if log[m] <= floor or under > log[m] or (over >= log[m] and m + 1 < F):
                continue
            phases[i, m] = last[m] + 0.5 * (move[m] + now[m])
            for up in range(m + 1, F):
                if log[up] <= floor or log[up] >= log[up - 1]:
                    break
                phases[i, up] = phases[i, up - 1] + 0.5 * (across[up - 1] + across[up])
            for down in range(m - 1, -1, -1):
                if log[down] <= floor or log[down] >= log[down + 1]:
                    break
                phases[i, down] = phases[i, down + 1] - 0.5 * (across[down + 1] + across[down])
        last[:] = phases[i]
        move[:] = now
        if i == count - 1:
            kept[:] = now
    return kept
