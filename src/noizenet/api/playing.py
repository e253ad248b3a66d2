"""A model plays: as blocks, live, into a file."""

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
from noizenet.generation.genre import spell_path

if TYPE_CHECKING:
    from noizenet.generation.monitor import WatchReport
    from noizenet.generation.stream import Stream
    from noizenet.store.model import Model


TOGETHER = 16
"""Pieces that are made in lockstep."""


@dataclass(frozen=True)
class Generated:
    """What :func:`generate` has written.

    The pace is that of all pieces that were made together; the tempo is the network's clock's, 0 where it has none.
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
    """How live playing stands: seconds given away, pace of making, gaps of the card, and what the watch saw."""

    sample_rate: int
    channels: int
    seconds: float = 0.0
    real_time_factor: float = 0.0
    margin: float = 0.0
    underruns: int = 0
    watch: WatchReport | None = None
    remarks: list[str] = field(default_factory=list)


def stream(model: Model | Path | str, controls: Controls) -> Stream:
    """Play: an iterator of waveform blocks, endless where ``controls.seconds`` is None."""
    from noizenet.generation.stream import Stream

    return Stream(a_model(model), controls_of(controls), failure_mode)


def play(
    model: Model | Path | str,
    controls: Controls,
    pipe: IO[bytes] | None = None,
    *,
    on_block: Callable[[Playing], None] | None = None,
) -> Playing:
    """Play live: on the sound card, or as 16-bit little-endian PCM into `pipe`.

    Blocks are made up to two seconds ahead in a thread of their own.

    Parameters
    ----------
    model : Model, Path or str
    controls : Controls
        Without a length, this returns only by an exception (Ctrl-C) or when the pipe's reader has gone.
    pipe : binary file, optional
    on_block : callable, optional
        Called after each block with how it stands.

    Returns
    -------
    Playing
    """
    from noizenet.generation.prefetch import Prefetcher

    blocks = stream(model, controls)
    ahead = Prefetcher(blocks)
    state = Playing(blocks.sample_rate, blocks.channels, remarks=blocks.remarks)

    def passing() -> Iterator[Waveform]:
        for block in ahead:
            yield block
            state.seconds += len(block) / blocks.sample_rate
            state.real_time_factor, state.margin = ahead.pace.real_time_factor, ahead.pace.margin
            state.watch = blocks.watch
            if on_block is not None:
                on_block(state)

    try:
        if pipe is not None:
            write_pcm(pipe, passing())
            return state
        with Card(blocks.sample_rate, blocks.channels) as card:
            for block in passing():
                card.write(block.samples.reshape(len(block), -1))
                state.underruns = card.underruns
        return state
    finally:
        ahead.close()


def generate(
    model: Model | Path | str,
    out: Path | str,
    controls: Controls,
    *,
    on_block: Callable[[float], None] | None = None,
) -> Generated:
    """Write new music to a file.

    Parameters
    ----------
    model : Model, Path or str
    out : Path or str
        ``.wav``, ``.flac`` or ``.ogg``; appears only when complete.
    controls : Controls
        With a length.
    on_block : callable, optional
        Called with the seconds made so far.

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
    """Write several pieces at once, sixteen at a time: each is what :func:`generate` makes of it alone.

    Parameters
    ----------
    model : Model, Path or str
    takes : sequence of (path, Controls)
        Alike but for seed and genre.
    on_block : callable, optional
        Called with the seconds made so far, of all takes.

    Returns
    -------
    list of Generated

    Raises
    ------
    NoizenetError
        Where a piece cannot be written. The other pieces of its sixteen are finished first; the message counts what
        is finished.
    KeyboardInterrupt
        With a text that counts what is finished.
    """
    if not isinstance(takes, Sequence) or not all(_is_take(t) for t in takes):
        raise UsageError("takes: expected pairs of a path and controls")
    takes = [(a_path(path, "out"), controls_of(c)) for path, c in takes]
    check_outputs([path for path, _ in takes], [*(c.prompt for _, c in takes), *inputs_of(model)])
    if any(c.seconds is None for _, c in takes):
        raise UsageError("a file needs a length: give seconds")
    loaded, made = a_model(model), list[Generated]()
    before, finished = 0.0, list[Path]()
    try:
        for first in range(0, len(takes), TOGETHER):
            group = takes[first : first + TOGETHER]
            told = lambda s, before=before: on_block and on_block(before + s)  # noqa: E731
            made += _group(loaded, group, told, finished)
            before += sum(g.seconds for g in made[first:])
    except KeyboardInterrupt:
        raise KeyboardInterrupt(f"interrupted; {_count(finished, len(takes))}") from None
    except NoizenetError as error:
        if len(takes) == 1:
            raise
        raise type(error)(f"{error}; {_count(finished, len(takes))}") from error
    return made


def _count(finished: Sequence[Path], wanted: int) -> str:
    """Say how many of the pieces that were wanted are finished."""
    if not finished:
        return "nothing was written"
    names = ", ".join(p.name for p in finished[:5]) + (", …" if len(finished) > 5 else "")
    return f"{len(finished)} of {wanted} pieces are finished and kept: {names}"


def _is_take(value: object) -> bool:
    return isinstance(value, (tuple, list)) and len(value) == 2


class _Files:
    """Files that are written together.

    One that cannot be written goes at once, which leaves its room to the others; its error is raised when they are
    finished, or when none is left.
    """

    def __init__(self, finished: list[Path]) -> None:
        self.writers: list[AudioWriter] = []
        self._failed: dict[AudioWriter, NoizenetError] = {}
        self._finished = finished

    def __enter__(self) -> _Files:
        return self

    def __exit__(self, *_: object) -> None:
        for writer in self.writers:
            writer.abort()  # nothing is left to remove of those that are finished

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

    def _try(self, writer: AudioWriter, what: Callable[[], None]) -> bool:
        try:
            what()
        except NoizenetError as error:
            self._failed[writer] = error
            if len(self._failed) == len(self.writers):
                raise
            return False
        return True


def _group(
    model: Model,
    takes: Sequence[tuple[Path | str, Controls]],
    on_block: Callable[[float], object],
    finished: list[Path],
) -> list[Generated]:
    import time

    from noizenet.generation.stream import Stream

    streams = Stream.many(model, [controls for _, controls in takes], failure_mode)
    begun, total = time.perf_counter(), 0.0
    watches = [Aliveness(s.sample_rate) for s in streams]
    with _Files(finished) as files:
        writers = files.writers
        for (path, c), blocks in zip(takes, streams, strict=True):
            expected = round(((c.seconds or 0.0) + c.prompt_seconds) * blocks.sample_rate)
            writers.append(AudioWriter(path, blocks.sample_rate, blocks.channels, expected))
        for together in Stream.generate_batch(streams):
            files.write(together)
            for watch, block in zip(watches, together, strict=True):
                watch.push(block.samples)
            total += sum(len(block) for block in together) / streams[0].sample_rate
            on_block(total)
        files.commit()
    made = total - sum(blocks.prompt_seconds for blocks in streams)  # a prompt is decoded, not played
    pace = made / max(1e-9, time.perf_counter() - begun)
    return [
        Generated(
            Path(path), writer.frames / blocks.sample_rate,
            spell_path(blocks.path, blocks.genres) if blocks.conditioned else "",
            pace, writer.clipped, watch.finish(), blocks.watch, blocks.remarks, blocks.tempo,
        )
        for (path, _), blocks, writer, watch in zip(takes, streams, writers, watches, strict=True)
    ]  # fmt: skip
