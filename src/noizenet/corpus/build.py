"""Source → corpus: decode in parallel, keep what was done before, report what was left out."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from noizenet.base.errors import CorpusError, DiskFullError, UsageError
from noizenet.base.files import folder_lock, make_folder, write_csv, write_json
from noizenet.corpus import CORPORA
from noizenet.corpus.corpus import FORMAT, TRACK_COLUMNS, Corpus, Track
from noizenet.corpus.prepare import Prepared, safe_prepare
from noizenet.corpus.source import Problem, SourceTrack
from noizenet.corpus.split import Unit, assign_splits

Progress = Callable[[int, int, float], None]
"""Called with (files done, files in all, seconds of audio so far)."""

DEFAULT_RATE_HZ = 22_050


def build(
    source: Path | str,
    out: Path | str,
    *,
    layout: str = "auto",
    sample_rate: int = DEFAULT_RATE_HZ,
    channels: int = 1,
    min_seconds: float = 1.0,
    workers: int | None = None,
    seed: int = 0,
    progress: Progress | None = None,
) -> Corpus:
    """Build (or complete) a corpus folder.

    Every recording is decoded once: what was prepared before, by content, is kept, so that a build that was
    killed goes on where it stopped and a grown collection costs only its new songs.

    Parameters
    ----------
    source : Path or str
        A folder of genre folders, a flat folder, or an FMA tree.
    out : Path or str
        The corpus folder.
    layout : str
        ``auto``, or a name of :data:`noizenet.corpus.CORPORA`.
    sample_rate : int
        Hz, 1,000 to 192,000.
    channels : int
        1 (mono) or 2 (stereo).
    min_seconds : float
        Shorter recordings are refused.
    workers : int, optional
        Processes; one per core by default.
    seed : int
        For the split.
    progress : callable, optional
        See :data:`Progress`.

    Returns
    -------
    Corpus

    Raises
    ------
    UsageError
        For wrong arguments, or a source that is not there.
    CorpusError
        If no recording was usable.
    DiskFullError, LockedError
    """
    source, out = Path(source), Path(out)
    if not source.is_dir():
        what = "is not a folder" if source.exists() else "no such folder"
        raise UsageError(f"{source}: {what}; give the folder that holds your recordings")
    if channels not in (1, 2):
        raise UsageError(f"channels: {channels} is not 1 (mono) or 2 (stereo)")
    if not 1_000 <= sample_rate <= 192_000:
        raise UsageError(f"sample rate: {sample_rate} Hz is outside 1,000–192,000 Hz")
    if out.resolve() == source.resolve():
        raise UsageError(f"{out}: the corpus cannot lie where the recordings lie; choose another folder for it")
    chosen = _layout(source, layout)
    audio = make_folder(out / "audio")
    with folder_lock(out, "corpus"):
        kind = CORPORA.load(chosen)
        scan = kind.scan(source, exclude=out)
        results = _prepare_all(scan.tracks, audio, (sample_rate, channels, min_seconds), workers, progress)
        tracks, problems, split_by = _collect(source, scan.tracks, results, seed, sample_rate)
        problems = [*scan.problems, *problems]
        write_csv(out / "problems.csv", ["path", "reason", "action"], [asdict(p) for p in problems])
        if not tracks:
            raise CorpusError(
                f"{source}: no usable recording among {len(scan.tracks) + len(scan.problems)} files; "
                f"the reasons are in {out / 'problems.csv'}"
            )
        write_csv(out / "tracks.csv", TRACK_COLUMNS, [asdict(t) for t in tracks])
        write_json(
            out / "corpus.json",
            {
                "format": FORMAT,
                "layout": chosen,
                "sample_rate": sample_rate,
                "channels": channels,
                "genres": sorted({t.genre for t in tracks}),
                "tracks": len(tracks),
                "hours": round(sum(t.seconds for t in tracks) / 3600, 4),
                "problems": len(problems),
                "split_seed": seed,
                "split_by": split_by,
                "licence": kind.licence,
                "citation": kind.citation,
            },
        )
    return Corpus(out)


def read_problems(folder: Path) -> list[Problem]:
    """Read a corpus's ``problems.csv``."""
    import csv

    path = folder / "problems.csv"
    if not path.exists():
        return []
    with path.open(newline="", encoding="utf-8") as handle:
        return [Problem(r["path"], r["reason"], r["action"]) for r in csv.DictReader(handle)]


