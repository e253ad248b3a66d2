"""docs/reliability.md from the results: every number in it stands in results/reliability.json."""

from __future__ import annotations

from pathlib import Path
from typing import Any

TEXT = """# Reliability

What noizenet promises, how that is tested, and what the last run found. `make robust` writes this page from
`results/reliability.json`; no number in it is written by hand. `make robust SHORT=1` runs a few minutes of the same
and leaves this page alone.

## What is promised

- A bad input gives one line that names it and says what to do: exit code 2 for wrong use, 1 for a failure. There is no
  traceback, no hang, no crash.
- One input takes less than 20 s and less than 1 GB of memory, however it is made.
- A file that noizenet writes is whole or absent, also after a kill or on a full disk.
- The length that is read is the length that the file holds. What is missing or repaired is told.
- A command that was killed can be started again, and its result is that of an undisturbed run.

## Damaged inputs

Inputs are made by code: one good file of each kind is changed by one to four operations (bits flipped, parts cut,
doubled, moved or filled, files joined, headers spliced, endings swapped, false lengths in headers). JSON and TOML are
also changed value by value. A finding is stored with its operations and made smaller by leaving operations out.

{fuzz}

Formats of recordings, with the number of inputs: {formats}.

A length counts as wrong when nothing was told, ffmpeg's container length and its decoded length agree within 50 ms,
and noizenet's differs from them by more than that; one in four recordings that were read without a word is compared.

## Decoders compared

{differential}

## Kills

A command is killed (SIGKILL) once or twice at a random moment and started again. Compared with an undisturbed run are
the bytes of the corpus, of the weights (with `--epochs`) and of the generated file, the figures of the evaluation, and
for the studio that its queue ends with the training done. Every visible file is read after the kill; no temporary file
may stay after the restart.

{kills}

## Hostile surroundings

{places}

## Endurance

{endurance}

## What is not covered

- Other systems than Linux, and file systems on a network.
- Decoders' own faults in memory that do not end the process.
- Two hours of endurance run with `python -m robustness --only endurance --count 120`; the table says how long the last
  run was. On a busy machine gaps are counted but are no fault.
- Recordings of hours, and collections of more than a hundred thousand files.

## The machine

{machines}
"""


def table(head: list[str], rows: list[list[Any]]) -> str:
    """Return a Markdown table."""
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    return "\n".join([*lines, *("| " + " | ".join(_cell(c) for c in row) + " |" for row in rows)])


def _cell(value: Any) -> str:
    return f"{value:,}" if isinstance(value, int) else str(value)


def write(results: dict[str, Any], path: Path) -> None:
    """Write the page."""
    path.write_text(
        TEXT.format(
            fuzz=_fuzz(results), formats=_formats(results), differential=_differential(results.get("differential")),
            kills=_kills(results.get("kills")), places=_places(results.get("places")),
            endurance=_endurance(results.get("endurance")), machines=_machines(results),
        ),
        encoding="utf-8",
    )  # fmt: skip


NOT_YET = "Not run yet."
NAMES = {"audio": "recordings", "state": "models, checkpoints, corpora, configurations, tables",
         "studio": "requests and frames of the studio"}  # fmt: skip


def _fuzz(results: dict[str, Any]) -> str:
    from robustness.findings import FAULTS

    rows = []
    for stage, name in NAMES.items():
        found = results.get(stage)
        if found:
            name += "" if found["ended"] else f" (ended early: {found['key']['count']:,} were planned)"
            rows.append([name, *(found[k] for k in ("inputs", "fine", "refused", *FAULTS)), f"{found['slowest_s']:.1f} s",
                         f"{found['most_MB']} MB"])  # fmt: skip
    head = ["", "inputs", "read", "refused", "tracebacks", "crashes", "hangs", "memory over 1 GB", "half-written",
            "wrong lengths", "slowest", "most memory"]  # fmt: skip
    return table(head, rows) if rows else NOT_YET


def _formats(results: dict[str, Any]) -> str:
    return ", ".join(f"{k} {v:,}" for k, v in results.get("audio", {}).get("by_format", {}).items()) or "none yet"


def _differential(found: dict[str, Any] | None) -> str:
    if not found:
        return NOT_YET
    text = (
        f"{found['files']:,} files of {len(found['by_format'])} formats, at rates from 8,000 to 96,000 Hz, in mono, stereo, "
        "3.0, 5.1 and 7.1 where the format can, were decoded by noizenet, by the ffmpeg program and by libsndfile (where "
        "each can). Lossless: the same length, level within 0.1 dB, correlation over 0.999 in every channel; lossy: length "
        f"within a codec frame, 0.5 dB, 0.98. {found['agree']:,} agree, {found['faults']:,} do not."
    )
    return "\n".join([text, *(f"\n- {f['text']}" for f in found["findings"][:20])])


def _kills(found: dict[str, Any] | None) -> str:
    if not found:
        return NOT_YET
    rows = [[f"`{k}`" if k != "studio" else "studio with a queue", v, found["faults_by_command"].get(k, 0)]
            for k, v in found["kills"].items()]  # fmt: skip
    return table(["command", "trials", "faults"], [*rows, ["all", found["total"], found["faults"]]])


def _places(found: dict[str, Any] | None) -> str:
    if not found:
        return NOT_YET
    rows: list[list[Any]] = [[k, v["checks"], v["faults"]] for k, v in found["groups"].items()]
    rows += [[k, "skipped: " + why, ""] for k, why in found["skipped"].items()]
    return table(["surrounding", "commands", "faults"], rows)


def _endurance(found: dict[str, Any] | None) -> str:
    if not found:
        return NOT_YET
    return "\n\n".join(_endurance_run(run) for run in (found, *found.get("earlier", [])))


def _endurance_run(found: dict[str, Any]) -> str:
    rows = [
        [name, f"{found[f'{k}_MB']:.0f} MB", f"{found[f'{k}_growth_MB']:+.1f} MB", f"{found[f'{k}_MB_an_hour']:+.0f} MB",
         f"{found[f'{k}_most_MB']:.0f} MB", "not counted" if found[f"{k}_gaps"] is None else found[f"{k}_gaps"]]
        for k, name in (("play", "`noizenet play --out -`"), ("studio", f"studio, used by {found['visitor']}"))
    ]  # fmt: skip
    text = (
        f"{found['minutes']:g} minutes of both at once on a machine whose load was {found['load']:g} "
        f"(other work included), at commit `{found['key']['commit']}`; the studio was visited {found['visits']} times."
    )
    head = ["", "memory at the end", "growth after settling", "growth an hour", "most", "gaps"]
    return text + "\n\n" + table(head, rows)


def _machines(results: dict[str, Any]) -> str:
    rows = []
    for stage, found in results.items():
        m, key = found["machine"], found["key"]
        rows.append([stage, key["seed"], f"`{key['commit']}`", f"{found['took_s']:,} s", f"{m['cpu']}, {m['cores']} cores",
                     f"{m['system']}, Python {m['python']}"])  # fmt: skip
    return table(["stage", "seed", "commit", "took", "processor", "system"], rows) if rows else NOT_YET
