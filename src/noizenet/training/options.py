"""Configuration of a training: recipe, file and ``--set`` laid over one another, then checked."""

from __future__ import annotations

import os
import sys
from dataclasses import asdict, dataclass
from importlib import resources
from pathlib import Path
from typing import Any

from noizenet.base.config import check, from_dict, merge, option, parse_assignment, read_toml, write_toml
from noizenet.base.errors import ConfigError, UsageError, suggest
from noizenet.base.renamed import KEYS, remark_on, renamed
from noizenet.model.architecture import ModelOptions
from noizenet.store.bundled import bundled_models
from noizenet.training import OPTIMIZERS, RECIPES, SCHEDULES

if sys.version_info >= (3, 11):
    import tomllib
else:  # pragma: no cover - Python 3.10 only
    import tomli as tomllib

SECTIONS = ("representation", "model", "training")


@dataclass(frozen=True)
class TrainingOptions:
    """The ``[training]`` section."""

    optimizer: str = option("adam", "adam, adamw, sgd or adadelta", choices=tuple(OPTIMIZERS))
    learning_rate: float = option(0.002, "at the schedule's top", low=1e-8, high=10)
    momentum: float = option(0.9, "of sgd", low=0, high=0.999)
    nesterov: bool = option(True, "of sgd: look ahead before stepping")
    weight_decay: float = option(0.0, "pull towards zero", low=0, high=1)
    schedule: str = option("constant", "of the learning rate", choices=tuple(SCHEDULES))
    warmup_steps: int = option(20, "steps in which the rate rises from zero", low=0, high=1_000_000)
    clip: float = option(1.0, "largest gradient norm; 0: no clipping", low=0, high=1e6)
    batch: int = option(64, "tracks read at the same time", low=1, high=65_536)
    window: int = option(512, "frames through which gradients flow (truncated BPTT)", low=1, high=1_000_000)
    segment_seconds: float = option(20.0, "stretch of a track read with carried state", low=0.01, high=36_000)
    balance: float = option(
        0.0, "how alike genres of unlike length are read: 0 as long as they are, 1 each as often", low=0, high=1
    )
    transpose: int = option(
        0, "a token network also reads each track up to so many semitones higher and lower", low=0, high=6
    )
    input_noise: float = option(
        0.0, "noise on the inputs, in standard deviations; for classes, in classes", low=0, high=10
    )
    code_noise: float = option(0.0, "share of a token network's input codes that are replaced by others", low=0, high=1)
    genre_dropout: float = option(
        0.0, "share of windows of which a token network is not told the genre, for guidance", low=0, high=1
    )
    clock_dropout: float = option(
        0.0, "share of windows of which a network with a clock is not told the beat, for guidance", low=0, high=1
    )
    lookback_dropout: float = option(
        0.5, "share of windows that a network with lookbacks is trained on without the past codes", low=0, high=1
    )
    gain_jitter: float = option(
        0.0, "spread of a random gain on each lane's inputs, in nepers; the targets stay as they are", low=0, high=3
    )
    scheduled_sampling: float = option(
        0.0,
        "share of inputs that half of the lanes hear as the network would have drawn them",
        low=0,
        high=1,
    )
    init_from: str = option(
        "", "a model to begin from, bundled or a folder; its codes must be the same; empty: begin anew"
    )
    init_lr_scale: float = option(
        1.0, "the learning rate's factor where training begins from another model's weights", low=1e-6, high=1
    )
    calibration_seconds: float = option(
        0.0,
        "after training, sound that each genre is played in each of seven rounds to settle its level; 0: none",
        low=0,
        high=3600,
    )
    precision: str = option("auto", "bf16 where the processor has it and it pays", choices=("auto", "fp32", "bf16"))
    validate: bool = option(True, "hold tracks back, measure on them, keep the best weights")
    tolerance: float = option(
        0.0, "the latest weights are kept whose held-out loss exceeds the best by this share at most", low=0, high=1
    )
    validation_seconds: float = option(30.0, "sound read for one validation", low=0.1, high=36_000)
    validate_every: int = option(
        0, "steps between validations; 0: as often as costs a twentieth", low=0, high=10_000_000
    )
    patience: int = option(0, "validations without gain before stopping early; 0: never", low=0, high=10_000)
    checkpoint_seconds: float = option(30.0, "time between resume points", low=0, high=36_000)
    tensorboard: bool = option(False, "write TensorBoard events too (needs noizenet[tensorboard])")
    threads: int = option(
        0, "of torch; 0: one per core, and with minutes fewer while other programs use cores", low=0, high=1024
    )

    def __post_init__(self) -> None:
        check(self, "training")


@dataclass(frozen=True)
class Config:
    """A whole configuration."""

    recipe: str
    representation: dict[str, Any]
    model: ModelOptions
    training: TrainingOptions

    def to_dict(self) -> dict[str, Any]:
        """Return plain data."""
        return {
            "representation": self.representation,
            "model": asdict(self.model),
            "training": asdict(self.training),
        }

    def to_toml(self) -> str:
        """Return a file that ``--config`` reads back."""
        return write_toml(self.to_dict())


def configure(recipe: str, config: Path | None = None, assignments: tuple[str, ...] = ()) -> Config:
    """Lay a configuration file and ``section.key=value`` assignments over a recipe.

    Raises
    ------
    UsageError
        For an unknown recipe.
    ConfigError
        For an unknown section or key, a wrong type or a value out of range; the message names it.
    """
    if recipe not in RECIPES:
        if recipe in bundled_models() or os.path.exists(recipe):  # noqa: PTH110 - Path's raises for what is no path
            what = "a bundled model" if recipe in bundled_models() else "a file or folder"
            raise UsageError(
                f"model {recipe!r:.80}: is {what} and no recipe; give one ({', '.join(RECIPES)}), and a model to begin "
                "from as --set training.init_from=MODEL"
            )
        raise UsageError(f"unknown recipe {recipe!r:.80}: {suggest(recipe[:80], list(RECIPES))}")
    text = resources.files("noizenet.training").joinpath(f"recipes/{recipe}.toml").read_text(encoding="utf-8")
    values: dict[str, Any] = tomllib.loads(text)
    if config is not None:
        values = _lay_over(values, read_toml(config), str(config))
    for assignment in assignments:
        keys, value = parse_assignment(assignment)
        if len(keys) != 2:
            raise ConfigError(f"--set {assignment!r}: expected section.key=value, for instance model.hidden=256")
        values = _lay_over(values, {keys[0]: {keys[1]: value}}, f"--set {assignment}")
    return Config(
        recipe=recipe,
        representation=values.get("representation", {}),
        model=from_dict(ModelOptions, values.get("model", {}), "model"),
        training=from_dict(TrainingOptions, values.get("training", {}), "training"),
    )


def _lay_over(values: dict[str, Any], over: dict[str, Any], origin: str) -> dict[str, Any]:
    for section, content in over.items():
        if section not in SECTIONS:
            raise ConfigError(f"{origin}: unknown section {section!r}; {suggest(section, list(SECTIONS))}")
        if not isinstance(content, dict):
            raise ConfigError(f"{origin}: {section} is a section, expected [{section}] with keys below it")
        remark_on(origin, section, content)
    over = {section: renamed(content, KEYS.get(section, {})) for section, content in over.items()}
    # Another representation has other keys: those of the recipe's own do not carry over.
    name = over.get("representation", {}).get("name")
    if name is not None and name != values.get("representation", {}).get("name"):
        values = {**values, "representation": {}}
    return merge(values, over)
