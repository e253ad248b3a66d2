"""Build a corpus from a source: decode in parallel, reuse earlier results, report skipped files."""

from __future__ import annotations

import contextlib
import csv
import math
import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, fields
from pathlib import Path

from noizenet.base.errors import CorpusError, NoizenetError, UsageError, suggest
from noizenet.base.files import check_own_folder, folder_lock, make_folder, remove_stale, write_csv, write_json
from noizenet.base.names import escape_name, plain_text, relative_name
from noizenet.corpus import CORPORA
from noizenet.corpus.arrange import DUPLICATES, arrange, write_duplicates
from noizenet.corpus.corpus import FORMAT, TRACK_COLUMNS, Corpus, Track
from noizenet.corpus.fingerprint import CACHE_SUFFIX
from noizenet.corpus.folder import is_corpus
from noizenet.corpus.prepare import PREPARATION_VERSION, SAME_AS, TOO_SHORT, Prepared
from noizenet.corpus.source import Problem, Scan, SourceTrack
from noizenet.corpus.workers import Settings, prepare_all

PROBLEM_COLUMNS = [f.name for f in fields(Problem)]

Progress = Callable[[int, int, float], None]
"""Called with (files done, total files, seconds of audio so far)."""

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

    Prepared audio is reused if the content of a recording is unchanged. A killed build therefore resumes, and
    rebuilding after adding recordings decodes only the new ones.

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
        Minimum length; shorter recordings are skipped.
    workers : int, optional
        Number of processes; by default one per core, at least two. With 1, recordings are decoded in the calling
        process, which a crash of a decoder then ends.
    seed : int
        Random seed of the split.
    progress : callable, optional
        See :data:`Progress`.

    Returns
    -------
    Corpus

    Raises
    ------
    UsageError
        If an argument is invalid or the source does not exist.
    CorpusError
        If no recording is usable.
    DiskFullError
        If the disk is full.
    LockedError
        If another process is building in the same folder.
    """
    source, out = Path(source), Path(out)
    _check_arguments(sample_rate, channels, min_seconds, workers)
    _check_paths(source, out)
    check_corpus_folder(out)
    chosen = _layout(source, layout)
    audio = make_folder(make_folder(out) / "audio")
    with folder_lock(out, "corpus"), _remove_stale_files(out, audio):
        kind = CORPORA.load(chosen)
        scan = kind.scan(source, exclude=out)
        _check_same_source(source, out, scan)
        results = _prepare_all(scan.tracks, audio, (sample_rate, channels, min_seconds), workers, progress)
        tracks, problems = _collect(source, scan.tracks, results, sample_rate)
        arrangement = arrange(tracks, audio, sample_rate, seed)
        tracks = arrangement.tracks
        problems = [
            *scan.problems,
            *problems,
            *_genres_without_tracks(scan.tracks, results, tracks),
            *arrangement.problems,
        ]
        write_csv(out / "problems.csv", PROBLEM_COLUMNS, [asdict(p) for p in problems])
        if not tracks:
            raise CorpusError(_no_recordings_message(source, out, scan, problems))
        write_duplicates(out, arrangement.duplicates)
        write_csv(out / "tracks.csv", TRACK_COLUMNS, [asdict(t) for t in tracks])
        write_json(
            out / "corpus.json",
            {
                "format": FORMAT,
                "layout": chosen,
                "sample_rate": sample_rate,
                "channels": channels,
                "min_seconds": min_seconds,
                "genres": sorted({t.genre for t in tracks}),
                "tracks": len(tracks),
                "hours": round(sum(t.seconds for t in tracks) / 3600, 4),
                "problems": len(problems),
                "split_seed": seed,
                "split_by": arrangement.split_by,
                "duplicate_groups": len({d.group for d in arrangement.duplicates}),
                "licence": kind.licence,
                "citation": kind.citation,
            },
        )
        _remove_superseded(audio, tracks, (sample_rate, channels))
    return Corpus(out)


def read_problems(folder: Path) -> list[Problem]:
    """Read the ``problems.csv`` of a corpus.

    Raises
    ------
    CorpusError
        If the file is damaged.
    """
    path = folder / "problems.csv"
    if not path.exists():
        return []
    try:
        with path.open(newline="", encoding="utf-8") as handle:
            return [Problem(r["path"] or "", r["reason"] or "", r["action"] or "") for r in csv.DictReader(handle)]
    except (OSError, ValueError, KeyError, csv.Error) as error:
        raise CorpusError(f"{path}: damaged; build the corpus again") from error


def check_rate(sample_rate: int) -> None:
    """Check that a sample rate is in the range that a corpus supports.

    Raises
    ------
    UsageError
        If it is not.
    """
    if not 1_000 <= sample_rate <= 192_000:
        raise UsageError(f"sample rate: {sample_rate} Hz is outside 1,000–192,000 Hz")


def check_corpus_folder(out: Path) -> None:
    """Check that a corpus can be built in a folder: see :func:`~noizenet.base.files.check_own_folder`.

    Raises
    ------
    UsageError
        If the folder holds other files.
    """
    tables = "tracks.csv", "problems.csv", DUPLICATES
    check_own_folder(out, "corpus", ["corpus.json"], ["audio", "source", "download", *tables])


def _check_same_source(source: Path, out: Path, scan: Scan) -> None:
    """Check that an existing corpus in `out` was built from the same source, because its tables will be replaced.

    Recordings may have been added, removed or changed. If none of the listed recordings is in the source, it is a
    different source. A source inside the corpus folder (procedural songs) always belongs to the corpus.

    Raises
    ------
    UsageError
        If the corpus was built from another source.
    """
    if out.resolve() in source.resolve().parents:
        return
    try:
        kept = {t.source for t in Corpus(out).tracks} if (out / "corpus.json").exists() else set()
    except NoizenetError:  # a damaged corpus is built again
        return
    if kept and scan.tracks and kept.isdisjoint(relative_name(t.path, source) for t in scan.tracks):
        raise UsageError(
            f"{out}: holds a corpus of other recordings (for instance {escape_name(min(kept))}), none of which is in "
            f"{source}; choose a new folder, or remove that one first"
        )


def _check_arguments(sample_rate: int, channels: int, min_seconds: float, workers: int | None) -> None:
    if channels not in (1, 2):
        raise UsageError(f"channels: {channels} is not 1 (mono) or 2 (stereo)")
    check_rate(sample_rate)
    if not 0 <= min_seconds < math.inf:
        raise UsageError(f"min seconds: {min_seconds:g} is not a length of 0 seconds or more")
    if workers is not None and workers < 1:
        raise UsageError(f"workers: {workers} is not a number of processes; give 1 or more, or none for one per core")


def _check_paths(source: Path, out: Path) -> None:
    if not source.is_dir():
        what = "is not a folder" if source.exists() else "no such folder"
        raise UsageError(f"{source}: {what}; give the folder that holds your recordings")
    if out.resolve() == source.resolve():
        raise UsageError(f"{out}: the corpus folder cannot be the folder of the recordings; choose another folder")
    if is_corpus(source) or (out / "audio").resolve() in (source.resolve(), *source.resolve().parents):
        raise UsageError(
            f"{source}: is a corpus folder, whose audio is already prepared; give the folder that holds the recordings"
        )


@contextlib.contextmanager
def _remove_stale_files(*folders: Path) -> Iterator[None]:
    """Remove temporary files of an earlier, killed build on entry and of this build's workers on exit."""
    for folder in folders:
        remove_stale(folder)
    try:
        yield
    finally:
        for folder in folders:
            remove_stale(folder)


