"""Generation: as blocks, in real time, or into files."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, TYPE_CHECKING

from noizenet.api.arguments import a_model, a_path, controls_of
from noizenet.api.models import inputs_of
from noizenet.audio.card import Card
from noizenet.audio.waveform import Waveform
from noizenet.audio.write import AudioWriter, write_pcm
from noizenet.base.errors import NoizenetError, UsageError
from noizenet.base.files import check_outputs
from noizenet.evaluation.aliveness import Aliveness, Report, failure_mode
from noizenet.generation.controls import Controls
from noizenet.generation.genre import format_schedule

if TYPE_CHECKING:
    from noizenet.generation.monitor import WatchReport
    from noizenet.generation.stream import Stream
    from noizenet.store.model import Model


BATCH_SIZE = 16
"""Pieces that are generated as one batch."""


@dataclass(frozen=True)
class Generated:
    """Result of :func:`generate`.

    The real-time factor is that of the whole batch. The tempo is that of the beat conditioning, 0 without one.
    """

    path: Path
    seconds: float
    genre: str
    real_time_factor: float
    clipped: int
    aliveness: Report
    watch: WatchReport | None
    remarks: list[str]
    tempo: float = 0.0


@dataclass
class Playing:
    """Status of playback: seconds played, speed of generation, buffer underruns, and the monitor's report."""

    sample_rate: int
    channels: int
    seconds: float = 0.0
    real_time_factor: float = 0.0
    margin: float = 0.0
    underruns: int = 0
    watch: WatchReport | None = None
    remarks: list[str] = field(default_factory=list)


def stream(model: Model | Path | str, controls: Controls) -> Stream:
    """Return an iterator of waveform blocks, endless if ``controls.seconds`` is None."""
    from noizenet.generation.stream import Stream

    return Stream(a_model(model), controls_of(controls), failure_mode)


def play(
    model: Model | Path | str,
    controls: Controls,
    pipe: IO[bytes] | None = None,
    *,
    on_block: Callable[[Playing], None] | None = None,
) -> Playing:
    """Play in real time: on the sound card, or as 16-bit little-endian PCM into `pipe`.

    A separate thread generates blocks up to two seconds ahead.

    Parameters
    ----------
    model : Model, Path or str
    controls : Controls
        Without a length, playback ends with an exception (Ctrl-C), or when the pipe's reader closes it.
    pipe : binary file, optional
    on_block : callable, optional
        Called after each block with the status.

    Returns
    -------
    Playing
    """
    from noizenet.generation.prefetch import Prefetcher

    blocks = stream(model, controls)
    prefetched = Prefetcher(blocks)
    state = Playing(blocks.sample_rate, blocks.channels, remarks=blocks.remarks)

    def with_status() -> Iterator[Waveform]:
        for block in prefetched:
            yield block
            state.seconds += len(block) / blocks.sample_rate
            state.real_time_factor, state.margin = prefetched.pace.real_time_factor, prefetched.pace.margin
            state.watch = blocks.watch
            if on_block is not None:
                on_block(state)

    try:
        if pipe is not None:
            write_pcm(pipe, with_status())
            return state
        with Card(blocks.sample_rate, blocks.channels) as card:
            for block in with_status():
                card.write(block.samples.reshape(len(block), -1))
                state.underruns = card.underruns
        return state
    finally:
        prefetched.close()


def generate(
    model: Model | Path | str,
    out: Path | str,
    controls: Controls,
    *,
    on_block: Callable[[float], None] | None = None,
) -> Generated:
    """Generate music into a file.

    Parameters
    ----------
    model : Model, Path or str
    out : Path or str
        ``.wav``, ``.flac`` or ``.ogg``; the file appears when it is complete.
    controls : Controls
        With a length.
    on_block : callable, optional
        Called with the seconds generated so far.

    Returns
    -------
    Generated
    """
    return generate_batch(model, [(out, controls)], on_block=on_block)[0]


