"""FFT frames, as in the paper: real and imaginary parts of the spectrum of each segment of samples."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from noizenet.audio.waveform import Waveform
from noizenet.base.config import option
from noizenet.base.errors import ConfigError
from noizenet.representation.base import Bound, Decoder, Frames, Representation
from noizenet.representation.standard import moments, restore, standardise


@dataclass(frozen=True)
class FftFrames(Representation):
    """Adjacent, non-overlapping frames of `n_fft` samples, transformed orthonormally.

    A frame has the n_fft/2 + 1 real parts, then the n_fft/2 - 1 imaginary parts that are not zero by symmetry: n_fft
    numbers per channel, without loss or redundancy. Each number is standardised with the training music's mean and
    standard deviation.
    """

    n_fft: int = option(512, "samples per frame, even", low=16, high=8192)
    mean: list[float] = dataclasses.field(default_factory=list)
    std: list[float] = dataclasses.field(default_factory=list)

    name: ClassVar[str] = "fft"
    kind: ClassVar[str] = "vectors"
    bound: ClassVar[Bound] = Bound("max-abs", 1e-4)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.n_fft % 2:
            raise ConfigError(f"representation.n_fft: {self.n_fft} is odd, expected an even number")
        if self.mean and not len(self.mean) == len(self.std) == self.dim:
            raise ConfigError(f"representation.mean: {len(self.mean)} numbers, expected {self.dim}")

    @property
    def frame_rate(self) -> float:
        """Frames per second."""
        return self.sample_rate / self.n_fft

    @property
    def dim(self) -> int:
        """D = n_fft × channels."""
        return self.n_fft * self.channels

    def silence(self) -> Frames:
        """Return the frame of silence."""
        return self._encode(np.zeros((self.n_fft, self.channels), np.float32))

    def fit(self, waveforms: Iterable[Waveform]) -> FftFrames:
        """Fit each coefficient's mean and standard deviation to training music."""
        plain = dataclasses.replace(self, mean=[], std=[])
        mean, std = moments((plain.encode(w) for w in waveforms), self.dim)
        return dataclasses.replace(self, mean=mean, std=std)

    def _encode(self, samples: NDArray[np.float32]) -> Frames:
        short = -len(samples) % self.n_fft
        x = np.pad(samples, ((0, short), (0, 0))).reshape(-1, self.n_fft, self.channels)
        spectrum = np.fft.rfft(x, axis=1, norm="ortho")
        parts = np.concatenate([spectrum.real, spectrum.imag[:, 1:-1]], axis=1)  # [T, n_fft, C]
        flat = parts.transpose(0, 2, 1).reshape(len(parts), self.dim).astype(np.float32)
        return standardise(flat, self.mean, self.std)

    def decoder(self) -> Decoder:
        """Return the inverse transform."""
        return _FftDecoder(self)


class _FftDecoder(Decoder):
    shared = ("_r",)

    def __init__(self, representation: FftFrames) -> None:
        self._r = representation

    def push(self, frames: Frames) -> NDArray[np.float32]:
        r = self._r
        parts = restore(frames, r.mean, r.std).reshape(-1, r.channels, r.n_fft)
        half = r.n_fft // 2
        spectrum = parts[..., : half + 1].astype(np.complex128)
        spectrum[..., 1:half] += 1j * parts[..., half + 1 :]
        samples = np.fft.irfft(spectrum, r.n_fft, axis=-1, norm="ortho").transpose(0, 2, 1)
        return np.clip(samples.reshape(-1, r.channels), -1.0, 1.0).astype(np.float32)

    def finish(self) -> NDArray[np.float32]:
        return np.zeros((0, self._r.channels), np.float32)
