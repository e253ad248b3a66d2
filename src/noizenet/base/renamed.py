"""Names of earlier versions and their current names: the old ones are read, never written."""

from __future__ import annotations

import logging
import re
from collections.abc import Container, Iterable, Mapping
from typing import TypeVar

from noizenet.base.errors import ConfigError, NoizenetError, UsageError

T = TypeVar("T")

KEYS: dict[str, dict[str, str]] = {
    "representation": {"texture": "noise_fill"},
    "model": {"mishearing": "random_tilt", "sketch": "coarse_features"},
    "training": {
        "own_samples": "scheduled_sampling",
        "start": "init_from",
        "start_rate": "init_lr_scale",
        "settling_seconds": "calibration_seconds",
    },
}
"""Configuration keys, by section."""

CONTROLS: dict[str, str] = {
    "guidance": "genre_guidance",
    "pulse": "beat_guidance",
    "seed_audio": "prompt",
    "seed_noise": "prompt_noise",
    "seed_seconds": "prompt_seconds",
    "include_seed": "include_prompt",
}
"""Controls of generation: keys in the recipes of recordings, and with hyphens options of ``generate`` and ``play``."""

MOVES: dict[str, str] = {"surprise": "reset_state"}
"""Moves of an instrument, in the recipes of recordings."""

WATCHES: dict[str, str] = {"mend": "recover"}
"""Values of ``--watch``."""

TENSORS: tuple[tuple[re.Pattern[str], str], ...] = tuple(
    (re.compile(old), new)
    for old, new in (
        (r"^head\.say\.", "head.in_proj."),
        (r"^head\.given\.", "head.code_embeddings."),
        (r"^head\.colour\.", "head.genre_proj."),
        (r"^head\.beat\.", "head.phase_embedding."),
        (r"^head\.phrase\.", "head.phrase_embedding."),
        (r"^head\.out\.", "head.out_proj."),
        (r"^clock\.", "phase_embedding."),
        (r"^phrase\.", "phrase_embedding."),
        (r"^(tiers\.\d+)\.speak\.", r"\1.out_proj."),
        (r"^sketch\.say\.", "coarse.out_proj."),
        (r"^sketch\.given\.", "coarse.previous."),
        (r"^sketch\.told\.", "coarse.embeddings."),
        (r"^sketch\.pull$", "coarse.logit_bias"),
        (r"^colour\.", "genre_proj."),
    )
)
"""Tensor names of model folders of format 1."""


def renamed(values: Mapping[str, T], names: Mapping[str, str], prefix: str = "") -> dict[str, T]:
    """Return values under their current names; `prefix` precedes the name in the error.

    Raises
    ------
    ConfigError
        If one value is given under both names.

    Examples
    --------
    >>> renamed({"pulse": 1.0, "seed": 3}, CONTROLS)
    {'beat_guidance': 1.0, 'seed': 3}
    """
    _check_given_once(values, names, prefix, ConfigError)
    return {names.get(name, name): value for name, value in values.items()}


def _check_given_once(given: Container[str], names: Mapping[str, str], prefix: str, error: type[NoizenetError]) -> None:
    for old, new in names.items():
        if old in given and new in given:
            raise error(f"{prefix}{new}: is given twice, also under its earlier name {old}; remove one")


def remark_on(origin: str, section: str, keys: Iterable[str]) -> None:
    """Log one line for each configuration key that was renamed."""
    for old in keys:
        if (new := KEYS.get(section, {}).get(old)) is not None:
            logging.getLogger("noizenet").warning("%s: %s.%s is called %s.%s now", origin, section, old, section, new)


def tensor_name(name: str) -> str:
    """Return the current name of a tensor of a model folder of format 1.

    Examples
    --------
    >>> tensor_name("head.say.3.weight"), tensor_name("stack.cells.0.kernel.bias_hh_l0")
    ('head.in_proj.3.weight', 'stack.cells.0.kernel.bias_hh_l0')
    """
    for old, new in TENSORS:
        name, count = old.subn(new, name, count=1)
        if count:
            break
    return name


def modern_arguments(arguments: list[str]) -> tuple[list[str], list[str]]:
    """Return command-line arguments with current option names, and a remark for each that was renamed.

    Only ``generate`` and ``play`` have such options; arguments after ``--`` are not changed.

    Raises
    ------
    UsageError
        If an option is given under both names.

    Examples
    --------
    >>> modern_arguments(["play", "m", "--pulse=2", "--watch", "mend"])[0]
    ['play', 'm', '--beat-guidance=2', '--watch', 'recover']
    """
    if not arguments or arguments[0] not in ("generate", "play"):
        return arguments, []
    options = {f"--{old.replace('_', '-')}": f"--{new.replace('_', '-')}" for old, new in CONTROLS.items()}
    found, remarks = list[str](), dict[str, None]()
    end = arguments.index("--") if "--" in arguments else len(arguments)
    given = {argument.partition("=")[0] for argument in arguments[:end]}
    _check_given_once(given, options, "", UsageError)
    for argument in arguments[:end]:
        name, equals, value = argument.partition("=")
        new = options.get(name, name)
        if new != name:
            remarks[f"{name} is called {new} now"] = None
        if name == "--watch" and value in WATCHES:
            remarks[f"--watch {value} is called --watch {WATCHES[value]} now"] = None
            value = WATCHES[value]
        if found and found[-1] == "--watch" and argument in WATCHES:
            remarks[f"--watch {argument} is called --watch {WATCHES[argument]} now"] = None
            new = WATCHES[argument]
        found.append(f"{new}{equals}{value}")
    return [*found, *arguments[end:]], list(remarks)
