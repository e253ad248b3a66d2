"""Stereo at 44,100 Hz as codes: those of a codec for 22,050 Hz mono, one for the panning and one for the top octave."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

import numpy as np

from noizenet.audio.resample import resample
from noizenet.base.config import option
from noizenet.base.errors import ConfigError
from noizenet.representation import panning
from noizenet.representation.base import Decoder, Frames
from noizenet.representation.codec import CodecDecoder, CodecTokens
from noizenet.representation.codec_network import encode
from noizenet.representation.codec_weights import F32, CodecWeights
from noizenet.representation.highband import SAMPLE_RATE, Codebook, levels, load_codebook, reference_levels, relative
from noizenet.representation.noise_bands import NoiseBands
from noizenet.representation.upsampling import Upsampler

RATIO = 2
"""Ratio of the sample rate to the codec's."""


@dataclass(frozen=True)
class FullbandTokens(CodecTokens):
    """A frame has the codec's K codes of the mean of both channels, a panning code and a code of the top octave.

    The output is always stereo at 44,100 Hz; mono input is taken as two equal channels.
    """

    sample_rate: int = option(SAMPLE_RATE, "Hz", low=SAMPLE_RATE, high=SAMPLE_RATE)
    channels: int = option(2, "always stereo", low=2, high=2)

    name: ClassVar[str] = "fullband"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.weights.shape.sample_rate * RATIO != SAMPLE_RATE:
            raise ConfigError(
                f"representation.codec: {self.codec!r} is for {self.weights.shape.sample_rate:,} Hz; "
                f"fullband needs one for {SAMPLE_RATE // RATIO:,} Hz"
            )
        _ = self.codebook  # raises early for a codec without one

    @classmethod
    def rate_of(cls, values: dict[str, Any], sample_rate: int) -> int:
        """Return 44,100 Hz; other rates are converted to it."""
        return SAMPLE_RATE

    @classmethod
    def channels_of(cls, values: dict[str, Any], channels: int) -> int:
        """Return 2; mono is taken as two equal channels."""
        return 2

    @cached_property
    def codebook(self) -> Codebook:
        """The codebook of the top octave."""
        return load_codebook(self.codec, self.levels, self.weights.shape.spectra)

    @property
    def version(self) -> str:
        """SHA-256 digest of codec and codebook."""
        return hashlib.sha256(f"{self.weights.digest} {self.codebook.digest}".encode()).hexdigest()

    @property
    def dim(self) -> int:
        """Codes in a frame."""
        return self.weights.shape.codebooks + 2

    def _encode(self, samples: F32) -> Frames:
        shape = self.weights.shape
        mono = resample(np.ascontiguousarray(samples.mean(1, keepdims=True)), self.sample_rate, shape.sample_rate)
        codes = encode(mono[:, 0], self.weights)
        pan = panning.encode(samples, RATIO * shape.samples, shape.levels)
        above = levels(samples, RATIO * shape.hop, len(codes) * shape.spectra)
        top = self.codebook.encode(relative(above, shape.spectra))
        return np.concatenate([codes, pan[: len(codes), None], top[:, None]], 1)

    def decoder(self) -> Decoder:
        """Return the streaming decoder."""
        return FullbandDecoder(self.weights, self.codebook, self.noise_fill)


class FullbandDecoder(CodecDecoder):
    """Codes → mono samples → twice the rate → top octave of noise at the levels of its codes → two channels.

    Parameters
    ----------
    codec : CodecWeights
    codebook : Codebook
        Codebook of the top octave.
    noise_fill : float
        Amount of noise substitution.
    """

    shared: ClassVar[tuple[str, ...]] = (*CodecDecoder.shared, "_codebook")

    def __init__(self, codec: CodecWeights, codebook: Codebook, noise_fill: float = 1.0) -> None:
        super().__init__(codec, noise_fill)
        shape = codec.shape
        self._panner = panning.Panner(RATIO * shape.samples, shape.levels, RATIO * shape.sample_rate)
        self._codebook = codebook
        self._relative = codebook.decode(np.zeros(0, np.int16))  # levels of spectra that are not decoded yet
        self._noise, self._upsampler = NoiseBands(RATIO * shape.hop), Upsampler(shape.hop)

    def finish(self) -> F32:
        """Return the remaining samples."""
        rest = super().finish()
        return np.concatenate([rest, self._output(np.zeros(self._shape.hop, np.float32))]) if self._frames else rest

    def _push_codes(self, frames: Frames) -> None:
        self._relative = np.concatenate([self._relative, self._codebook.decode(frames[:, self._shape.codebooks + 1])])
        super()._push_codes(frames)

    def _synthesize(self, magnitudes: F32) -> F32:
        shape, count = self._shape, len(magnitudes)
        below = reference_levels(magnitudes / np.float32(shape.n_fft / 4), shape.n_fft, shape.sample_rate)
        self._noise.push_levels(below + self._relative[:count])
        self._relative = self._relative[count:]
        return super()._synthesize(magnitudes)

    def _pan(self, samples: F32) -> F32:
        assert self._panner is not None
        doubled = self._upsampler.push(samples)
        return self._panner.push(doubled, self._noise.render(len(doubled) // (RATIO * self._shape.hop)))