def _no_recordings_message(source: Path, out: Path, scan: Scan, problems: Sequence[Problem]) -> str:
    if not scan.tracks and not scan.problems:
        return f"{source}: the folder holds no files; give the folder that holds your recordings"
    message = f"{source}: no usable recording among {len(scan.tracks) + len(scan.problems)} files"
    short = sum(p.reason.startswith(TOO_SHORT) for p in problems)
    if short:
        message += f" ({short} are too short: --min-seconds sets the least length)"
    if len(problems) == 1:
        return f"{source}: no usable recording; {problems[0].path}: {problems[0].reason}"
    return f"{message}; the reasons are in {out / 'problems.csv'}"


def _layout(source: Path, layout: str) -> str:
    if layout != "auto":
        if layout not in CORPORA:
            raise UsageError(f"unknown layout {layout!r:.80}: {suggest(layout[:80], ['auto', *CORPORA])}")
        return layout
    return "fma" if CORPORA.load("fma").recognises(source) else "folders"


def default_workers() -> int:
    """Return the number of cores, at least two: with one process, a crash of a decoder would end the build."""
    return max(2, os.cpu_count() or 1)


def _prepare_all(
    tracks: Sequence[SourceTrack],
    audio: Path,
    settings: Settings,
    workers: int | None,
    progress: Progress | None,
) -> list[Prepared]:
    results: dict[int, Prepared] = {}
    seconds = 0.0
    # Largest files first, so that the last file to finish is a short one.
    order = sorted(range(len(tracks)), key=lambda i: -_file_size(tracks[i].path))
    paths = [t.path for t in tracks]
    failed: NoizenetError | None = None
    # Closed as soon as the build is interrupted, so that the workers end before their temporary files are removed.
    with contextlib.closing(prepare_all(paths, order, audio, settings, workers or default_workers())) as prepared:
        for index, result in prepared:
            if isinstance(result, NoizenetError):
                failed = failed or result  # running workers finish first, so that no partial file remains
                continue
            results[index] = result
            seconds += result.frames / settings[0]
            if progress is not None:
                progress(len(results), len(tracks), seconds)
    if failed is not None:
        raise failed
    return [results[i] for i in range(len(tracks))]


