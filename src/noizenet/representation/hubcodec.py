"""Public pretrained codecs (EnCodec, DAC) as a representation, through ``transformers``.

A. Défossez et al., "High fidelity neural audio compression", 2022; R. Kumar et al., "High-fidelity audio compression
with improved RVQGAN", NeurIPS 2023. Their weights are read from a folder or from the cache of transformers (safetensors
only: nothing is executed). They are downloaded only with the user's consent (``NOIZENET_HUB=1``), so that loading a
model never opens a network connection.
"""

from __future__ import annotations

import dataclasses
import hashlib
import os
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from noizenet.audio.waveform import Waveform
from noizenet.base.config import option
from noizenet.base.errors import ConfigError, UsageError
from noizenet.representation.base import Bound, Decoder, Frames, Representation

SEGMENT_S, CONTEXT_S = 10.0, 1.0
BLOCK, PAST, AHEAD = 16, 64, 8
"""Frames decoded at once, and frames of context before and after: fixed, so that chunk sizes do not change the output.
"""
DEFAULT = "facebook/encodec_24khz"
CONSENT = "NOIZENET_HUB"
"""The environment variable that allows codecs to be downloaded."""


@dataclass(frozen=True)
class HubCodec(Representation):
    """The first K codebooks of a pretrained residual codec."""

    model: str = option(DEFAULT, "name on the hub, or a folder")
    codebooks: int = option(4, "number of the codec's codebooks that are used", low=1, high=32)
    digest: str = option("", "digest of the codec's weights; another version is refused")

    name: ClassVar[str] = "hub-codec"
    kind: ClassVar[str] = "classes"
    bound: ClassVar[Bound] = Bound("spectral-convergence-db", 3.0)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.channels != 1:
            raise ConfigError("representation.channels: this codec is mono; build the corpus with --channels 1")
        if self.digest and self.digest != self.cache_key:
            raise ConfigError(
                f"representation.model: this is another version of {self.model!r} than the one that made the codes; "
                "train the model again, or get that version"
            )
        if self.codebooks > self.codec.books:
            raise ConfigError(f"representation.codebooks: {self.model!r} has {self.codec.books}, not {self.codebooks}")

    @classmethod
    def rate_of(cls, values: dict[str, Any], sample_rate: int) -> int:
        """Return the codec's rate; other rates are converted to it."""
        return load_hub_codec(values.get("model", DEFAULT)).sample_rate

    @cached_property
    def codec(self) -> Pretrained:
        """The pretrained codec."""
        return load_hub_codec(self.model)

    @property
    def cache_key(self) -> str:
        """The codec's version and the number of codebooks."""
        return f"{self.codec.digest}-{self.codebooks}"

    @property
    def frame_rate(self) -> float:
        """Frames of codes per second."""
        return self.sample_rate / self.codec.hop

    @property
    def levels(self) -> int:
        """Number of values of a code."""
        return self.codec.levels

    @property
    def dim(self) -> int:
        """Codes in a frame."""
        return self.codebooks

    def silence(self) -> Frames:
        """Return the codes of silence."""
        return self._encode(np.zeros((self.sample_rate, 1), np.float32))[-1:]

    def fit(self, waveforms: Iterable[Waveform]) -> HubCodec:
        """Return a copy with the digest of the codec's version."""
        return dataclasses.replace(self, digest=self.cache_key)

    def vectors(self, frames: Frames) -> NDArray[np.float32]:
        """Return the codes one-hot, because their order has no meaning."""
        return np.eye(self.levels, dtype=np.float32)[frames].reshape(len(frames), -1)

    def _encode(self, samples: NDArray[np.float32]) -> Frames:
        hop = self.codec.hop
        count = -(-len(samples) // hop)
        x = np.pad(samples[:, 0], (0, count * hop - len(samples)))
        segment, context = (round(s * self.sample_rate / hop) for s in (SEGMENT_S, CONTEXT_S))
        parts = [np.zeros((0, self.codebooks), np.int16)]
        for first in range(0, count, segment):
            before = min(context, first)
            codes = self.codec.encode(x[(first - before) * hop : (first + segment) * hop], self.codebooks)
            parts.append(codes[before : before + min(segment, count - first)])
        return np.concatenate(parts)

    def decoder(self) -> Decoder:
        """Return the streaming decoder."""
        return _BlockDecoder(self.codec, self.codebooks)


class _BlockDecoder(Decoder):
    """Decodes blocks of a fixed size, each with its context."""

    shared = ("_codec",)

    def __init__(self, codec: Pretrained, books: int) -> None:
        self._codec, self._books = codec, books
        self._codes = np.zeros((0, books), np.int64)
        self._before = 0  # frames of context before the next block
        self._received = self._emitted = 0

    def push(self, frames: Frames) -> NDArray[np.float32]:
        self._codes = np.concatenate([self._codes, frames.astype(np.int64)])
        self._received += len(frames)
        return self._decode_ready()

    def finish(self) -> NDArray[np.float32]:
        if not self._received:
            return np.zeros((0, 1), np.float32)
        self._codes = np.concatenate([self._codes, np.repeat(self._codes[-1:], BLOCK + AHEAD, 0)])
        return self._decode_ready()

    def _decode_ready(self) -> NDArray[np.float32]:
        hop, parts = self._codec.hop, [np.zeros(0, np.float32)]
        while len(self._codes) >= self._before + BLOCK + AHEAD and self._emitted < self._received * hop:
            sound = self._codec.decode(self._codes[: self._before + BLOCK + AHEAD])
            part = sound[self._before * hop : (self._before + BLOCK) * hop]
            part = part[: self._received * hop - self._emitted]
            parts.append(part)
            self._emitted += len(part)
            drop = max(0, self._before + BLOCK - PAST)
            self._codes, self._before = self._codes[drop:], min(PAST, self._before + BLOCK)
        return np.clip(np.concatenate(parts), -1, 1)[:, None]


class Pretrained:
    """A codec of transformers with a uniform interface."""

    def __init__(self, network: Any) -> None:
        import torch

        self._torch, self._network = torch, network.eval()
        c = network.config
        self._kind = c.model_type
        self.sample_rate, self.levels = int(c.sampling_rate), int(c.codebook_size)
        ratios = c.upsampling_ratios if self._kind == "encodec" else c.downsampling_ratios
        self.hop = int(np.prod(ratios))
        digest = hashlib.sha256()
        for name, value in sorted(network.state_dict().items()):
            digest.update(name.encode() + value.detach().cpu().numpy().tobytes())
        self.digest = digest.hexdigest()[:16]
        if self._kind == "encodec":
            bits = int(np.log2(self.levels))
            self._widest = max(c.target_bandwidths)
            self.books = int(1000 * self._widest * self.hop / self.sample_rate // bits)
        else:
            self.books = int(c.n_codebooks)

    def encode(self, samples: NDArray[np.float32], books: int) -> NDArray[np.int16]:
        """Return codes [T, K] of mono samples [N], N a multiple of the hop."""
        x = self._torch.from_numpy(np.ascontiguousarray(samples))[None, None]
        with self._torch.inference_mode():
            if self._kind == "encodec":
                codes = self._network.encode(x, bandwidth=self._widest).audio_codes[0, 0]
            else:
                codes = self._network.encode(x).audio_codes[0]
        return np.asarray(codes[:books].T.numpy(), np.int16)

    def decode(self, codes: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return mono samples of codes [T, K], exactly T hops."""
        x = self._torch.from_numpy(np.ascontiguousarray(codes.T))
        with self._torch.inference_mode():
            if self._kind == "encodec":
                sound = self._network.decode(x[None, None], [None])[0][0, 0]
            else:
                sound = self._network.decode(audio_codes=x[None]).audio_values[0]
        y: NDArray[np.float32] = sound.numpy()
        return np.pad(y, (0, max(0, len(codes) * self.hop - len(y))))[: len(codes) * self.hop]


@lru_cache(maxsize=2)
def load_hub_codec(name: str) -> Pretrained:
    """Read a codec from a folder or by its name on the hub; it is downloaded only with the user's consent.

    Raises
    ------
    UsageError
        If transformers is not installed, there is no such codec, or its type is not supported.
    """
    try:
        from transformers import AutoConfig, DacModel, EncodecModel
    except ImportError as error:
        raise UsageError("this codec needs the package transformers: pip install 'noizenet[hub]'") from error
    how = {"local_files_only": os.environ.get(CONSENT) != "1", "trust_remote_code": False}
    try:
        config = AutoConfig.from_pretrained(name, **how)
        kinds: dict[str, Any] = {"encodec": EncodecModel, "dac": DacModel}
        mono = getattr(config, "audio_channels", 1) == 1 and not getattr(config, "normalize", False)
        if config.model_type not in kinds or not mono:
            raise UsageError(f"{name}: neither a mono EnCodec nor a DAC model; use for instance {DEFAULT}")
        return Pretrained(kinds[config.model_type].from_pretrained(name, use_safetensors=True, **how))
    except (OSError, ValueError, KeyError) as error:
        first = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise UsageError(
            f"{name}: the codec cannot be loaded ({first[:160]}); give the folder of a codec, "
            f"or set {CONSENT}=1 to download it from the hub"
        ) from error
