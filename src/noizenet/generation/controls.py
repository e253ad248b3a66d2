"""Controls of generation, with their checks."""

from __future__ import annotations

import functools
import math
import typing
from dataclasses import dataclass, field, fields, replace
from numbers import Integral, Real
from pathlib import Path
from typing import Any

from noizenet.base.errors import UsageError
from noizenet.generation import PROMPT_NOISES
from noizenet.model import PRECISIONS
from noizenet.model.sampling import Sampling

WATCHES = ("off", "report", "recover")
TYPE_NAMES: dict[type, str] = {float: "a number", int: "a whole number", str: "text", bool: "true or false"}


def control(default: Any, help: str = "") -> Any:
    """Declare a control; with a help text it is an option of ``generate`` and ``play``."""
    return field(default=default, metadata={"help": help})


@dataclass(frozen=True)
class Controls:
    """What to generate and how.

    Parameters
    ----------
    seconds : float, optional
        Length; None generates without end.
    seed : int
        Random seed. The same model, seed, controls and machine give the same bytes.
    genre : str, optional
        One genre, ``"A"``, or a mix, ``"A:0.7,B:0.3"``.
    morph : str, optional
        ``"A>B"``: a transition from one genre to another over the whole length.
    temperature : float, optional
        Sampling temperature, 0 to 100. The default is the model's: 1, or 0.85 for a mixture of distributions, whose
        tails make music too bright at 1 (docs/results.md). Only for models that predict a distribution.
    top_k, top_p : int, float, optional
        See :class:`noizenet.model.sampling.Sampling`.
    genre_guidance : float, optional
        Guidance scale of the genre conditioning, 0 to 20; the default is the model's. Only for token models with
        genres.
    tempo : float, optional
        Beats a minute, 20 to 400; 0 sets no beat. The default is the tempo of the prompt, or of a training recording of
        the genre. Only for networks with a clock.
    beat_guidance : float, optional
        Guidance scale of the beat conditioning, 0 to 20; the default is the model's. Only for networks with a clock.
    code_temperatures, code_top_p : tuple of float
        One number for each code of a frame; see :class:`noizenet.model.sampling.Sampling`.
    prompt : Path, optional
        Recording to continue.
    prompt_noise : str, optional
        ``normal`` or ``perlin``: noise to continue.
    prompt_seconds : float
        Length of the prompt in seconds, at most 600: the end of the recording, or so much noise.
    include_prompt : bool
        Put the prompt in front of the music, as the model's representation decodes it (not the recording itself).
    inject_every, inject_amount : float
        Add Gaussian noise to the fed-back frame once in so many seconds; see
        :meth:`noizenet.model.stepper.Stepper.run` for the amount's unit.
    block_seconds : float
        Length of one block of the stream.
    watch : str
        Monitor of degenerate output (see :mod:`noizenet.generation.monitor`): ``report`` checks the stream once a
        second, ``recover`` also restores it, ``off`` does nothing.
    precision : str
        Precision of the weights during generation: ``fp32``, ``bf16`` or ``int8``.

    Raises
    ------
    UsageError
        For a control of a wrong type or out of range, or controls that exclude each other.
    """

    seconds: float | None = control(10.0, "Length in seconds.")
    seed: int = control(0, "Random seed: the same seed gives the same samples.")
    genre: str | None = control(None, 'A genre, or a mix: "A:0.7,B:0.3".')
    morph: str | None = control(None, 'Transition from one genre to another: "A>B".')
    temperature: float | None = control(None, "Sampling temperature: higher is more random. Default: the model's.")
    top_k: int | None = control(None, "Sample from the k most probable classes.")
    top_p: float | None = control(None, "Sample from the most probable classes up to this total probability.")
    genre_guidance: float | None = control(None, "Guidance scale of the genre, 0 (none) to 20. Default: the model's.")
    tempo: float | None = control(None, "Beats a minute, 0 for no beat. Default: that of the prompt or genre.")
    beat_guidance: float | None = control(None, "Guidance scale of the beat, 0 (none) to 20. Default: the model's.")
    code_temperatures: tuple[float, ...] = control(
        (), "A factor of the temperature for each code of a frame: 1,1,0.9,…"
    )
    code_top_p: tuple[float, ...] = control((), "A top-p for each code of a frame: 1,0.95,…")
    prompt: Path | None = control(None, "A recording to continue.")  # noqa: RUF009 - a dataclass field
    prompt_noise: str | None = control(None, "Continue noise: normal or perlin.")
    prompt_seconds: float = control(5.0, "Length of the prompt, in seconds.")
    include_prompt: bool = control(
        False, "Put the prompt in front, as decoded by the model's representation (not the recording itself)."
    )
    inject_every: float = control(0.0)
    inject_amount: float = control(0.0)
    block_seconds: float = control(0.25)
    watch: str = control("report", "Monitor of degenerate output: off, report or recover.")
    precision: str = control("fp32", "Precision of the weights: fp32, bf16 or int8.")

    def __post_init__(self) -> None:
        self._check_types()
        if self.seconds is not None and not 0 < self.seconds <= 1e7:
            raise UsageError(f"seconds: {self.seconds} is not a length between 0 and 10,000,000")
        if self.seconds is None and self.morph is not None:
            raise UsageError("morph: a morph needs a length; give seconds")
        if self.prompt is not None and self.prompt_noise is not None:
            raise UsageError("give either prompt or prompt_noise, not both")
        if self.include_prompt and self.prompt is None and self.prompt_noise is None:
            raise UsageError("include_prompt: there is no prompt to include; give prompt or prompt_noise")
        if self.prompt_noise is not None:
            PROMPT_NOISES.load(self.prompt_noise)
        for name in ("prompt_seconds", "block_seconds"):
            if not 0 < getattr(self, name) <= 600:
                raise UsageError(f"{name.replace('_', ' ')}: {getattr(self, name)} is not between 0 and 600 seconds")
        for name in ("inject_every", "inject_amount"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value >= 0):
                raise UsageError(f"{name.replace('_', ' ')}: {value} is not a number of at least 0")
        if self.tempo is not None and self.tempo != 0 and not 20 <= self.tempo <= 400:
            raise UsageError(f"tempo: {self.tempo:g} is neither between 20 and 400 beats a minute nor 0 for no beat")
        if self.seed < 0:
            raise UsageError(f"seed: {self.seed} is negative")
        if self.watch not in WATCHES:
            raise UsageError(f"watch: {self.watch!r} is not one of {', '.join(WATCHES)}")
        if self.precision not in PRECISIONS:
            raise UsageError(f"precision: {self.precision!r} is not one of {', '.join(PRECISIONS)}")
        self.sampling()

    def _check_types(self) -> None:
        """Check the type of every control; convert NumPy numbers to Python's and the prompt's path to a Path."""
        for name, (kind, optional) in _types().items():
            value = getattr(self, name)
            if kind is tuple:
                if not isinstance(value, (tuple, list)) or not all(isinstance(v, Real) for v in value):
                    raise UsageError(f"{name.replace('_', ' ')}: {value!r:.80} is not a tuple of numbers")
                object.__setattr__(self, name, tuple(map(float, value)))
            elif not (value is None and optional) and kind is not Path:
                expected: Any = {float: Real, int: Integral}.get(kind, kind)
                if not isinstance(value, expected) or (kind is not bool and isinstance(value, bool)):
                    raise UsageError(f"{name.replace('_', ' ')}: {value!r:.80} is not {TYPE_NAMES[kind]}")
                if kind in (float, int):  # recipes hold plain numbers
                    object.__setattr__(self, name, kind(value))
        if self.prompt is not None:
            if not isinstance(self.prompt, (str, Path)) or "\0" in str(self.prompt):
                raise UsageError(f"prompt: {self.prompt!r:.80} is not a path")
            object.__setattr__(self, "prompt", Path(self.prompt))

    def sampling(self, default: Sampling | None = None) -> Sampling:
        """Return the sampling options: the fields of the same names where they are set, else the model's defaults."""
        given = {f.name: getattr(self, f.name) for f in fields(Sampling)}
        return replace(default or Sampling(), **{name: value for name, value in given.items() if value is not None})

    @property
    def samples_differently(self) -> bool:
        """Whether any sampling control is set."""
        return any(v is not None for v in (self.temperature, self.top_k, self.top_p))


