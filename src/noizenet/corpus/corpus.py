"""Read a prepared corpus from disk."""

from __future__ import annotations

import csv
import io
import json
import math
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from noizenet.audio.waveform import Waveform, mix_channels
from noizenet.audio.write import from_pcm16
from noizenet.base.errors import CorpusError, UsageError
from noizenet.base.names import library_path
from noizenet.base.regular import check_regular, read_regular
from noizenet.corpus.split import SPLITS

FORMAT = 2
"""Format 1: a track's id was its file name without the suffix. Format 2: it is the content hash."""
OPEN_FILES = 96
MAX_ABOUT_BYTES, MAX_TABLE_BYTES = 16 << 20, 1 << 30


@dataclass(frozen=True)
class Track:
    """One track of a corpus.

    `id` is unique within a corpus and derived from the hash of the recording's file (`content`), not from its name.
    `source` is the file's path relative to the collection, with non-printable characters escaped. `frames` counts
    samples per channel; levels are linear. A piece of a long recording starts at sample `start` of the prepared
    audio.
    """

    id: str
    genre: str
    artist: str
    title: str
    split: str
    frames: int
    seconds: float
    peak: float
    rms: float
    content: str
    audio: str
    source: str
    start: int = 0

    @property
    def name(self) -> str:
        """A display name, unique within a corpus: the source path, with the start sample for a piece of a recording."""
        return f"{self.source}#{self.start}" if self.start else self.source

    @property
    def key(self) -> str:
        """A cache key for data derived from the prepared audio: different audio has a different key."""
        return f"{Path(self.audio).stem}-{f'{self.start}+' if self.start else ''}{self.frames}"


NUMBERS: dict[str, Callable[[str], Any]] = {"frames": int, "start": int, "seconds": float, "peak": float, "rms": float}
TRACK_COLUMNS = [f.name for f in fields(Track)]


