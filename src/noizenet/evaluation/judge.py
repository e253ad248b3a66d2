"""All registered measures over what was heard: a figure from each, or the reason why there is none."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from noizenet.base.errors import UsageError
from noizenet.evaluation import METRICS
from noizenet.evaluation.metric import Metric, MetricInputs, MetricResult


@dataclass
class Results:
    """What was found, what could not be said and why, and what the report shows besides, by section."""

    results: list[MetricResult] = field(default_factory=list)
    skipped: dict[str, str] = field(default_factory=dict)
    details: dict[str, Any] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Return plain data."""
        return {"figures": [asdict(f) for f in self.results], "unsaid": self.skipped, **self.details}


def compute_metrics(
    inputs: MetricInputs, names: Sequence[str] = (), on_metric: Callable[[str], None] | None = None
) -> Results:
    """Ask every measure.

    Parameters
    ----------
    inputs : MetricInputs
    names : sequence of str
        Which measures, by their registry names; none: all.
    on_measure : callable, optional
        Called with the title of each that is done.
    """
    found = Results(details={"confusion": {}, "copying": {}, "distributions": {}})
    for name in names or METRICS:
        metric: Metric = METRICS.load(name)
        try:
            # Matrices of some hundred rows, thousands of times: beside other work, threads that wait for one another
            # would take minutes for what takes seconds alone.
            with threadpool_limits(1, user_api="blas"):
                result = metric.compute(name, inputs)
                details = metric.details(inputs)
        except np.linalg.LinAlgError as error:
            found.skipped[metric.title] = f"the numbers are too degenerate for it ({error})"
        except UsageError as error:
            found.skipped[metric.title] = str(error)
        else:
            found.results.append(result)
            for section, content in details.items():
                found.details.setdefault(section, {}).update(content)
        if on_metric is not None:
            on_metric(metric.title)
    return found
