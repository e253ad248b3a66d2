"""Distance of generated codes to those of the training tracks: ``python distances.py DATA PLAYED.npz …``.

Windows of three seconds (64 frames) are described by means, deviations and mean changes of the codec's latents, reduced
to 32 principal components of the training tracks; sets are compared by the Fréchet distance. This is fast, ignores
phases, and does not replace ``noizenet evaluate``. Also printed are the share of frames that (nearly) repeat the
previous one, the mean change between frames, and the similarity of frames 4 or 16 seconds apart. The first row is
held-out music.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
from scipy import linalg

from noizenet.representation.codec_network import embed
from noizenet.representation.codec_weights import load_codec

WINDOW, COMPONENTS, RATE = 64, 32, 22050 / 1024
Array = np.ndarray[Any, Any]


def latents(codes: Array) -> Array:
    """Return the codec's latents [T, D] of codes [T, K ≥ 8]."""
    return embed(codes[:, :8].astype(np.int16), load_codec("noizenet-2"))


def features(z: Array) -> Array:
    """Return the features of each window of latents [T, D], [windows, 3 · D]."""
    z = z[: len(z) // WINDOW * WINDOW].reshape(-1, WINDOW, z.shape[1])
    return np.concatenate([z.mean(1), z.std(1), np.abs(np.diff(z, axis=1)).mean(1)], 1)


def frechet(x: Array, y: Array) -> float:
    """Return the Fréchet distance of two sets [n, D]."""
    a, b = np.cov(x.T), np.cov(y.T)
    return float(np.square(x.mean(0) - y.mean(0)).sum() + np.trace(a + b - 2 * linalg.sqrtm(a @ b).real))


def self_similarity(z: Array, seconds: float) -> float:
    """Return the mean cosine similarity of centred latents [T, D] at a lag of some seconds."""
    z = z - z.mean(0)
    z /= np.linalg.norm(z, axis=1, keepdims=True) + 1e-6
    lag = round(seconds * RATE)
    return float((z[lag:] * z[:-lag]).sum(1).mean()) if len(z) > lag else float("nan")


def describe(streams: list[Array]) -> dict[str, float]:
    """Return the metrics that need no reference."""
    same = [((c[1:, :8] == c[:-1, :8]).sum(1) >= 7).mean() for c in streams]
    decoded = [latents(c) for c in streams]
    flux = [np.abs(np.diff(z, axis=0)).mean() for z in decoded]
    found = {"held": np.mean(same), "flux": np.mean(flux)}
    found |= {f"alike, {s} s": np.nanmean([self_similarity(z, s) for z in decoded]) for s in (4, 16)}
    return {k: round(float(v), 3) for k, v in found.items()}


def main() -> None:
    """Print a row for held-out tracks and one for each file of generated codes; write them as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("played", type=Path, nargs="+")
    parser.add_argument("--out", type=Path)
    a = parser.parse_args()
    with np.load(a.data / "0.codes.npz") as f:
        codes, lengths, splits = f["codes"], f["lengths"], f["info"][:, 1]
    tracks = np.split(codes, np.cumsum(lengths)[:-1])
    held = [t for t, s in zip(tracks, splits, strict=True) if s]
    training = np.concatenate([features(latents(t)) for t, s in zip(tracks, splits, strict=True) if not s])
    mean, spread = training.mean(0), training.std(0) + 1e-6
    _, scale, axes = np.linalg.svd((training - mean) / spread, full_matrices=False)

    def reduced(x: Array) -> Array:
        out: Array = (x - mean) / spread @ axes[:COMPONENTS].T / (scale[:COMPONENTS] / np.sqrt(len(training)))
        return out

    reference, rows = reduced(training), dict[str, Any]()
    sets = {"held-out": held} | {p.stem: list(np.load(p)["codes"]) for p in a.played}
    rng = np.random.default_rng(0)
    for name, streams in sets.items():
        vectors = np.concatenate([reduced(features(latents(c))) for c in streams])
        count = min(len(vectors), 360)  # the distance grows with fewer windows, so all sets have equal sizes
        vectors = vectors[rng.choice(len(vectors), count, replace=False)]
        short = [c[: round(30 * RATE)] for c in streams]
        rows[name] = {"distance": round(frechet(vectors, reference), 2), "windows": count, **describe(short)}
        print(f"{name:30}", rows[name], flush=True)
    if a.out:
        a.out.write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