@functools.cache
def _types() -> dict[str, tuple[type, bool]]:
    """Return the type of every control, and whether it may be None."""
    hints = typing.get_type_hints(Controls)
    found = {}
    for name, hint in hints.items():
        parts = typing.get_args(hint) if type(None) in typing.get_args(hint) else (hint,)
        found[name] = (typing.get_origin(parts[0]) or parts[0], len(parts) > 1)
    return found


def parse_injection(text: str) -> tuple[float, float]:
    """Parse ``EVERY:AMOUNT``, seconds and strength, for instance ``0.5:0.1``.

    Examples
    --------
    >>> parse_injection("0.5:0.1")
    (0.5, 0.1)
    """
    every, colon, amount = text.partition(":")
    try:
        values = float(every), float(amount)
    except ValueError:
        colon, values = "", (0.0, 0.0)
    if not colon or not values[0] > 0:
        raise UsageError(f"inject noise: {text!r} is not EVERY:AMOUNT, for instance 0.5:0.1 (seconds, strength)")
    return values


def parse_numbers(name: str, text: str) -> tuple[float, ...]:
    """Parse comma-separated numbers.

    Examples
    --------
    >>> parse_numbers("code top p", "1,0.9")
    (1.0, 0.9)
    """
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError:
        raise UsageError(f"{name}: {text!r} is not a list of numbers separated by commas, such as 1,0.9,1") from None
