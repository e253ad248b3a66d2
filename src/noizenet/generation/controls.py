"""Controls of generation, with their checks."""

from __future__ import annotations

import math
from dataclasses import dataclass
from numbers import Integral, Real
from pathlib import Path

from noizenet.base.errors import UsageError
from noizenet.generation import PROMPT_NOISES
from noizenet.model.sampling import Sampling
from noizenet.model.weights import PRECISIONS

WATCHES = ("off", "report", "recover")
FIELD_TYPES: dict[type, tuple[str, ...]] = {
    Real: (
        "seconds", "temperature", "top_p", "genre_guidance", "tempo", "beat_guidance", "prompt_seconds",
        "block_seconds",
        "inject_every", "inject_amount",
    ),
    Integral: ("seed", "top_k"),
    str: ("genre", "morph", "prompt_noise", "watch", "precision"),
    bool: ("include_prompt",),
}  # fmt: skip
TYPE_NAMES: dict[type, str] = {Real: "a number", Integral: "a whole number", str: "text", bool: "true or false"}
OPTIONAL = (
    "seconds",
    "temperature",
    "top_p",
    "top_k",
    "genre_guidance",
    "tempo",
    "beat_guidance",
    "genre",
    "morph",
    "prompt_noise",
)


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

    seconds: float | None = 10.0
    seed: int = 0
    genre: str | None = None
    morph: str | None = None
    temperature: float | None = None
    top_k: int | None = None
    top_p: float | None = None
    genre_guidance: float | None = None
    tempo: float | None = None
    beat_guidance: float | None = None
    code_temperatures: tuple[float, ...] = ()
    code_top_p: tuple[float, ...] = ()
    prompt: Path | None = None
    prompt_noise: str | None = None
    prompt_seconds: float = 5.0
    include_prompt: bool = False
    inject_every: float = 0.0
    inject_amount: float = 0.0
    block_seconds: float = 0.25
    watch: str = "report"
    precision: str = "fp32"

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
        for field_type, names in FIELD_TYPES.items():
            for name in names:
                value = getattr(self, name)
                valid = isinstance(value, field_type) and (field_type is bool or not isinstance(value, bool))
                if not valid and not (value is None and name in OPTIONAL):
                    raise UsageError(f"{name.replace('_', ' ')}: {value!r:.80} is not {TYPE_NAMES[field_type]}")
                if valid and field_type in (Real, Integral):  # recipes hold plain numbers
                    object.__setattr__(self, name, float(value) if field_type is Real else int(value))
        for name in ("code_temperatures", "code_top_p"):
            values = getattr(self, name)
            if not isinstance(values, (tuple, list)) or not all(isinstance(v, Real) for v in values):
                raise UsageError(f"{name.replace('_', ' ')}: {values!r:.80} is not a tuple of numbers")
            object.__setattr__(self, name, tuple(map(float, values)))
        if self.prompt is not None:
            if not isinstance(self.prompt, (str, Path)) or "\0" in str(self.prompt):
                raise UsageError(f"prompt: {self.prompt!r:.80} is not a path")
            object.__setattr__(self, "prompt", Path(self.prompt))

    def sampling(self, temperature: float = 1.0, genre_guidance: float = 0.0, beat_guidance: float = 0.0) -> Sampling:
        """Return the sampling controls; the arguments are the model's defaults for controls that are not set."""
        return Sampling(
            temperature if self.temperature is None else self.temperature,
            0 if self.top_k is None else self.top_k,
            1.0 if self.top_p is None else self.top_p,
            genre_guidance if self.genre_guidance is None else self.genre_guidance,
            self.code_temperatures,
            self.code_top_p,
            beat_guidance if self.beat_guidance is None else self.beat_guidance,
        )

    @property
    def samples_differently(self) -> bool:
        """Whether any sampling control is set."""
        return any(v is not None for v in (self.temperature, self.top_k, self.top_p))


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
