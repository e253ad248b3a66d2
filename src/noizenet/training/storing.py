"""Writing of a run's result: the model folder with a description of the training."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from torch import Tensor

from noizenet.model.weights import Weights
from noizenet.store import card
from noizenet.store.model import Model, save

if TYPE_CHECKING:
    from noizenet.training.loop import Trainer


def store(run: Trainer, state: dict[str, Tensor], command: str) -> Model:
    """Write a model folder.

    Parameters
    ----------
    run : Trainer
    state : dict of str to Tensor
        The weights.
    command : str
        For the model card.

    Returns
    -------
    Model
    """
    weights = Weights.of_state(run.architecture, state)
    o = run.config.training
    train = run.corpus.split("train")
    training: dict[str, Any] = {
        "recipe": run.config.recipe,
        "seed": run.seed,
        "command": command,
        "config": run.config.to_toml(),
        "genres": run.corpus.genres,
        "corpus": {
            "layout": run.corpus.about.get("layout", ""),
            "licence": run.corpus.about.get("licence", ""),
            "citation": run.corpus.about.get("citation", ""),
            "train_tracks": len(train) - len(run.reader.skipped),
            "train_hours": run.corpus.seconds("train") / 3600,
            "skipped_short_tracks": [t.name for t in run.reader.skipped],
            "content": sorted(t.content for t in train),
        },
        "metrics": {
            "steps": run.step,
            "minutes": (run.elapsed - run.plan.prepared_s) / 60,
            "encoding_minutes": run.plan.prepared_s / 60,
            "calibration_minutes": run.calibrated_s / 60,
            "audio_hours": run.step * o.batch * o.window / run.representation.frame_rate / 3600,
            "recoveries": run.guard.recoveries,
            **{f"best_validation_{k}": v for k, v in run.best_metrics.items()},
            **{f"settled_validation_{k}": v for k, v in run.calibrated_metrics.items()},
        },
        "settled": run.calibration,
        "tempi": run.reader.tempi(),
    }
    model = Model(weights, run.representation, list(run.corpus.genres), training)
    save(model, run.folder, card.render(training, run.network.parameter_count()))
    return model
