"""All registered measures over what was heard: a figure from each, or the reason why there is none."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from noizenet.base.errors import UsageError
from noizenet.evaluation import METRICS
from noizenet.evaluation.measure import Measure, MetricInputs, MetricResult


@dataclass
class Judgement:
    """What was found, what could not be said and why, and what the report shows besides, by section."""

    figures: list[MetricResult] = field(default_factory=list)
    skipped: dict[str, str] = field(default_factory=dict)
    details: dict[str, Any] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Return plain data."""
        return {"figures": [asdict(f) for f in self.figures], "unsaid": self.skipped, **self.details}


def judge(
    inputs: MetricInputs, names: Sequence[str] = (), on_measure: Callable[[str], None] | None = None
) -> Judgement:
    """Ask every measure.

    Parameters
    ----------
    inputs : MetricInputs
    names : sequence of str
        Which measures, by their registry names; none: all.
    on_measure : callable, optional
        Called with the title of each that is done.
    """
    found = Judgement(details={"confusion": {}, "copying": {}, "distributions": {}})
    for name in names or METRICS:
        measure: Measure = METRICS.load(name)
        try:
            # Matrices of some hundred rows, thousands of times: beside other work, threads that wait for one another
            # would take minutes for what takes seconds alone.
            with threadpool_limits(1, user_api="blas"):
                figure = measure.figure(name, inputs)
                details = measure.details(inputs)
        except np.linalg.LinAlgError as error:
            found.skipped[measure.title] = f"the numbers are too degenerate for it ({error})"
        except UsageError as error:
            found.skipped[measure.title] = str(error)
        else:
            found.figures.append(figure)
            for section, content in details.items():
                found.details.setdefault(section, {}).update(content)
        if on_measure is not None:
            on_measure(measure.title)
    return found
