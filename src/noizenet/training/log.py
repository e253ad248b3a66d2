"""Log of a training: ``metrics.jsonl`` while it runs, ``metrics.csv`` and a figure of the curves at its end."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from noizenet.base.errors import UsageError
from noizenet.base.files import explain_os_error, write_csv, write_text
from noizenet.base.plain import to_json


class MetricsLog:
    """Append-only log of the metrics of one run.

    Parameters
    ----------
    folder : Path
        The run folder.
    last_step : int
        On resume: lines of later steps, which will be repeated, are removed. -1: start a new log.
    tensorboard : bool
        Also write TensorBoard events (needs the ``tensorboard`` extra).
    """

    def __init__(self, folder: Path, last_step: int = -1, *, tensorboard: bool = False) -> None:
        self.path = folder / "metrics.jsonl"
        rows = [r for r in read_metrics(folder) if r["step"] <= last_step] if last_step >= 0 else []
        write_text(self.path, "".join(to_json(r) + "\n" for r in rows))
        self._folder = folder
        self._writer: Any = None
        if tensorboard:
            try:
                from torch.utils.tensorboard import SummaryWriter
            except ImportError as error:
                raise UsageError(
                    "training.tensorboard needs TensorBoard: pip install 'noizenet[tensorboard]'"
                ) from error
            self._writer = SummaryWriter(str(folder / "tensorboard"), purge_step=last_step + 1)

    def add(self, step: int, values: Mapping[str, float | str]) -> None:
        """Append one line."""
        try:
            with self.path.open("a", encoding="utf-8") as handle:
                handle.write(to_json({"step": step, **values}) + "\n")
        except OSError as error:
            raise explain_os_error(error, self.path) from error
        if self._writer is not None:
            for key, value in values.items():
                if isinstance(value, float):
                    self._writer.add_scalar(key, value, step)

    def finish(self) -> None:
        """Write ``metrics.csv`` and ``curves.png`` from all lines."""
        rows = read_metrics(self._folder)
        columns = list(dict.fromkeys(k for r in rows for k in r))
        write_csv(self._folder / "metrics.csv", columns or ["step"], rows)
        if self._writer is not None:
            self._writer.close()
        if any("loss" in r for r in rows):
            from noizenet.views.curves import draw_curves
            from noizenet.views.render import save_figure

            save_figure(draw_curves(rows), self._folder / "curves.png")


def read_metrics(folder: Path) -> list[dict[str, Any]]:
    """Return the lines of a run's ``metrics.jsonl`` without truncated ones."""
    path = folder / "metrics.jsonl"
    if not path.exists():
        return []
    rows = []
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            rows.append(json.loads(line))
        except ValueError:
            continue
    return rows
