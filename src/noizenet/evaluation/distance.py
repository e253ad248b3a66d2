"""How far generated music lies from real music: distances between sets of embeddings, with intervals.

A Fréchet distance from few points is too large (its covariances are too narrow in some directions), the more so the
fewer they are: sets of other sizes cannot be compared. The distance at infinite size is read off a line through
distances at several sizes over 1 / size (M. J. Chong and D. Forsyth, "Effectively unbiased FID and inception score",
CVPR 2020; for music: A. Gui et al., "Adapting Frechet audio distance for generative music evaluation", ICASSP 2024).
The kernel distance needs no such cure and checks it (M. Bińkowski et al., "Demystifying MMD GANs", ICLR 2018).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from noizenet.base.errors import UsageError

F64 = NDArray[np.float64]
SIZES, DRAWS, BOOTSTRAPS, KERNEL_SUBSET, KERNEL_DRAWS = 6, 3, 20, 200, 50
KERNEL_LEAST = 16
SHRINK = 1e-6
"""Added to variances relative to their mean: points that all lie in a plane have a distance too."""

DEAD = 1e-6
"""Spread of a feature, as a share of the largest, below which it does not vary."""


@dataclass(frozen=True)
class Estimate:
    """A figure, the interval that holds it in 9 of 10 resamplings, and how many points it comes from."""

    value: float
    low: float
    high: float
    count: int


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


def frechet_at_infinity(real: Gaussian, points: F64, generator: np.random.Generator) -> float:
    """Return the Fréchet distance of points [N, D] to a reference, extrapolated to infinitely many points."""
    least = _least(points)
    sizes = np.unique(np.linspace(max(least, len(points) // 4), len(points), SIZES).astype(int))
    x, y = [], []
    for size in sizes:
        for _ in range(DRAWS if size < len(points) else 1):
            drawn = points[generator.choice(len(points), size, replace=False)]
            x.append(1 / size)
            y.append(frechet(real, Gaussian.of(drawn)))
    if len(sizes) == 1:
        return y[0]
    return float(np.polynomial.Polynomial.fit(x, y, 1)(0.0))


def frechet_distance(real: F64, points: F64, groups: NDArray[np.integer], seed: int = 0) -> Estimate:
    """Return the Fréchet distance of points to real ones, both extrapolated, with an interval.

    Parameters
    ----------
    real, points : ndarray
        [M, D] and [N, D].
    groups : ndarray
        Which stream each point is from, [N]. The interval comes from resampling whole streams: points of one stream are
        alike.

    Raises
    ------
    UsageError
        If there are too few points for a covariance.
    """
    if min(len(real), len(points)) < _least(points):
        raise UsageError(
            f"{min(len(real), len(points))} stretches of three seconds are too few for a covariance of "
            f"{points.shape[1]} numbers: at least {_least(points)} are needed"
        )
    reference = Gaussian.of(real)
    # What the reference's own size adds is the same for all that is compared with it, and is taken off once.
    generator = np.random.default_rng(seed)
    surplus = _surplus(real, generator)
    value = frechet_at_infinity(reference, points, generator) - surplus
    return _interval(
        value, points, groups, generator,
        lambda chosen: frechet_at_infinity(reference, chosen, generator) - surplus,
    )  # fmt: skip


def _surplus(real: F64, generator: np.random.Generator) -> float:
    """Return what a reference of N points adds: half the distance between two halves, scaled from N / 2 to N."""
    order = generator.permutation(len(real))
    half = len(real) // 2
    between = frechet(Gaussian.of(real[order[:half]]), Gaussian.of(real[order[half : 2 * half]]))
    return between / 4


def _least(points: F64) -> int:
    return int(points.shape[1] // 2 + 2)


def kernel_distance(real: F64, points: F64, groups: NDArray[np.integer], seed: int = 0) -> Estimate:
    """Return the unbiased squared kernel distance with the kernel (x·y / D + 1)³, on standardised points.

    Raises
    ------
    UsageError
        If there are fewer than 16 points of either kind.
    """
    if min(len(real), len(points)) < KERNEL_LEAST:
        raise UsageError(
            f"{min(len(real), len(points))} stretches of three seconds are too few: at least {KERNEL_LEAST} are needed"
        )
    generator = np.random.default_rng(seed)
    mean, spread = real.mean(0), real.std(0)
    spread = np.where(spread > DEAD * spread.max(), spread, spread.max() + 1e-9)  # what never varies has no unit
    a, b = (real - mean) / spread, (points - mean) / spread

    def once(chosen: F64) -> float:
        size = min(KERNEL_SUBSET, len(a), len(chosen))
        found = []
        for _ in range(KERNEL_DRAWS):
            x, y = (s[generator.choice(len(s), size, replace=False)] for s in (a, chosen))
            found.append(_mmd(x, y))
        return float(np.mean(found))

    return _interval(once(b), b, groups, generator, once, rounds=10)


def _mmd(x: F64, y: F64) -> float:
    n, size = len(x), x.shape[1]
    xx, yy, xy = ((p @ q.T / size + 1) ** 3 for p, q in ((x, x), (y, y), (x, y)))
    within = (xx.sum() - np.trace(xx) + yy.sum() - np.trace(yy)) / (n * (n - 1))
    return float(within - 2 * xy.mean())


def _interval(
    value: float, points: F64, groups: NDArray[np.integer], generator: np.random.Generator,
    figure: Callable[[F64], float], rounds: int = BOOTSTRAPS,
) -> Estimate:  # fmt: skip
    """Resample streams, and move what that gives so that its middle is the value."""
    names = np.unique(groups)
    members = [np.flatnonzero(groups == name) for name in names]
    least, found = _least(points), []
    for _ in range(rounds):
        rows = np.concatenate([members[i] for i in generator.integers(len(names), size=len(names))])
        if len(np.unique(rows)) >= least:
            found.append(figure(points[rows]))
    if not found:
        return Estimate(value, float("nan"), float("nan"), len(points))
    low, middle, high = np.quantile(found, [0.05, 0.5, 0.95])
    return Estimate(value, float(value + low - middle), float(value + high - middle), len(points))
