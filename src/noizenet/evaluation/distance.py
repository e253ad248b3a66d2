"""Distances between embeddings of generated and of real music, with confidence intervals.

The Fréchet distance is biased upwards for small sets, the more so the smaller they are (their covariances are too
narrow in some directions), so that sets of different sizes cannot be compared. The distance at infinite size is
extrapolated by a line through distances at several sizes over 1 / size (M. J. Chong and D. Forsyth, "Effectively
unbiased FID and inception score", CVPR 2020; for music: A. Gui et al., "Adapting Frechet audio distance for generative
music evaluation", ICASSP 2024). Smaller sets leave out whole recordings: the points of one recording are correlated,
and a set of few recordings is too narrow however many points it has. The kernel distance is unbiased and serves as a
check (M. Bińkowski et al., "Demystifying MMD GANs", ICLR 2018); for the same reason, its pairs within a set are from
two different recordings.

Minimum sizes: a covariance of D dimensions from fewer than D points is singular, so the smallest subset has at least D
points and a set at least 2 D. Simulated with Gaussians of 32 and 64 dimensions (equal, decaying and random spectra;
true distances of 0 to 0.2 of the total variance), the error of the extrapolated distance is then at most 0.03 of the
total variance on average, where the plain distance is 0.12 to 0.29 too large; with half as many points the error is up
to 0.05, with D / 2 + 2 points up to 0.3.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from noizenet.base.errors import UsageError
from noizenet.evaluation.intervals import MIN_RECORDINGS, Estimate, bootstrap_interval, clip_at_zero

F64 = NDArray[np.float64]
Groups = NDArray[np.integer]
SIZES, DRAWS, BOOTSTRAPS, KERNEL_SUBSET, KERNEL_DRAWS = 6, 3, 20, 200, 50
N_SPLITS = 4
"""Random splits of the reference into halves, to estimate the bias due to its size."""

POINTS_PER_DIMENSION = 2
"""Points that a Fréchet distance needs for each dimension of an embedding."""

KERNEL_MIN_POINTS, KERNEL_MIN_RECORDINGS = 16, 2
SHRINK = 1e-6
"""Added to the variances, relative to their mean, so that singular covariances have a distance too."""

CONSTANT_SHARE = 1e-6
"""Standard deviation, as a share of the largest one, below which a feature counts as constant."""


@dataclass(frozen=True)
class Gaussian:
    """Mean [D] and covariance [D, D] of a set."""

    mean: F64
    covariance: F64

    @classmethod
    def of(cls, points: F64) -> Gaussian:
        """Fit points [N, D]."""
        covariance = np.cov(points, rowvar=False)
        covariance = np.atleast_2d(covariance)
        return cls(points.mean(0), covariance + SHRINK * max(np.trace(covariance) / len(covariance), 1e-12) * np.eye(
            len(covariance)
        ))  # fmt: skip


def frechet(a: Gaussian, b: Gaussian) -> float:
    """Return the squared Fréchet distance of two Gaussians: |m_a - m_b|² + tr(A + B - 2 (A B)^(1/2)).

    Source: D. C. Dowson and B. V. Landau, 1982. The trace of the root is computed from the eigenvalues of the symmetric
    A^(1/2) B A^(1/2).
    """
    values, vectors = np.linalg.eigh(a.covariance)
    root = (vectors * np.sqrt(np.maximum(values, 0))) @ vectors.T
    inner = np.linalg.eigvalsh(root @ b.covariance @ root)
    traces = np.trace(a.covariance) + np.trace(b.covariance) - 2 * np.sqrt(np.maximum(inner, 0)).sum()
    return float(np.square(a.mean - b.mean).sum() + traces)


def frechet_at_infinity(real: Gaussian, points: F64, groups: Groups, generator: np.random.Generator) -> float:
    """Return the Fréchet distance of points [N, D] to a reference, extrapolated to infinitely many recordings.

    NaN if there are too few points to leave recordings out.
    """
    rows_by_recording = _rows_by_recording(groups)
    x, y = [], []
    for size in np.unique(np.linspace((len(rows_by_recording) + 1) // 2, len(rows_by_recording), SIZES).astype(int)):
        for _ in range(DRAWS if size < len(rows_by_recording) else 1):
            chosen = generator.choice(len(rows_by_recording), size, replace=False)
            drawn = points[np.concatenate([rows_by_recording[i] for i in chosen])]
            if len(drawn) >= points.shape[1]:
                x.append(1 / len(drawn))
                y.append(frechet(real, Gaussian.of(drawn)))
    if len(set(x)) < 2:
        return float("nan")
    return float(np.polynomial.Polynomial.fit(x, y, 1)(0.0))


def frechet_distance(
    real: F64, points: F64, groups: Groups, seed: int = 0, *, real_groups: Groups | None = None
) -> Estimate:
    """Return the Fréchet distance of points to a reference, both extrapolated to infinite size, with an interval.

    Parameters
    ----------
    real, points : ndarray
        Reference [M, D] and points [N, D], from disjoint sets of recordings.
    groups : ndarray
        Recording of each point, [N].
    seed : int
        Seed of the subsets and of the bootstrap.
    real_groups : ndarray, optional
        Recording of each reference point, [M]; by default each point counts as one recording.

    Returns
    -------
    Estimate
        Never negative: a negative estimate is given as 0, with a note.

    Raises
    ------
    UsageError
        If either side has fewer than 2 D points or fewer than five recordings.
    """
    real_groups = np.arange(len(real)) if real_groups is None else real_groups
    for name, side, side_groups in (("the reference", real, real_groups), ("the evaluated set", points, groups)):
        _check(name, side, side_groups, POINTS_PER_DIMENSION * side.shape[-1], MIN_RECORDINGS)
    reference = Gaussian.of(real)
    # The bias due to the reference's size is the same for every set compared with it, and is subtracted.
    generator = np.random.default_rng(seed)
    bias = _reference_bias(real, real_groups, generator)

    def estimate(chosen: F64, of: Groups) -> float:
        return frechet_at_infinity(reference, chosen, of, generator) - bias

    value = estimate(points, groups)
    if not np.isfinite(value):
        raise UsageError("nearly all segments are from one recording: more recordings are needed")
    return _interval(value, points, groups, generator, estimate)


def _reference_bias(real: F64, groups: Groups, generator: np.random.Generator) -> float:
    """Return the bias due to a reference's size, from the distance between halves of its recordings."""
    rows_by_recording = _rows_by_recording(groups)
    found = []
    for _ in range(N_SPLITS):
        order = generator.permutation(len(rows_by_recording))
        halves = [np.concatenate([rows_by_recording[i] for i in part]) for part in np.array_split(order, 2)]
        between = frechet(*(Gaussian.of(real[half]) for half in halves))
        found.append(between / (len(real) * sum(1 / len(half) for half in halves)))
    return float(np.mean(found))


