"""Base classes of representations and of their decoders.

Frames are arrays [T, ...]: ``classes`` are int16 or int32 [T, K] (K codebooks of V levels), ``vectors`` are float32
[T, D]. Decoding in chunks gives the same samples as decoding at once, because :meth:`Representation.decode` is one call
of the streaming decoder.
"""

from __future__ import annotations

import copy
import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray

from noizenet.audio.resample import resample
from noizenet.audio.waveform import Waveform, mix_channels
from noizenet.base.config import check, from_dict, option
from noizenet.base.errors import UsageError

Frames = NDArray[Any]


class Bound(NamedTuple):
    """Largest error of a round trip.

    `metric` is ``max-abs`` (largest sample error, full scale 1) or ``spectral-convergence-db``
    (20 log10 of ‖|S| - |S'|‖ / ‖|S|‖ over magnitude spectrograms); `limit` is in that unit.
    """

    metric: str
    limit: float


class Decoder(ABC):
    """A stateful streaming decoder: frames in, samples out, without clicks at the borders of chunks.

    A deep copy has a separate state but shares the attributes named in :attr:`shared`, which no decoder writes to: a
    codec's weights are tens of megabytes, and an instrument keeps a copy of its decoder in each snapshot.
    """

    shared: ClassVar[tuple[str, ...]] = ()

    def __deepcopy__(self, memo: dict[int, Any]) -> Decoder:
        other = copy.copy(self)
        memo[id(self)] = other
        for name, value in vars(self).items():
            if name not in self.shared:
                setattr(other, name, copy.deepcopy(value, memo))
        return other

    @abstractmethod
    def push(self, frames: Frames) -> NDArray[np.float32]:
        """Add frames [n, ...]; return the samples [m, C] that are complete."""

    @classmethod
    def push_batch(cls, decoders: Sequence[Decoder], frames: Frames) -> list[NDArray[np.float32]]:
        """Push frames [S, n, ...] into S decoders, as one batch where the decoder supports it."""
        return [decoder.push(part) for decoder, part in zip(decoders, frames, strict=True)]

    def finish(self) -> NDArray[np.float32]:
        """Flush: return the remaining samples, [m, C]."""
        return np.zeros((0, 1), np.float32)


@dataclass(frozen=True)
class Representation(ABC):
    """Base class of representations: audio as frames.

    Parameters
    ----------
    sample_rate : int
        Hz.
    channels : int
        1 or 2.
    """

    sample_rate: int = option(22_050, "Hz", low=1_000, high=768_000)
    channels: int = option(1, "1 mono, 2 stereo", low=1, high=2)

    name: ClassVar[str]
    kind: ClassVar[str]  # "classes" or "vectors"
    bound: ClassVar[Bound]

    def __post_init__(self) -> None:
        check(self, "representation")

    @classmethod
    def rate_of(cls, values: dict[str, Any], sample_rate: int) -> int:
        """Return the sample rate in Hz of the representation that these configured values give for a corpus's rate."""
        return sample_rate

    @classmethod
    def channels_of(cls, values: dict[str, Any], channels: int) -> int:
        """Return the number of channels that these configured values give for a corpus's channels."""
        return channels

    @property
    @abstractmethod
    def frame_rate(self) -> float:
        """Frames per second."""

    @property
    def levels(self) -> int:
        """V, for ``classes``; 0 for ``vectors``."""
        return 0

    @property
    def dim(self) -> int:
        """D for ``vectors``, K for ``classes``."""
        return 1

    def values(self) -> NDArray[np.float32] | None:
        """Return the sample value of each class, ascending, [V]; None if classes are not samples."""
        return None

    def vectors(self, frames: Frames) -> NDArray[np.float32]:
        """Return frames as vectors [T, D] whose differences are meaningful; vector frames are returned unchanged."""
        return frames

    @property
    def frame_multiple(self) -> int:
        """Number of frames that encode the same samples; a sequence can be cut only at multiples of it."""
        return 1

    @property
    def left_context(self) -> int:
        """Frames to encode before a cut in a track so that the frame at the cut is that of the whole track."""
        return 1

    @property
    def cache_key(self) -> str:
        """Cache key of encoded frames, if encoding is slow and frames are small; else empty."""
        return ""

    @abstractmethod
    def silence(self) -> Frames:
        """Return the frame [1, ...] of silence, which precedes every track."""

    @abstractmethod
    def _encode(self, samples: NDArray[np.float32]) -> Frames:
        """Encode samples [N, C] at this representation's rate."""

    @abstractmethod
    def decoder(self) -> Decoder:
        """Return a fresh streaming decoder."""

    def fit(self, waveforms: Iterable[Waveform]) -> Representation:
        """Return a copy whose constants (mean, range, …) are fitted to training music; most have none."""
        return self

    def encode(self, waveform: Waveform) -> Frames:
        """Encode a waveform of any rate and channel count.

        Parameters
        ----------
        waveform : Waveform
            Is converted to this representation's rate and channels.

        Returns
        -------
        ndarray
            Frames [T, ...].
        """
        return self._encode(self.samples_of(waveform))

    def samples_of(self, waveform: Waveform) -> NDArray[np.float32]:
        """Return a waveform's samples [N, C] at this representation's rate and channels."""
        return resample(mix_channels(waveform.samples, self.channels), waveform.sample_rate, self.sample_rate)

    def decode(self, frames: Frames) -> Waveform:
        """Decode frames [T, ...] at once."""
        decoder = self.decoder()
        parts = [decoder.push(frames), decoder.finish()]
        return self.as_waveform(np.concatenate([p for p in parts if len(p)] or parts[:1]))

    def as_waveform(self, samples: NDArray[np.float32]) -> Waveform:
        """Wrap a decoder's [n, C] samples."""
        return Waveform(samples[:, 0] if self.channels == 1 else samples, self.sample_rate)

    def samples_for(self, frames: int) -> int:
        """Return the number of samples per channel that `frames` frames encode."""
        return round(frames * self.sample_rate / self.frame_rate)

    def frames_for(self, samples: int) -> int:
        """Return the number of whole frames in `samples` samples per channel."""
        return int(samples * self.frame_rate / self.sample_rate)

    def same_frames(self, other: Representation) -> bool:
        """Return whether both representations encode to the same frames."""
        return self.to_dict() == other.to_dict()

    def to_dict(self) -> dict[str, Any]:
        """Return the name and the constants as stored with a model."""
        return {"name": self.name, **dataclasses.asdict(self)}


def create(values: dict[str, Any], *, sample_rate: int, channels: int) -> Representation:
    """Create a representation from its configuration section.

    Raises
    ------
    ConfigError
        For an unknown name, key, type or range.
    """
    from noizenet.base.errors import ConfigError
    from noizenet.representation import REPRESENTATIONS

    rest = dict(values)
    name = rest.pop("name", None)
    try:
        cls = REPRESENTATIONS.load(str(name))
    except UsageError as error:
        raise ConfigError(f"representation.name: {error}") from error
    rate, channels = cls.rate_of(rest, sample_rate), cls.channels_of(rest, channels)
    rest = {"sample_rate": rate, "channels": channels, **rest}
    made: Representation = from_dict(cls, rest, "representation")
    return made
