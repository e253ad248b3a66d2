"""Configuration as dataclasses: dict ⇄ dataclass ⇄ TOML, with validation.

A configuration class is a frozen dataclass whose fields have :func:`option` metadata: a help text, and the range or the
choices that are checked on construction.
"""

from __future__ import annotations

import dataclasses
import math
import sys
import types
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from noizenet.base.errors import ConfigError, suggest
from noizenet.base.regular import read_regular
from noizenet.base.renamed import KEYS, renamed

if sys.version_info >= (3, 11):
    import tomllib
else:  # pragma: no cover - Python 3.10 only
    import tomli as tomllib

C = TypeVar("C")
MAX_BYTES = 1 << 20
"""Maximum size of a configuration file."""


def option(
    default: Any,
    help: str,
    *,
    low: float | None = None,
    high: float | None = None,
    choices: tuple[str, ...] | None = None,
) -> Any:
    """Declare a configuration field with its help text and limits."""
    return dataclasses.field(default=default, metadata={"help": help, "low": low, "high": high, "choices": choices})


def check(config: Any, section: str) -> None:
    """Check every field of a configuration dataclass against its type and limits.

    Raises
    ------
    ConfigError
        If one does not match; the message names the key, the value and what is expected.
    """
    hints = typing.get_type_hints(type(config))
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        key = f"{section}.{field.name}"
        expected = hints[field.name]
        if not _matches(value, expected):
            raise ConfigError(f"{key}: {value!r} is not {_type_name(expected)}")
        meta = field.metadata
        if isinstance(value, float) and not math.isfinite(value):
            raise ConfigError(f"{key}: {value!r} is not a finite number")
        low, high, choices = meta.get("low"), meta.get("high"), meta.get("choices")
        if value is not None and low is not None and value < low:
            raise ConfigError(f"{key}: {value!r} is too small, expected at least {low:g}")
        if value is not None and high is not None and value > high:
            raise ConfigError(f"{key}: {value!r} is too large, expected at most {high:g}")
        if value is not None and choices is not None and value not in choices:
            raise ConfigError(f"{key}: {value!r} is unknown: {suggest(str(value), list(choices))}")


def from_dict(cls: type[C], values: Mapping[str, Any], section: str) -> C:
    """Build the configuration class `cls` from a mapping.

    An integer is accepted for a float, a list for a tuple.

    Raises
    ------
    ConfigError
        On an unknown key, a wrong type or a value out of range.
    """
    if not isinstance(values, Mapping):
        raise ConfigError(f"{section}: is a section, expected keys below it")
    hints = typing.get_type_hints(cls)
    names = [f.name for f in dataclasses.fields(cls)]  # type: ignore[arg-type]
    arguments: dict[str, Any] = {}
    for key, value in renamed(values, KEYS.get(section, {}), f"{section}.").items():
        if key not in names:
            raise ConfigError(f"{section}.{key}: unknown key; {suggest(key, names)}")
        wants_float = _matches(0.5, hints[key])
        if wants_float and isinstance(value, int) and not isinstance(value, bool):
            value = float(value)
        arguments[key] = _tuples(value) if typing.get_origin(hints[key]) is tuple else value
    return cls(**arguments)


def read_toml(path: Path) -> dict[str, Any]:
    """Read a TOML file.

    Raises
    ------
    ConfigError
        If it is missing or not TOML; the message names the file and the line.
    """
    try:
        return tomllib.loads(read_regular(path, MAX_BYTES).decode("utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: not a valid TOML file: {error}") from error
    except RecursionError as error:
        raise ConfigError(f"{path}: not a valid TOML file: nested too deeply") from error
    except OSError as error:
        raise ConfigError(f"{path}: cannot read the configuration: {error.strerror}") from error


def write_toml(values: Mapping[str, Any]) -> str:
    """Return `values` as TOML text (keys whose value is None are left out)."""
    import tomli_w

    def clean(mapping: Mapping[str, Any]) -> dict[str, Any]:
        return {k: clean(v) if isinstance(v, Mapping) else v for k, v in mapping.items() if v is not None}

    return tomli_w.dumps(clean(values))


def parse_assignment(text: str) -> tuple[list[str], Any]:
    """Parse ``section.key=value`` as given to ``--set``.

    Examples
    --------
    >>> parse_assignment("model.hidden=256")
    (['model', 'hidden'], 256)
    >>> parse_assignment("training.optimizer=adamw")
    (['training', 'optimizer'], 'adamw')
    """
    name, equals, value = text.partition("=")
    if not equals or not name.strip() or "." not in name:
        raise ConfigError(f"--set {text!r}: expected section.key=value, for instance model.hidden=256")
    try:
        parsed = tomllib.loads(f"v = {value.strip()}")["v"]
    except tomllib.TOMLDecodeError:
        parsed = value.strip()  # a bare word is a string
    except RecursionError as error:
        raise ConfigError(f"--set {name.strip()}: the value is nested too deeply") from error
    return name.strip().split("."), parsed


def merge(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Return `base` updated with the entries of `over`, section by section."""
    result = dict(base)
    for key, value in over.items():
        if isinstance(value, Mapping) and isinstance(result.get(key), Mapping):
            result[key] = merge(result[key], value)
        else:
            result[key] = value
    return result


def _tuples(value: Any) -> Any:
    """Turn the lists of TOML and JSON into tuples, at every depth."""
    return tuple(_tuples(v) for v in value) if isinstance(value, list) else value


def _matches(value: Any, expected: Any) -> bool:
    if typing.get_origin(expected) in (typing.Union, types.UnionType):
        return any(_matches(value, e) for e in typing.get_args(expected))
    if expected is type(None):
        return value is None
    if expected is float:
        return isinstance(value, float)
    if expected is int:
        return isinstance(value, int) and not isinstance(value, bool)
    origin = typing.get_origin(expected) or expected
    return isinstance(value, origin)


def _type_name(expected: Any) -> str:
    names = {int: "a whole number", float: "a number", str: "a text", bool: "true or false"}
    if typing.get_origin(expected) in (typing.Union, types.UnionType):
        return " or ".join(_type_name(e) for e in typing.get_args(expected) if e is not type(None))
    if typing.get_origin(expected) is tuple:
        return "a list"
    return names.get(expected, str(expected))
