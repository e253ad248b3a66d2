"""What is known of one job, and how it is read from a file that may be damaged."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from noizenet.base.renamed import renamed

ABOUT = "job.json"
DAMAGED = "damaged"
"""The kind of a job whose description cannot be read: it is shown, and never run."""

QUEUED, RUNNING, PAUSED, DONE, FAILED, STOPPED = "queued", "running", "paused", "done", "failed", "stopped"
NEEDED = {"train": {"name", "collection", "recipe", "minutes"}, "evaluate": {"model", "collection"}}
"""What is known about a job of each kind."""


@dataclass
class Job:
    """One piece of work.

    Parameters
    ----------
    key, kind, title : str
        ``kind`` is ``train`` or ``evaluate``.
    steps : list of list of str
        Arguments of the ``noizenet`` commands, in turn.
    about : dict
        What the page shows: the model's name, the minutes, …
    state : str
    pid, born : int, float
        Of the running process, and when it began: a number alone may be another's by now.
    number : int
        Its place in the order of all jobs; clocks go backwards at times.
    action : str
        What was asked of it while it runs: ``pause`` or ``stop``.
    """

    key: str
    kind: str
    title: str
    steps: list[list[str]]
    about: dict[str, Any] = field(default_factory=dict)
    state: str = QUEUED
    pid: int = 0
    born: float = 0.0
    action: str = ""
    created: float = field(default_factory=time.time)
    problem: str = ""
    number: int = 0


def order_of(job: Job) -> tuple[int, float]:
    """Return what jobs are sorted by, the oldest first."""
    return job.number, job.created


def described(path: Path) -> Job:
    """Return the job of a description, or one that says that it cannot be read."""
    key = path.parent.name
    try:
        job = _job_of(json.loads(path.read_text(encoding="utf-8")))
        if job.key != key:
            raise ValueError("another job's")
    except (OSError, ValueError, TypeError, RecursionError) as error:
        problem = (
            f"its description ({ABOUT}) cannot be read ({type(error).__name__}), so it is not run; "
            "what it made stays until it is forgotten"
        )
        return Job(key, DAMAGED, f"job {key}", [], state=FAILED, problem=problem)
    return job


def _job_of(value: Any) -> Job:
    """Return a job from its description.

    Raises
    ------
    ValueError, TypeError
        If it is none.
    """
    job = Job(**renamed(value, {"wish": "action"}))
    texts = (job.key, job.kind, job.title, job.state, job.action, job.problem)
    numbers = (job.pid, job.born, job.created, job.number)
    if not (all(isinstance(v, str) for v in texts) and all(isinstance(v, (int, float)) for v in numbers)):
        raise ValueError("a value of another type")
    if not isinstance(job.about, dict) or job.state not in (QUEUED, RUNNING, PAUSED, DONE, FAILED, STOPPED):
        raise ValueError("no state that a job can have")
    if not all(isinstance(step, list) and step and all(isinstance(part, str) for part in step) for step in job.steps):
        raise ValueError("no commands")
    if not NEEDED.get(job.kind, {"?"}) <= job.about.keys():
        raise ValueError("no kind of job")
    if job.kind == "train" and not float(job.about["minutes"]) > 0:
        raise ValueError("no minutes")
    return job
