"""Everything a listener can ask for."""

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
KINDS: dict[type, tuple[str, ...]] = {
    Real: (
        "seconds", "temperature", "top_p", "genre_guidance", "tempo", "beat_guidance", "prompt_seconds",
        "block_seconds",
        "inject_every", "inject_amount",
    ),
    Integral: ("seed", "top_k"),
    str: ("genre", "morph", "prompt_noise", "watch", "precision"),
    bool: ("include_prompt",),
}  # fmt: skip
WORDS: dict[type, str] = {Real: "a number", Integral: "a whole number", str: "text", bool: "true or false"}
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
    """What to play.

    Parameters
    ----------
    seconds : float, optional
        Length; None plays without end.
    seed : int
        Same model, seed, controls and machine: the same bytes.
    genre : str, optional
        ``"A"`` or ``"A:0.7,B:0.3"``.
    morph : str, optional
        ``"A>B"``: from one genre to another over the whole length.
    temperature : float, optional
        Of the sampling, 0 to 100. By default the model's own: 1, or 0.85 for a mixture of distributions, whose tails
        make music too bright at 1 (docs/results.md). Only for models that predict a distribution.
    top_k, top_p : int, float, optional
        See :class:`noizenet.model.sampling.Sampling`.
    genre_guidance : float, optional
        How firmly to keep to the genre, 0 to 20; by default the model's own. Only for networks over codes.
    tempo : float, optional
        Beats a minute, 20 to 400; 0 leaves time to the network. By default that of a piece of the genre, or of the song
        that is gone on from. Only for networks with a clock.
    beat_guidance : float, optional
        How firmly to keep to the beat, 0 to 20; by default the model's own. Only for networks with a clock.
    code_temperatures, code_top_p : tuple of float
        One number for each code of a frame; see :class:`noizenet.model.sampling.Sampling`.
    prompt : Path, optional
        A song to go on from.
    prompt_noise : str, optional
        ``normal`` or ``perlin``: begin from noise.
    prompt_seconds : float
        How much of the song's end (or how much noise) the network hears first.
    include_prompt : bool
        Put what the network heard in front of what it plays: not the song itself, but what the model's representation
        makes of it, as long as the seed is.
    inject_every, inject_amount : float
        Disturb what is fed back every so many seconds by Gaussian noise; see
        :meth:`noizenet.model.stepper.Stepper.run` for the amount's unit.
    block_seconds : float
        Length of one block of the stream.
    watch : str
        ``report``: look once a second whether the stream is alive; ``recover``: and rescue it where it is not (see
        :mod:`noizenet.generation.monitor`); ``off``: do not look.
    precision : str
        Of the weights while playing: ``fp32``, ``bf16`` or ``int8``.
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
            raise UsageError("morph: a morph needs a length to be spread over")
        if self.prompt is not None and self.prompt_noise is not None:
            raise UsageError("give either a song or noise to begin from, not both")
        if self.include_prompt and self.prompt is None and self.prompt_noise is None:
            raise UsageError("include seed: there is no seed to put in front; give a song or noise to begin from")
        if self.prompt_noise is not None:
            PROMPT_NOISES.load(self.prompt_noise)
        for name in ("prompt_seconds", "block_seconds"):
            if not 0 < getattr(self, name) <= 600:
                raise UsageError(f"{name.replace('_', ' ')}: {getattr(self, name)} is not between 0 and 600 seconds")
        for name in ("inject_every", "inject_amount"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value >= 0):
                raise UsageError(f"inject noise: {value} is not a number of at least 0")
        if self.tempo is not None and self.tempo != 0 and not 20 <= self.tempo <= 400:
            raise UsageError(f"tempo: {self.tempo:g} is not between 20 and 400 beats a minute, nor 0 for none")
        if self.seed < 0:
            raise UsageError(f"seed: {self.seed} is negative")
        if self.watch not in WATCHES:
            raise UsageError(f"watch: {self.watch!r} is none of {', '.join(WATCHES)}")
        if self.precision not in PRECISIONS:
            raise UsageError(f"precision: {self.precision!r} is none of {', '.join(PRECISIONS)}")
        self.sampling()

    def _check_types(self) -> None:
        """See that every control is of its kind; a song may be given as text."""
        for kind, names in KINDS.items():
            for name in names:
                value = getattr(self, name)
                right = isinstance(value, kind) and (kind is bool or not isinstance(value, bool))
                if not right and not (value is None and name in OPTIONAL):
                    raise UsageError(f"{name.replace('_', ' ')}: {value!r:.80} is not {WORDS[kind]}")
                if right and kind in (Real, Integral):  # recipes hold plain numbers
                    object.__setattr__(self, name, float(value) if kind is Real else int(value))
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
        """Return the sampling controls; what is given here is the model's own, where nothing is asked for."""
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
        """Tell whether any sampling control was set."""
        return any(v is not None for v in (self.temperature, self.top_k, self.top_p))


def parse_injection(text: str) -> tuple[float, float]:
    """Parse ``EVERY:AMOUNT``, for instance ``0.5:0.1``.

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
    """Parse numbers with commas between them.

    Examples
    --------
    >>> parse_numbers("code top p", "1,0.9")
    (1.0, 0.9)
    """
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError:
        raise UsageError(f"{name}: {text!r} is not numbers with commas between them, for instance 1,0.9,1") from None
