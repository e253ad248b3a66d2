"""Audio as the codes of a small learned codec: few codes a second, which a network can predict.

The codec encodes magnitudes only; the streaming decoder reconstructs phases (:mod:`noizenet.representation.phase`). It
also predicts the spread of each log-magnitude: a large spread means noise-like sound, whose fine structure is
substituted by that of noise.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from noizenet.audio.waveform import Waveform
from noizenet.base.config import option
from noizenet.base.errors import ConfigError
from noizenet.representation import panning
from noizenet.representation.base import Bound, Decoder, Frames, Representation
from noizenet.representation.codec_kernel import packed
from noizenet.representation.codec_network import embed, encode
from noizenet.representation.codec_weights import F32, CodecWeights, load_codec
from noizenet.representation.phase import PhaseOptions, PhaseSearch


@dataclass(frozen=True)
class CodecTokens(Representation):
    """K codes per frame.

    `codec` is the name of a bundled codec or a folder; `digest` identifies the version that made the codes.
    """

    codec: str = option("noizenet-2", "a bundled codec, or a folder")
    digest: str = option("", "SHA-256 of the codec's version; another version is refused")
    noise_fill: float = option(1.0, "amount of noise substitution in noise-like sound", low=0, high=2)

    name: ClassVar[str] = "codec"
    kind: ClassVar[str] = "classes"
    bound: ClassVar[Bound] = Bound("spectral-convergence-db", -1.0)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.digest and self.version != self.digest:
            raise ConfigError(
                f"representation.codec: this is another version of {self.codec!r} than the one that made the codes "
                f"({self.version[:12]} is not {self.digest[:12]}); train the model again, or get that version"
            )
        rate = self.rate_of({"codec": self.codec}, self.sample_rate)
        if self.sample_rate != rate:
            raise ConfigError(
                f"representation.sample_rate: the codec {self.codec!r} is for {rate:,} Hz, not {self.sample_rate:,}"
            )

    @classmethod
    def rate_of(cls, values: dict[str, Any], sample_rate: int) -> int:
        """Return the codec's rate; other rates are converted to it."""
        return load_codec(values.get("codec", cls.codec)).shape.sample_rate

    @cached_property
    def weights(self) -> CodecWeights:
        """The codec's weights."""
        return load_codec(self.codec)

    @property
    def version(self) -> str:
        """SHA-256 digest of everything that determines the meaning of the codes."""
        return self.weights.digest

    @property
    def frame_rate(self) -> float:
        """Frames of codes per second."""
        return self.weights.shape.sample_rate / self.weights.shape.samples

    @property
    def levels(self) -> int:
        """Number of values of a code."""
        return self.weights.shape.levels

    @property
    def dim(self) -> int:
        """Codes in a frame; stereo adds one for the panning."""
        return self.weights.shape.codebooks + self.channels - 1

    @property
    def left_context(self) -> int:
        """Frames that the encoder looks back, and half of its first window."""
        shape = self.weights.shape
        return shape.past + 1 + math.ceil(shape.n_fft / 2 / shape.samples)

    @property
    def cache_key(self) -> str:
        """The codec's version: codes are small, and encoding is slow."""
        return self.version[:16]

    def silence(self) -> Frames:
        """Return the codes of silence."""
        frames = self.weights.shape.past + self.weights.shape.ahead + 2
        return self._encode(np.zeros((self.samples_for(frames), self.channels), np.float32))[-1:]

    def vectors(self, frames: Frames) -> NDArray[np.float32]:
        """Return the embeddings of the codes."""
        return embed(frames[:, : self.weights.shape.codebooks], self.weights)

    def same_frames(self, other: Representation) -> bool:
        """Return whether both encode to the same frames; noise substitution does not matter, it is in the decoder."""
        if not isinstance(other, CodecTokens):
            return False
        codec = self.codec if self.version == other.version else other.codec  # its path does not matter
        return self == dataclasses.replace(other, noise_fill=self.noise_fill, codec=codec)

    def fit(self, waveforms: Iterable[Waveform]) -> CodecTokens:
        """Return a copy with the digest of the codec's version."""
        return dataclasses.replace(self, digest=self.version)

    def _encode(self, samples: NDArray[np.float32]) -> Frames:
        shape = self.weights.shape
        codes = encode(samples.mean(1), self.weights)
        if self.channels == 1:
            return codes
        return np.concatenate([codes, panning.encode(samples, shape.samples, shape.levels)[:, None]], 1)

    def decoder(self) -> Decoder:
        """Return the streaming decoder."""
        return CodecDecoder(self.weights, self.noise_fill, stereo=self.channels == 2)