class Corpus:
    """A corpus folder, checked on opening.

    Parameters
    ----------
    folder : Path or str
        What ``noizenet corpus build`` wrote.

    Attributes
    ----------
    sample_rate : int
        Hz.
    channels : int
        1 or 2.
    genres : list of str
        In alphabetical order; a model's genre numbers are positions in this list.
    tracks : list of Track

    Raises
    ------
    UsageError
        If the folder does not exist or is not a corpus.
    CorpusError
        If the corpus is damaged or from a newer version.
    """

    def __init__(self, folder: Path | str) -> None:
        self.folder = Path(folder)
        about = self._read_about()
        self.about = about
        self.sample_rate: int = about["sample_rate"]
        self.channels: int = about["channels"]
        self.genres: list[str] = about["genres"]
        self.tracks = self._read_tracks()
        self._open: OrderedDict[str, Any] = OrderedDict()

    def split(self, name: str) -> list[Track]:
        """Return the tracks of ``train``, ``validation`` or ``test``."""
        if name not in SPLITS:
            raise UsageError(f"unknown split {name!r}, expected one of {', '.join(SPLITS)}")
        return [t for t in self.tracks if t.split == name]

    def held_out(self) -> list[Track]:
        """Return the tracks that are not used for training: ``validation`` and ``test``."""
        return self.split("validation") + self.split("test")

    def seconds(self, split: str | None = None) -> float:
        """Return the total duration in seconds of one split, or of all tracks."""
        return sum(t.seconds for t in self.tracks if split in (None, t.split))

    def audio_path(self, track: Track) -> Path:
        """Return the path of a track's prepared audio."""
        return self.folder / "audio" / track.audio

    def read(self, track: Track, start: int = 0, count: int = -1) -> NDArray[np.int16]:
        """Read 16-bit samples of a track.

        Parameters
        ----------
        track : Track
            A track of this corpus.
        start, count : int
            In samples per channel; a `count` of -1 reads to the end.

        Returns
        -------
        ndarray, int16 [n, C]
            Fewer than `count` only at the end of the track.
        """
        import soundfile

        try:
            handle = self._open.pop(track.audio, None) or self._open_audio(track)
            left = max(0, track.frames - start)  # a piece may end before its recording does
            handle.seek(track.start + track.frames - left)
            count = min(count, left) if count >= 0 else left
            samples: NDArray[np.int16] = handle.read(count, dtype="int16", always_2d=True)
        except (soundfile.SoundFileError, RuntimeError) as error:
            raise CorpusError(
                f"{self.audio_path(track)}: the prepared audio is missing or damaged; run 'noizenet corpus build' again"
            ) from error
        self._open[track.audio] = handle  # most recently used last
        if len(self._open) > OPEN_FILES:
            self._open.popitem(last=False)[1].close()
        return samples

    def _open_audio(self, track: Track) -> Any:
        import soundfile

        path = self.audio_path(track)
        try:  # links are refused, because they could point to any file
            if path.parent.is_symlink():
                raise CorpusError(f"{path.parent}: is a symbolic link; replace it by the folder itself")
            check_regular(path, links=False)
        except OSError as error:
            raise soundfile.SoundFileRuntimeError(str(error)) from error
        return soundfile.SoundFile(library_path(path))

    def samples(self, track: Track, start: int = 0, count: int = -1) -> NDArray[np.float32]:
        """Read samples of a track as float32 [n, C] in [-1, 1]; see :meth:`read`."""
        return from_pcm16(self.read(track, start, count))

    def waveform(self, track: Track, start: int = 0, count: int = -1) -> Waveform:
        """Read part of a track at the corpus's rate and channels; see :meth:`read`."""
        samples = self.samples(track, start, count)
        return Waveform(samples[:, 0] if samples.shape[1] == 1 else samples, self.sample_rate)

    def mono(self, track: Track, start: int = 0, count: int = -1) -> NDArray[np.float32]:
        """Read samples of a track, mixed to one channel, as float32 [n]; see :meth:`read`."""
        return mix_channels(self.samples(track, start, count), 1)[:, 0]

    def close(self) -> None:
        """Close all open audio files."""
        while self._open:
            self._open.popitem()[1].close()

    def __enter__(self) -> Corpus:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _read_about(self) -> dict[str, Any]:
        path = self.folder / "corpus.json"
        if self.folder.is_file():
            raise UsageError(f"{self.folder}: is a file, expected a corpus folder (the one that holds corpus.json)")
        if not self.folder.is_dir():
            raise UsageError(f"{self.folder}: no such corpus folder; make one with 'noizenet corpus build'")
        if not path.exists():
            if (self.folder / "model.json").exists():
                raise UsageError(f"{self.folder}: is a model's folder, and a corpus is expected here; give a corpus")
            raise UsageError(
                f"{self.folder}: not a corpus (no corpus.json); make one with 'noizenet corpus build {self.folder} OUT'"
            )
        try:
            about = json.loads(read_regular(path, MAX_ABOUT_BYTES))
            version = about["format"]
            if version > FORMAT:
                raise CorpusError(f"{path}: made by a newer noizenet (format {version}, this one reads {FORMAT})")
            valid = (
                isinstance(about["sample_rate"], int)
                and 1_000 <= about["sample_rate"] <= 192_000
                and about["channels"] in (1, 2)
                and isinstance(about["genres"], list)
                and all(isinstance(g, str) for g in about["genres"])
                and isinstance(about.get("split_by", {}), dict)
            )
        except (KeyError, TypeError):
            valid = False
        except (OSError, ValueError, RecursionError) as error:
            raise CorpusError(f"{path}: damaged ({error}); build the corpus again") from error
        if not valid:
            raise CorpusError(f"{path}: damaged (a field is missing or has a wrong type); build the corpus again")
        return dict(about)

    def _read_tracks(self) -> list[Track]:
        path = self.folder / "tracks.csv"
        try:
            text = io.TextIOWrapper(io.BytesIO(read_regular(path, MAX_TABLE_BYTES)), encoding="utf-8", newline="")
            tracks = [_track(row) for row in csv.DictReader(text)]
        except (OSError, ValueError, KeyError, TypeError, csv.Error) as error:
            raise CorpusError(f"{path}: missing or damaged; build the corpus again") from error
        if self.about["format"] < 2:
            tracks = [replace(t, id=t.content) for t in tracks]
        for number, track in enumerate(tracks, 2):
            fault = _row_fault(track, self.genres, self.sample_rate)
            if fault:
                raise CorpusError(f"{path}: damaged (row {number}: {fault}); build the corpus again")
        expected = self.about.get("tracks", len(tracks))
        if expected != len(tracks):
            raise CorpusError(f"{path}: damaged (it has {len(tracks)} of {expected} tracks); build the corpus again")
        if len({t.id for t in tracks}) < len(tracks):
            raise CorpusError(f"{path}: damaged (two tracks have one id); build the corpus again")
        return tracks


LENGTH_TOLERANCE_S = 0.1
"""Largest allowed difference between a track's length in seconds and in frames, in seconds."""


def _track(row: Mapping[str, str | None]) -> Track:
    values: dict[str, Any] = {}
    for column in TRACK_COLUMNS:
        text = row.get(column, "0") if column == "start" else row[column]  # earlier versions had no such column
        if text is None:
            raise ValueError("a row is too short")
        values[column] = NUMBERS.get(column, str)(text)
    return Track(**values)


def _row_fault(track: Track, genres: Sequence[str], sample_rate: int) -> str:
    """Return what is wrong with a track's row, or an empty string."""
    if track.genre not in genres:
        return f"the genre {track.genre!r} is not listed in corpus.json"
    if track.split not in SPLITS:
        return f"the split {track.split!r} is unknown"
    if (
        track.frames < 1
        or track.start < 0
        or not all(math.isfinite(x) and x >= 0 for x in (track.seconds, track.peak, track.rms))
        or abs(track.frames / sample_rate - track.seconds) > LENGTH_TOLERANCE_S
    ):
        return "a length or level is impossible"
    if not track.audio or Path(track.audio).name != track.audio or "\\" in track.audio:
        return "its audio is not a file name"
    return ""