def _check(name: str, points: F64, groups: Groups, min_points: int, min_recordings: int) -> None:
    """Raise if a set cannot support an estimate."""
    if points.ndim != 2 or len(groups) != len(points):
        raise UsageError(f"{name}: expected points [N, D] and the recording of each [N]")
    if len(points) < min_points:
        raise UsageError(
            f"{len(points)} segments of three seconds ({name}) are too few for embeddings of {points.shape[1]} "
            f"dimensions: at least {min_points} are needed"
        )
    count = len(np.unique(groups))
    if count < min_recordings:
        raise UsageError(f"{count} recording(s) ({name}) are too few: at least {min_recordings} are needed")
    if not np.isfinite(points).all():
        raise UsageError(f"{name}: some values are not finite")


def _rows_by_recording(groups: Groups) -> list[NDArray[Any]]:
    """Return the rows of each recording."""
    return [np.flatnonzero(groups == name) for name in np.unique(groups)]


def feature_scales(points: F64) -> F64:
    """Return a scale of each dimension of points [N, D]: its standard deviation, or the largest one if constant."""
    spread = points.std(0)
    most = float(spread.max(initial=0.0)) or 1.0
    return np.where(spread > CONSTANT_SHARE * most, spread, most)


def kernel_distance(
    real: F64, points: F64, groups: Groups, seed: int = 0, *, real_groups: Groups | None = None
) -> Estimate:
    """Return the unbiased squared kernel distance (MMD) with the kernel (x·y / D + 1)³, on standardised points.

    Parameters are those of :func:`frechet_distance`.

    Raises
    ------
    UsageError
        If either side has fewer than 16 points, or all are from one recording.
    """
    real_groups = np.arange(len(real)) if real_groups is None else real_groups
    for name, side, side_groups in (("the reference", real, real_groups), ("the evaluated set", points, groups)):
        _check(name, side, side_groups, KERNEL_MIN_POINTS, KERNEL_MIN_RECORDINGS)
    generator = np.random.default_rng(seed)
    mean, spread = real.mean(0), feature_scales(real)
    a, b = (real - mean) / spread, (points - mean) / spread
    origin = np.arange(len(b))

    def estimate(rows: NDArray[Any], _: Groups) -> float:
        found = []
        for _draw in range(KERNEL_DRAWS):
            i = generator.choice(len(a), min(KERNEL_SUBSET, len(a)), replace=False)
            j = rows[generator.choice(len(rows), min(KERNEL_SUBSET, len(rows)), replace=False)]
            found.append(_mmd(a[i], real_groups[i], b[j], groups[j]))
        finite = [x for x in found if np.isfinite(x)]  # a draw may come from one recording only
        return float(np.mean(finite)) if finite else float("nan")

    value = estimate(origin, groups)
    if not np.isfinite(value):
        raise UsageError("nearly all segments are from one recording: more recordings are needed")
    return _interval(value, origin, groups, generator, estimate, rounds=10)


def _mmd(x: F64, x_groups: Groups, y: F64, y_groups: Groups) -> float:
    """Return the squared distance of two sets; pairs within a set are from two different recordings."""
    size = x.shape[1]
    within = 0.0
    for side, side_groups in ((x, x_groups), (y, y_groups)):
        apart = side_groups[:, None] != side_groups
        if not apart.any():
            return float("nan")
        within += float(_cube(side @ side.T / size + 1)[apart].mean())
    return within - 2 * float(_cube(x @ y.T / size + 1).mean())


def _cube(x: F64) -> F64:
    return x * x * x  # much faster than a power


def _interval(
    value: float, points: NDArray[Any], groups: Groups, generator: np.random.Generator,
    statistic: Callable[[NDArray[Any], Groups], float], rounds: int = BOOTSTRAPS,
) -> Estimate:  # fmt: skip
    """Return the estimate with an interval by resampling whole recordings."""
    rows_by_recording, found = _rows_by_recording(groups), list[float]()
    for _ in range(rounds if len(rows_by_recording) >= MIN_RECORDINGS else 0):
        chosen = generator.integers(len(rows_by_recording), size=len(rows_by_recording))
        rows = np.concatenate([rows_by_recording[i] for i in chosen])
        found.append(
            statistic(points[rows], np.repeat(np.arange(len(chosen)), [len(rows_by_recording[i]) for i in chosen]))
        )
    low, high = bootstrap_interval(value, found, len(rows_by_recording))
    return clip_at_zero(Estimate(value, low, high, len(points)))
