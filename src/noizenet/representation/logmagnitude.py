"""Log-magnitude frames; the streaming decoder reconstructs the phase.

The decoder is real-time iterative spectrogram inversion with look-ahead (RTISI-LA): X. Zhu, G. Beauregard,
L. Wyse, "Real-time signal estimation from modified short-time Fourier transform magnitude spectra", IEEE
TASLP 15(5), 2007. It is Griffin-Lim restricted to the newest frames, so that it can run while streaming.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from noizenet.audio.dsp import hann
from noizenet.audio.waveform import Waveform
from noizenet.base.config import option
from noizenet.base.errors import ConfigError
from noizenet.representation.base import Bound, Decoder, Frames, Representation
from noizenet.representation.standard import moments, restore, standardise


@dataclass(frozen=True)
class LogMagnitude(Representation):
    """Natural log of the short-time magnitude spectrum, n_fft/2 + 1 numbers per channel and frame.

    Frame i ends with sample (i + 1) × hop: frames are causal.
    """

    n_fft: int = option(1024, "window length in samples, even", low=64, high=8192)
    hop: int = option(256, "samples from frame to frame; divides n_fft at least 4 times", low=16, high=2048)
    floor_db: float = option(-80.0, "quieter bins count as this, relative to a full-scale sine", low=-120, high=-20)
    look_ahead: int = option(3, "frames that the phase search may look ahead", low=0, high=16)
    iterations: int = option(12, "phase search steps per frame", low=1, high=200)
    mean: list[float] = dataclasses.field(default_factory=list)
    std: list[float] = dataclasses.field(default_factory=list)

    name: ClassVar[str] = "log-magnitude"
    kind: ClassVar[str] = "vectors"
    bound: ClassVar[Bound] = Bound("spectral-convergence-db", -14.0)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.n_fft % 2 or self.n_fft % self.hop or self.n_fft // self.hop < 4:
            raise ConfigError(f"representation.hop: {self.hop} does not divide n_fft = {self.n_fft} four times or more")
        if self.mean and not len(self.mean) == len(self.std) == self.dim:
            raise ConfigError(f"representation.mean: {len(self.mean)} numbers, expected {self.dim}")

    @property
    def frame_rate(self) -> float:
        """Frames per second."""
        return self.sample_rate / self.hop

    @property
    def left_context(self) -> int:
        """Frames under the window."""
        return self.n_fft // self.hop

    @property
    def bins(self) -> int:
        """Frequency bins per channel."""
        return self.n_fft // 2 + 1

    @property
    def dim(self) -> int:
        """D = bins × channels."""
        return self.bins * self.channels

    @property
    def floor(self) -> float:
        """The least magnitude."""
        return float(10 ** (self.floor_db / 20) * self.n_fft / 4)

    def silence(self) -> Frames:
        """Return the frame of silence."""
        return self._encode(np.zeros((self.hop, self.channels), np.float32))

    def fit(self, waveforms: Iterable[Waveform]) -> LogMagnitude:
        """Fit each bin's mean and standard deviation to training music."""
        plain = dataclasses.replace(self, mean=[], std=[])
        mean, std = moments((plain.encode(w) for w in waveforms), self.dim)
        return dataclasses.replace(self, mean=mean, std=std)

    def _encode(self, samples: NDArray[np.float32]) -> Frames:
        short = -len(samples) % self.hop
        x = np.pad(samples, ((self.n_fft - self.hop, short), (0, 0)))
        frames = np.lib.stride_tricks.sliding_window_view(x, self.n_fft, axis=0)[:: self.hop]  # [T, C, n]
        magnitude = np.abs(np.fft.rfft(frames * hann(self.n_fft), axis=-1))
        logs = np.log(np.maximum(magnitude, self.floor)).reshape(len(frames), self.dim).astype(np.float32)
        return standardise(logs, self.mean, self.std)

    def decoder(self) -> Decoder:
        """Return the streaming phase search."""
        return _RtisiLa(self)


