"""The training checkpoint: one file, ``resume.safetensors``, written atomically and free of code.

Tensors (weights, optimizer moments, recurrent state, best and last good weights, torch's random state) are stored by
name; numbers and positions are JSON in the file's metadata. A digest covers both, since a changed number of the right
type would go unnoticed otherwise.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from noizenet.base import renamed
from noizenet.base.errors import TrainingError, UsageError
from noizenet.base.files import write_bytes
from noizenet.base.regular import check_regular

NAME = "resume.safetensors"
FORMAT = 3
"""Format 2 has the names of earlier versions (:mod:`noizenet.base.renamed`)."""


def flatten_optimizer(state: dict[str, Any], prefix: str) -> tuple[dict[str, Tensor], list[dict[str, Any]]]:
    """Split an optimizer's state into named tensors and plain parameter groups."""
    tensors = {}
    for index, values in state["state"].items():
        for key, value in values.items():
            tensors[f"{prefix}{index}.{key}"] = torch.as_tensor(value)
    return tensors, state["param_groups"]


def unflatten_optimizer(tensors: dict[str, Tensor], groups: list[dict[str, Any]], prefix: str) -> dict[str, Any]:
    """Undo :func:`flatten_optimizer`."""
    state: dict[int, dict[str, Tensor]] = {}
    for name, value in tensors.items():
        if name.startswith(prefix):
            index, key = name.removeprefix(prefix).split(".", 1)
            state.setdefault(int(index), {})[key] = value
    return {"state": state, "param_groups": groups}


def part(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """Return the tensors whose names begin with a prefix, without it."""
    return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}


def check_identity(folder: Path, expected: dict[str, Any], found: dict[str, Any]) -> None:
    """Check that a checkpoint belongs to the requested run.

    Raises
    ------
    UsageError
        If it does not; the message names what differs.
    """
    if not isinstance(found, dict):
        raise ValueError("identity: expected an object")
    for key, value in expected.items():
        if found.get(key) != value:
            raise UsageError(
                f"{folder}: cannot resume, the {key} is not what the run started with; "
                "give the same corpus, seed and configuration, or choose another folder"
            )


@contextlib.contextmanager
def restoring(folder: Path) -> Iterator[None]:
    """Turn the errors of restoring an undamaged checkpoint that lacks something into one line.

    Raises
    ------
    TrainingError
        In place of the original error.
    """
    try:
        yield
    except (KeyError, TypeError, ValueError, RuntimeError, AttributeError, IndexError, OverflowError) as error:
        first = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        text = f"no {first}" if isinstance(error, KeyError) else first
        raise TrainingError(
            f"{folder / NAME}: the checkpoint does not fit ({text[:120]}); remove it to start again"
        ) from error


