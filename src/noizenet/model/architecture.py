"""The shape of a network, as plain data that is stored with its weights."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from noizenet.base.config import check, option
from noizenet.base.errors import ConfigError


@dataclass(frozen=True)
class ModelOptions:
    """What a user chooses: the ``[model]`` section of a configuration."""

    cell: str = option("lstm", "recurrent cell", choices=("rnn", "lstm", "gru"))
    layers: int = option(1, "recurrent layers", low=1, high=10)
    hidden: int = option(128, "units per layer", low=1, high=4096)
    dropout: float = option(0.0, "between layers", low=0, high=0.95)
    head: str = option("categorical", "what is predicted", choices=("categorical", "point"))
    loss: str = option("mse", "of the point head", choices=("mse", "mae"))
    embedding: int = option(32, "size of a class's embedding", low=1, high=1024)
    genre_embedding: int = option(
        16, "size of a genre's embedding; 0: the model is not told the genre", low=0, high=256
    )

    def __post_init__(self) -> None:
        check(self, "model")


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
        if self.kind == "classes" and o.head != "categorical":
            raise ConfigError(
                f"model.head: the {o.head!r} head predicts numbers, but this representation gives classes; "
                "use representation.name=z-score, min-max, fft or log-magnitude"
            )
        if self.kind == "vectors" and o.head != "point":
            raise ConfigError(
                f"model.head: the {o.head!r} head predicts classes, but this representation gives numbers; "
                "use representation.name=mu-law"
            )
        if self.kind == "classes" and self.dim != 1:
            raise ConfigError("representation: this network predicts one codebook per frame")
        limits = {"levels": 65536, "dim": 65536, "genres": 4096}
        for name, limit in limits.items():
            value = getattr(self, name)
            if not (isinstance(value, int) and 0 <= value <= limit):
                raise ConfigError(f"architecture.{name}: {value!r} is not a whole number from 0 to {limit}")

    @property
    def frame_size(self) -> int:
        """Numbers that one frame contributes to the bottom layer's input."""
        return self.options.embedding if self.kind == "classes" else self.dim

    @property
    def genre_size(self) -> int:
        """Numbers that the genre contributes; 0 where the model is not told it."""
        return self.options.genre_embedding if self.genres > 0 else 0

    @property
    def outputs(self) -> int:
        """O, the size of the head's output."""
        return self.levels if self.kind == "classes" else self.dim

    def to_dict(self) -> dict[str, Any]:
        """Return plain data for ``model.json``."""
        return asdict(self)
