"""Downmixing (folding) of channels to stereo or mono by their layout, with detection of channels that cancel.

Notes
-----
The downmix to stereo follows ITU-R BS.775-3, annex 4: the centre goes to both sides at -3 dB, a surround channel to its
side at -3 dB, the low-frequency channel is dropped. The result is scaled so that full scale on every channel stays full
scale.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from noizenet.audio.levels import is_silent
from noizenet.base.errors import UsageError

Layout = tuple[str, ...]
"""FFmpeg's channel names in the order of the columns ("FL", "FR", "FC", "LFE", "BL", ...)."""

CANCEL_RATIO = 0.05
"""The channels cancel if their mono mix keeps less than this share of the louder channel's energy: one is inverted."""
MIN_POWER = 1e-6
"""Mean square (-60 dB) above which audio is loud enough to decide whether its channels cancel."""

CODEC_NOISE_RATIO = 1e-4
"""A peak below this share (-80 dB) of another channel's peak is a lossy codec's noise in a silent channel."""
ONLY_LFE = (
    "only its low-frequency effects channel (LFE) is not silent, and a downmix to stereo or mono drops that channel; "
    "mix it into other channels first"
)

_HALF = 0.5**0.5
_TO_STEREO: dict[str, tuple[float, float]] = {
    "FL": (1, 0), "FR": (0, 1), "FC": (_HALF, _HALF), "LFE": (0, 0), "LFE2": (0, 0),
    "BL": (_HALF, 0), "BR": (0, _HALF), "SL": (_HALF, 0), "SR": (0, _HALF), "BC": (0.5, 0.5),
    "FLC": (_HALF, 0), "FRC": (0, _HALF), "WL": (1, 0), "WR": (0, 1), "DL": (1, 0), "DR": (0, 1),
    "SDL": (_HALF, 0), "SDR": (0, _HALF), "SSL": (_HALF, 0), "SSR": (0, _HALF), "TC": (0.5, 0.5),
    "TFL": (_HALF, 0), "TFR": (0, _HALF), "TFC": (0.5, 0.5), "TBL": (_HALF, 0), "TBR": (0, _HALF), "TBC": (0.5, 0.5),
    "TSL": (_HALF, 0), "TSR": (0, _HALF), "TTL": (_HALF, 0), "TTR": (0, _HALF), "BFL": (_HALF, 0), "BFR": (0, _HALF),
    "BFC": (0.5, 0.5),
}  # fmt: skip

_NAMES: dict[str, Layout] = {
    "mono": ("FC",),
    "stereo": ("FL", "FR"),
    "3.0": ("FL", "FR", "FC"),
    "quad": ("FL", "FR", "BL", "BR"),
    "5.0": ("FL", "FR", "FC", "BL", "BR"),
    "5.1": ("FL", "FR", "FC", "LFE", "BL", "BR"),
    "6.1": ("FL", "FR", "FC", "LFE", "BC", "BL", "BR"),
    "7.1": ("FL", "FR", "FC", "LFE", "BL", "BR", "SL", "SR"),
    "2.1": ("FL", "FR", "LFE"),
}
_BY_COUNT = ("", "mono", "stereo", "3.0", "quad", "5.0", "5.1", "6.1", "7.1")

_VORBIS: dict[int, Layout] = {
    3: ("FL", "FC", "FR"),
    5: ("FL", "FC", "FR", "BL", "BR"),
    6: ("FL", "FC", "FR", "BL", "BR", "LFE"),
    7: ("FL", "FC", "FR", "BL", "BR", "BC", "LFE"),
    8: ("FL", "FC", "FR", "SL", "SR", "BL", "BR", "LFE"),
}


def default_layout(channels: int) -> Layout:
    """Return the layout of a file that declares none: the order of wav, up to 7.1.

    More than eight channels have no positions: each is named "" and is mixed to every side.

    Examples
    --------
    >>> default_layout(2), layout_name(default_layout(6))
    (('FL', 'FR'), '5.1')
    """
    return _NAMES[_BY_COUNT[channels]] if channels < len(_BY_COUNT) else ("",) * channels


def vorbis_layout(channels: int) -> Layout:
    """Return the channel order of Vorbis and Opus (Vorbis I, section 4.3.9; RFC 7845, section 5.1.1.2)."""
    return _VORBIS.get(channels, default_layout(channels))


def known_layout(names: Layout) -> Layout:
    """Return a layout unchanged if every channel has a known position, else the default for its channel count.

    Three channels are always front left, right and centre: programs without a declared layout (FFmpeg, for instance)
    name them 2.1. The bass of a true 2.1 file would be lost if its third channel were dropped.
    """
    if len(names) == 1:
        return _NAMES["mono"]
    if names == _NAMES["2.1"]:
        return _NAMES["3.0"]
    if not {"BL", "BR"} & set(names):  # surround channels may be named side or back
        names = tuple({"SL": "BL", "SR": "BR"}.get(n, n) for n in names)
    return names if all(n in _TO_STEREO for n in names) else default_layout(len(names))


def layout_name(layout: Layout) -> str:
    """Return a layout's common name ("stereo", "5.1"), or its channel count."""
    side = tuple({"SL": "BL", "SR": "BR"}.get(n, n) for n in layout)
    for name, channels in _NAMES.items():
        if sorted(channels) in (sorted(layout), sorted(side)):
            return name
    return f"{len(layout)} channels"


