"""The architecture of a network, as plain data that is stored with its weights."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from noizenet.base.config import check, option
from noizenet.base.errors import ConfigError
from noizenet.model import CELLS
from noizenet.model.features import COARSE, LPC_HOP, LPC_WINDOW

if TYPE_CHECKING:
    from noizenet.model.cells.description import Cell

RMS_EPS = 1.1920929e-07
"""Epsilon of the RMS norm of gated layers: the machine epsilon of float32, torch's default."""


@dataclass(frozen=True)
class ModelOptions:
    """Options that a user chooses: the ``[model]`` section of a configuration."""

    cell: str = option("lstm", "recurrent cell", choices=tuple(CELLS))
    layers: int = option(1, "recurrent layers of a plain or token network", low=1, high=10)
    hidden: int = option(128, "units per layer of a plain or token network", low=1, high=4096)
    dropout: float = option(0.0, "dropout between layers", low=0, high=0.95)
    head: str = option("categorical", "prediction head", choices=("categorical", "point", "mixture", "depth"))
    loss: str = option("mse", "loss of the point head", choices=("mse", "mae"))
    mixtures: int = option(6, "logistic distributions in the mixture head", low=1, high=32)
    embedding: int = option(32, "size of a class's embedding in a plain or token network", low=1, high=1024)
    depth_width: int = option(
        256, "hidden units of a token network's head, for each code of the next frame", low=1, high=4096
    )
    genre_embedding: int = option(
        16, "size of a genre's embedding; 0: the model is not conditioned on the genre", low=0, high=256
    )
    dilations: tuple[int, ...] = option(
        (), "dilation of each recurrent layer of a token network, in frames; empty: 1 each"
    )
    residual: bool = option(False, "residual connections around a token network's layers above the first")
    tiers: tuple[tuple[int, int], ...] = option(
        (), "[samples per step, units] of each recurrent tier, fastest first; empty: a plain network"
    )
    tier_inputs: int = option(128, "units of the input layer of each tier's cell", low=1, high=4096)
    tier_context: int = option(2, "input window of a tier, in steps", low=1, high=16)
    width: int = option(128, "units of the per-sample network", low=1, high=4096)
    depth: int = option(1, "hidden layers of the per-sample network after the first", low=0, high=8)
    lookback: int = option(32, "latest samples that are inputs of the per-sample network", low=1, high=4096)
    embedded: int = option(0, "latest samples that are also embedded, each with its own table", low=0, high=32)
    coarse_features: bool = option(
        True, "the slowest tier draws level, brightness and sharpness of its next step before the samples"
    )
    random_tilt: float = option(
        0.0,
        "standard deviation of the random spectral tilt of the slowest tier's inputs in training, in nepers per octave",
        low=0,
        high=2,
    )
    prediction_order: int = option(16, "taps of the linear prediction under a mixture; 0: none", low=0, high=256)
    lpc_order: int = option(
        32, "taps of the backward-adaptive prediction under half of the mixture; 0: none", low=0, high=128
    )
    prediction: str = option(
        "adaptive", "taps of the linear prediction: fixed, or set by the fastest tier", choices=("fixed", "adaptive")
    )

    clock: int = option(
        0, "number of beat phases that condition a token network, so that it keeps the tempo; 0: none", low=0, high=256
    )
    phrase: int = option(
        0, "beats in a phrase, when the position in it conditions a network with a clock: 16, or 0 for none",
        low=0, high=16,
    )  # fmt: skip
    lookback_beats: tuple[int, ...] = option(
        (), "distances in beats of past codes that are inputs of a network with a clock, for example [4, 8, 16]"
    )
    depth_shared: bool = option(
        False, "token networks: one embedding per code, shared by all later codes of the frame, instead of one per pair"
    )
    depth_block: str = option(
        "none", "token networks: hidden layer before each code's output projection", choices=("none", "gated")
    )

    def __post_init__(self) -> None:
        check(self, "model")
        below = 1
        for tier in self.tiers:
            valid = isinstance(tier, tuple) and len(tier) == 2 and all(type(n) is int for n in tier)
            if not valid or not 1 <= tier[1] <= 4096 or not below < tier[0] <= 65536 or tier[0] % below:
                raise ConfigError(
                    f"model.tiers: {tier!r} is not [samples per step, units] with at least 2 samples, a multiple of "
                    "the tier before, and 1 to 4096 units; for example [[8, 256], [64, 384]]"
                )
            below = tier[0]
        if self.dilations and (
            len(self.dilations) != self.layers or not all(type(d) is int and 1 <= d <= 64 for d in self.dilations)
        ):
            raise ConfigError(
                f"model.dilations: {list(self.dilations)} is not a whole number from 1 to 64 for each of {self.layers} "
                "layer(s)"
            )
        if (self.dilations or self.residual) and self.head != "depth":
            raise ConfigError("model.dilations, model.residual: only networks over codes (head 'depth') have them")
        if self.clock and self.head != "depth":
            raise ConfigError("model.clock: only networks over codes (head 'depth') have one")
        self._check_codes()
        if len(self.tiers) > 8:
            raise ConfigError(f"model.tiers: {len(self.tiers)} tiers, at most 8 are possible")

    def _check_codes(self) -> None:
        if (self.depth_shared or self.depth_block != "none") and self.head != "depth":
            raise ConfigError(
                "model.depth_shared, model.depth_block: only networks over codes (head 'depth') have them"
            )
        if (self.phrase or self.lookback_beats) and not self.clock:
            raise ConfigError(
                "model.phrase, model.lookback_beats: only networks with a clock have them; use model.clock=32"
            )
        if self.phrase not in (0, 16):
            raise ConfigError(f"model.phrase: {self.phrase} is neither 16 nor 0")
        beats = self.lookback_beats
        if len(beats) > 8 or not all(type(b) is int and 1 <= b <= 64 for b in beats) or len(set(beats)) < len(beats):
            raise ConfigError(
                f"model.lookback_beats: {list(beats)} is not a list of at most 8 different whole numbers from 1 to 64"
            )


