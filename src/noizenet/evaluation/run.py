"""The whole evaluation: hear real music and what was made, judge, and write ``report.json`` and ``report.html``."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from noizenet.audio.write import from_pcm16
from noizenet.base.errors import UsageError
from noizenet.base.files import make_folder, write_text
from noizenet.corpus.corpus import Corpus
from noizenet.evaluation import overtime, report
from noizenet.evaluation.fetch import tagger_wheel
from noizenet.evaluation.judge import EMBEDDINGS, Judgement, judge
from noizenet.evaluation.material import Sounding, middle, of_corpus, sound
from noizenet.evaluation.tagger import load_tagger

KEPT_S, EXCERPT_S = 20.0, 3.0


@dataclass(frozen=True)
class Made:
    """One recording to be judged: its name, the genre that was asked for, its rate, and its blocks of mono samples."""

    name: str
    genre: str
    sample_rate: int
    blocks: Callable[[], Iterator[NDArray[np.float32]]]


@dataclass(frozen=True)
class Options:
    """How to judge.

    Parameters
    ----------
    embedding : str
        ``tagger`` (fetched once) or ``crafted`` (no download).
    real_seconds : float
        How much is heard of each real track, from its middle.
    seed : int
        Fixes every resampling.
    """

    embedding: str = "tagger"
    real_seconds: float = 60.0
    seed: int = 0

    def __post_init__(self) -> None:
        if self.embedding not in EMBEDDINGS:
            raise UsageError(f"embedding: {self.embedding!r} is none of {', '.join(EMBEDDINGS)}")
        if not 3 <= self.real_seconds < math.inf:
            raise UsageError(f"real seconds: {self.real_seconds} is not 3 or more")


def evaluate(
    title: str,
    corpus: Corpus,
    made: Sequence[Made],
    out: Path,
    options: Options,
    *,
    more: dict[str, Any] | None = None,
    warnings: Sequence[str] = (),
    skipped: Sequence[tuple[str, str]] = (),
    on_progress: Callable[[str, float], None] | None = None,
) -> dict[str, Any]:
    """Judge recordings by a corpus and write the report.

    Parameters
    ----------
    title : str
    corpus : Corpus
        Its training tracks are what the music was learned from; its other tracks are the real music to stand beside.
    made : sequence of Made
    out : Path
        A folder for ``report.json`` and ``report.html``.
    options : Options
    more : dict, optional
        Further sections of the report (likelihood, cost, …), as they are.
    warnings, skipped : sequence
        What a reader must know; what was left out and why.
    on_progress : callable, optional
        Called with what is being done and the share that is done.

    Returns
    -------
    dict
        The report.
    """
    train, held = corpus.split("train"), [*corpus.split("validation"), *corpus.split("test")]
    if not train or not held:
        raise UsageError(f"{corpus.folder}: an evaluation needs training and held-out tracks; this has only one kind")
    tagger = load_tagger(tagger_wheel()) if options.embedding == "tagger" else None
    count, done = len(train) + len(held) + len(made), 0

    def step(name: str) -> None:
        nonlocal done
        done += 1
        if on_progress is not None:
            on_progress(name, done / count)

    real = [of_corpus(corpus, side, options.real_seconds, tagger, step) for side in (train, held)]
    sounds, kept = list[Sounding](), dict[str, tuple[NDArray[np.float32], int]]()
    for one in made:
        keep = _Keep(round(KEPT_S * one.sample_rate))
        sounds.append(sound(one.name, one.genre, keep.pass_on(one.blocks()), one.sample_rate, tagger))
        kept[one.name] = (keep.samples(), one.sample_rate)
        step(one.name)
    found = judge(
        [s.heard for s in real[0]], [s.heard for s in real[1]], [s.heard for s in sounds],
        embedding=options.embedding, seed=options.seed,
    )  # fmt: skip
    result = _result(title, found, sounds, real[1], options) | (more or {})
    result |= {"warnings": list(warnings), "skipped": [list(s) for s in skipped]}
    make_folder(out)
    write_text(out / "report.json", json.dumps(_plain(result), indent=1, allow_nan=False))
    players = {name: report.data_url(x, rate) for name, (x, rate) in kept.items() if len(x)}
    players |= _worst(found, corpus, {m.name: m for m in made}, options.real_seconds)
    pictures = []
    if found.distributions:
        units = {name: unit for name, (unit, _) in overtime.FIGURES.items()}
        pictures.append(("Music over time", report.draw_distributions(found.distributions, units)))
    write_text(out / "report.html", report.page(result, pictures, players))
    return result


class _Keep:
    """Passes blocks on, and keeps the first so many samples."""

    def __init__(self, count: int) -> None:
        self._count, self._parts, self._have = count, list[NDArray[np.float32]](), 0

    def pass_on(self, blocks: Iterator[NDArray[np.float32]]) -> Iterator[NDArray[np.float32]]:
        for block in blocks:
            if self._have < self._count:
                self._parts.append(block[: self._count - self._have].copy())
                self._have += len(self._parts[-1])
            yield block

    def samples(self) -> NDArray[np.float32]:
        return np.concatenate([np.zeros(0, np.float32), *self._parts])


def _result(
    title: str, found: Judgement, sounds: Sequence[Sounding], held: Sequence[Sounding], options: Options
) -> dict[str, Any]:
    alive = float(np.mean([s.alive.alive for s in sounds])) if sounds else float("nan")
    whole = sum(s.alive.death_s is None for s in sounds)
    real = float(np.mean([s.alive.alive for s in held]))
    plain = found.to_dict()
    verdict = found.copying.get("verdict", "unknown")
    return {
        "title": title,
        "summary": f"{whole} of {len(sounds)} streams are alive from end to end ({alive:.1%} of their time; held-out "
        f"music {real:.1%}). Copying: {verdict}.",
        "options": {"embedding": options.embedding, "real_seconds": options.real_seconds, "seed": options.seed},
        "alive": {"made": alive, "real": real, "whole_streams": whole},
        "streams": [
            {
                "name": s.heard.name, "genre": s.heard.genre, "alive": s.alive.to_dict(),
                "silent_stretches": s.heard.silent,
            }
            for s in sounds
        ],
        **plain,
    }  # fmt: skip


def _worst(found: Judgement, corpus: Corpus, made: dict[str, Made], real_seconds: float) -> dict[str, str]:
    """Return players for the worst pairs: the generated second and its neighbour, with a second around each."""
    tracks = {t.id: t for t in corpus.tracks}
    players = {}
    for i, pair in enumerate(found.copying.get("worst", [])):
        one, track = made[pair["made"]], tracks[pair["source"]]
        players[f"made {i}"] = report.data_url(_cut(one, pair["made_s"]), one.sample_rate)
        rate = corpus.sample_rate
        first = max(0, middle(track, real_seconds, rate)[0] + round((pair["source_s"] - 1) * rate))
        samples = from_pcm16(corpus.read(track, first, min(round(EXCERPT_S * rate), track.frames - first))).mean(1)
        players[f"source {i}"] = report.data_url(samples, rate)
    return players


def _cut(one: Made, at_s: float) -> NDArray[np.float32]:
    first = max(0, round((at_s - 1) * one.sample_rate))
    last, have, parts = first + round(EXCERPT_S * one.sample_rate), 0, []
    for block in one.blocks():
        low, high = max(first - have, 0), min(last - have, len(block))
        if low < high:
            parts.append(block[low:high])
        have += len(block)
        if have >= last:
            break
    return np.concatenate([np.zeros(0, np.float32), *parts])


def _plain(value: Any) -> Any:
    """Return JSON data: no NaN (null says that a figure could not be had)."""
    if isinstance(value, dict):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(v) for v in value]
    if isinstance(value, (float, np.floating)):
        return float(value) if math.isfinite(value) else None
    return value.item() if isinstance(value, np.generic) else value