class _RtisiLa(Decoder):
    """Streaming phase search over the newest frames, whose phases are still open.

    The signal buffer covers, for each channel, the samples under the open frames; `_past` is the overlap-added
    contribution of the finished frames.
    """

    shared = ("_r", "_window")

    def __init__(self, representation: LogMagnitude) -> None:
        r = self._r = representation
        self._window = hann(r.n_fft).astype(np.float64)
        self._overlap = r.n_fft // r.hop
        # Σ w² over the frames that cover one sample: constant for a Hann window at ≥ 75 % overlap.
        self._norm = float(np.square(self._window)[:: r.hop].sum())
        self._open = np.zeros((0, r.channels, r.n_fft))  # windowed estimates of the open frames
        self._magnitudes = np.zeros((0, r.channels, r.bins))
        self._past = np.zeros((r.channels, r.n_fft))
        self._rng = np.random.default_rng(0)
        self._latency = r.n_fft - r.hop  # the padding that encode puts in front

    def push(self, frames: Frames) -> NDArray[np.float32]:
        r = self._r
        logs = restore(frames, r.mean, r.std).reshape(-1, r.channels, r.bins)
        # A network may predict impossible magnitudes: they are limited to that of a full-scale sine.
        magnitudes = np.exp(np.minimum(logs, np.log(r.n_fft / 2)).astype(np.float64))
        magnitudes[magnitudes <= r.floor * 1.001] = 0.0
        parts = [self._advance(m) for m in magnitudes]
        return self._trim(np.concatenate([np.zeros((0, r.channels)), *parts]))

    def finish(self) -> NDArray[np.float32]:
        """Finish the open frames, then return the remaining overlap."""
        r = self._r
        parts = [np.zeros((0, r.channels))]
        while len(self._open):
            self._search()
            parts.append(self._commit())
        parts.append(self._past[:, : r.n_fft - r.hop].T / self._norm)
        self._past[:] = 0.0
        return self._trim(np.concatenate(parts))

    def _advance(self, magnitude: NDArray[np.float64]) -> NDArray[np.float64]:
        """Open one more frame; if the look-ahead is full, finish the oldest and return `hop` samples."""
        r = self._r
        start = len(self._open) * r.hop
        ahead = self._signal(extra=1)[:, start : start + r.n_fft]
        spectrum = np.fft.rfft(ahead * self._window, axis=-1)
        if not np.abs(spectrum).any():  # no signal to take a phase from: random phases
            spectrum = np.exp(2j * np.pi * self._rng.random(spectrum.shape))
        estimate = self._impose(spectrum, magnitude)
        self._open = np.concatenate([self._open, estimate[None]])
        self._magnitudes = np.concatenate([self._magnitudes, magnitude[None]])
        if len(self._open) <= r.look_ahead:
            return np.zeros((0, r.channels))
        self._search()
        return self._commit()

    def _search(self) -> None:
        r = self._r
        for _ in range(r.iterations):
            signal = self._signal()
            frames = np.stack([signal[:, i * r.hop : i * r.hop + r.n_fft] for i in range(len(self._open))])
            self._open = self._impose(np.fft.rfft(frames * self._window, axis=-1), self._magnitudes)

    def _commit(self) -> NDArray[np.float64]:
        """Move the oldest open frame into the past and return `hop` finished samples."""
        r = self._r
        self._past += self._open[0]
        out = self._past[:, : r.hop].T / self._norm
        self._past = np.concatenate([self._past[:, r.hop :], np.zeros((r.channels, r.hop))], axis=1)
        self._open, self._magnitudes = self._open[1:], self._magnitudes[1:]
        return out

    def _signal(self, extra: int = 0) -> NDArray[np.float64]:
        r = self._r
        count = len(self._open) + extra
        signal = np.zeros((r.channels, r.n_fft + max(0, count - 1) * r.hop))
        signal[:, : r.n_fft] += self._past
        for i, frame in enumerate(self._open):
            signal[:, i * r.hop : i * r.hop + r.n_fft] += frame
        return signal / self._norm

    def _impose(self, spectrum: NDArray[np.complex128], magnitude: NDArray[np.float64]) -> NDArray[np.float64]:
        size = np.abs(spectrum)
        unit = np.where(size > 1e-12, spectrum / np.maximum(size, 1e-12), 1.0)
        return np.asarray(np.fft.irfft(magnitude * unit, self._r.n_fft, axis=-1) * self._window)

    def _trim(self, samples: NDArray[np.float64]) -> NDArray[np.float32]:
        drop = min(self._latency, len(samples))
        self._latency -= drop
        return np.clip(samples[drop:], -1.0, 1.0).astype(np.float32)