def generate_batch(
    model: Model | Path | str,
    takes: Sequence[tuple[Path | str, Controls]],
    *,
    on_block: Callable[[float], None] | None = None,
) -> list[Generated]:
    """Generate several pieces in batches of sixteen; each equals that of :func:`generate`.

    Parameters
    ----------
    model : Model, Path or str
    takes : sequence of (path, Controls)
        Files and their controls, which may differ in seed and genre only.
    on_block : callable, optional
        Called with the seconds generated so far, summed over all takes.

    Returns
    -------
    list of Generated

    Raises
    ------
    NoizenetError
        If a piece cannot be written. The other pieces of its batch are finished first. The message gives the number of
        finished pieces.
    KeyboardInterrupt
        On Ctrl-C, with the number of finished pieces in its text.
    """
    if not isinstance(takes, Sequence) or not all(_is_take(t) for t in takes):
        raise UsageError("takes: expected pairs of a path and controls")
    takes = [(a_path(path, "out"), controls_of(c)) for path, c in takes]
    check_outputs([path for path, _ in takes], [*(c.prompt for _, c in takes), *inputs_of(model)])
    if any(c.seconds is None for _, c in takes):
        raise UsageError("seconds: a file needs a length")
    loaded, made = a_model(model), list[Generated]()
    before, finished = 0.0, list[Path]()
    try:
        for first in range(0, len(takes), BATCH_SIZE):
            batch = takes[first : first + BATCH_SIZE]
            report = lambda s, before=before: on_block and on_block(before + s)  # noqa: E731
            made += _generate_one_batch(loaded, batch, report, finished)
            before += sum(g.seconds for g in made[first:])
    except KeyboardInterrupt:
        raise KeyboardInterrupt(f"interrupted; {_describe_finished(finished, len(takes))}") from None
    except NoizenetError as error:
        if len(takes) == 1:
            raise
        raise type(error)(f"{error}; {_describe_finished(finished, len(takes))}") from error
    return made


def _describe_finished(finished: Sequence[Path], total: int) -> str:
    """Return how many of the pieces are finished, with the first names."""
    if not finished:
        return "nothing was written"
    names = ", ".join(p.name for p in finished[:5]) + (", …" if len(finished) > 5 else "")
    return f"{len(finished)} of {total} pieces are finished and kept: {names}"


def _is_take(value: object) -> bool:
    return isinstance(value, (tuple, list)) and len(value) == 2


class _OutputFiles:
    """Output files of one batch.

    A file that cannot be written is removed at once, which frees its disk space for the others. Its error is raised
    when they are finished, or when none is left.
    """

    def __init__(self, finished: list[Path]) -> None:
        self.writers: list[AudioWriter] = []
        self._failed: dict[AudioWriter, NoizenetError] = {}
        self._finished = finished

    def __enter__(self) -> _OutputFiles:
        return self

    def __exit__(self, *_: object) -> None:
        for writer in self.writers:
            writer.abort()  # does nothing to finished files

    def write(self, blocks: Sequence[Waveform]) -> None:
        for writer, block in zip(self.writers, blocks, strict=True):
            if writer not in self._failed:
                self._try(writer, lambda writer=writer, block=block: writer.write(block.samples))  # type: ignore[misc]

    def commit(self) -> None:
        for writer in self.writers:
            if writer not in self._failed and self._try(writer, writer.commit):
                self._finished.append(writer.path)
        for error in self._failed.values():
            raise error

    def _try(self, writer: AudioWriter, operation: Callable[[], None]) -> bool:
        try:
            operation()
        except NoizenetError as error:
            self._failed[writer] = error
            if len(self._failed) == len(self.writers):
                raise
            return False
        return True


def _generate_one_batch(
    model: Model,
    takes: Sequence[tuple[Path | str, Controls]],
    on_block: Callable[[float], object],
    finished: list[Path],
) -> list[Generated]:
    import time

    from noizenet.generation.stream import Stream

    streams = Stream.many(model, [controls for _, controls in takes], failure_mode)
    started, total = time.perf_counter(), 0.0
    detectors = [Aliveness(s.sample_rate) for s in streams]
    with _OutputFiles(finished) as files:
        writers = files.writers
        for (path, c), s in zip(takes, streams, strict=True):
            expected = round(((c.seconds or 0.0) + c.prompt_seconds) * s.sample_rate)
            writers.append(AudioWriter(path, s.sample_rate, s.channels, expected))
        for blocks in Stream.generate_batch(streams):
            files.write(blocks)
            for detector, block in zip(detectors, blocks, strict=True):
                detector.push(block.samples)
            total += sum(len(block) for block in blocks) / streams[0].sample_rate
            on_block(total)
        files.commit()
    generated = total - sum(s.prompt_seconds for s in streams)  # a prompt is decoded, not generated
    real_time_factor = generated / max(1e-9, time.perf_counter() - started)
    return [
        Generated(
            Path(path), writer.frames / s.sample_rate,
            format_schedule(s.schedule, s.genres) if s.conditioned else "",
            real_time_factor, writer.clipped, detector.finish(), s.watch, s.remarks, s.tempo,
        )
        for (path, _), s, writer, detector in zip(takes, streams, writers, detectors, strict=True)
    ]  # fmt: skip
