"""The paper's reproduction ("echo"): each frame predicted from the true frames before it (teacher forcing).

An echo sounds like the song even if the network has learned nothing, because the true frame is the input of every step
and repeating it is nearly right. The persistence baseline, which repeats the last frame, shows how nearly.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from noizenet.audio.read import AudioReader, converted_blocks
from noizenet.audio.waveform import Waveform
from noizenet.audio.write import AudioWriter
from noizenet.base.errors import AudioError
from noizenet.model.stepper import Stepper
from noizenet.representation.base import Frames, Representation
from noizenet.store.model import Model

CHUNK_FRAMES = 4096
Samples = NDArray[np.float32]


@dataclass
class ErrorSums:
    """Running sums of an error signal."""

    count: int = 0
    square: float = 0.0
    absolute: float = 0.0
    bias: float = 0.0

    def add(self, predicted: Samples, true: Samples) -> None:
        """Add the errors of a segment."""
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
    """Errors of the model's echo and of persistence; `domain` names what they are measured on."""

    seconds: float
    domain: str
    model: dict[str, float]
    persistence: dict[str, float]


class EchoBlock(NamedTuple):
    """Samples of one segment from the model and from persistence, each [n, C]."""

    echo: Samples
    persistence: Samples


class Echo:
    """Teacher-forced prediction of a song, frame by frame.

    Parameters
    ----------
    model : Model
    mix : ndarray
        Genre conditioning: weights of the genres, [G], summing to 1.
    """

    def __init__(self, model: Model, mix: NDArray[np.float32]) -> None:
        r = model.representation
        self._model = model
        self._stepper = Stepper(model.weights, r.silence())
        self._stepper.set_genre(mix)
        self._on_frames = r.bound.metric != "max-abs"
        self._errors, self._repeat_errors = ErrorSums(), ErrorSums()
        self._decoders = [r.decoder() for _ in range(3)]
        self._last = r.silence()
        self._samples = 0

    def process(self, blocks: Iterable[Samples]) -> Iterator[EchoBlock]:
        """Process a song's blocks [n, C] at the model's rate; yield the predicted samples."""
        r = self._model.representation
        for frames in frame_chunks(r, blocks):
            self._samples += r.samples_for(len(frames))
            yield self._process(frames)
        if self._samples and (r.kind != "classes" or r.cache_key):
            yield EchoBlock(*(decoder.finish() for decoder in self._decoders[:2]))

    def _process(self, frames: Frames) -> EchoBlock:
        import torch

        model, r = self._model, self._model.representation
        echo, repeat, truth = self._decoders
        before = np.concatenate([self._last, frames[:-1]])
        self._last = frames[-1:]
        output = torch.from_numpy(self._stepper.predict(frames))
        if model.architecture.tokens:
            codes = model.network.head.mode(output).numpy()
            self._errors.add(r.vectors(codes), r.vectors(frames))
            self._repeat_errors.add(r.vectors(before), r.vectors(frames))
            return EchoBlock(echo.push(codes), repeat.push(before))
        classes = r.kind == "classes"
        values = torch.from_numpy(r.values() if classes else np.zeros(0, np.float32))
        with torch.inference_mode():  # the mean of the predicted distribution, the best guess under MSE
            predicted = model.network.head.mean(output, values).numpy()
        echoed = predicted.reshape(-1, r.channels) if classes else echo.push(predicted)
        repeated = repeat.push(before)
        if self._on_frames:
            self._errors.add(predicted, frames)
            self._repeat_errors.add(before, frames)
        else:
            true = truth.push(frames)
            self._errors.add(echoed, true)
            self._repeat_errors.add(repeated, true)
        return EchoBlock(echoed, repeated)

    def result(self) -> Reproduction:
        """Return the errors so far: on samples (full scale 1), or on frames if phases are not modelled."""
        domain = "standardised frames" if self._on_frames else "samples"
        if self._model.architecture.tokens:
            domain = "the codes' embeddings"
        seconds = self._samples / self._model.representation.sample_rate
        return Reproduction(seconds, domain, self._errors.means(), self._repeat_errors.means())


def reproduce(model: Model, song: Path, out: Path, persistence_out: Path, mix: NDArray[np.float32]) -> Reproduction:
    """Write the teacher-forced echo of a song and the persistence baseline.

    Parameters
    ----------
    model : Model
    song : Path
    out, persistence_out : Path
        Sound files to write.
    mix : ndarray
        Genre conditioning, [G], for models trained with genres.

    Raises
    ------
    AudioError
        If the song cannot be read.
    """
    r, echo = model.representation, Echo(model, mix)
    with (
        AudioReader(song) as reader,
        AudioWriter(out, r.sample_rate, r.channels) as writer,
        AudioWriter(persistence_out, r.sample_rate, r.channels) as repeat_writer,
    ):
        for sounds in echo.process(converted_blocks(reader, r.sample_rate, r.channels)):
            writer.write(sounds.echo)
            repeat_writer.write(sounds.persistence)
        if not echo.result().seconds:
            raise AudioError(f"{song}: holds no sound (zero length)")
    return echo.result()


def frame_chunks(representation: Representation, blocks: Iterable[Samples]) -> Iterator[Frames]:
    """Encode a stream of [n, C] blocks chunk by chunk, as if it were encoded at once."""
    r = representation
    if r.cache_key:  # the encoder looks ahead, so the recording is encoded at once
        yield r.encode(Waveform(np.concatenate([np.zeros((0, r.channels), np.float32), *blocks]), r.sample_rate))
        return
    hop = r.samples_for(r.frame_multiple)
    chunk = hop * max(1, CHUNK_FRAMES if hop == 1 else CHUNK_FRAMES // 16)
    history = np.zeros((0, r.channels), np.float32)
    buffer = history

    def encode(samples: Samples) -> Frames:
        nonlocal history
        overlap = len(history) // hop * r.frame_multiple
        joined = np.concatenate([history, samples])
        history = joined[-(r.left_context // r.frame_multiple) * hop :]
        return r.encode(Waveform(joined, r.sample_rate))[overlap:]

    for block in blocks:
        buffer = np.concatenate([buffer, block])
        while len(buffer) >= chunk:
            segment, buffer = buffer[:chunk], buffer[chunk:]
            yield encode(segment)
    if len(buffer):
        yield encode(buffer)
