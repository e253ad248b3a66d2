"""The top octave as one code per frame: its level relative to the band below it, without its fine structure.

After spectral band replication (M. Dietz et al., "Spectral band replication, a novel approach in audio coding", AES
Convention 112, 2002): at high frequencies the spectral envelope matters more to the ear than the fine structure. Each
spectrum of a frame has four bands; their levels relative to a reference band below them are one vector, which is
quantised with a codebook (k-means).
"""

from __future__ import annotations

import hashlib
import itertools
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import fft

from noizenet.audio.dsp import hann
from noizenet.base.bundled import bundled
from noizenet.base.errors import ModelError, UsageError
from noizenet.base.regular import read_regular
from noizenet.representation.codec_network import CHUNK, nearest
from noizenet.representation.codec_weights import F32

FILE = "highband.safetensors"
MAX_BYTES = 1 << 24
SAMPLE_RATE = 44_100
WINDOW = 1024
"""Samples of a spectrum's window (Hann): 23 ms."""
EDGES_HZ = (7_000, 10_500, 12_500, 15_000, 17_500, 21_000)
"""Edges of the reference band and of the coded bands."""
BANDS = len(EDGES_HZ) - 2
FLOOR_DB = -80.0
"""Lower levels are raised to this one; a full-scale sine has about 1.8 (see `LEVEL_OF_POWER`)."""
RANGE_DB = (-40.0, 10.0)
"""Range of a band's level relative to the reference band."""
FLAT_DB, NOTHING_DB = 0.5, -200.0
"""If all bands of a row are within the first of the reference band, all five bands were below the floor (no noise is as
flat), and the bands are decoded to the second."""
LEVEL_OF_POWER = 3.0
"""Sum of a band's squared magnitudes for a mean square of 1: half the window's length times its sum of squares."""


def levels(samples: F32, hop: int, count: int) -> F32:
    """Return levels in dB [count, 1 + BANDS] of the reference band and of the coded bands.

    Spectrum i is centred on sample i × hop.

    Parameters
    ----------
    samples : ndarray, float32 [N, C]
        At `SAMPLE_RATE`; the channels' powers are averaged.
    hop, count : int
        Samples from spectrum to spectrum, and number of spectra.
    """
    window = hann(WINDOW) * np.float32(4 / WINDOW)
    x = np.pad(samples, ((WINDOW // 2, max(0, count * hop + WINDOW // 2 - len(samples))), (0, 0)))
    parts = [np.zeros((0, 1 + BANDS))]
    for first in range(0, count, CHUNK):
        end = min(first + CHUNK, count)
        power = np.zeros((end - first, 1 + BANDS), np.float32)
        for column in x[first * hop : (end - 1) * hop + WINDOW].T:
            frames = np.lib.stride_tricks.sliding_window_view(column, WINDOW)[::hop]
            spectra = fft.rfft(frames * window, axis=-1)
            power += (np.square(spectra.real) + np.square(spectra.imag)) @ _band_masks(WINDOW, SAMPLE_RATE)
        parts.append(10 * np.log10(power / x.shape[1] + 1e-10))
    # The codebooks were trained on float16 levels.
    return np.concatenate(parts).astype(np.float16).astype(np.float32)


def relative(levels_db: F32, spectra: int) -> F32:
    """Return levels relative to the reference band, [T, spectra · BANDS] dB, from levels [T · spectra, 1 + BANDS]."""
    floored = np.maximum(levels_db, np.float32(FLOOR_DB))
    apart: F32 = np.clip(floored[:, 1:] - floored[:, :1], *RANGE_DB)
    return apart.reshape(-1, spectra * BANDS)


def reference_levels(magnitudes: F32, n_fft: int, sample_rate: int) -> F32:
    """Return the reference band's level in dB [n, 1] from magnitudes [n, F], where a full-scale sine has 1.

    The sum over a band does not depend on the window's length, so these are the same levels as those of :func:`levels`.
    """
    inside = _band_masks(n_fft, sample_rate)[:, 0] > 0
    power = np.square(magnitudes[:, inside]).sum(1, keepdims=True)
    level: F32 = np.maximum(10 * np.log10(power + np.float32(1e-10)), np.float32(FLOOR_DB))
    return level


@lru_cache(maxsize=4)
def _band_masks(n_fft: int, sample_rate: int) -> F32:
    """Return the membership of bins in bands, 0 or 1, [F, 1 + BANDS]."""
    hz = np.arange(n_fft // 2 + 1) * sample_rate / n_fft
    return np.stack([(hz >= a) & (hz < b) for a, b in itertools.pairwise(EDGES_HZ)], 1).astype(np.float32)


@dataclass(frozen=True, eq=False)
class Codebook:
    """Relative levels of each code in dB, `rows` [V, spectra · BANDS], and the digest of this version."""

    rows: F32
    digest: str

    def encode(self, relative_db: F32) -> NDArray[np.int16]:
        """Return the nearest codes [T] of relative levels [T, spectra · BANDS]."""
        return nearest(relative_db, self.rows).astype(np.int16)

    def decode(self, codes: NDArray[np.integer]) -> F32:
        """Return the relative levels [T · spectra, BANDS] in dB of codes [T]."""
        rows = self.rows[codes]
        flat = np.abs(rows).max(1, keepdims=True) < FLAT_DB
        decoded: F32 = np.where(flat, np.float32(NOTHING_DB), rows)
        return decoded.reshape(-1, BANDS)


def save_codebook(rows: F32, folder: Path) -> None:
    """Write a codebook [V, spectra · BANDS] into a codec's folder."""
    from safetensors.numpy import save as to_bytes

    from noizenet.base.files import write_bytes

    write_bytes(folder / FILE, to_bytes({"book": np.ascontiguousarray(rows, np.float32)}))


@lru_cache(maxsize=4)
def load_codebook(codec: str, levels: int, spectra: int) -> Codebook:
    """Read the top octave's codebook of a codec.

    Parameters
    ----------
    codec : str
        Name of a bundled codec, or a folder.
    levels, spectra : int
        Values of a code, and spectra in a frame.

    Raises
    ------
    UsageError
        If the codec has none.
    ModelError
        If it is damaged, or does not fit the codec.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load as from_bytes

    path = bundled("codecs").get(codec, Path(codec)) / FILE
    try:
        data = read_regular(path, MAX_BYTES)
    except OSError as error:
        raise UsageError(
            f"{codec}: this codec has no codebook of the top octave ({FILE}: {error.strerror}); use noizenet-2, or the "
            "representation codec"
        ) from error
    try:
        rows = np.asarray(from_bytes(data)["book"], np.float32)
    except (SafetensorError, ValueError, KeyError) as error:
        raise ModelError(f"{codec}/{FILE}: damaged ({error}); copy the codec again") from error
    if rows.shape != (levels, spectra * BANDS) or not np.isfinite(rows).all():
        raise ModelError(f"{codec}/{FILE}: not a codebook of {levels} × {spectra * BANDS} finite numbers")
    return Codebook(rows, hashlib.sha256(data).hexdigest())