def check_tensors(what: str, expected: dict[str, Tensor], found: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return `found`, checked for the names, shapes and types of `expected`; ValueError if they differ."""
    if expected.keys() != found.keys():
        raise ValueError(f"{what}: not the tensors of this network")
    for name, value in expected.items():
        if value.shape != found[name].shape or value.dtype != found[name].dtype:
            raise ValueError(f"{what}: {name} has another shape or type")
    return found


def restored_optimizer(
    optimizer: torch.optim.Optimizer, tensors: dict[str, Tensor], groups: Any, prefix: str
) -> dict[str, Any]:
    """Return the result of :func:`unflatten_optimizer`, checked against an optimizer; ValueError if it does not fit."""
    expected = optimizer.state_dict()["param_groups"]
    if not isinstance(groups, list) or not _alike(json.loads(json.dumps(expected)), groups):
        raise ValueError(f"{prefix}groups: not of this optimizer")
    if [g["params"] for g in expected] != [g["params"] for g in groups]:
        raise ValueError(f"{prefix}groups: not of this network")
    parameters = [p for g in optimizer.param_groups for p in g["params"]]
    state = unflatten_optimizer(tensors, groups, prefix)
    for index, values in state["state"].items():
        for key, value in values.items():
            if not 0 <= index < len(parameters) or (value.ndim and value.shape != parameters[index].shape):
                raise ValueError(f"{prefix}{index}.{key}: not of this network")
    return state


def number(value: Any, low: float = -math.inf) -> float:
    """Return a finite number of at least `low`; ValueError otherwise."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not low <= value < math.inf:
        raise ValueError(f"{str(value)[:40]!r} is not a finite number of at least {low:g}")
    return value


def _alike(expected: Any, found: Any) -> bool:
    """Whether plain data has the same keys, lengths and kinds of values."""
    if isinstance(expected, dict):
        return (
            isinstance(found, dict)
            and expected.keys() == found.keys()
            and all(_alike(expected[k], found[k]) for k in expected)
        )
    if isinstance(expected, list):
        return isinstance(found, list) and len(expected) == len(found) and all(map(_alike, expected, found))
    if isinstance(expected, (int, float)) and not isinstance(expected, bool):
        return isinstance(found, (int, float)) and not isinstance(found, bool)
    return type(expected) is type(found)


def write(folder: Path, tensors: dict[str, Tensor], numbers: dict[str, Any]) -> None:
    """Write the checkpoint of a run folder."""
    from safetensors.torch import save

    clean = {k: v.detach().clone().contiguous() for k, v in tensors.items()}
    text = json.dumps({"format": FORMAT, **numbers})
    write_bytes(folder / NAME, save(clean, metadata={"noizenet": text, "sha256": _digest(clean, text)}))


def read(folder: Path) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
    """Read a run folder's checkpoint; None if there is none.

    Raises
    ------
    TrainingError
        If it is damaged or from another version.
    """
    from safetensors import SafetensorError, safe_open

    path = folder / NAME
    if not path.exists():
        return None
    try:
        check_regular(path)
        with safe_open(str(path), framework="pt") as handle:
            text, digest = handle.metadata()["noizenet"], handle.metadata().get("sha256")
            tensors = {k: handle.get_tensor(k) for k in handle.keys()}  # noqa: SIM118 - not a dict
        numbers = json.loads(text)
        if not isinstance(numbers, dict) or (numbers.get("format") in (2, FORMAT) and digest != _digest(tensors, text)):
            raise ValueError("its digest does not match")
    except (SafetensorError, OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise TrainingError(f"{path}: the checkpoint is damaged ({error}); remove it to start again") from error
    if numbers.get("format") == 2:
        return _with_current_names(tensors, numbers)
    if numbers.get("format") != FORMAT:
        raise TrainingError(f"{path}: made by another version of noizenet; remove it to start again")
    return tensors, numbers


def _with_current_names(
    tensors: dict[str, Tensor], numbers: dict[str, Any]
) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Return the content of a checkpoint of format 2 under the current names."""

    def current(name: str) -> str:
        group, _, rest = name.partition(".")
        return f"{group}.{renamed.tensor_name(rest)}" if group in ("network", "best", "good") else name

    def section(values: Any, name: str) -> Any:
        return renamed.renamed(values, renamed.KEYS[name]) if isinstance(values, dict) else values

    identity = numbers.get("identity")
    if isinstance(identity, dict):
        identity = dict(identity)
        if "training" in identity:
            identity["training"] = section(identity["training"], "training")
        if isinstance(shape := identity.get("architecture"), dict) and "options" in shape:
            identity["architecture"] = {**shape, "options": section(shape["options"], "model")}
        numbers = {**numbers, "identity": identity}
    return {current(k): v for k, v in tensors.items()}, numbers


def _digest(tensors: dict[str, Tensor], text: str) -> str:
    digest = hashlib.sha256(text.encode())
    for name, values in sorted(tensors.items()):
        digest.update(f"{name} {values.dtype} {tuple(values.shape)}".encode())
        digest.update(values.contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
