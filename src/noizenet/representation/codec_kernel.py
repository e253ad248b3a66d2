"""A codec's decoder as a compiled loop: windows of latents in, magnitudes out. A row does not depend on the other rows.

The layers are those that :mod:`noizenet.training.codec` trains.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any

import numpy as np
from numba import float32
from numpy.typing import NDArray
from scipy import fft

from noizenet.audio.dsp import hann
from noizenet.kernels.functions import compiled, exp, sigmoid
from noizenet.kernels.products import Pack, add_products, begin_all
from noizenet.representation.codec_network import CENTRE, EPSILON, SCALE
from noizenet.representation.codec_weights import F32, CodecShape, CodecWeights

NOISE_FRAMES = 2048
"""Spectra in the loop of noise: half a minute, of which only the fine structure is used."""
RAYLEIGH_DEVIATION = 0.5
"""Mean absolute deviation of the log of a Rayleigh variable, such as a bin of noise (to two digits)."""
MEAN_LOG_RAYLEIGH = -0.2886
"""Mean log of a Rayleigh variable whose mean square is 1: minus half of Euler's constant."""


class PackedDecoder:
    """A codec's decoder with weights packed for the compiled loop.

    Parameters
    ----------
    codec : CodecWeights
    """

    def __init__(self, codec: CodecWeights) -> None:
        self.shape = shape = codec.shape
        pack = Pack("fp32")
        names = ["decoder.first"]
        for i in range(shape.decoder_blocks):
            names += [f"decoder.blocks.{i}.up", f"decoder.blocks.{i}.down"]
        names += ["decoder.mean", "decoder.spread"]
        layout = [pack.add(codec[f"{name}.weight"], codec[f"{name}.bias"]) for name in names]
        weight = codec["bands"].T  # from bands to bins: each bin gets the weighted mean of its bands
        to_bins = weight / np.maximum(weight.sum(1, keepdims=True), 1e-6) / RAYLEIGH_DEVIATION
        layout.append(pack.add(to_bins.astype(np.float32)))
        self._packed = (*pack.arrays(), np.asarray(layout, np.int64))
        norms = [f"decoder.blocks.{i}.norm.{n}" for i in range(shape.decoder_blocks) for n in ("weight", "bias")]
        numbers = np.asarray([codec[name] for name in norms], np.float32)
        self._norms = numbers.reshape(shape.decoder_blocks, 2, shape.width)

    def decode(self, windows: F32) -> tuple[F32, F32]:
        """Return means [n · S, F] and spreads [n · S, bands] of log-magnitudes, from windows of latents [n, W · D]."""
        shape, count = self.shape, len(windows)
        h, normal, up = (np.empty((count, shape.width), np.float32) for _ in range(3))
        middle = np.empty((count, shape.spectra * shape.bins), np.float32)
        spread = np.empty((count, shape.spectra * shape.bands), np.float32)
        _decode(*self._packed, self._norms, np.ascontiguousarray(windows), h, normal, up, middle, spread)
        return middle.reshape(-1, shape.bins), spread.reshape(-1, shape.bands)

    def magnitudes(self, middle: F32, spread: F32, frames: NDArray[np.int64], noise_fill: float) -> F32:
        """Return magnitudes [n, F] with noise substitution in noise-like bins; logarithm and floor are undone.

        `frames` [n] are the indices of the spectra in their streams.
        """
        shape = self.shape
        share = np.zeros(middle.shape, np.float32)
        weights, scales, _, layout = self._packed
        add_products(weights, scales, layout[-1], shape.bins, spread, share)
        noise = log_noise(shape) if noise_fill else np.zeros((1, shape.bins), np.float32)
        out = np.empty_like(middle)
        _magnitudes(
            middle, share, noise, frames % len(noise), np.float32(noise_fill), np.float32(shape.floor),
            np.float32(shape.n_fft / 4), out,
        )  # fmt: skip
        return out


@lru_cache(maxsize=4)
def packed(codec: CodecWeights) -> PackedDecoder:
    """Return a codec's packed decoder, shared by all streams."""
    return PackedDecoder(codec)


@lru_cache(maxsize=4)
def log_noise(shape: CodecShape) -> F32:
    """Return the deviations of a noise loop's log-magnitudes from their mean, [NOISE_FRAMES, F]."""
    noise = np.random.default_rng(0).standard_normal(NOISE_FRAMES * shape.hop, np.float32)
    window = hann(shape.n_fft)
    window = window / np.sqrt(np.square(window).sum())
    round_about = np.concatenate([noise, noise[: shape.n_fft]])
    frames = np.lib.stride_tricks.sliding_window_view(round_about, shape.n_fft)[: len(noise) : shape.hop]
    magnitudes = np.abs(fft.rfft(frames * window, axis=-1)).astype(np.float32)
    return np.asarray(np.log(magnitudes + np.float32(1e-4)) - np.float32(MEAN_LOG_RAYLEIGH), np.float32)


@compiled
def _decode(
    weights: Any, scales: Any, biases: Any, layout: Any, norms: Any, windows: Any, h: Any, normal: Any, up: Any,
    middle: Any, spread: Any,
) -> None:  # fmt: skip
    n, width = h.shape
    blocks = norms.shape[0]
    begin_all(biases, layout[0], h)
    add_products(weights, scales, layout[0], width, windows, h)
    for b in range(blocks):
        for i in range(n):
            _normalise(h[i], norms[b, 0], norms[b, 1], normal[i])
        begin_all(biases, layout[1 + 2 * b], up)
        add_products(weights, scales, layout[1 + 2 * b], width, normal, up)
        for i in range(n):
            row = up[i]
            for j in range(width):
                row[j] = row[j] * sigmoid(row[j])
        begin_all(biases, layout[2 + 2 * b], normal)
        add_products(weights, scales, layout[2 + 2 * b], width, up, normal)
        for i in range(n):
            to, part = h[i], normal[i]
            for j in range(width):
                to[j] += part[j]
    begin_all(biases, layout[1 + 2 * blocks], middle)
    add_products(weights, scales, layout[1 + 2 * blocks], middle.shape[1], h, middle)
    begin_all(biases, layout[2 + 2 * blocks], spread)
    add_products(weights, scales, layout[2 + 2 * blocks], spread.shape[1], h, spread)
    for i in range(n):
        row = middle[i]
        for j in range(middle.shape[1]):
            row[j] = row[j] * float32(SCALE) + float32(CENTRE)
        row = spread[i]
        for j in range(spread.shape[1]):
            row[j] = exp(row[j])


@compiled
def _normalise(x: Any, weight: Any, bias: Any, out: Any) -> None:
    """Layer normalisation of one row."""
    width = x.shape[0]
    mean, square = float32(0.0), float32(0.0)
    for j in range(width):
        mean += x[j]
    mean = mean / float32(width)
    for j in range(width):
        square += (x[j] - mean) * (x[j] - mean)
    scale = float32(1.0 / math.sqrt(square / width + EPSILON))
    for j in range(width):
        out[j] = (x[j] - mean) * scale * weight[j] + bias[j]


@compiled
def _magnitudes(
    middle: Any, share: Any, noise: Any, rows: Any, noise_fill: Any, floor: Any, full: Any, out: Any
) -> None:  # fmt: skip
    for i in range(middle.shape[0]):
        grain, log, part, to = noise[rows[i]], middle[i], share[i], out[i]
        for j in range(middle.shape[1]):
            rough = log[j] + min(part[j], float32(1.0)) * noise_fill * grain[j]
            to[j] = max(exp(min(rough, float32(0.0))) - floor, float32(0.0)) * full
