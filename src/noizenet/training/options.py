"""Configuration of a training: recipe, configuration file and ``--set``, merged in this order and checked."""

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
    learning_rate: float = option(0.002, "largest learning rate of the schedule", low=1e-8, high=10)
    momentum: float = option(0.9, "of sgd", low=0, high=0.999)
    nesterov: bool = option(True, "of sgd: Nesterov momentum")
    weight_decay: float = option(0.0, "L2 penalty; with adamw decoupled weight decay", low=0, high=1)
    schedule: str = option("constant", "of the learning rate", choices=tuple(SCHEDULES))
    warmup_steps: int = option(20, "steps in which the learning rate rises from zero", low=0, high=1_000_000)
    clip: float = option(1.0, "gradient clipping: largest norm; 0: none", low=0, high=1e6)
    batch: int = option(64, "rows of a batch", low=1, high=65_536)
    window: int = option(512, "frames through which gradients flow (truncated BPTT)", low=1, high=1_000_000)
    segment_seconds: float = option(
        20.0, "length of a segment of a track; the state is carried within a segment", low=0.01, high=36_000
    )
    balance: float = option(
        0.0, "balance of genres: 0 in proportion to their length, 1 each equally often", low=0, high=1
    )
    transpose: int = option(
        0,
        "augmentation of token models: also train on each track up to so many semitones higher and lower",
        low=0,
        high=6,
    )
    input_noise: float = option(
        0.0, "standard deviation of Gaussian noise added to the inputs; of classes in classes", low=0, high=10
    )
    code_noise: float = option(
        0.0, "share of a token model's input codes that are replaced by random ones", low=0, high=1
    )
    genre_dropout: float = option(
        0.0, "share of windows without genre conditioning (token models), for guidance", low=0, high=1
    )
    clock_dropout: float = option(
        0.0, "share of windows without beat conditioning (models with a clock), for guidance", low=0, high=1
    )
    lookback_dropout: float = option(
        0.5, "share of windows without lookback codes (models with lookbacks)", low=0, high=1
    )
    gain_jitter: float = option(
        0.0,
        "standard deviation of a random gain of each row's inputs, in nepers; the targets do not change",
        low=0,
        high=3,
    )
    scheduled_sampling: float = option(
        0.0,
        "probability that an input is the network's own sample, for half of the batch",
        low=0,
        high=1,
    )
    init_from: str = option(
        "", "model whose weights to start from, a folder or a bundled one with the same codec; empty: random weights"
    )
    init_lr_scale: float = option(1.0, "factor on the learning rate where init_from is given", low=1e-6, high=1)
    calibration_seconds: float = option(
        0.0,
        "calibration after training: audio generated for each genre in each of seven rounds; 0: none",
        low=0,
        high=3600,
    )
    precision: str = option(
        "auto", "auto: bf16 where the processor supports it and it is faster", choices=("auto", "fp32", "bf16")
    )
    validate: bool = option(True, "measure the loss on held-out tracks and keep the best weights")
    tolerance: float = option(
        0.0, "keep the latest weights whose validation loss is at most this share above the best", low=0, high=1
    )
    validation_seconds: float = option(30.0, "audio of one validation", low=0.1, high=36_000)
    validate_every: int = option(
        0, "steps between validations; 0: so that they take about a twentieth of the time", low=0, high=10_000_000
    )
    patience: int = option(0, "early stopping: validations without improvement; 0: never", low=0, high=10_000)
    checkpoint_seconds: float = option(30.0, "time between checkpoints", low=0, high=36_000)
    tensorboard: bool = option(False, "also write TensorBoard events (needs noizenet[tensorboard])")
    threads: int = option(
        0,
        "threads of torch; 0: one per core, and with --minutes fewer while other programs use cores",
        low=0,
        high=1024,
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
        """Return the configuration as plain data."""
        return {
            "representation": self.representation,
            "model": asdict(self.model),
            "training": asdict(self.training),
        }

    def to_toml(self) -> str:
        """Return the configuration as TOML that ``--config`` reads."""
        return write_toml(self.to_dict())


def configure(recipe: str, config: Path | None = None, assignments: tuple[str, ...] = ()) -> Config:
    """Return a recipe with a configuration file and ``section.key=value`` assignments merged into it.

    Raises
    ------
    UsageError
        For an unknown recipe.
    ConfigError
        For an unknown section or key, a wrong type, a value out of range, or one key given under its earlier and its
        current name; the message names it.
    """
    if recipe not in RECIPES:
        if recipe in bundled_models() or os.path.exists(recipe):  # noqa: PTH110 - Path's raises for what is no path
            what = "a bundled model" if recipe in bundled_models() else "a file or folder"
            raise UsageError(
                f"model {recipe!r:.80}: is {what} and no recipe; give one ({', '.join(RECIPES)}), and a model to start "
                "from as --set training.init_from=MODEL"
            )
        raise UsageError(f"unknown recipe {recipe!r:.80}: {suggest(recipe[:80], list(RECIPES))}")
    text = resources.files("noizenet.training").joinpath(f"recipes/{recipe}.toml").read_text(encoding="utf-8")
    values: dict[str, Any] = tomllib.loads(text)
    if config is not None:
        values = _merge_sections(values, read_toml(config), str(config))
    assigned: dict[str, dict[str, Any]] = {}
    for assignment in assignments:
        keys, value = parse_assignment(assignment)
        if len(keys) != 2:
            raise ConfigError(f"--set {assignment!r}: expected section.key=value, for instance model.hidden=256")
        values = _merge_sections(values, {keys[0]: {keys[1]: value}}, f"--set {assignment}")
        section = assigned.setdefault(keys[0], {})
        section[keys[1]] = value
        renamed(section, KEYS.get(keys[0], {}), f"--set {keys[0]}.")  # refuses one key under two names
    return Config(
        recipe=recipe,
        representation=values.get("representation", {}),
        model=from_dict(ModelOptions, values.get("model", {}), "model"),
        training=from_dict(TrainingOptions, values.get("training", {}), "training"),
    )


def _merge_sections(values: dict[str, Any], over: dict[str, Any], origin: str) -> dict[str, Any]:
    for section, content in over.items():
        if section not in SECTIONS:
            raise ConfigError(f"{origin}: unknown section {section!r}; {suggest(section, list(SECTIONS))}")
        if not isinstance(content, dict):
            raise ConfigError(f"{origin}: {section} is a section, expected [{section}] with keys below it")
        remark_on(origin, section, content)
    over = {k: renamed(content, KEYS.get(k, {}), f"{origin}: {k}.") for k, content in over.items()}
    # Each representation has its own keys, so those of the recipe's representation are dropped.
    name = over.get("representation", {}).get("name")
    if name is not None and name != values.get("representation", {}).get("name"):
        values = {**values, "representation": {}}
    return merge(values, over)
