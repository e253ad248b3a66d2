"""The resume point: one file, ``resume.safetensors``, whole or absent, with no code in it.

Tensors (weights, optimizer moments, carried state, best and last good weights, torch's random state) are
stored by name; numbers and positions are JSON in the file's metadata. A digest of both tells a damaged file from a
whole one: a number that is wrong but of the right type would be trained with in silence.
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

from noizenet.base.errors import TrainingError, UsageError
from noizenet.base.files import write_bytes
from noizenet.base.regular import check_regular

NAME = "resume.safetensors"
FORMAT = 2


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


def check_identity(folder: Path, mine: dict[str, Any], theirs: dict[str, Any]) -> None:
    """See that a resume point is of the run that is asked for.

    Raises
    ------
    UsageError
        If it is not; the message names what differs.
    """
    if not isinstance(theirs, dict):
        raise ValueError("identity: expected an object")
    for key, value in mine.items():
        if theirs.get(key) != value:
            raise UsageError(
                f"{folder}: cannot resume, the {key} is not what the run began with; "
                "give the same corpus, seed and configuration, or choose another folder"
            )


@contextlib.contextmanager
def restoring(folder: Path) -> Iterator[None]:
    """Tell in one line that a resume point, whole as it is, does not hold what a run needs.

    Raises
    ------
    TrainingError
        Instead of what taking it in raises.
    """
    try:
        yield
    except (KeyError, TypeError, ValueError, RuntimeError, AttributeError, IndexError, OverflowError) as error:
        first = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        text = f"no {first}" if isinstance(error, KeyError) else first
        raise TrainingError(
            f"{folder / NAME}: the resume point does not fit ({text[:120]}); remove it to start again"
        ) from error


def check_tensors(what: str, mine: dict[str, Tensor], theirs: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return tensors that have the names, shapes and types of others; ValueError otherwise."""
    if mine.keys() != theirs.keys():
        raise ValueError(f"{what}: other tensors than this network's")
    for name, value in mine.items():
        if value.shape != theirs[name].shape or value.dtype != theirs[name].dtype:
            raise ValueError(f"{what}: {name} has another shape or type")
    return theirs


def restored_optimizer(
    optimizer: torch.optim.Optimizer, tensors: dict[str, Tensor], groups: Any, prefix: str
) -> dict[str, Any]:
    """Return :func:`unflatten_optimizer`'s, checked against an optimizer; ValueError where it is not of one like it."""
    mine = optimizer.state_dict()["param_groups"]
    if not isinstance(groups, list) or not _alike(json.loads(json.dumps(mine)), groups):
        raise ValueError(f"{prefix}groups: not those of this optimizer")
    if [g["params"] for g in mine] != [g["params"] for g in groups]:
        raise ValueError(f"{prefix}groups: not those of this network")
    parameters = [p for g in optimizer.param_groups for p in g["params"]]
    state = unflatten_optimizer(tensors, groups, prefix)
    for index, values in state["state"].items():
        for key, value in values.items():
            if not 0 <= index < len(parameters) or (value.ndim and value.shape != parameters[index].shape):
                raise ValueError(f"{prefix}{index}.{key}: not of this network")
    return state


def number(value: Any, low: float = -math.inf) -> float:
    """Return a finite number of a resume point; ValueError otherwise."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not low <= value < math.inf:
        raise ValueError(f"{str(value)[:40]!r} is not a number that can be")
    return value


def _alike(mine: Any, theirs: Any) -> bool:
    """Whether plain data has the same keys, lengths and kinds of values."""
    if isinstance(mine, dict):
        return (
            isinstance(theirs, dict) and mine.keys() == theirs.keys() and all(_alike(mine[k], theirs[k]) for k in mine)
        )
    if isinstance(mine, list):
        return isinstance(theirs, list) and len(mine) == len(theirs) and all(map(_alike, mine, theirs))
    if isinstance(mine, (int, float)) and not isinstance(mine, bool):
        return isinstance(theirs, (int, float)) and not isinstance(theirs, bool)
    return type(mine) is type(theirs)


def write(folder: Path, tensors: dict[str, Tensor], numbers: dict[str, Any]) -> None:
    """Write the resume point of a run folder."""
    from safetensors.torch import save

    clean = {k: v.detach().clone().contiguous() for k, v in tensors.items()}
    text = json.dumps({"format": FORMAT, **numbers})
    write_bytes(folder / NAME, save(clean, metadata={"noizenet": text, "sha256": _digest(clean, text)}))


def read(folder: Path) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
    """Read a run folder's resume point; None where there is none.

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
        if not isinstance(numbers, dict) or (numbers.get("format") == FORMAT and digest != _digest(tensors, text)):
            raise ValueError("its digest is another")
    except (SafetensorError, OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise TrainingError(f"{path}: the resume point is damaged ({error}); remove it to start again") from error
    if numbers.get("format") != FORMAT:
        raise TrainingError(f"{path}: made by another version of noizenet; remove it to start again")
    return tensors, numbers


def _digest(tensors: dict[str, Tensor], text: str) -> str:
    digest = hashlib.sha256(text.encode())
    for name, values in sorted(tensors.items()):
        digest.update(f"{name} {values.dtype} {tuple(values.shape)}".encode())
        digest.update(values.contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
