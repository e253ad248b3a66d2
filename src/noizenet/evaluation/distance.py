"""How far generated music lies from real music: distances between sets of embeddings, with intervals.

A Fréchet distance from few points is too large (its covariances are too narrow in some directions), the more so the
fewer they are: sets of other sizes cannot be compared. The distance at infinite size is read off a line through
distances at several sizes over 1 / size (M. J. Chong and D. Forsyth, "Effectively unbiased FID and inception score",
CVPR 2020; for music: A. Gui et al., "Adapting Frechet audio distance for generative music evaluation", ICASSP 2024).
What is left out at the smaller sizes are whole recordings: their points are alike, and a set of few recordings is too
narrow however many points it has. The kernel distance needs no such cure and checks it (M. Bińkowski et al.,
"Demystifying MMD GANs", ICLR 2018); its pairs within a set are of two recordings each, for the same reason.

Least counts: a covariance of D numbers from fewer than D points says nothing of some directions, so that the smallest
size has at least D points and a set 2 D. Measured with Gaussians of 32 and 64 numbers (equal, decaying and random
spectra; true distances of 0 to 0.2 of the total variance), the extrapolated distance is then wrong by at most 0.03 of
the total variance on average, where the plain one is 0.12 to 0.29 too large; from half as many points it is wrong by up
to 0.05, from D / 2 + 2 by up to 0.3.
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
"""Ways to part the reference in two, for what its own size adds."""

POINTS_PER_DIMENSION = 2
"""Points that a Fréchet distance needs for each number of an embedding."""

KERNEL_MIN_POINTS, KERNEL_MIN_RECORDINGS = 16, 2
SHRINK = 1e-6
"""Added to variances relative to their mean: points that all lie in a plane have a distance too."""

CONSTANT_SHARE = 1e-6
"""Spread of a feature, as a share of the largest, below which it does not vary."""


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

    D. C. Dowson and B. V. Landau, 1982. The root's trace comes from the eigenvalues of A^(1/2) B A^(1/2), symmetric.
    """
    values, vectors = np.linalg.eigh(a.covariance)
    root = (vectors * np.sqrt(np.maximum(values, 0))) @ vectors.T
    inner = np.linalg.eigvalsh(root @ b.covariance @ root)
    traces = np.trace(a.covariance) + np.trace(b.covariance) - 2 * np.sqrt(np.maximum(inner, 0)).sum()
    return float(np.square(a.mean - b.mean).sum() + traces)