def stereo_matrix(layout: Layout) -> NDArray[np.float32]:
    """Return the downmix matrix to stereo, [C, 2]; the gains of a column sum to at most 1."""
    if len(layout) == 1:
        return np.ones((1, 2), np.float32)
    gains = np.array([_TO_STEREO.get(name, (1.0, 1.0)) for name in layout], np.float64)
    if not gains.any():
        gains[:] = 1.0
    return np.asarray(gains / gains.sum(axis=0).max(), np.float32)


def fold_matrix(layout: Layout, channels: int) -> NDArray[np.float32]:
    """Return the matrix [C, channels] that mixes a layout down to one or two channels.

    Raises
    ------
    UsageError
        If more than two channels are requested, and the layout has another number.
    """
    if channels == len(layout):
        return np.eye(channels, dtype=np.float32)
    if channels == 2:
        return stereo_matrix(layout)
    if channels == 1:
        mono = stereo_matrix(layout).sum(axis=1, keepdims=True)
        return np.asarray(mono / mono.sum(), np.float32)
    raise UsageError(f"cannot mix {len(layout)} channels to {channels}; noizenet works in mono or stereo")


def fold(samples: NDArray[np.float32], layout: Layout, channels: int) -> NDArray[np.float32]:
    """Mix samples [n, C] of a layout down to one or two channels, or return them unchanged.

    Returns
    -------
    ndarray, float32 [n, channels]
    """
    if samples.shape[1] == channels:
        return np.ascontiguousarray(samples)
    if samples.shape[1] == 1:
        return np.repeat(samples, channels, axis=1)
    matrix = fold_matrix(layout, channels)
    # Column by column: a product of a tall matrix with a tiny one is slower in BLAS than sums of columns.
    out = np.empty((len(samples), channels), np.float32)
    for k in range(channels):
        used = np.flatnonzero(matrix[:, k])
        total = samples[:, used[0]] * matrix[used[0], k]
        for c in used[1:]:
            total += samples[:, c] * matrix[c, k]
        out[:, k] = total
    return out


@dataclass
class DroppedChannels:
    """Detects whether only the channels that a downmix drops are audible, from blocks of a layout.

    Examples
    --------
    >>> x = np.zeros((10, 6), np.float32)
    >>> x[:, 3] = 0.5  # the low-frequency channel of 5.1
    >>> out = DroppedChannels(default_layout(6))
    >>> out.push(x)
    >>> out.only_dropped
    True
    """

    layout: Layout
    kept: float = 0.0
    dropped: float = 0.0

    def __post_init__(self) -> None:
        self._used = stereo_matrix(self.layout).any(axis=1)

    def push(self, block: NDArray[np.float32]) -> None:
        """Add a block [n, C]."""
        if self._used.all() or not len(block):
            return
        peaks = np.abs(block).max(axis=0)
        self.kept = max(self.kept, float(peaks[self._used].max()))
        self.dropped = max(self.dropped, float(peaks[~self._used].max()))

    @property
    def only_dropped(self) -> bool:
        """Whether the dropped channels are not silent, and the others are silent or a codec's noise."""
        return not is_silent(self.dropped) and (is_silent(self.kept) or self.kept < CODEC_NOISE_RATIO * self.dropped)


@dataclass
class FoldStatistics:
    """Detects whether two channels cancel in mono, from stereo blocks.

    Examples
    --------
    >>> x = np.sin(np.arange(1000, dtype=np.float32))
    >>> s = FoldStatistics()
    >>> s.push(np.stack([x, -x], axis=1))
    >>> s.cancels, s.louder
    (True, 0)
    """

    frames: int = 0
    energy: NDArray[np.float64] = field(default_factory=lambda: np.zeros((2, 2)))

    def push(self, stereo: NDArray[np.float32]) -> None:
        """Add a block [n, 2]."""
        self.frames += len(stereo)
        # Products of float32 may overflow for values in the range of 32-bit integers; float64 does not.
        peak = float(np.abs(stereo).max()) if len(stereo) else 0.0
        block = stereo if peak < 1e6 else stereo.astype(np.float64)
        self.energy += (block.T @ block).astype(np.float64)

    @property
    def nonsilent(self) -> bool:
        """Whether the audio is loud enough for :attr:`cancels`."""
        return bool(np.trace(self.energy) > 2 * MIN_POWER * max(1, self.frames))

    @property
    def cancels(self) -> bool:
        """Whether the mean of the channels has less than CANCEL_RATIO of the louder channel's energy."""
        left, right, both = self.energy[0, 0], self.energy[1, 1], self.energy[0, 1]
        mid = (left + right + 2 * both) / 4
        return bool(max(left, right) > 0 and mid < CANCEL_RATIO * max(left, right))

    @property
    def louder(self) -> int:
        """Index of the louder channel, 0 or 1."""
        return int(self.energy[1, 1] > self.energy[0, 0])


def convert_layout(samples: NDArray[np.float32], layout: Layout, wanted: Layout) -> NDArray[np.float32]:
    """Convert samples of one layout to another, [n, len(wanted)]; for later parts of a file with another layout."""
    if layout == wanted or (len(layout) == len(wanted) and not set(layout) & set(wanted)):
        return samples
    if len(wanted) <= 2:
        return fold(samples, layout, len(wanted))
    out = np.zeros((len(samples), len(wanted)), np.float32)
    common = [(layout.index(n), wanted.index(n)) for n in layout if n and n in wanted]
    if len(common) == len(layout) and len(layout) > 1:
        for have, want in common:
            out[:, want] = samples[:, have]
        return out
    columns = [wanted.index("FL"), wanted.index("FR")] if {"FL", "FR"} <= set(wanted) else [0, 1]
    out[:, columns] = fold(samples, layout, 2)
    return out
