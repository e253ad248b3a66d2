"""What is judged, and what it is judged by: a corpus's tracks, a folder of sound files, or streams as they are made."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from noizenet.audio.read import AudioReader, mono_blocks
from noizenet.base.errors import AudioError, UsageError
from noizenet.corpus.corpus import Corpus, Track
from noizenet.corpus.prepare import content_hash
from noizenet.evaluation.aliveness import Aliveness, Report
from noizenet.evaluation.listen import Heard, listen
from noizenet.evaluation.tagger import Tagger

BLOCK_S = 1.0
SHORTEST_S = 3.0


@dataclass(frozen=True)
class Recording:
    """One recording: its name, the genre it is or was meant to be, its rate, its blocks of mono samples, its artist."""

    name: str
    genre: str
    sample_rate: int
    blocks: Callable[[], Iterator[NDArray[np.float32]]]
    artist: str = ""


@dataclass(frozen=True)
class Sounding:
    """A recording that was heard, and whether it lives."""

    heard: Heard
    alive: Report
    artist: str = ""


def sound(recording: Recording, tagger: Tagger | None) -> Sounding:
    """Hear and watch a recording."""
    watch = Aliveness(recording.sample_rate)

    def watched() -> Iterator[NDArray[np.float32]]:
        for block in recording.blocks():
            watch.push(block)
            yield block

    heard = listen(recording.name, recording.genre, watched(), recording.sample_rate, tagger)
    return Sounding(heard, watch.finish(), recording.artist)


def of_corpus(corpus: Corpus, tracks: Sequence[Track], seconds: float) -> list[Recording]:
    """Return the middle of each track, at most so many seconds."""
    return [
        Recording(t.source, t.genre, corpus.sample_rate, partial(_middle, corpus, t, seconds), t.artist) for t in tracks
    ]


def middle(track: Track, seconds: float, rate: int) -> tuple[int, int]:
    """Return the first sample and the length of what is heard of a track."""
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


def of_folder(folder: Path, genres: Sequence[str]) -> tuple[list[Recording], list[tuple[str, str]]]:
    """Look through a folder for sound files; a first folder with a genre's name says what its files are meant to be.

    Returns
    -------
    tuple
        Each file that can be heard; name and reason of each that cannot.

    Raises
    ------
    UsageError
        If there is none.
    """
    if not folder.is_dir():
        raise UsageError(f"{folder}: no such folder")
    found, skipped = list[Recording](), list[tuple[str, str]]()
    for path in sorted(p for p in folder.rglob("*") if p.is_file() and not p.name.startswith(".")):
        name = str(path.relative_to(folder))
        try:
            with AudioReader(path) as reader:
                rate = reader.info.sample_rate
                seconds = sum(len(block) for block in reader.blocks(BLOCK_S)) / rate
        except AudioError as error:
            skipped.append((name, str(error).removeprefix(f"{path}: ")))
            continue
        if seconds < SHORTEST_S:
            skipped.append((name, f"{seconds:.1f} s are too few: measures hear {SHORTEST_S:g} s at once"))
        else:
            genre = first if (first := Path(name).parts[0]) in genres else ""
            found.append(Recording(name, genre, rate, partial(blocks_of, path)))
    if not found:
        raise UsageError(
            f"{folder}: there is no sound in it that can be judged" + "".join(f"; {n}: {w}" for n, w in skipped[:5])
        )
    return found, skipped


def overlap(corpus: Corpus, folder: Path, files: Sequence[Recording]) -> list[str]:
    """Name the files that are recordings of the corpus itself, by content."""
    own = {t.content: t.source for t in corpus.tracks}
    return [f"{f.name} is the corpus's own {own[d]}" for f in files if (d := content_hash(folder / f.name)) in own]
