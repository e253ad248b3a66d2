"""Recordings for an evaluation: a corpus's tracks or audio files."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from noizenet.audio.read import AudioReader, mono_blocks
from noizenet.base.errors import AudioError, UsageError
from noizenet.base.files import write_json
from noizenet.base.names import genre_name, relative_name
from noizenet.corpus.corpus import Corpus, Track
from noizenet.corpus.folder import is_model, scan_recordings
from noizenet.corpus.prepare import content_hash
from noizenet.evaluation.aliveness import Aliveness, Report
from noizenet.evaluation.features import Features, extract_features
from noizenet.evaluation.tagger import Tagger

BLOCK_S = 1.0
SHORTEST_S = 3.0
TABLE, MAX_TABLE_BYTES = "genres.json", 1 << 20
"""The file that maps numbered folders to genres, and its size limit: a genre may not be a valid folder name."""


@dataclass(frozen=True)
class Recording:
    """One recording.

    Attributes
    ----------
    name, genre, artist : str
        `genre` is the real or the requested one; may be empty.
    sample_rate : int
        Hz.
    blocks : callable
        Returns an iterator over blocks of mono samples, float32 [n].
    path : Path, optional
        The file, if there is one.
    issues : tuple of str
        What was repaired or lost when the file was read.
    """

    name: str
    genre: str
    sample_rate: int
    blocks: Callable[[], Iterator[NDArray[np.float32]]]
    artist: str = ""
    path: Path | None = None
    issues: tuple[str, ...] = ()


@dataclass(frozen=True)
class AnalyzedRecording:
    """Features of a recording, and the report of its degenerate time."""

    features: Features
    aliveness: Report
    artist: str = ""


def analyze(recording: Recording, tagger: Tagger | None) -> AnalyzedRecording:
    """Extract features and detect degenerate output in one pass over a recording."""
    watch = Aliveness(recording.sample_rate)

    def tee() -> Iterator[NDArray[np.float32]]:
        for block in recording.blocks():
            watch.push(block)
            yield block

    features = extract_features(recording.name, recording.genre, tee(), recording.sample_rate, tagger)
    return AnalyzedRecording(features, watch.finish(), recording.artist)


def of_corpus(corpus: Corpus, tracks: Sequence[Track], seconds: float) -> list[Recording]:
    """Return the middle of each track, at most `seconds` long."""
    return [
        Recording(t.name, t.genre, corpus.sample_rate, partial(_middle, corpus, t, seconds), t.artist) for t in tracks
    ]


def middle(track: Track, seconds: float, rate: int) -> tuple[int, int]:
    """Return the first sample and the number of samples of the middle of a track, at most `seconds` long."""
    count = min(track.frames, round(seconds * rate))
    return (track.frames - count) // 2, count


def _middle(corpus: Corpus, track: Track, seconds: float) -> Iterator[NDArray[np.float32]]:
    first, count = middle(track, seconds, corpus.sample_rate)
    step = round(BLOCK_S * corpus.sample_rate)
    for at in range(first, first + count, step):
        yield corpus.mono(track, at, min(step, first + count - at))


def blocks_of(path: Path) -> Iterator[NDArray[np.float32]]:
    """Yield a sound file's samples, mixed to mono."""
    with AudioReader(path) as reader:
        yield from mono_blocks(reader, BLOCK_S)


def of_folder(
    folder: Path, genres: Sequence[str], *, exclude: Path | None = None
) -> tuple[list[Recording], list[tuple[str, str]]]:
    """Return the recordings of a folder, found by the scanner that builds corpora.

    Parameters
    ----------
    folder : Path
        The requested genre of a file is given by a parent folder: by its name (in any Unicode normal form, with or
        without blanks around it), or by its entry in ``genres.json``.
    genres : sequence of str
        Known genres.
    exclude : Path, optional
        A subfolder to leave out.

    Returns
    -------
    tuple
        The recordings, and name and reason of each file that was skipped.

    Raises
    ------
    UsageError
        If no file can be evaluated.
    """
    if not folder.is_dir():
        raise UsageError(f"{folder}: no such folder")
    genre_by_name = {_normalized(g): g for g in reversed(genres)} | _read_table(folder, genres)
    paths, skipped = _scan(folder, exclude)
    found = list[Recording]()
    for path in paths:
        name = path.relative_to(folder)
        prefixes = ["/".join(name.parts[:depth]) for depth in range(len(name.parts) - 1, 0, -1)]  # a genre may hold /
        genre = next((genre_by_name[p] for p in map(genre_name, prefixes) if p in genre_by_name), "")
        found_file = of_file(path, relative_name(path, folder), genre)
        if isinstance(found_file, Recording):
            found.append(found_file)
        else:
            skipped.append(found_file)
    if not found and is_model(folder):
        raise UsageError(f"{folder}: is a model's folder without audio files; to evaluate a model, leave out --audio")
    if not found:
        raise UsageError(
            f"{folder}: no sound file in it can be evaluated" + "".join(f"; {n}: {w}" for n, w in skipped[:5])
        )
    return found, skipped


def of_file(path: Path, name: str, genre: str) -> Recording | tuple[str, str]:
    """Return a file as a recording, or its name and the reason why it is skipped."""
    try:
        with AudioReader(path) as reader:
            rate = reader.info.sample_rate
            seconds = sum(len(block) for block in mono_blocks(reader, BLOCK_S)) / rate
            issues = tuple(issue.text for issue in reader.issues)
    except AudioError as error:
        return name, str(error).removeprefix(f"{path}: ")
    if seconds < SHORTEST_S:
        return name, f"{seconds:.1f} s are too short: metrics need at least {SHORTEST_S:g} s"
    return Recording(name, genre, rate, partial(blocks_of, path), issues=issues, path=path)


def _scan(folder: Path, exclude: Path | None) -> tuple[list[Path], list[tuple[str, str]]]:
    paths, problems = scan_recordings(folder, exclude)
    return paths, [(p.path, p.reason) for p in problems if p.path != TABLE]


def write_table(folder: Path, genres: Mapping[str, str]) -> None:
    """Write the genre of each subfolder of `folder`."""
    write_json(folder / TABLE, genres)


def _read_table(folder: Path, genres: Sequence[str]) -> dict[str, str]:
    try:
        table = json.loads((folder / TABLE).read_bytes()[:MAX_TABLE_BYTES])
    except (OSError, ValueError, RecursionError):
        return {}
    return {_normalized(k): v for k, v in table.items() if v in genres} if isinstance(table, dict) else {}


def _normalized(name: str) -> str:
    return unicodedata.normalize("NFC", name).strip()


def overlap(corpus: Corpus, files: Sequence[Recording]) -> list[str]:
    """Return a warning for each file whose content is that of a recording of the corpus."""
    names = {t.content: t.name for t in corpus.tracks}
    found = [(f.name, content_hash(f.path)) for f in files if f.path is not None]
    return [f"{name} is the corpus's recording {names[digest]}" for name, digest in found if digest in names]
