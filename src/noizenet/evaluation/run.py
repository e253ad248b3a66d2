"""The whole evaluation: analyse recordings, compute the metrics, and write ``report.json`` and ``report.html``."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from noizenet.audio.waveform import Waveform
from noizenet.base.errors import UsageError
from noizenet.base.files import make_folder, write_json, write_text
from noizenet.base.plain import plain
from noizenet.corpus.corpus import Corpus
from noizenet.evaluation import EMBEDDINGS, METRICS, report
from noizenet.evaluation.controls import REPORT_CONTROLS, control
from noizenet.evaluation.fetch import tagger_wheel
from noizenet.evaluation.judge import Results, compute_metrics
from noizenet.evaluation.metric import MetricInputs
from noizenet.evaluation.pictures import draw_distributions, draw_spectrograms
from noizenet.evaluation.recording import AnalyzedRecording, Recording, analyze, middle, of_corpus
from noizenet.evaluation.tagger import Tagger, load_tagger
from noizenet.store.model import Model

PLAYER_S, EXCERPT_S, SPECTROGRAM_S = 20.0, 3.0, 10.0
MAX_SPECTROGRAMS = 8


@dataclass(frozen=True)
class Options:
    """Options of an evaluation.

    Parameters
    ----------
    embedding : str
        ``tagger`` (downloaded once) or ``crafted`` (no download).
    real_seconds : float
        Seconds that are analysed of each real track, from its middle.
    seed : int
        Seed of every resampling.
    """

    embedding: str = "tagger"
    real_seconds: float = 60.0
    seed: int = 0

    def __post_init__(self) -> None:
        if self.embedding not in EMBEDDINGS:
            raise UsageError(f"embedding: {self.embedding!r} is none of {', '.join(EMBEDDINGS)}")
        if not 3 <= self.real_seconds <= 1e7:
            raise UsageError(f"real seconds: {self.real_seconds:g} is not between 3 and 10,000,000")
        if self.seed < 0:
            raise UsageError(f"seed: {self.seed} is negative")


@dataclass
class ReferenceSet:
    """Analysed recordings of one corpus, and controls: computed once, used by each evaluation."""

    train: list[AnalyzedRecording]
    held_out: list[AnalyzedRecording]
    controls: dict[str, list[AnalyzedRecording]]
    tagger: Tagger | None


def reference_set(
    corpus: Corpus, options: Options, on_analyzed: Callable[[str, float], None] | None = None
) -> ReferenceSet:
    """Analyse a corpus's training and held-out music, and the controls.

    Raises
    ------
    UsageError
        If there is no held-out or no training music.
    """
    train, held_out = corpus.split("train"), corpus.held_out()
    if not train or not held_out:
        raise UsageError(f"{corpus.folder}: an evaluation needs training and held-out tracks; it has only one kind")
    tagger = load_tagger(tagger_wheel()) if options.embedding == "tagger" else None
    sides = {
        "train": of_corpus(corpus, train, options.real_seconds),
        "held": of_corpus(corpus, held_out, options.real_seconds),
        **{name: control(name, corpus, seed=options.seed) for name in REPORT_CONTROLS},
    }
    count, done = sum(map(len, sides.values())), 0
    analyzed: dict[str, list[AnalyzedRecording]] = {}
    for side, recordings in sides.items():
        analyzed[side] = []
        for recording in recordings:
            analyzed[side].append(analyze(recording, tagger))
            done += 1
            if on_analyzed is not None:
                on_analyzed(recording.name, done / count)
    return ReferenceSet(analyzed["train"], analyzed["held"], {name: analyzed[name] for name in REPORT_CONTROLS}, tagger)


def evaluate(
    title: str,
    corpus: Corpus,
    made: Sequence[Recording],
    out: Path,
    options: Options,
    *,
    reference: ReferenceSet | None = None,
    model: Model | None = None,
    cost: Mapping[str, Any] | None = None,
    warnings: Sequence[str] = (),
    skipped: Sequence[tuple[str, str]] = (),
    on_progress: Callable[[str, float], None] | None = None,
) -> dict[str, Any]:
    """Evaluate recordings against a corpus and write the report.

    Parameters
    ----------
    title : str
    corpus : Corpus
        Its training tracks are the reference of distances; its other tracks are the held-out music.
    made : sequence of Recording
        The recordings to evaluate.
    out : Path
        Folder for ``report.json`` and ``report.html``.
    options : Options
    reference : ReferenceSet, optional
        From :func:`reference_set` with the same corpus and options; saves time in several evaluations.
    model : Model, optional
        The model that generated the recordings, for the metrics of the model itself.
    cost : mapping, optional
        Cost of the generation.
    warnings, skipped : sequence
        Warnings for the reader; names of skipped files with reasons.
    on_progress : callable, optional
        Called with the current step and the share that is done.

    Returns
    -------
    dict
        The report.
    """
    report_progress = on_progress or (lambda name, share: None)
    if reference is None:
        reference = reference_set(
            corpus, options, lambda name, share: report_progress(f"analysing {name}", 0.6 * share)
        )
    analyzed = _analyze_made(
        made, reference.tagger, lambda name, share: report_progress(f"analysing {name}", 0.6 + 0.2 * share)
    )
    inputs = MetricInputs(
        reference.train, reference.held_out, analyzed.sounds, reference.controls, corpus, model, cost or {},
        reference.tagger is not None,
        options.seed,
    )  # fmt: skip
    done = 0

    def on_metric_done(name: str) -> None:
        nonlocal done
        done += 1
        report_progress(name, 0.8 + 0.2 * done / len(METRICS))

    found = compute_metrics(inputs, on_metric=on_metric_done)
    unlabelled = sum(not m.genre for m in made)
    if unlabelled:
        note = (
            f"{unlabelled} of {len(made)} recordings have no genre of this collection: genre accuracy leaves them out"
        )
        warnings = [*warnings, note]
    result = _result(title, found, analyzed.sounds, options) | {"cost": dict(cost or {})}
    result |= {"warnings": list(warnings), "skipped": [list(s) for s in skipped]}
    result = dict(plain(result))
    make_folder(out)
    write_json(out / "report.json", result)
    worst = _worst_pair_players(found, corpus, {m.name: m for m in made}, options.real_seconds)
    pictures = [("Spectrograms", draw_spectrograms(_pairs(analyzed.spectrograms, corpus)))]
    if found.details["distributions"]:
        pictures.append(("Music over time", draw_distributions(found.details["distributions"])))
    write_text(out / "report.html", report.page(result, pictures, analyzed.players | worst))
    return result


class _Analyzed(NamedTuple):
    """Analysed recordings, their players by name, and the first recording of each genre with its beginning."""

    sounds: list[AnalyzedRecording]
    players: dict[str, str]
    spectrograms: dict[str, tuple[Recording, NDArray[np.float32]]]


def _analyze_made(
    made: Sequence[Recording], tagger: Tagger | None, on_analyzed: Callable[[str, float], None]
) -> _Analyzed:
    found = _Analyzed([], {}, {})
    for i, recording in enumerate(made):
        recorder = _Recorder(round(PLAYER_S * recording.sample_rate))
        recorded = replace(
            recording,
            blocks=lambda r=recording, recorder=recorder: recorder.record(r.blocks()),  # type: ignore[misc]
        )
        found.sounds.append(analyze(recorded, tagger))
        if len(samples := recorder.samples()):
            found.players[recording.name] = report.data_url(samples, recording.sample_rate)
            if len(found.spectrograms) < MAX_SPECTROGRAMS:
                beginning = samples[: round(SPECTROGRAM_S * recording.sample_rate)]
                found.spectrograms.setdefault(recording.genre, (recording, beginning))
        on_analyzed(recording.name, (i + 1) / len(made))
    return found


def _pairs(
    spectrograms: Mapping[str, tuple[Recording, NDArray[np.float32]]], corpus: Corpus
) -> list[tuple[str, Waveform, Waveform | None]]:
    """Return a recording of each genre, paired with a held-out track of that genre."""
    held_out = {t.genre: t for t in corpus.held_out()}
    pairs = list[tuple[str, Waveform, Waveform | None]]()
    for genre, (recording, samples) in sorted(spectrograms.items()):
        track = held_out.get(genre) or next(iter(held_out.values()))
        first, count = middle(track, SPECTROGRAM_S, corpus.sample_rate)
        real = Waveform(corpus.mono(track, first, count), corpus.sample_rate)
        pairs.append((recording.name, Waveform(samples, recording.sample_rate), real))
    return pairs


class _Recorder:
    """Passes blocks on, and keeps the first `count` samples."""

    def __init__(self, count: int) -> None:
        self._count, self._parts, self._recorded = count, list[NDArray[np.float32]](), 0

    def record(self, blocks: Iterator[NDArray[np.float32]]) -> Iterator[NDArray[np.float32]]:
        for block in blocks:
            if self._recorded < self._count:
                self._parts.append(block[: self._count - self._recorded].copy())
                self._recorded += len(self._parts[-1])
            yield block

    def samples(self) -> NDArray[np.float32]:
        return np.concatenate([np.zeros(0, np.float32), *self._parts])


def _result(title: str, found: Results, sounds: Sequence[AnalyzedRecording], options: Options) -> dict[str, Any]:
    whole = sum(s.aliveness.death_s is None for s in sounds)
    result = next(f for f in found.results if f.name == "alive")
    real = "" if result.real is None else f"; held-out music {result.real.value:.1%}"
    verdict = found.details["copying"].get("verdict", "unknown")
    return {
        "title": title,
        "summary": f"{whole} of {len(sounds)} streams never degenerate ({result.made.value:.1%} of their time is "
        f"healthy{real}). Copying: {verdict}.",
        "options": {"embedding": options.embedding, "real_seconds": options.real_seconds, "seed": options.seed},
        "whole_streams": whole,
        "streams": [
            {
                "name": s.features.name, "genre": s.features.genre, "alive": s.aliveness.to_dict(),
                "silent_stretches": s.features.silent,
            }
            for s in sounds
        ],
        **found.to_dict(),
    }  # fmt: skip


def _worst_pair_players(
    found: Results, corpus: Corpus, made: dict[str, Recording], real_seconds: float
) -> dict[str, str]:
    """Return players of the most similar pairs: both seconds, with a second before and after each."""
    tracks = {t.name: t for t in corpus.tracks}
    players = {}
    for i, pair in enumerate(found.details["copying"].get("worst", [])):
        recording, track = made[pair["made"]], tracks[pair["source"]]
        players[f"made {i}"] = report.data_url(_excerpt_at(recording, pair["made_s"]), recording.sample_rate)
        rate = corpus.sample_rate
        first = max(0, middle(track, real_seconds, rate)[0] + round((pair["source_s"] - 1) * rate))
        samples = corpus.mono(track, first, min(round(EXCERPT_S * rate), track.frames - first))
        players[f"source {i}"] = report.data_url(samples, rate)
    return players


def _excerpt_at(recording: Recording, at_s: float) -> NDArray[np.float32]:
    first = max(0, round((at_s - 1) * recording.sample_rate))
    last, have, parts = first + round(EXCERPT_S * recording.sample_rate), 0, []
    for block in recording.blocks():
        low, high = max(first - have, 0), min(last - have, len(block))
        if low < high:
            parts.append(block[low:high])
        have += len(block)
        if have >= last:
            break
    return np.concatenate([np.zeros(0, np.float32), *parts])
