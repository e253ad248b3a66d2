"""A stream that is played as an instrument: controls that move while it sounds, and a recipe to play it all again.

Every move is noted with the frame at which it took effect, so that :func:`replay` makes the same sound bit for bit.
"""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from noizenet.audio.waveform import Waveform
from noizenet.base.errors import UsageError
from noizenet.base.renamed import CONTROLS, WATCHES, renamed
from noizenet.base.seeds import derive_seed
from noizenet.generation.controls import Controls
from noizenet.generation.genre import format_mix, parse_path
from noizenet.generation.monitor import Judge
from noizenet.generation.stream import FADE_S, Stream
from noizenet.model.gates import visible
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
"""What a move may set."""

MARKS = 16
"""Moments that are kept at most; the oldest goes first."""

Move = dict[str, Any]


class Instrument(Stream):
    """An endless stream whose controls can be moved.

    Parameters
    ----------
    model : Model
    controls : Controls
        Without a length and without a morph.
    judge, packed : optional
        As of :class:`~noizenet.generation.stream.Stream`.

    Attributes
    ----------
    moves : list of dict
        What was done so far: ``{"at": frame, "set": {…}}``, ``{"at": frame, "surprise": true}``,
        ``{"at": frame, "mark": name}`` and ``{"at": frame, "return": name}``.

    Notes
    -----
    Without any move the samples are those of a :class:`Stream` with the same controls.
    """

    def __init__(
        self, model: Model, controls: Controls, judge: Judge | None = None, packed: Stepper | None = None
    ) -> None:
        if controls.seconds is not None or controls.morph is not None:
            raise UsageError("an instrument plays without an end: give no length and no morph")
        super().__init__(model, controls, judge, packed)
        self.moves: list[Move] = []
        self._marks: dict[str, tuple[StepperState, Decoder]] = {}
        self._turns = 0

    @property
    def frame(self) -> int:
        """Frames played."""
        return self._played

    @property
    def marks(self) -> list[str]:
        """Names of the moments that can be returned to."""
        return list(self._marks)

    def set(self, **values: Any) -> None:
        """Move controls; they act from the next frame on.

        Raises
        ------
        UsageError
            For a control that is not one of :data:`SETTINGS`, or a value that it cannot have; nothing is moved then.
        """
        values = renamed(values, CONTROLS)
        unknown = [name for name in values if name not in SETTINGS]
        if unknown:
            raise UsageError(f"{unknown[0]!r} cannot be moved; what can: {', '.join(SETTINGS)}")
        controls = dataclasses.replace(self._controls, **values)  # says what is wrong
        path = self.path
        if values.get("genre") is not None:
            path = parse_path(str(values["genre"]), None, self.genres, self.conditioned, controls.seed)
        self._apply_controls(controls)
        if path is not self.path:
            self.path = path
            self._stepper.set_genre(path.at(0.0))
        if values.get("tempo") is not None:
            self.tempo = float(values["tempo"])
            self._keep_time()
        self._note(set={name: getattr(controls, name) for name in values})  # plain numbers

    def reset_state(self) -> None:
        """Send the network to a track's start; the random numbers go on."""
        self._cross_over(lambda: self._stepper.restart())
        self._note(surprise=True)

    def mark(self, name: str) -> None:
        """Keep this moment under a name."""
        while len(self._marks) >= MARKS and name not in self._marks:
            self._marks.pop(next(iter(self._marks)))
        self._marks[name] = self._stepper.save(), copy.deepcopy(self._decoder)
        self._note(mark=name)

    def restore(self, name: str) -> None:
        """Return to a moment and take another path from there.

        Raises
        ------
        UsageError
            If no moment has that name.
        """
        if name not in self._marks:
            raise UsageError(f"no moment is called {name!r}; there are: {', '.join(self._marks) or 'none'}")
        state, decoder = self._marks[name]
        self._turns += 1

        def turn() -> None:
            self._stepper.restore(state)
            self._stepper.reseed(derive_seed(self._controls.seed, "turn", self._turns))
            self._decoder = copy.deepcopy(decoder)

        self._cross_over(turn)
        self._note(**{"return": name})

    def apply(self, move: Mapping[str, Any]) -> None:
        """Do what a move says; see :attr:`moves`."""
        if "set" in move:
            if not isinstance(move["set"], Mapping):
                raise UsageError("set: expected names and values")
            self.set(**move["set"])
        elif "surprise" in move:
            self.reset_state()
        elif "mark" in move:
            self.mark(str(move["mark"]))
        elif "return" in move:
            self.restore(str(move["return"]))
        else:
            raise UsageError("a move sets controls, surprises, marks a moment or returns to one")

    def advance_to(self, frame: int) -> None:
        """Play on to a frame, for a replay; what is made lies ready."""
        while self._played < frame:
            self._longest = frame - self._played
            self._advance()
        self._longest = None

    def made(self) -> NDArray[np.float32]:
        """Take all that lies ready, [n, C]."""
        parts, self._ready = self._ready, []
        return np.concatenate(parts) if parts else np.zeros((0, self.channels), np.float32)

    def settings(self) -> dict[str, Any]:
        """Return where each control of :data:`SETTINGS` stands."""
        c = self._controls
        return {
            "genre": format_mix(self.path.at(0.0), self.genres) if self.conditioned else "",
            "temperature": self._sampling.temperature, "top_p": self._sampling.top_p,
            "genre_guidance": self._sampling.genre_guidance, "tempo": self.tempo,
            "beat_guidance": self._sampling.beat_guidance,
            "inject_every": c.inject_every, "inject_amount": c.inject_amount,
        }  # fmt: skip

    def visible(self) -> dict[str, list[float]]:
        """Return what can be seen of the network now; see :func:`noizenet.model.gates.visible`."""
        return visible(self._stepper, self._model.weights)

    def recipe(self) -> dict[str, Any]:
        """Return what :func:`replay` needs, besides the model."""
        plain = dataclasses.asdict(self._first)
        plain["prompt"] = None if plain["prompt"] is None else str(plain["prompt"])
        return {"format": 1, "controls": plain, "moves": copy.deepcopy(self.moves), "frame": self._played}

    def _begin(self) -> None:
        self._first = self._controls
        super()._begin()

    def _note(self, **what: Any) -> None:
        self.moves.append({"at": self._played, **what})

    def _cross_over(self, change: Any) -> None:
        """Change the network's state; what would have been heard fades out under what is heard now."""
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
    judge: Judge | None = None,
    *,
    start: int = 0,
    samples: int | None = None,
    packed: Stepper | None = None,
) -> Iterator[Waveform]:
    """Play a recipe again.

    Parameters
    ----------
    model : Model
    recipe : mapping
        From :meth:`Instrument.recipe`.
    judge : callable, optional
        The one of the first time.
    start, samples : int
        The stretch that is wanted, in samples; by default all that was made.
    packed : Stepper, optional
        As of :class:`~noizenet.generation.stream.Stream`.

    Yields
    ------
    Waveform
        Blocks, the same bytes as the first time.

    Raises
    ------
    UsageError
        If the recipe is not one.
    """
    try:
        values = renamed(dict(recipe["controls"]), CONTROLS)
        moves: Sequence[Mapping[str, Any]] = list(recipe["moves"])
        places = [int(m["at"]) for m in moves]
        end = int(recipe["frame"])
        values["prompt"] = None if values["prompt"] is None else Path(values["prompt"])
        for name in ("code_temperatures", "code_top_p"):
            values[name] = tuple(values.get(name, ()))
        values["watch"] = WATCHES.get(values["watch"], values["watch"])
        controls = Controls(**values)
    except (KeyError, TypeError, ValueError) as error:
        raise UsageError(f"this is no recipe of a recording ({type(error).__name__}: {error})") from error
    instrument = Instrument(model, controls, judge, packed)
    left = samples

    def cut(part: NDArray[np.float32]) -> NDArray[np.float32]:
        nonlocal start, left
        skipped = min(start, len(part))
        start -= skipped
        part = part[skipped:] if left is None else part[skipped : skipped + left]
        left = left if left is None else left - len(part)
        return part

    step = max(1, round(model.representation.frame_rate))
    for place, move in [*zip(places, moves, strict=True), (end, None)]:
        while instrument.frame < place:
            instrument.advance_to(min(place, instrument.frame + step))
            part = cut(instrument.made())
            if len(part):
                yield model.representation.as_waveform(part)
        if move is not None:
            instrument.apply(move)
    part = cut(instrument.made())
    if len(part):
        yield model.representation.as_waveform(part)
