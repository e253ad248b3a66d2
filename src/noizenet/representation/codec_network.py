"""A codec's encoder in NumPy, so that encoding does not need torch (which trains it).

It sees a window of neighbouring frames and has no state, so that an error lasts no longer than the window.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import fft

from noizenet.audio.dsp import hann
from noizenet.representation.codec_weights import F32, CodecShape, CodecWeights

CENTRE, SCALE = -4.0, 2.0
"""The network's inputs are (log-magnitude - CENTRE) / SCALE."""
CHUNK = 2048
EPSILON = 1e-5


def spectra(samples: F32, shape: CodecShape) -> F32:
    """Return magnitudes [T, F] of mono samples; spectrum i is centred on sample i × hop. A full-scale sine has 1."""
    n, hop = shape.n_fft, shape.hop
    count = -(-len(samples) // shape.samples) * shape.spectra
    x = np.pad(samples, (n // 2, count * hop + n // 2 - len(samples)))
    frames = np.lib.stride_tricks.sliding_window_view(x, n)[: count * hop : hop]
    window = hann(n) * np.float32(4 / n)
    parts = [np.abs(fft.rfft(frames[i : i + CHUNK] * window, axis=-1)) for i in range(0, count, CHUNK)]
    return np.concatenate([np.zeros((0, shape.bins), np.float32), *parts]).astype(np.float32)


def encode(samples: F32, codec: CodecWeights) -> NDArray[np.int16]:
    """Return the codes [T, K] of mono samples [N]."""
    shape = codec.shape
    magnitudes = spectra(samples, shape)
    count = len(magnitudes) // shape.spectra
    if not count:
        return np.zeros((0, shape.codebooks), np.int16)
    bands = np.sqrt(np.square(magnitudes) @ codec["bands"].T)
    normalised = ((np.log(bands + np.float32(shape.floor)) - CENTRE) / SCALE).reshape(count, -1).astype(np.float32)
    padded = np.pad(normalised, ((shape.past, shape.ahead), (0, 0)), mode="edge")
    windows = np.lib.stride_tricks.sliding_window_view(padded, shape.past + 1 + shape.ahead, axis=0)
    codes = []
    for first in range(0, count, CHUNK):
        flat = windows[first : first + CHUNK].transpose(0, 2, 1).reshape(-1, windows.shape[1] * windows.shape[2])
        codes.append(quantise(linear(layers(flat, codec), codec, "encoder.last"), codec))
    return np.concatenate(codes)


def quantise(latent: F32, codec: CodecWeights) -> NDArray[np.int16]:
    """Return the nearest codes [T, K] of latents [T, D]."""
    shape = codec.shape
    rest, codes = latent, []
    for k, book in enumerate(codec["book"]):
        x = rest[:, k * shape.code_size : (k + 1) * shape.code_size] if shape.quantiser == "product" else rest
        code = nearest(x, book)
        codes.append(code)
        if shape.quantiser == "residual":
            rest = rest - book[code]
    return np.stack(codes, 1).astype(np.int16)


def nearest(x: F32, book: F32) -> NDArray[np.intp]:
    """Return the index of the nearest row of a codebook [V, D] to each row of x [T, D], [T]."""
    codes: NDArray[np.intp] = (np.square(book).sum(1) - 2 * x @ book.T).argmin(1)
    return codes


def embed(codes: NDArray[np.integer], codec: CodecWeights) -> F32:
    """Return the embeddings [T, D] of codes [T, K]."""
    parts = [book[codes[:, k]] for k, book in enumerate(codec["book"])]
    return np.concatenate(parts, 1) if codec.shape.quantiser == "product" else np.sum(parts, 0)


def layers(x: F32, codec: CodecWeights) -> F32:
    """Run the encoder's layers, [n, I] → [n, W]."""
    h = linear(x, codec, "encoder.first")
    for i in range(codec.shape.encoder_blocks):
        name = f"encoder.blocks.{i}"
        centred = h - h.mean(1, keepdims=True)
        normal = centred / np.sqrt(np.square(centred).mean(1, keepdims=True) + EPSILON)
        up = linear(normal * codec[f"{name}.norm.weight"] + codec[f"{name}.norm.bias"], codec, f"{name}.up")
        h = h + linear(up / (1 + np.exp(-np.clip(up, -60, 60))), codec, f"{name}.down")
    return h


def linear(x: F32, codec: CodecWeights, name: str) -> F32:
    """Apply one affine layer."""
    y: F32 = x @ codec.kernels[name] + codec[f"{name}.bias"]
    return y
