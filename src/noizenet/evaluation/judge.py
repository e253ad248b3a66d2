"""All measures over what was heard: training music, held-out music, and what a model made.

Whatever is said of the made music is also said of held-out music, as if a model had made it: that is the floor (or the
ceiling) of each measure, since no model can be asked to be more like the training music than its own neighbours are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from noizenet.base.errors import UsageError
from noizenet.evaluation import overtime
from noizenet.evaluation.copying import Excerpts, compare
from noizenet.evaluation.distance import Estimate, frechet_distance, kernel_distance
from noizenet.evaluation.genre import GenreClassifier
from noizenet.evaluation.listen import Heard


@dataclass(frozen=True)
class Figure:
    """One measure's figure, beside what held-out music scores.

    ``better`` is ``lower``, ``higher`` or ``nearer`` (to real music's).
    """

    measure: str
    unit: str
    better: str
    made: Estimate
    real: Estimate | None
    source: str


@dataclass
class Judgement:
    """What was found, and what could not be said and why."""

    figures: list[Figure] = field(default_factory=list)
    unsaid: dict[str, str] = field(default_factory=dict)
    confusion: dict[str, Any] = field(default_factory=dict)
    copying: dict[str, Any] = field(default_factory=dict)
    distributions: dict[str, dict[str, list[float]]] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Return plain data."""
        return asdict(self)


EMBEDDINGS = {"tagger": "tagged", "crafted": "crafted"}
SOURCES = {
    "frechet": "Fréchet audio distance at infinite size (Kilgour et al. 2019; Chong and Forsyth 2020; Gui et al. 2024)",
    "kernel": "kernel distance (Bińkowski et al. 2018)",
    "genre": "logistic regression on embeddings of real training music",
    "copying": "nearest training second by chroma and mel",
}


def judge(
    train: Sequence[Heard], held: Sequence[Heard], made: Sequence[Heard], *, embedding: str, seed: int = 0
) -> Judgement:
    """Judge what was made.

    Parameters
    ----------
    train, held, made : sequence of Heard
        Real training music, real music that no training saw, generated music.
    embedding : str
        ``tagger`` or ``crafted``; with ``tagger`` both are used for distances.
    seed : int
        Fixes every resampling.
    """
    found = Judgement()
    names = ["crafted"] if embedding == "crafted" else ["tagger", "crafted"]
    for name in names:
        _distances(found, name, train, held, made, seed)
    _genre(found, names[0], train, held, made, seed)
    _copying(found, train, held, made, seed)
    _overtime(found, held, made)
    return found


def points_of(recordings: Sequence[Heard], embedding: str) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return all stretches' embeddings [N, D], and which recording each is from [N]."""
    parts = [getattr(r, EMBEDDINGS[embedding]) for r in recordings]
    points = np.concatenate(parts).astype(np.float64)
    return points, np.repeat(np.arange(len(parts)), [len(p) for p in parts])


def _distances(
    found: Judgement, name: str, train: Sequence[Heard], held: Sequence[Heard], made: Sequence[Heard], seed: int
) -> None:
    reference, _ = points_of(train, name)
    (floor, floor_groups), (points, groups) = points_of(held, name), points_of(made, name)
    mean, spread = reference.mean(0), reference.std(0) + 1e-9
    if name == "crafted":  # its numbers have units of their own; the tagger's share one scale
        reference, floor, points = ((x - mean) / spread for x in (reference, floor, points))
    for measure, figure in (("frechet", frechet_distance), ("kernel", kernel_distance)):
        title = f"{'Fréchet' if measure == 'frechet' else 'kernel'} distance, {name}"
        try:
            made_figure = figure(reference, points, groups, seed)
        except UsageError as error:
            found.unsaid[title] = str(error)
            continue
        try:
            real: Estimate | None = figure(reference, floor, floor_groups, seed)
        except UsageError:
            real = None
        found.figures.append(Figure(title, "", "lower", made_figure, real, SOURCES[measure]))


def _genre(
    found: Judgement, name: str, train: Sequence[Heard], held: Sequence[Heard], made: Sequence[Heard], seed: int
) -> None:
    points, groups = points_of(train, name)
    try:
        classifier = GenreClassifier(points, [train[g].genre for g in groups], seed)
        verdicts = [
            classifier.judge([(r.genre, getattr(r, EMBEDDINGS[name])) for r in side], seed) for side in (made, held)
        ]
    except UsageError as error:
        found.unsaid["genre accuracy"] = str(error)
        return
    found.figures.append(
        Figure("genre accuracy", "share", "higher", verdicts[0].accuracy, verdicts[1].accuracy, SOURCES["genre"])
    )
    found.confusion = {
        "genres": classifier.genres, "made": verdicts[0].confusion.tolist(), "real": verdicts[1].confusion.tolist(),
    }  # fmt: skip


def _copying(found: Judgement, train: Sequence[Heard], held: Sequence[Heard], made: Sequence[Heard], seed: int) -> None:
    excerpts = Excerpts(train)
    theirs = [excerpts.nearest(r) for r in held]
    result = compare([excerpts.nearest(r) for r in made], theirs, seed)
    real = compare(theirs[::2], theirs[1::2], seed) if len(theirs) > 1 else None
    found.figures.append(
        Figure(
            "seconds nearer to training music than 95 % of held-out music", "share", "lower", result.share,
            real.share if real else None, SOURCES["copying"],
        )
    )  # fmt: skip
    found.copying = {
        "verdict": result.verdict, "threshold": result.threshold,
        "made": np.round(result.made[:: max(1, len(result.made) // 2000)], 4).tolist(),
        "real": np.round(result.real[:: max(1, len(result.real) // 2000)], 4).tolist(),
        "worst": [asdict(p) for p in result.worst],
    }  # fmt: skip


def _overtime(found: Judgement, held: Sequence[Heard], made: Sequence[Heard]) -> None:
    ours, halves = overtime.distributions(made), [overtime.distributions(held[i::2]) for i in range(2)]
    for name, (unit, source) in overtime.FIGURES.items():
        a, b = ours[name], np.concatenate([half[name] for half in halves])
        if len(a) < 2 or len(b) < 2:
            found.unsaid[name] = "no recording is long enough for it"
            continue
        floor = overtime.wasserstein(halves[0][name], halves[1][name])
        found.figures.append(
            Figure(f"{name}: distance of distributions", unit, "lower", _bare(overtime.wasserstein(a, b), len(a)),
                   _bare(floor, len(b)), source)
        )  # fmt: skip
        found.distributions[name] = {
            side: np.quantile(x, np.linspace(0, 1, 41)).round(4).tolist() for side, x in (("made", a), ("real", b))
        }
    drifts = [d for d in map(overtime.drift, made) if d is not None]
    for i, (name, unit) in enumerate((("level", "dB"), ("centroid", "Hz"))):
        if drifts:
            sizes = np.abs([d[i] for d in drifts])
            real = [abs(d[i]) for d in map(overtime.drift, held) if d is not None]
            found.figures.append(
                Figure(f"drift of the {name} from first to last minute", unit, "lower",
                       _bare(float(sizes.mean()), len(sizes)),
                       _bare(float(np.mean(real)), len(real)) if real else None, "mean absolute change")
            )  # fmt: skip


def _bare(value: float, count: int) -> Estimate:
    return Estimate(value, float("nan"), float("nan"), count)
