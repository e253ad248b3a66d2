"""Codes of all tracks in the device's memory, and batches whose rows advance through them."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from network import LOOKBACK, PHASES, POSITIONS, Options
from torch import Tensor

TRAIN, VALIDATION = 0, 1
"""Split indices of styles.tsv; 2 is the test split, which is not read here."""
MIN_FRAMES_WITH_BEAT = 32


class Piece(NamedTuple):
    """A track, or a transposed version of it: its first frame, its length, and its labels."""

    start: int
    frames: int
    genre: int
    split: int
    old: bool
    shift: int


class Inputs(NamedTuple):
    """Inputs of a batch: codes [B, T + 1, K]; ticks and places [B, T] and lookback codes of the targets."""

    codes: Tensor
    ticks: Tensor
    places: Tensor
    back: Tensor


class Data:
    """Codes [N, K] of all pieces with their beats, from files ``SHIFT.codes.npz``.

    Parameters
    ----------
    folder : Path
        Each file holds codes [N, K], tick [N] (0: no clear beat, else beat phase 1 to 32), beat [N] (beat 0 of 16
        starts a phrase), lengths [tracks] and info [tracks, 3] (genre, split, whether in the first generation).
    device : str
    shifts : int
        Largest transposition, in semitones.
    """

    def __init__(self, folder: Path, device: str, shifts: int) -> None:
        codes, ticks, places, looks, at = [], [], [], [], 0
        self.pieces: list[Piece] = []
        for path in sorted(folder.glob("**/*.codes.npz"), key=lambda p: abs(int(p.name.split(".")[0]))):
            shift = int(path.name.split(".")[0])
            if abs(shift) > shifts:
                continue
            with np.load(path) as f:
                c, t, b, lengths, info = f["codes"], f["tick"], f["beat"], f["lengths"], f["info"]
            look, place = np.full((len(c), len(LOOKBACK)), -1, np.int32), np.zeros(len(c), np.uint8)
            ends = np.cumsum(lengths)
            for end, n, (genre, split, old) in zip(ends, lengths, info, strict=True):
                track = slice(end - n, end)
                self.pieces.append(Piece(at + int(end - n), int(n), int(genre), int(split), bool(old), shift))
                positions, ago = beats_of(t[track], b[track])
                place[track] = positions
                look[track] = np.where(ago >= 0, ago + at + end - n, -1)
            codes.append(c)
            ticks.append(t)
            places.append(place)
            looks.append(look)
            at += len(c)
        self.device = device
        self.codes, self.ticks, self.places, self.looks = (
            torch.from_numpy(np.concatenate(x)).to(device) for x in (codes, ticks, places, looks)
        )
        self.genres = 1 + max(p.genre for p in self.pieces)

    def gather(self, index: Tensor) -> Inputs:
        """Return the inputs of a batch; `index` [B, T + 1] are frames, the first of which is only an input."""
        look = self.looks[index[:, 1:]].long()
        back = self.codes[look.clamp(min=0)].long()
        back = torch.where((look >= 0)[..., None], back, torch.full_like(back, -1))
        ticks, places = (x[index[:, 1:]].long() for x in (self.ticks, self.places))
        return Inputs(self.codes[index].long(), ticks, places, back)

    def paces(self) -> dict[int, list[tuple[float, int]]]:
        """Return genre → frames per beat (0: no clear beat) and first frame of each training piece."""
        found: dict[int, list[tuple[float, int]]] = {}
        ticks, places = self.ticks.cpu().numpy(), self.places.cpu().numpy()
        for piece in self.pieces:
            if piece.split != TRAIN or piece.shift:
                continue
            track = slice(piece.start, piece.start + piece.frames)
            known = ticks[track] > 0
            beats = np.sum(np.diff(places[track][known].astype(int)) % POSITIONS == 1)
            pace = known.sum() / beats if known.mean() > 0.5 and beats > 8 else 0.0
            found.setdefault(piece.genre, []).append((float(pace), piece.start))
        return found


def beats_of(ticks: np.ndarray[Any, Any], beats: np.ndarray[Any, Any]) -> tuple[Any, Any]:
    """Return the position in the phrase of each frame of a track, [n], and the frames some beats ago, [n, lookbacks].

    Unknown values are 0 and -1.
    """
    places, ago = np.zeros(len(ticks), np.uint8), np.full((len(ticks), len(LOOKBACK)), -1, np.int64)
    known = ticks > 0
    if known.sum() < MIN_FRAMES_WITH_BEAT:
        return places, ago
    where, whole = np.flatnonzero(known), beats[known].astype(np.int64)
    places[where] = 1 + whole % POSITIONS
    position = whole + (ticks[known] - 0.5) / PHASES
    ordered = np.maximum.accumulate(position)
    for i, back in enumerate(LOOKBACK):
        wanted = position - back
        j = np.searchsorted(ordered, wanted - 0.25 / PHASES)
        there = (j < len(where)) & (wanted >= ordered[0])
        j = np.minimum(j, len(where) - 1)
        there &= (np.abs(ordered[j] - wanted) < 0.5) & (where[j] < where)
        ago[where[there], i] = where[j[there]]
    return places, ago


class Rows:
    """B rows, each of which advances through a segment of a training piece; short genres are read more often.

    Parameters
    ----------
    data : Data
    o : mapping
        Its ``batch``, ``window``, ``segment``, ``balance`` and ``train`` ("all", or "old" for the training tracks of
        the first generation) are used.
    seed : int
    """

    def __init__(self, data: Data, o: Options, seed: int) -> None:
        self._data, self._o, self._rng = data, o, np.random.default_rng(seed)
        self._pieces = [
            p for p in data.pieces if p.split == TRAIN and p.frames > o["window"] + 1 and (p.old or o["train"] == "all")
        ]
        per_genre = np.zeros(data.genres)
        for p in self._pieces:
            per_genre[p.genre] += p.frames
        often = np.maximum(per_genre, 1) ** -o["balance"]
        self._often = often / often[per_genre > 0].min()
        self._queue: list[tuple[int, int, int]] = []
        self._rows = [(0, 0, 0)] * o["batch"]
        self.frames = sum(p.frames for p in self._pieces)
        self.read = 0

    def next(self) -> tuple[Inputs, Tensor, Tensor]:
        """Return the inputs of the next window, the genres [B] and a mask of the rows that start a segment [B]."""
        rows, window = len(self._rows), self._o["window"]
        fresh, starts, genres = np.zeros(rows, bool), np.zeros(rows, np.int64), np.zeros(rows, np.int64)
        for i in range(rows):
            at, left, genre = self._rows[i]
            if not left:
                if not self._queue:
                    self._fill_queue()
                at, left, genre = self._queue.pop()
                fresh[i] = True
            starts[i], genres[i] = at, genre
            self._rows[i] = (at + window, left - 1, genre)
        self.read += rows * window
        device = self._data.device
        index = torch.from_numpy(starts).to(device)[:, None] + torch.arange(window + 1, device=device)
        return self._data.gather(index), torch.from_numpy(genres).to(device), torch.from_numpy(fresh).to(device)

    def _fill_queue(self) -> None:
        window, most = self._o["window"], self._o["segment"]
        for p in self._pieces:
            often = self._often[p.genre]
            for _ in range(int(often) + int(self._rng.random() < often % 1)):
                at = int(self._rng.integers(0, min(window, p.frames - window)))
                while at + window + 1 <= p.frames:
                    windows = min(most, (p.frames - 1 - at) // window)
                    self._queue.append((p.start + at, windows, p.genre))
                    at += windows * window
        order = self._rng.permutation(len(self._queue))
        self._queue = [self._queue[i] for i in order]


def corrupt(codes: Tensor, share: float) -> Tensor:
    """Replace codes [B, T, ..., K] by others of the batch; the share is drawn per row, from 0 to twice `share`."""
    if not share:
        return codes
    row_share = 2 * share * torch.rand(len(codes), *([1] * (codes.ndim - 1)), device=codes.device)
    flat = codes.flatten(0, 1)
    elsewhere = flat[torch.randperm(len(flat), device=codes.device)].view_as(codes)
    return torch.where(torch.rand(codes.shape, device=codes.device) < row_share, elsewhere, codes)
