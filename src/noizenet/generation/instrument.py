"""A stream whose controls can be changed during generation, with a recipe that reproduces its output.

Every move is recorded with the frame at which it took effect, so that :func:`replay` reproduces the samples bit for
bit.
"""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from noizenet.audio.waveform import Waveform
from noizenet.base.errors import UsageError
from noizenet.base.renamed import CONTROLS, MOVES, WATCHES, renamed
from noizenet.base.seeds import derive_seed
from noizenet.generation.controls import Controls
from noizenet.generation.gates import visible
from noizenet.generation.genre import format_mix, parse_schedule
from noizenet.generation.monitor import FailureDetector
from noizenet.generation.stream import FADE_S, Stream
from noizenet.model.stepper import Stepper, StepperState
from noizenet.representation.base import Decoder
from noizenet.store.model import Model

SETTINGS = (
    "genre",
    "temperature",
    "top_p",
    "genre_guidance",
    "tempo",
    "beat_guidance",
    "inject_every",
    "inject_amount",
)
"""Controls that a move may set."""

MAX_MARKS = 16
"""Largest number of marks; a further one replaces the oldest."""

Move = dict[str, Any]


class Instrument(Stream):
    """An endless stream whose controls can be changed during generation.

    Parameters
    ----------
    model : Model
    controls : Controls
        Without a length and without a morph.
    detector, packed : optional
        See :class:`~noizenet.generation.stream.Stream`.

    Attributes
    ----------
    moves : list of dict
        Moves so far, in order: ``{"at": frame, "set": {…}}``, ``{"at": frame, "reset_state": true}``,
        ``{"at": frame, "mark": name}`` and ``{"at": frame, "return": name}``.

    Raises
    ------
    UsageError
        If the controls have a length or a morph, or the model does not support them.

    Notes
    -----
    Without moves the samples equal those of a :class:`Stream` with the same controls.
    """

    def __init__(
        self, model: Model, controls: Controls, detector: FailureDetector | None = None, packed: Stepper | None = None
    ) -> None:
        if controls.seconds is not None or controls.morph is not None:
            raise UsageError("an instrument is endless: leave out seconds and morph")
        super().__init__(model, controls, detector, packed)
        self.moves: list[Move] = []
        self._marks: dict[str, tuple[StepperState, Decoder]] = {}
        self._restored = 0

    @property
    def frame(self) -> int:
        """Number of frames generated so far."""
        return self._frames_done

    @property
    def marks(self) -> list[str]:
        """Names of the marked snapshots, oldest first."""
        return list(self._marks)

    def set(self, **values: Any) -> None:
        """Set controls from the next frame on.

        Raises
        ------
        UsageError
            For a control that is not in :data:`SETTINGS`, or an invalid value; nothing is changed then.
        """
        values = renamed(values, CONTROLS)
        unknown = [name for name in values if name not in SETTINGS]
        if unknown:
            raise UsageError(f"{unknown[0]!r} cannot be set during playback; these can: {', '.join(SETTINGS)}")
        controls = dataclasses.replace(self._controls, **values)  # checks the values
        schedule = self.schedule
        if values.get("genre") is not None:
            schedule = parse_schedule(str(values["genre"]), None, self.genres, self.conditioned, controls.seed)
        self._apply_controls(controls)
        if schedule is not self.schedule:
            self.schedule = schedule
            self._stepper.set_genre(schedule.at(0.0))
        if values.get("tempo") is not None:
            self.tempo = float(values["tempo"])
            self._set_beat()
        self._record_move(set={name: getattr(controls, name) for name in values})  # plain numbers

    def reset_state(self) -> None:
        """Reset the network to its initial state; the random generators continue."""
        self._change_state(lambda: self._stepper.restart())
        self._record_move(reset_state=True)

    def mark(self, name: str) -> None:
        """Store a snapshot of the current state under a name."""
        while len(self._marks) >= MAX_MARKS and name not in self._marks:
            self._marks.pop(next(iter(self._marks)))
        self._marks[name] = self._stepper.save(), copy.deepcopy(self._decoder)
        self._record_move(mark=name)

    def restore(self, name: str) -> None:
        """Restore a marked snapshot and continue from it with new random numbers.

        Raises
        ------
        UsageError
            If there is no mark of that name.
        """
        if name not in self._marks:
            raise UsageError(f"there is no mark {name!r}; marks: {', '.join(self._marks) or 'none'}")
        state, decoder = self._marks[name]
        self._restored += 1

        def restore() -> None:
            self._stepper.restore(state)
            self._stepper.reseed(derive_seed(self._controls.seed, "turn", self._restored))
            self._decoder = copy.deepcopy(decoder)

        self._change_state(restore)
        self._record_move(**{"return": name})

    def apply(self, move: Mapping[str, Any]) -> None:
        """Execute a move in the format of :attr:`moves`; names of earlier versions are accepted.

        Raises
        ------
        UsageError
            If the move is not valid; nothing is changed then.
        """
        move = renamed(move, MOVES)
        if "set" in move:
            if not isinstance(move["set"], Mapping):
                raise UsageError("set: expected names and values")
            self.set(**move["set"])
        elif "reset_state" in move:
            self.reset_state()
        elif "mark" in move:
            self.mark(str(move["mark"]))
        elif "return" in move:
            self.restore(str(move["return"]))
        else:
            raise UsageError("a move has one of the keys set, reset_state, mark and return")

    def advance_to(self, frame: int) -> None:
        """Generate up to a frame, for a replay; :meth:`take_ready` returns the samples."""
        while self._frames_done < frame:
            self._max_block = frame - self._frames_done
            self._advance()
        self._max_block = None

    def take_ready(self) -> NDArray[np.float32]:
        """Return the samples [n, C] that are decoded but not yet returned."""
        parts, self._ready = self._ready, []
        return np.concatenate(parts) if parts else np.zeros((0, self.channels), np.float32)

    def settings(self) -> dict[str, Any]:
        """Return the current value of each control of :data:`SETTINGS`."""
        c = self._controls
        return {
            "genre": format_mix(self.schedule.at(0.0), self.genres) if self.conditioned else "",
            "temperature": self._sampling.temperature, "top_p": self._sampling.top_p,
            "genre_guidance": self._sampling.genre_guidance, "tempo": self.tempo,
            "beat_guidance": self._sampling.beat_guidance,
            "inject_every": c.inject_every, "inject_amount": c.inject_amount,
        }  # fmt: skip

    def visible(self) -> dict[str, list[float]]:
        """Return the network's current gates and states for display; see :func:`noizenet.generation.gates.visible`."""
        return visible(self._stepper, self._model.weights)

    def recipe(self) -> dict[str, Any]:
        """Return the recipe: all that :func:`replay` needs in addition to the model."""
        controls = dataclasses.asdict(self._initial_controls)
        controls["prompt"] = None if controls["prompt"] is None else str(controls["prompt"])
        return {"format": 1, "controls": controls, "moves": copy.deepcopy(self.moves), "frame": self._frames_done}

    def _start(self) -> None:
        self._initial_controls = self._controls
        super()._start()

    def _record_move(self, **move: Any) -> None:
        self.moves.append({"at": self._frames_done, **move})

    def _change_state(self, change: Callable[[], None]) -> None:
        """Change the network's state, with a cross-fade from the output of the old state."""
        old, decoder = self._stepper.fork(), copy.deepcopy(self._decoder)
        change()
        count = -(-round(FADE_S * self._r.frame_rate) // self._r.frame_multiple) * self._r.frame_multiple
        tail = np.zeros((0, self.channels), np.float32)
        while len(tail) < round(FADE_S * self.sample_rate):
            tail = np.concatenate([tail, decoder.push(old.run(max(count, self._r.frame_multiple), self._sampling))])
        self._fade = tail[: round(FADE_S * self.sample_rate)]
        self._fade_length = len(self._fade)


def replay(
    model: Model,
    recipe: Mapping[str, Any],
    detector: FailureDetector | None = None,
    *,
    start: int = 0,
    samples: int | None = None,
    packed: Stepper | None = None,
) -> Iterator[Waveform]:
    """Reproduce the output of an instrument from its recipe.

    Parameters
    ----------
    model : Model
    recipe : mapping
        From :meth:`Instrument.recipe`; names of earlier versions are accepted.
    detector : callable, optional
        The instrument's detector.
    start, samples : int
        Excerpt to return, in samples; the default is the whole output.
    packed : Stepper, optional
        See :class:`~noizenet.generation.stream.Stream`.

    Yields
    ------
    Waveform
        Blocks with the same samples as the instrument's.

    Raises
    ------
    UsageError
        If the recipe is not valid.
    """
    try:
        values = renamed(dict(recipe["controls"]), CONTROLS)
        moves: Sequence[Mapping[str, Any]] = list(recipe["moves"])
        positions = [int(m["at"]) for m in moves]
        end = int(recipe["frame"])
        values["prompt"] = None if values["prompt"] is None else Path(values["prompt"])
        for name in ("code_temperatures", "code_top_p"):
            values[name] = tuple(values.get(name, ()))
        values["watch"] = WATCHES.get(values["watch"], values["watch"])
        controls = Controls(**values)
    except (KeyError, TypeError, ValueError) as error:
        raise UsageError(f"this is not a recipe of a recording ({type(error).__name__}: {error})") from error
    instrument = Instrument(model, controls, detector, packed)
    remaining = samples

    def crop(part: NDArray[np.float32]) -> NDArray[np.float32]:
        nonlocal start, remaining
        skipped = min(start, len(part))
        start -= skipped
        part = part[skipped:] if remaining is None else part[skipped : skipped + remaining]
        remaining = remaining if remaining is None else remaining - len(part)
        return part

    step = max(1, round(model.representation.frame_rate))
    for position, move in [*zip(positions, moves, strict=True), (end, None)]:
        while instrument.frame < position:
            instrument.advance_to(min(position, instrument.frame + step))
            part = crop(instrument.take_ready())
            if len(part):
                yield model.representation.as_waveform(part)
        if move is not None:
            instrument.apply(move)
    part = crop(instrument.take_ready())
    if len(part):
        yield model.representation.as_waveform(part)
