"""Computation of all registered metrics: a result of each, or the reason why it is skipped."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from noizenet.base.errors import UsageError
from noizenet.evaluation import METRICS
from noizenet.evaluation.metric import Metric, MetricInputs, MetricResult


@dataclass
class Results:
    """Results of the metrics, reasons for the skipped ones by title, and further sections of the report."""

    results: list[MetricResult] = field(default_factory=list)
    skipped: dict[str, str] = field(default_factory=dict)
    details: dict[str, Any] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Return plain data under the keys of ``report.json``."""
        return {"figures": [r.to_dict() for r in self.results], "unsaid": self.skipped, **self.details}


def compute_metrics(
    inputs: MetricInputs, names: Sequence[str] = (), on_metric: Callable[[str], None] | None = None
) -> Results:
    """Compute metrics.

    Parameters
    ----------
    inputs : MetricInputs
    names : sequence of str
        Registry names of the metrics; all if empty.
    on_metric : callable, optional
        Called with each metric's title when it is done.
    """
    found = Results(details={"confusion": {}, "copying": {}, "distributions": {}})
    for name in names or METRICS:
        metric: Metric = METRICS.load(name)
        try:
            # Thousands of products of small matrices: on a busy machine, BLAS threads that wait for each other would
            # take minutes instead of seconds.
            with threadpool_limits(1, user_api="blas"):
                result = metric.compute(name, inputs)
                details = metric.details(inputs)
        except np.linalg.LinAlgError as error:
            found.skipped[metric.title] = f"the values are degenerate ({error})"
        except UsageError as error:
            found.skipped[metric.title] = str(error)
        else:
            found.results.append(result)
            for section, content in details.items():
                found.details.setdefault(section, {}).update(content)
        if on_metric is not None:
            on_metric(metric.title)
    return found
