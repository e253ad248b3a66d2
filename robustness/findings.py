"""Findings of a stage: counted by kind, grouped by cause, and minimised."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from robustness import workers
from robustness.workers import Outcome

FAULTS = ("traceback", "crash", "hang", "memory", "leftover", "duration")
MAX_FINDINGS = 40
MAX_TRIES = 60


def signature(outcome: Outcome) -> str:
    """Return a key that findings with the same cause share."""
    where = str(outcome.task.get("format", "")) if outcome.kind == "duration" else ""
    return outcome.kind + where + " " + re.sub(r"0x[0-9a-f]+|[\d.,]+", "#", outcome.text)[:90]


def summarise(outcomes: Iterable[Outcome], on_progress: Callable[[int, Outcome], None] | None = None) -> dict[str, Any]:
    """Count outcomes; keep the first one of each cause.

    Returns
    -------
    dict
        ``inputs``, ``fine``, ``refused``, each of :data:`FAULTS`, ``slowest_s``, ``processor_s``, ``most_MB`` and ``findings``.
    """
    counts: Counter[str] = Counter()
    formats: Counter[str] = Counter()
    first: dict[str, Outcome] = {}
    times: Counter[str] = Counter()
    slowest, largest, total = 0.0, 0, 0.0
    for outcome in outcomes:
        counts[outcome.kind] += 1
        formats[str(outcome.task.get("format", outcome.task.get("what", "")))] += 1
        total += outcome.seconds
        slowest, largest = max(slowest, outcome.seconds), max(largest, outcome.bytes)
        if outcome.kind in FAULTS:
            key = signature(outcome)
            times[key] += 1
            first.setdefault(key, outcome)
        if on_progress is not None:
            on_progress(sum(counts.values()), outcome)
    return {
        "inputs": sum(counts.values()), "fine": counts["fine"], "refused": counts["refused"],
        **{kind: counts[kind] for kind in FAULTS}, "by_format": dict(sorted(formats.items())),
        "slowest_s": round(slowest, 2), "most_MB": round(largest / 1e6), "processor_s": round(total),
        "findings": [
            {"kind": o.kind, "text": o.text, "times": times[key], "task": o.task}
            for key, o in list(first.items())[:MAX_FINDINGS]
        ],
    }  # fmt: skip


def merge(first_part: dict[str, Any], second_part: dict[str, Any]) -> dict[str, Any]:
    """Return the combined figures of two parts of a stage."""
    if not first_part:
        return second_part
    sums = {k: first_part[k] + second_part[k] for k in ("inputs", "fine", "refused", *FAULTS, "processor_s")}
    largest = {k: max(first_part[k], second_part[k]) for k in ("slowest_s", "most_MB")}
    formats = Counter(first_part["by_format"]) + Counter(second_part["by_format"])
    return {**sums, **largest, "by_format": dict(sorted(formats.items())),
            "findings": (first_part["findings"] + second_part["findings"])[:MAX_FINDINGS]}  # fmt: skip


def minimise(finding: dict[str, Any], setup: Callable[[], Any]) -> dict[str, Any]:
    """Minimise a finding: remove operations and halve lists of changes as long as the kind of finding is the same."""
    task, wanted_kind = finding["task"], finding["kind"]
    if "operations" not in task:
        return finding
    tries = 0
    changed = True
    while changed and tries < MAX_TRIES:
        changed = False
        for candidate in _reductions(task["operations"]):
            tries += 1
            outcome = next(iter(workers.run(setup, [{**task, "operations": candidate}], workers=1)))
            if outcome.kind == wanted_kind:
                task, changed = outcome.task, True
                finding = {**finding, "task": task, "text": outcome.text}
                break
            if tries >= MAX_TRIES:
                break
    return finding


def _reductions(operations: list[Any]) -> Iterator[list[Any]]:
    if len(operations) > 1:
        for k in range(len(operations)):
            yield operations[:k] + operations[k + 1 :]
    for k, (kind, *given) in enumerate(operations):
        if kind in ("flip", "set") and len(given[0]) > 1:
            half = len(given[0]) // 2
            for part in (given[0][:half], given[0][half:]):
                yield [*operations[:k], [kind, part], *operations[k + 1 :]]