class TierShape(NamedTuple):
    """One tier: samples per step, units, input size, steps of the tier below per step, input size of the tier below."""

    samples: int
    hidden: int
    input_size: int
    ratio: int
    lower: int


@dataclass(frozen=True)
class Architecture:
    """Everything that determines the shapes of a network's weights.

    Parameters
    ----------
    options : ModelOptions
    kind : str
        ``classes`` or ``vectors``.
    levels : int
        V, for classes.
    dim : int
        D for vectors, K for classes.
    genres : int
        Number of genres.
    """

    options: ModelOptions
    kind: str
    levels: int
    dim: int
    genres: int

    def __post_init__(self) -> None:
        o = self.options
        if self.kind == "classes" and o.head == "point":
            raise ConfigError(
                f"model.head: the {o.head!r} head predicts numbers, but this representation gives classes; "
                "use representation.name=z-score, min-max, fft or log-magnitude"
            )
        if self.kind == "vectors" and o.head != "point":
            raise ConfigError(
                f"model.head: the {o.head!r} head predicts classes, but this representation gives numbers; "
                "use representation.name=mu-law or linear"
            )
        if self.kind == "vectors" and o.tiers:
            raise ConfigError("model.tiers: tiers read samples one by one; use representation.name=mu-law or linear")
        if o.head == "mixture" and not o.tiers:
            raise ConfigError("model.head: a mixture needs model.tiers; a plain network predicts 'categorical'")
        if self.kind == "classes" and o.head in ("categorical", "depth") and self.levels > 4096:
            raise ConfigError(
                f"model.head: a probability for each of {self.levels} classes is too many; use model.head=mixture"
            )
        if o.embedded and self.levels > 4096:
            raise ConfigError(f"model.embedded: a table of {self.levels} classes is too large; use 0")
        if self.kind == "classes" and self.dim != 1 and o.head != "depth":
            raise ConfigError(
                f"model.head: the {o.head!r} head predicts one code a frame, but this representation gives {self.dim}; "
                "use model.head=depth"
            )
        if o.head == "depth" and o.tiers:
            raise ConfigError(
                "model.tiers: tiers read samples one by one; a 'depth' head needs none, use model.tiers=[]"
            )
        limits = {"levels": 65536, "dim": 65536, "genres": 4096}
        for name, limit in limits.items():
            value = getattr(self, name)
            if not (isinstance(value, int) and 0 <= value <= limit):
                raise ConfigError(f"architecture.{name}: {value!r} is not a whole number from 0 to {limit}")

    @property
    def frame_size(self) -> int:
        """Size of a frame in a plain network's input."""
        return self.options.embedding if self.kind == "classes" else self.dim

    @property
    def has_coarse(self) -> bool:
        """Whether the network draws coarse features before the samples."""
        return bool(self.options.tiers) and self.options.coarse_features

    @property
    def n_bias_rows(self) -> int:
        """Rows of the coarse features' logit bias: one per genre, or 1 for a model without genre conditioning."""
        return self.genres if self.genre_size else 1

    @property
    def genre_size(self) -> int:
        """Size of the genre embedding; 0 for a model without genre conditioning."""
        return self.options.genre_embedding if self.genres > 0 else 0

    @property
    def tiers(self) -> list[TierShape]:
        """The tiers, fastest first. Each sample gives two inputs; coarse features are further inputs of the slowest."""
        o, shapes = self.options, list[TierShape]()
        below, lower = 1, o.width
        for samples, hidden in o.tiers:
            n_coarse = len(COARSE) if o.coarse_features and samples == o.tiers[-1][0] else 0
            shapes.append(TierShape(samples, hidden, 2 * samples * o.tier_context + n_coarse, samples // below, lower))
            below, lower = samples, o.tier_inputs
        return shapes

    @property
    def condition_sizes(self) -> list[int]:
        """Sizes of the layers conditioned on the coarse features: lower tiers, fastest first; per-sample network."""
        return [self.options.tier_inputs] * (len(self.options.tiers) - 1) + [self.options.width]

    @property
    def latest_size(self) -> int:
        """Input size of the per-sample network."""
        return 2 * self.options.lookback + (3 if self.lpc else 0)

    @property
    def order(self) -> int:
        """Taps of the linear prediction under a mixture; 0 for none."""
        return self.options.prediction_order if self.options.head == "mixture" else 0

    @property
    def lpc(self) -> int:
        """Taps of the backward-adaptive linear prediction; 0 for none."""
        return self.options.lpc_order if self.options.head == "mixture" and self.options.mixtures > 1 else 0

    @property
    def lpc_hop(self) -> int:
        """Samples between updates of that prediction."""
        return math.gcd(LPC_HOP, self.options.tiers[-1][0])

    @property
    def n_learned_mixtures(self) -> int:
        """Components of the mixture centred on the learned prediction; the others are centred on LPC's."""
        return self.options.mixtures - self.options.mixtures // 2 if self.lpc else self.options.mixtures

    @property
    def history(self) -> int:
        """Samples before the newest that a tiered network needs as input."""
        o = self.options
        lpc = LPC_WINDOW if self.lpc else 0
        return max([lpc, o.lookback, self.order, o.embedded, *(n * o.tier_context for n, _ in o.tiers)]) - 1

    @property
    def cell(self) -> Cell:
        """The description of the recurrent cell."""
        found: Cell = CELLS.load(self.options.cell)
        return found

    @property
    def samples(self) -> bool:
        """Whether the head predicts a distribution to sample from."""
        return self.options.head != "point"

    @property
    def dilations(self) -> tuple[int, ...]:
        """Dilation of each layer, in frames."""
        return self.options.dilations or (1,) * self.options.layers

    @property
    def n_code_tables(self) -> int:
        """Embedding tables of a frame's codes for its later codes: one per pair, or per code with `depth_shared`."""
        return self.dim - 1 if self.options.depth_shared else self.dim * (self.dim - 1) // 2

    @property
    def outputs(self) -> int:
        """O, the size of the head's output."""
        if self.options.head == "mixture":
            return 3 * self.options.mixtures
        if self.tokens:
            return self.levels * self.dim
        return self.levels if self.kind == "classes" else self.dim

    @property
    def tokens(self) -> bool:
        """Whether this is a token network: a frame is several codes, drawn one after another."""
        return self.options.head == "depth"

    def to_dict(self) -> dict[str, Any]:
        """Return plain data for ``model.json``."""
        plain: dict[str, Any] = json.loads(json.dumps(asdict(self)))
        return plain
