"""The resume point: one file, ``resume.safetensors``, whole or absent, with no code in it.

Tensors (weights, optimizer moments, carried state, best and last good weights, torch's random state) are
stored by name; numbers and positions are JSON in the file's metadata.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from noizenet.base.errors import TrainingError
from noizenet.base.files import write_bytes

NAME = "resume.safetensors"
FORMAT = 1


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


def write(folder: Path, tensors: dict[str, Tensor], numbers: dict[str, Any]) -> None:
    """Write the resume point of a run folder."""
    from safetensors.torch import save

    clean = {k: v.detach().clone().contiguous() for k, v in tensors.items()}
    data = save(clean, metadata={"noizenet": json.dumps({"format": FORMAT, **numbers})})
    write_bytes(folder / NAME, data)


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
        with safe_open(str(path), framework="pt") as handle:
            numbers = json.loads(handle.metadata()["noizenet"])
            tensors = {k: handle.get_tensor(k) for k in handle.keys()}  # noqa: SIM118 - not a dict
    except (SafetensorError, OSError, ValueError, KeyError, TypeError) as error:
        raise TrainingError(f"{path}: the resume point is damaged ({error}); remove it to start again") from error
    if numbers.get("format") != FORMAT:
        raise TrainingError(f"{path}: made by another version of noizenet; remove it to start again")
    return tensors, numbers
