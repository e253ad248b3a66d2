"""What is judged, and what it is judged by: a corpus's tracks, a folder of sound files, or streams as they are made."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from noizenet.audio.read import AudioReader
from noizenet.audio.waveform import mix_channels
from noizenet.audio.write import from_pcm16
from noizenet.base.errors import AudioError, UsageError
from noizenet.corpus.corpus import Corpus, Track
from noizenet.corpus.prepare import content_hash
from noizenet.evaluation.aliveness import Aliveness, Report
from noizenet.evaluation.listen import Heard, listen
from noizenet.evaluation.tagger import Tagger

BLOCK_S = 1.0
SHORTEST_S = 3.0
Watched = Callable[[str], None]


@dataclass(frozen=True)
class Sounding:
    """A recording that was heard, and whether it lives."""

    heard: Heard
    alive: Report


def sound(name: str, genre: str, blocks: Iterable[NDArray[np.float32]], rate: int, tagger: Tagger | None) -> Sounding:
    """Hear and watch blocks of mono samples [n]."""
    watch = Aliveness(rate)

    def watched() -> Iterator[NDArray[np.float32]]:
        for block in blocks:
            watch.push(block)
            yield block

    heard = listen(name, genre, watched(), rate, tagger)
    return Sounding(heard, watch.finish())


def of_corpus(
    corpus: Corpus, tracks: Sequence[Track], seconds: float, tagger: Tagger | None, on_track: Watched | None = None
) -> list[Sounding]:
    """Hear the middle of each track, at most so many seconds."""
    found = []
    for track in tracks:
        found.append(sound(track.id, track.genre, _middle(corpus, track, seconds), corpus.sample_rate, tagger))
        if on_track is not None:
            on_track(track.id)
    return found


def middle(track: Track, seconds: float, rate: int) -> tuple[int, int]:
    """Return the first sample and the length of what is heard of a track."""
    count = min(track.frames, round(seconds * rate))
    return (track.frames - count) // 2, count


def _middle(corpus: Corpus, track: Track, seconds: float) -> Iterator[NDArray[np.float32]]:
    first, count = middle(track, seconds, corpus.sample_rate)
    step = round(BLOCK_S * corpus.sample_rate)
    for at in range(first, first + count, step):
        yield from_pcm16(corpus.read(track, at, min(step, first + count - at))).mean(1)


def blocks_of(path: Path) -> Iterator[NDArray[np.float32]]:
    """Yield a sound file's samples, mixed to mono."""
    with AudioReader(path) as reader:
        for block in reader.blocks(BLOCK_S):
            yield mix_channels(block, 1)[:, 0]


def scan(folder: Path) -> tuple[list[tuple[str, Path, int]], list[tuple[str, str]]]:
    """Look through a folder for sound files.

    Returns
    -------
    tuple
        Name, path and sample rate of each file that can be heard; name and reason of each that cannot.
    """
    found, skipped = list[tuple[str, Path, int]](), list[tuple[str, str]]()
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
            found.append((name, path, rate))
    if not found:
        raise UsageError(
            f"{folder}: there is no sound in it that can be judged" + "".join(f"; {n}: {w}" for n, w in skipped[:5])
        )
    return found, skipped


def overlap(corpus: Corpus, files: Sequence[tuple[str, Path, int]]) -> list[str]:
    """Name the files that are recordings of the corpus itself, by content."""
    own = {t.content: t.id for t in corpus.tracks}
    return [f"{name} is the corpus's own {own[d]}" for name, path, _ in files if (d := content_hash(path)) in own]
