"""The synthetic corpus: procedural songs in labelled genres, rendered offline, free of copyright."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import ClassVar

from noizenet.audio.write import AudioWriter
from noizenet.base.errors import NoizenetError, UsageError
from noizenet.base.files import folder_lock, make_folder
from noizenet.base.seeds import derive_seed
from noizenet.corpus.build import DEFAULT_RATE_HZ, Progress, build, check_corpus_folder, check_rate
from noizenet.corpus.corpus import Corpus
from noizenet.corpus.folder import FolderSource
from noizenet.corpus.source import Scan, SourceTrack
from noizenet.corpus.synth.song import render
from noizenet.corpus.synth.styles import STYLES

SONG_SECONDS = 40.0
MIN_SONGS = 3  # per genre: one each for training, validation and test


class SyntheticSource:
    """Songs rendered by :func:`build_synthetic`, in genre folders."""

    licence: ClassVar[str] = "CC0-1.0: made by a program, no rights reserved"
    citation: ClassVar[str] = "noizenet's procedural songs (noizenet.corpus.synth)"
    checksums: ClassVar[Mapping[str, str]] = {}

    @classmethod
    def recognises(cls, folder: Path) -> bool:
        """Return whether the folder holds one folder per style and nothing else visible."""
        return folder.is_dir() and {p.name for p in folder.iterdir() if not p.name.startswith(".")} == set(STYLES)

    @classmethod
    def scan(cls, folder: Path, *, exclude: Path) -> Scan:
        """List the songs; each has a different artist, because key, tempo and tune differ."""
        found = FolderSource.scan(folder, exclude=exclude)
        tracks = [
            SourceTrack(t.path, t.genre, artist=f"procedure {t.path.stem}", title=t.path.stem) for t in found.tracks
        ]
        return Scan(tracks, found.problems)


def build_synthetic(
    out: Path | str,
    *,
    minutes: float = 8.0,
    seed: int = 0,
    sample_rate: int = DEFAULT_RATE_HZ,
    workers: int | None = None,
    progress: Progress | None = None,
    on_song: Callable[[int, int], None] | None = None,
) -> Corpus:
    """Render procedural songs and build a corpus of them.

    Parameters
    ----------
    out : Path or str
        The corpus folder; the songs are kept in ``out/source`` as FLAC files.
    minutes : float
        Total length of all genres.
    seed : int
        The same seed gives the same songs.
    sample_rate : int
        Hz.
    workers, progress
        As for :func:`noizenet.corpus.build.build`.
    on_song : callable, optional
        Called with (songs done, total songs) while rendering.

    Returns
    -------
    Corpus

    Raises
    ------
    UsageError
        If the length is not positive or the sample rate is out of range.
    """
    if not 0 < minutes <= 100_000:
        raise UsageError(f"minutes: {minutes:g} is not a length between 0 and 100,000 minutes")
    check_rate(sample_rate)
    out = Path(out)
    check_corpus_folder(out)
    source = make_folder(out / "source")
    per_genre = max(MIN_SONGS, round(minutes * 60 / len(STYLES) / SONG_SECONDS))
    seconds = minutes * 60 / len(STYLES) / per_genre
    jobs = [(style, i) for style in STYLES for i in range(per_genre)]
    with folder_lock(out, "corpus"):
        for style in STYLES:
            make_folder(source / style)
        _render_all(jobs, source, seed, seconds, sample_rate, workers, on_song)
    return build(
        source, out, layout="synthetic", sample_rate=sample_rate, workers=workers, seed=seed, progress=progress,
        min_seconds=min(1.0, seconds / 2),
    )  # fmt: skip


def _render_all(
    jobs: list[tuple[str, int]],
    source: Path,
    seed: int,
    seconds: float,
    sample_rate: int,
    workers: int | None,
    on_song: Callable[[int, int], None] | None,
) -> None:
    from joblib import Parallel, delayed

    expected: set[Path] = set()
    calls = []
    for style, i in jobs:
        # The name holds all parameters of the song, so that a finished song is not rendered again.
        path = source / style / f"{style}-{i:03d}-seed{seed}-{seconds:.3f}s-{sample_rate}.flac"
        expected.add(path)
        if not path.exists():
            calls.append(delayed(_render_one)(path, style, derive_seed(seed, style, i), seconds, sample_rate))
    for style in STYLES:
        for stale in (source / style).glob(f"{style}-*-seed*s-*.flac"):
            if stale not in expected:
                stale.unlink()
    done = len(jobs) - len(calls)
    failed: list[NoizenetError] = []
    # After an error, running jobs finish, so that no song is left incomplete, and no more are started.
    pending = (call for call in calls if not failed)
    for error in Parallel(n_jobs=workers or -1, return_as="generator_unordered")(pending):
        if error is not None:
            failed.append(error)
            continue
        done += 1
        if on_song is not None:
            on_song(done, len(jobs))
    if failed:
        raise failed[0]


def _render_one(path: Path, style: str, seed: int, seconds: float, sample_rate: int) -> NoizenetError | None:
    try:
        with AudioWriter(path, sample_rate) as writer:
            for block in render(style, seed, seconds, sample_rate):
                writer.write(block)
    except NoizenetError as error:
        return error
    return None