class CodecDecoder(Decoder):
    """Codes → latents → log-magnitudes and their spread → magnitudes with noise substitution → samples.

    Parameters
    ----------
    codec : CodecWeights
    noise_fill : float
        Amount of noise substitution.
    options : PhaseOptions
    stereo : bool
        Whether frames have an additional code for the panning.
    """

    shared: ClassVar[tuple[str, ...]] = ("_shape", "_codec", "_packed")

    def __init__(
        self, codec: CodecWeights, noise_fill: float = 1.0, options: PhaseOptions | None = None, *, stereo: bool = False
    ) -> None:
        shape = self._shape = codec.shape
        self._panner = panning.Panner(shape.samples, shape.levels, shape.sample_rate) if stereo else None
        self._codec, self._packed, self._noise_fill = codec, packed(codec), noise_fill
        self._search = PhaseSearch(shape.n_fft, shape.hop, options or PhaseOptions())
        self._latents = np.zeros((0, shape.latent), np.float32)  # starts `decoder_past` before the next frame
        self._frames = 0  # frames received
        self._decoded = 0  # spectra decoded
        self._emitted = 0  # samples returned

    def push(self, frames: Frames) -> F32:
        """Add codes [n, K]; return the samples [m, C] that are complete."""
        return self.push_batch([self], frames[None])[0]

    @classmethod
    def push_batch(cls, decoders: Sequence[Decoder], frames: Frames) -> list[F32]:
        """Add codes [S, n, K] of S streams; each stream's samples do not depend on the others."""
        own = [d for d in decoders if isinstance(d, CodecDecoder)]
        if len(own) < len(decoders) or any(d._packed is not own[0]._packed for d in own):
            return super().push_batch(decoders, frames)
        for decoder, codes in zip(own, frames, strict=True):
            decoder._push_codes(codes)
        return [d._output(sound) for d, sound in zip(own, _decoded(own), strict=True)]

    def finish(self) -> F32:
        """Return the remaining samples."""
        shape = self._shape
        if not self._frames:
            return self._output(np.zeros(0, np.float32))
        self._latents = np.concatenate([self._latents, np.repeat(self._latents[-1:], shape.decoder_ahead, 0)])
        rest = np.concatenate([*_decoded([self]), self._search.finish()])
        return self._output(rest[: self._frames * shape.samples - self._emitted])

    def _push_codes(self, frames: Frames) -> None:
        if not len(frames):
            return
        if self._panner is not None:
            self._panner.push_codes(frames[:, self._shape.codebooks])
        latents = embed(frames[:, : self._shape.codebooks], self._codec)
        if not self._frames:  # the first frame is its own past
            self._latents = np.repeat(latents[:1], self._shape.decoder_past, 0)
        self._frames += len(frames)
        self._latents = np.concatenate([self._latents, latents])

    def _windows(self) -> F32:
        """Return the windows [n, W · D] of the frames whose neighbours are complete, and consume those frames."""
        shape = self._shape
        size = shape.decoder_past + 1 + shape.decoder_ahead
        count = max(0, len(self._latents) - size + 1)
        if not count:
            return np.zeros((0, size * shape.latent), np.float32)
        windows = np.lib.stride_tricks.sliding_window_view(self._latents, size, axis=0)
        self._latents = self._latents[count:]
        return windows.transpose(0, 2, 1).reshape(count, -1)

    def _synthesize(self, magnitudes: F32) -> F32:
        """Add magnitudes [n, F]; return the mono samples that are complete."""
        return self._search.push(magnitudes)

    def _output(self, samples: F32) -> F32:
        self._emitted += len(samples)
        return np.clip(self._pan(samples), -1.0, 1.0)

    def _pan(self, samples: F32) -> F32:
        """Return the channels [m, C] of mono samples."""
        return samples[:, None] if self._panner is None else self._panner.push(samples)


def _decoded(decoders: Sequence[CodecDecoder]) -> list[F32]:
    """Return the complete mono samples of each decoder; all decoders have the same codec."""
    shape, first = decoders[0]._shape, decoders[0]
    windows = [d._windows() for d in decoders]
    middle, spread = first._packed.decode(np.concatenate(windows))
    parts, at = [], 0
    for decoder, own in zip(decoders, windows, strict=True):
        end = at + len(own) * shape.spectra
        numbers = decoder._decoded + np.arange(end - at)
        magnitudes = decoder._packed.magnitudes(middle[at:end], spread[at:end], numbers, decoder._noise_fill)
        parts.append(decoder._synthesize(magnitudes))
        decoder._decoded, at = decoder._decoded + end - at, end
    return parts
