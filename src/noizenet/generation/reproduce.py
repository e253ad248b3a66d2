"""The paper's echo: every frame predicted from the true frames before it, beside the persistence baseline.

An echo sounds like the song even where the network knows nothing: the true frame is fed in at every step, and
repeating it is nearly right. Persistence (repeat the last frame) says how nearly.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from noizenet.audio.read import AudioReader, converted_blocks
from noizenet.audio.waveform import Waveform
from noizenet.audio.write import AudioWriter
from noizenet.base.errors import AudioError
from noizenet.generation.genre import parse_path
from noizenet.model.stepper import Stepper
from noizenet.representation.base import Frames, Representation
from noizenet.store.model import Model

CHUNK_FRAMES = 4096


@dataclass
class ErrorSums:
    """Running sums of an error signal."""

    count: int = 0
    square: float = 0.0
    absolute: float = 0.0
    bias: float = 0.0

    def add(self, predicted: NDArray[np.float32], true: NDArray[np.float32]) -> None:
        """Take in a stretch of predictions."""
        error = predicted.astype(np.float64) - true
        self.count += error.size
        self.square += float(np.square(error).sum())
        self.absolute += float(np.abs(error).sum())
        self.bias += float(error.sum())

    def means(self) -> dict[str, float]:
        """Return mean square, mean absolute and mean bias error."""
        n = max(1, self.count)
        return {"mse": self.square / n, "mae": self.absolute / n, "mbe": self.bias / n}


@dataclass(frozen=True)
class Reproduction:
    """Errors of the echo and of persistence, in the unit that `domain` names."""

    seconds: float
    domain: str
    model: dict[str, float]
    persistence: dict[str, float]


def reproduce(model: Model, song: Path, out: Path, persistence_out: Path, genre: str | None = None) -> Reproduction:
    """Write the teacher-forced echo of a song, and the persistence baseline.

    Parameters
    ----------
    model : Model
    song : Path
    out, persistence_out : Path
        Sound files to write.
    genre : str, optional
        The song's genre, for models that know genres.

    Returns
    -------
    Reproduction
        Errors on samples (full scale 1), or on standardised frames where phases are not modelled.

    Raises
    ------
    AudioError
        If the song cannot be read.
    """
    r = model.representation
    a = model.architecture
    mix = parse_path(genre, None, model.genres, a.genre_size > 0, 0).at(0.0)
    stepper = Stepper(model.weights, r.silence())
    stepper.set_genre(mix)
    on_frames = r.bound.metric != "max-abs"
    echo, repeat = ErrorSums(), ErrorSums()
    echo_decoder, repeat_decoder, true_decoder = r.decoder(), r.decoder(), r.decoder()
    last = r.silence()
    classes = r.kind == "classes"
    values = torch.from_numpy(r.values() if classes else np.zeros(0, np.float32))
    samples = 0
    with (
        AudioReader(song) as reader,
        AudioWriter(out, r.sample_rate, r.channels) as writer,
        AudioWriter(persistence_out, r.sample_rate, r.channels) as repeat_writer,
    ):
        for frames in frame_chunks(r, converted_blocks(reader, r.sample_rate, r.channels)):
            before = np.concatenate([last, frames[:-1]])
            last = frames[-1:]
            output = torch.from_numpy(stepper.predict(frames))
            with torch.inference_mode():  # the mean of the predicted distribution, the best guess under MSE
                predicted = model.network.head.mean(output, values).numpy()
            if classes:
                predicted = predicted.reshape(-1, r.channels)
                true, repeated = true_decoder.push(frames), repeat_decoder.push(before)
                heard, heard_again = predicted, repeated
            else:
                heard, heard_again = echo_decoder.push(predicted), repeat_decoder.push(before)
                true, repeated = (frames, before) if on_frames else (true_decoder.push(frames), heard_again)
                predicted = predicted if on_frames else heard
            echo.add(predicted, true)
            repeat.add(repeated, true)
            samples += r.samples_for(len(frames))
            writer.write(heard)
            repeat_writer.write(heard_again)
        if samples == 0:
            raise AudioError(f"{song}: holds no sound (zero length)")
        if not classes:
            writer.write(echo_decoder.finish())
            repeat_writer.write(repeat_decoder.finish())
    domain = "standardised frames" if on_frames else "samples"
    return Reproduction(samples / r.sample_rate, domain, echo.means(), repeat.means())


def frame_chunks(representation: Representation, blocks: Iterable[NDArray[np.float32]]) -> Iterator[Frames]:
    """Encode a stream of [n, C] blocks chunk by chunk, as if it were encoded at once."""
    r = representation
    hop = r.samples_for(r.granule)
    chunk = hop * max(1, CHUNK_FRAMES if hop == 1 else CHUNK_FRAMES // 16)
    history = np.zeros((0, r.channels), np.float32)
    rest = history

    def encode(samples: NDArray[np.float32]) -> Frames:
        nonlocal history
        lead = len(history) // hop * r.granule
        joined = np.concatenate([history, samples])
        history = joined[-(r.lead // r.granule) * hop :]
        return r.encode(Waveform(joined, r.sample_rate))[lead:]

    for block in blocks:
        rest = np.concatenate([rest, block])
        while len(rest) >= chunk:
            piece, rest = rest[:chunk], rest[chunk:]
            yield encode(piece)
    if len(rest):
        yield encode(rest)
