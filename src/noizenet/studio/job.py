"""The description of a job, and how it is read from a file that may be damaged."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from noizenet.base.renamed import renamed

ABOUT = "job.json"
DAMAGED = "damaged"
"""The kind of a job whose description cannot be read: it is listed, but never run."""

QUEUED, RUNNING, PAUSED, DONE, FAILED, STOPPED = "queued", "running", "paused", "done", "failed", "stopped"
REQUIRED_FIELDS = {"train": {"name", "collection", "recipe", "minutes"}, "evaluate": {"model", "collection"}}
"""Keys of `Job.about`, by kind."""


@dataclass
class Job:
    """A training or an evaluation.

    Parameters
    ----------
    key, kind, title : str
        ``kind`` is ``train`` or ``evaluate``.
    steps : list of list of str
        Arguments of the ``noizenet`` commands, in order.
    about : dict
        Properties that the page shows: the model's name, the minutes, …
    state : str
    pid, born : int, float
        Id and start time of the running process; the id alone may be reused by another process.
    number : int
        Position in the order of all jobs; the clock may be set back.
    action : str
        The pending action of a running job: ``pause`` or ``stop``.
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


def sort_key(job: Job) -> tuple[int, float]:
    """Return the sort key of a job; the oldest job is the first."""
    return job.number, job.created


def read_job(path: Path) -> Job:
    """Read a job's description; return a job of the kind ``damaged`` if it cannot be read."""
    key = path.parent.name
    try:
        job = _parse_job(json.loads(path.read_text(encoding="utf-8")))
        if job.key != key:
            raise ValueError("the key of another job")
    except (OSError, ValueError, TypeError, RecursionError) as error:
        problem = (
            f"its description ({ABOUT}) cannot be read ({type(error).__name__}), so it is not run; "
            "its files stay until it is removed"
        )
        return Job(key, DAMAGED, f"job {key}", [], state=FAILED, problem=problem)
    return job


def _parse_job(value: Any) -> Job:
    """Return a job from its description.

    Raises
    ------
    ValueError, TypeError
        If it is invalid.
    """
    if not isinstance(value, dict):
        raise ValueError("not an object")
    job = Job(**renamed(value, {"wish": "action"}))
    texts = (job.key, job.kind, job.title, job.state, job.action, job.problem)
    numbers = (job.pid, job.born, job.created, job.number)
    if not (all(isinstance(v, str) for v in texts) and all(isinstance(v, (int, float)) for v in numbers)):
        raise ValueError("a value of the wrong type")
    if not isinstance(job.about, dict) or job.state not in (QUEUED, RUNNING, PAUSED, DONE, FAILED, STOPPED):
        raise ValueError("an unknown state")
    if not all(isinstance(step, list) and step and all(isinstance(part, str) for part in step) for step in job.steps):
        raise ValueError("no commands")
    if not REQUIRED_FIELDS.get(job.kind, {"?"}) <= job.about.keys():
        raise ValueError("an unknown kind, or a property is missing")
    if job.kind == "train" and not float(job.about["minutes"]) > 0:
        raise ValueError("no minutes")
    return job
