"""Content of a training's checkpoint, and how a run is restored from it."""

from __future__ import annotations

import hashlib
import math
from dataclasses import asdict
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from noizenet.training import checkpoint

if TYPE_CHECKING:
    from noizenet.training.loop import Trainer


def identity(run: Trainer) -> dict[str, Any]:
    """Return what must not change when a run is resumed."""
    content = hashlib.sha256("".join(sorted(t.content + t.split for t in run.corpus.tracks)).encode()).hexdigest()
    training = asdict(run.config.training)
    for key in ("checkpoint_seconds", "tensorboard", "patience"):  # these do not affect a step
        training.pop(key)
    shape = run.architecture.to_dict()
    return {"seed": run.seed, "corpus": content, "architecture": shape, "training": training}


def has_checkpoint(run: Trainer) -> bool:
    """Return whether a run's folder holds a checkpoint; check that it belongs to this run.

    Raises
    ------
    UsageError
        If it belongs to another run.
    TrainingError
        If it is damaged.
    """
    found = checkpoint.read(run.folder)
    if found is not None:
        with checkpoint.restoring(run.folder):
            checkpoint.check_identity(run.folder, identity(run), found[1]["identity"])
    return found is not None


def write_checkpoint(run: Trainer) -> None:
    """Write the checkpoint of a run."""
    tensors = {f"network.{k}": v for k, v in run.network.state_dict().items()}
    tensors |= {f"best.{k}": v for k, v in run.best.items()}
    tensors |= {f"good.{k}": v for k, v in run.guard.weights.items()}
    moments, groups = checkpoint.flatten_optimizer(run.optimizer.state_dict(), "optimizer.")
    good, good_groups = checkpoint.flatten_optimizer(run.guard.moments, "good_optimizer.")
    tensors |= moments | good
    tensors |= {"state": run.state, "torch_random": torch.get_rng_state()}
    checkpoint.write(
        run.folder,
        tensors,
        {
            "identity": identity(run),
            "representation": run.representation.to_dict(),
            "step": run.step,
            "elapsed": run.elapsed,
            "prepared": run.plan.prepared_s,
            "calibration_s": run.plan.calibration_s,
            "validation_batches": run.validation.batches if run.validation is not None else 0,
            "reader": run.reader.state(),
            "guard": run.guard.state(),
            "groups": groups,
            "good_groups": good_groups,
            "history": run.history,
            "best_measures": run.best_metrics,
        },
    )


def restore(run: Trainer, tensors: dict[str, Tensor], numbers: dict[str, Any]) -> None:
    """Restore a run from a checkpoint.

    Raises
    ------
    UsageError
        If it belongs to another run.
    TrainingError
        If something is missing or does not fit.
    """
    with checkpoint.restoring(run.folder):
        _restore(run, tensors, numbers)


def _restore(run: Trainer, tensors: dict[str, Tensor], numbers: dict[str, Any]) -> None:
    part = partial(checkpoint.part, tensors)
    checkpoint.check_identity(run.folder, identity(run), numbers["identity"])
    expected, best = run.network.state_dict(), part("best.")
    moments = checkpoint.restored_optimizer(run.optimizer, tensors, numbers["groups"], "optimizer.")
    good = checkpoint.restored_optimizer(run.optimizer, tensors, numbers["good_groups"], "good_optimizer.")
    run.guard.weights = checkpoint.check_tensors("good", expected, part("good."))
    run.best = checkpoint.check_tensors("best", expected, best) if best else {}
    run.network.load_state_dict(checkpoint.check_tensors("network", expected, part("network.")))
    run.optimizer.load_state_dict(moments)
    run.guard.moments = good
    run.guard.restore(numbers["guard"])
    run.state = checkpoint.check_tensors("state", {"": run.state}, {"": tensors["state"]})[""]
    torch.set_rng_state(tensors["torch_random"])
    run.reader.restore(numbers["reader"])
    run.step = int(checkpoint.number(numbers["step"], 0))
    if run.validation is not None and "validation_batches" in numbers:
        run.validation.limit(int(numbers["validation_batches"]))
        run.validate_every = run.config.training.validate_every or run.validation_interval()
    run.plan.fit_calibration(float(numbers.get("calibration_s") or math.inf))
    run.plan.start_training(checkpoint.number(numbers["elapsed"], 0), checkpoint.number(numbers.get("prepared", 0), 0))
    run.history = [float(v) for v in numbers["history"]]
    run.best_metrics = {str(k): float(v) for k, v in numbers["best_measures"].items() if k != "step"}
    if numbers["best_measures"]:
        run.best_metrics["step"] = int(numbers["best_measures"]["step"])