def frechet_at_infinity(real: Gaussian, points: F64, groups: Groups, generator: np.random.Generator) -> float:
    """Return the Fréchet distance of points [N, D] to a reference, extrapolated to infinitely many recordings.

    NaN where there are too few points to leave recordings out.
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
    """Return the Fréchet distance of points to real ones, both extrapolated, with an interval.

    Parameters
    ----------
    real, points : ndarray
        [M, D] and [N, D], of recordings that the other has not.
    groups : ndarray
        Which recording each point is from, [N].
    seed : int
        Fixes what is drawn.
    real_groups : ndarray, optional
        The same of the real ones, [M]; each is taken for a recording of its own where that is not given.

    Returns
    -------
    Estimate
        Never negative: an estimate below 0 is given as 0, and its note says so.

    Raises
    ------
    UsageError
        If there are fewer than 2 D points of either kind or fewer than five recordings: no figure could be trusted.
    """
    real_groups = np.arange(len(real)) if real_groups is None else real_groups
    for name, side, side_groups in (("the reference", real, real_groups), ("what is judged", points, groups)):
        _check(name, side, side_groups, POINTS_PER_DIMENSION * side.shape[-1], MIN_RECORDINGS)
    reference = Gaussian.of(real)
    # What the reference's own size adds is the same for all that is compared with it, and is taken off once.
    generator = np.random.default_rng(seed)
    bias = _reference_bias(real, real_groups, generator)

    def estimate(chosen: F64, of: Groups) -> float:
        return frechet_at_infinity(reference, chosen, of, generator) - bias

    value = estimate(points, groups)
    if not np.isfinite(value):
        raise UsageError("nearly all stretches come from one recording: nothing can be said of others")
    return _interval(value, points, groups, generator, estimate)


def _reference_bias(real: F64, groups: Groups, generator: np.random.Generator) -> float:
    """Return what a reference of N points adds: the distance between two halves of its recordings, scaled."""
    rows_by_recording = _rows_by_recording(groups)
    found = []
    for _ in range(N_SPLITS):
        order = generator.permutation(len(rows_by_recording))
        halves = [np.concatenate([rows_by_recording[i] for i in part]) for part in np.array_split(order, 2)]
        between = frechet(*(Gaussian.of(real[half]) for half in halves))
        found.append(between / (len(real) * sum(1 / len(half) for half in halves)))
    return float(np.mean(found))


def _check(name: str, points: F64, groups: Groups, min_points: int, min_recordings: int) -> None:
    """See that a set can support a figure, and say why where it cannot."""
    if points.ndim != 2 or len(groups) != len(points):
        raise UsageError(f"{name}: expected points [N, D] and the recording of each [N]")
    if len(points) < min_points:
        raise UsageError(
            f"{len(points)} stretches of three seconds ({name}) are too few for embeddings of {points.shape[1]} "
            f"numbers: at least {min_points} are needed"
        )
    count = len(np.unique(groups))
    if count < min_recordings:
        raise UsageError(f"{count} recording(s) ({name}) are too few: at least {min_recordings} are needed")
    if not np.isfinite(points).all():
        raise UsageError(f"{name}: some of its numbers are not finite")


def _rows_by_recording(groups: Groups) -> list[NDArray[Any]]:
    """Return the rows of each recording."""
    return [np.flatnonzero(groups == name) for name in np.unique(groups)]


def feature_scales(points: F64) -> F64:
    """Return what to divide each number of points [N, D] by: its spread, or the largest where it does not vary."""
    spread = points.std(0)
    most = float(spread.max(initial=0.0)) or 1.0
    return np.where(spread > CONSTANT_SHARE * most, spread, most)


def kernel_distance(
    real: F64, points: F64, groups: Groups, seed: int = 0, *, real_groups: Groups | None = None
) -> Estimate:
    """Return the unbiased squared kernel distance with the kernel (x·y / D + 1)³, on standardised points.

    Parameters as for :func:`frechet_distance`.

    Raises
    ------
    UsageError
        If there are fewer than 16 points of either kind, or all are from one recording.
    """
    real_groups = np.arange(len(real)) if real_groups is None else real_groups
    for name, side, side_groups in (("the reference", real, real_groups), ("what is judged", points, groups)):
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
        finite = [x for x in found if np.isfinite(x)]  # a draw may hold one recording only
        return float(np.mean(finite)) if finite else float("nan")

    value = estimate(origin, groups)
    if not np.isfinite(value):
        raise UsageError("nearly all stretches come from one recording: nothing can be said of others")
    return _interval(value, origin, groups, generator, estimate, rounds=10)


def _mmd(x: F64, x_groups: Groups, y: F64, y_groups: Groups) -> float:
    """Return the squared distance of two sets; pairs within a set are of two recordings."""
    size = x.shape[1]
    within = 0.0
    for side, side_groups in ((x, x_groups), (y, y_groups)):
        apart = side_groups[:, None] != side_groups
        if not apart.any():
            return float("nan")
        within += float(_cube(side @ side.T / size + 1)[apart].mean())
    return within - 2 * float(_cube(x @ y.T / size + 1).mean())


def _cube(x: F64) -> F64:
    return x * x * x  # many times as fast as a power


def _interval(
    value: float, points: NDArray[Any], groups: Groups, generator: np.random.Generator,
    statistic: Callable[[NDArray[Any], Groups], float], rounds: int = BOOTSTRAPS,
) -> Estimate:  # fmt: skip
    """Resample recordings."""
    rows_by_recording, found = _rows_by_recording(groups), list[float]()
    for _ in range(rounds if len(rows_by_recording) >= MIN_RECORDINGS else 0):
        chosen = generator.integers(len(rows_by_recording), size=len(rows_by_recording))
        rows = np.concatenate([rows_by_recording[i] for i in chosen])
        found.append(statistic(points[rows], np.repeat(np.arange(len(chosen)), [len(rows_by_recording[i]) for i in chosen])))
    low, high = bootstrap_interval(value, found, len(rows_by_recording))
    return clip_at_zero(Estimate(value, low, high, len(points)))
