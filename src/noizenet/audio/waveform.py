"""A waveform: samples with their sample rate."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from noizenet.audio.fold import default_layout, fold
from noizenet.base.errors import AudioError, UsageError

MIN_RATE_HZ, MAX_RATE_HZ = 1_000, 768_000


@dataclass(frozen=True, eq=False)
class Waveform:
    """Samples and their sample rate; immutable.

    Parameters
    ----------
    samples : ndarray, float32 [N] (mono) or [N, C]
        Nominally in [-1, 1] (full scale). Any finite value is accepted; writers clip and count.
    sample_rate : int
        Hz.

    Raises
    ------
    AudioError
        If the samples are not finite.
    UsageError
        If the shape or the sample rate is invalid.

    Examples
    --------
    >>> w = Waveform(np.zeros(22050, np.float32), 22050)
    >>> w.seconds, w.channels
    (1.0, 1)
    """

    samples: NDArray[np.float32]
    sample_rate: int

    def __post_init__(self) -> None:
        samples = np.asarray(self.samples, dtype=np.float32)
        if samples.ndim not in (1, 2) or (samples.ndim == 2 and samples.shape[1] == 0):
            raise UsageError(f"a waveform has shape [N] or [N, C], got {samples.shape}")
        if not MIN_RATE_HZ <= self.sample_rate <= MAX_RATE_HZ:
            raise UsageError(f"sample rate {self.sample_rate} Hz is outside {MIN_RATE_HZ}–{MAX_RATE_HZ} Hz")
        if not np.isfinite(samples).all():
            raise AudioError("the samples contain NaN or infinity; remove them first")
        if samples is self.samples:
            samples = samples.view()
        samples.flags.writeable = False
        object.__setattr__(self, "samples", samples)
        object.__setattr__(self, "sample_rate", int(self.sample_rate))

    def __len__(self) -> int:
        return len(self.samples)

    @property
    def channels(self) -> int:
        """Number of channels (1 for shape [N])."""
        return 1 if self.samples.ndim == 1 else int(self.samples.shape[1])

    @property
    def seconds(self) -> float:
        """Duration in seconds."""
        return len(self.samples) / self.sample_rate

    def mono(self) -> Waveform:
        """Return the mean of the channels as shape [N]."""
        return Waveform(mix_channels(self.samples, 1)[:, 0], self.sample_rate)

    def cut(self, start_s: float, end_s: float) -> Waveform:
        """Return the part between two times in seconds."""
        first, last = round(start_s * self.sample_rate), round(end_s * self.sample_rate)
        return Waveform(self.samples[max(first, 0) : max(last, 0)], self.sample_rate)


def concatenate(parts: Sequence[Waveform]) -> Waveform:
    """Join waveforms in time.

    Raises
    ------
    UsageError
        If there are none, or their sample rates or channel counts differ.
    """
    if not parts:
        raise UsageError("nothing to join")
    if len({(p.sample_rate, p.samples.ndim, p.channels) for p in parts}) > 1:
        rates = sorted({p.sample_rate for p in parts})
        raise UsageError(f"waveforms of different rates or channels cannot be joined (rates {rates} Hz)")
    return Waveform(np.concatenate([p.samples for p in parts]), parts[0].sample_rate)


def mix_channels(samples: NDArray[np.float32], channels: int) -> NDArray[np.float32]:
    """Mix to `channels` channels; the result always has shape [N, channels].

    The channels are assumed to be in the order of wav (3.0, quad, 5.0, 5.1, 7.1 by their count). Channels of files are
    mixed by their declared layout instead (:func:`noizenet.audio.fold.fold`). Mono is repeated.
    """
    x = samples[:, None] if samples.ndim == 1 else samples
    return fold(x, default_layout(x.shape[1]), channels)