def _collect(
    source: Path, scanned: Sequence[SourceTrack], results: Sequence[Prepared], sample_rate: int
) -> tuple[list[Track], list[Problem]]:
    problems: list[Problem] = []
    tracks: list[Track] = []
    preferred = _preferred_copies(source, scanned, results)
    for item, result in zip(scanned, results, strict=True):
        name = relative_name(item.path, source)
        if not result.audio:
            problems.append(Problem(name, result.problem, "skipped"))
            continue
        if preferred[result.content] != name:
            problems.append(Problem(name, f"{SAME_AS} {preferred[result.content]}", "skipped"))
            continue
        problems += _repairs(name, result)
        tracks.append(_track(item, result, name, sample_rate))
    return tracks, problems


def _preferred_copies(source: Path, scanned: Sequence[SourceTrack], results: Sequence[Prepared]) -> dict[str, str]:
    """Return content → name of the copy to use: the first one in a genre folder, else the first one."""
    chosen: dict[str, str] = {}
    for loose in (False, True):
        for item, result in zip(scanned, results, strict=True):
            if result.audio and (item.path.parent == source) == loose:
                chosen.setdefault(result.content, relative_name(item.path, source))
    return chosen


def _genres_without_tracks(
    scanned: Sequence[SourceTrack], results: Sequence[Prepared], tracks: Sequence[Track]
) -> list[Problem]:
    """List the genres whose usable recordings are all copies of tracks in other genres."""
    usable = Counter(item.genre for item, result in zip(scanned, results, strict=True) if result.audio)
    kept = {t.genre for t in tracks}
    return [
        Problem(escape_name(genre), f"the genre has no track: its {count} usable recording(s) are copies", "skipped")
        for genre, count in sorted(usable.items())
        if genre not in kept
    ]


def _track(item: SourceTrack, result: Prepared, name: str, sample_rate: int) -> Track:
    return Track(
        id=result.content,
        genre=item.genre,
        artist=plain_text(item.artist) or result.artist,
        title=plain_text(item.title) or result.title or escape_name(item.path.stem),
        split=item.split,
        frames=result.frames,
        seconds=round(result.frames / sample_rate, 3),
        peak=round(result.peak, 5),
        rms=round(result.rms, 6),
        content=result.content,
        audio=result.audio,
        source=name,
    )


def _repairs(name: str, result: Prepared) -> list[Problem]:
    """List what was repaired in a recording and what was lost of it."""
    lines = []
    for kind, action in (("lost", "kept in part"), ("repaired", "repaired")):
        texts = [plain_text(i.text) for i in result.issues if i.kind == kind]
        if texts:
            lines.append(Problem(name, "; ".join(texts), action))
    return lines


def _file_size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _remove_superseded(audio: Path, tracks: Sequence[Track], audio_format: tuple[int, int]) -> None:
    """Remove audio that earlier versions prepared from the same recordings."""
    kept = {t.audio for t in tracks}
    for track in tracks:
        stem = f"{track.content}-{audio_format[0]}-{audio_format[1]}"
        for old in (stem, *(f"{stem}-{n}" for n in range(2, PREPARATION_VERSION))):
            if f"{old}.wav" not in kept:
                for suffix in (".wav", ".json", CACHE_SUFFIX):
                    with contextlib.suppress(OSError):
                        (audio / f"{old}{suffix}").unlink(missing_ok=True)
