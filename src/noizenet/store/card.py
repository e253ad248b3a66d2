"""The model card: a description of a model and its training for its users."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def render(about: Mapping[str, Any], parameters: int) -> str:
    """Return ``card.md``.

    Parameters
    ----------
    about : mapping
        The ``training`` part of ``model.json``.
    parameters : int
        Number of weights.
    """
    corpus, metrics = about.get("corpus", {}), about.get("metrics", {})
    lines = [
        f"# {about.get('recipe', 'model')}",
        "",
        f"A recurrent network of {parameters:,} weights, trained by noizenet on "
        f"{corpus.get('train_hours', 0):.2f} hours ({corpus.get('train_tracks', 0)} tracks) of recordings.",
        "",
        "| | |",
        "|---|---|",
        f"| genres | {', '.join(about.get('genres', []))} |",
        f"| licence of the recordings | {corpus.get('licence', 'unknown')} |",
        f"| whom to cite | {corpus.get('citation', 'unknown')} |",
        f"| seed | {about.get('seed')} |",
        f"| training | {metrics.get('steps', 0):,} steps, {metrics.get('minutes', 0):.1f} minutes, "
        f"{metrics.get('audio_hours', 0):.2f} hours of sound read |",
    ]
    for key in sorted(k for k in metrics if k.startswith(("best_", "settled_", "validation"))):
        value = metrics[key]
        lines.append(
            f"| {key.replace('_', ' ')} | {value:.5g} |" if isinstance(value, float) else f"| {key} | {value} |"
        )
    calibration = about.get("settled", {})
    if calibration:
        lines += ["", "Level, brightness and sharpness of generated audio relative to the training music, in dB:", ""]
        lines += ["| genre | as trained | calibrated |", "|---|---|---|"]
        for genre, distances in calibration.items():
            before, after = (", ".join(f"{v:+.1f}" for v in distances[k]) for k in ("before_db", "after_db"))
            lines.append(f"| {genre} | {before} | {after} |")
    lines += ["", "Made by", "", "```", str(about.get("command", "noizenet.train(...)")), "```", ""]
    lines += ["Configuration:", "", "```toml", str(about.get("config", "")).strip(), "```", ""]
    return "\n".join(lines)