def _layout(source: Path, layout: str) -> str:
    if layout != "auto":
        CORPORA.load(layout)  # raises for an unknown name
        return layout
    return "fma" if CORPORA.load("fma").recognises(source) else "folders"


def _prepare_all(
    tracks: Sequence[SourceTrack],
    audio: Path,
    settings: tuple[int, int, float],
    workers: int | None,
    progress: Progress | None,
) -> list[Prepared]:
    results: dict[int, Prepared] = {}
    seconds = 0.0
    # The longest first: the last file to finish should not be a long one.
    order = sorted(range(len(tracks)), key=lambda i: -_size(tracks[i].path))
    for index, result in _run(tracks, order, audio, settings, workers or os.cpu_count() or 1):
        if isinstance(result, DiskFullError):
            raise result
        results[index] = result
        seconds += result.frames / settings[0]
        if progress is not None:
            progress(len(results), len(tracks), seconds)
    return [results[i] for i in range(len(tracks))]


def _run(
    tracks: Sequence[SourceTrack],
    order: list[int],
    audio: Path,
    settings: tuple[int, int, float],
    workers: int,
) -> Iterator[tuple[int, Prepared | DiskFullError]]:
    """Prepare in worker processes, so that a file that crashes a decoder costs only itself."""
    from joblib import Parallel, delayed
    from joblib.externals.loky.process_executor import TerminatedWorkerError

    waiting = dict.fromkeys(order)
    if min(workers, len(order)) > 1:
        jobs = (delayed(_job)(i, tracks[i].path, audio, settings) for i in order)
        try:
            for index, result in Parallel(n_jobs=workers, return_as="generator_unordered", pre_dispatch="2*n_jobs")(
                jobs
            ):
                waiting.pop(index, None)
                yield index, result
        except TerminatedWorkerError:
            pass  # below, one at a time, to find which file it was
        else:
            return
        for index in list(waiting):
            one = Parallel(n_jobs=2)  # two, as joblib runs a single worker in this very process
            try:
                yield one([delayed(_job)(index, tracks[index].path, audio, settings)])[0]
            except TerminatedWorkerError:
                yield index, Prepared("", "", 0, 0.0, 0.0, 0, "", "", "the decoder crashed on this file")
        return
    for index in order:
        yield _job(index, tracks[index].path, audio, settings)


def _job(index: int, path: Path, audio: Path, settings: tuple[int, int, float]) -> tuple[int, Prepared | DiskFullError]:
    return index, safe_prepare(path, audio, *settings)


def _collect(
    source: Path, found: Sequence[SourceTrack], results: Sequence[Prepared], seed: int, sample_rate: int
) -> tuple[list[Track], list[Problem], dict[str, str]]:
    problems: list[Problem] = []
    rows: list[dict[str, Any]] = []
    first_with: dict[str, str] = {}
    for item, result in zip(found, results, strict=True):
        name = str(item.path.relative_to(source))
        if not result.audio:
            problems.append(Problem(name, result.problem, "skipped"))
            continue
        if result.content in first_with:
            problems.append(Problem(name, f"the same recording as {first_with[result.content]}", "skipped"))
            continue
        first_with[result.content] = name
        if result.problem:
            problems.append(Problem(name, result.problem, "kept in part"))
        rows.append(
            {
                "id": Path(name).with_suffix("").as_posix(),
                "genre": item.genre,
                "artist": item.artist or result.artist,
                "title": item.title or result.title or item.path.stem,
                "split": item.split,
                "frames": result.frames,
                "seconds": round(result.frames / sample_rate, 3),
                "peak": round(result.peak, 5),
                "rms": round(result.rms, 6),
                "content": result.content,
                "audio": result.audio,
                "source": name,
            }
        )
    tracks = [Track(**row) for row in rows]
    assignment = assign_splits([_unit(t) for t in tracks], seed)
    placed = [Track(**{**asdict(t), "split": assignment.split[t.source]}) for t in tracks]
    return placed, problems, assignment.unit


def _unit(track: Track) -> Unit:
    return Unit(track.source, track.genre, track.artist, track.seconds, track.split)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0
