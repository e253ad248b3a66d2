"""Write docs/reliability.md from results/reliability.json, the source of all its measurements."""

from __future__ import annotations

from pathlib import Path
from typing import Any

TEXT = """# Reliability

This page lists the guarantees of noizenet, how they are tested, and the results of the last run. `make robust` writes
it from `results/reliability.json`; no measurement is entered by hand. `make robust SHORT=1` runs a short version of the
same tests and does not change this page.

## Guarantees

- An invalid input gives one line that names it and the remedy, with exit code 2 for wrong usage and 1 for a failure. It
  never causes a traceback, a hang or a crash.
- Any input takes less than 20 s of processor time and less than 1 GB of memory.
- A file that noizenet writes is complete or absent, also after a kill or on a full disk.
- The length that is read is the length of the audio in the file. Lost and repaired audio is reported.
- A killed command can be restarted; its result equals that of an uninterrupted run.

## Fuzzing

Inputs are generated: one valid file of each kind is changed by one to four operations (bits flipped; parts cut,
repeated, moved or overwritten; files joined; headers spliced; suffixes swapped; false lengths in headers). Values in
JSON and TOML files are also replaced. Findings are stored with their operations and minimised by removing operations.

{fuzz}

Formats of the recordings, with the number of inputs: {formats}.

A length is wrong if no issue was reported, ffmpeg's container length and its decoded length agree within 50 ms, and
noizenet's length differs from them by more than that. One in four recordings that were read without an issue is
compared.

## Comparison of decoders

{differential}

## Kills

A command is killed (SIGKILL) once or twice at a random moment and restarted. Its results are compared with those of an
uninterrupted run: the bytes of the corpus, of the weights (with `--epochs`) and of the generated file, and the metrics
of the evaluation. The studio must complete the training in its queue. Every visible file is read after the kill, and no
temporary file may remain after the restart.

{kills}

## Adverse environments

{places}

## Endurance

{endurance}

## Not covered

- Systems other than Linux, and network file systems.
- Memory errors in decoders that do not end the process.
- Endurance runs of two hours, unless started with `python -m robustness --only endurance --count 120`; the table gives
  the length of the last run. Gaps on a busy machine are counted but are not a fault.
- Recordings of several hours, and collections of more than a hundred thousand files.

## Machines

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
            name += "" if found["ended"] else f" (interrupted: {found['key']['count']:,} were planned)"
            rows.append([name, *(found[k] for k in ("inputs", "fine", "refused", *FAULTS)), f"{found['slowest_s']:.1f} s",
                         f"{found['most_MB']} MB"])  # fmt: skip
    head = ["", "inputs", "read", "refused", "tracebacks", "crashes", "hangs", "memory over 1 GB", "partial files",
            "wrong lengths", "slowest", "peak memory"]  # fmt: skip
    return table(head, rows) if rows else NOT_YET


def _formats(results: dict[str, Any]) -> str:
    return ", ".join(f"{k} {v:,}" for k, v in results.get("audio", {}).get("by_format", {}).items()) or "none yet"


def _differential(found: dict[str, Any] | None) -> str:
    if not found:
        return NOT_YET
    text = (
        f"{found['files']:,} files of {len(found['by_format'])} formats, at rates from 8,000 to 96,000 Hz, in mono, "
        "stereo, 3.0, 5.1 and 7.1 where the format supports them, were decoded by noizenet, by ffmpeg and by libsndfile "
        "(where each supports the format). Lossless formats must agree in length, in level within 0.1 dB, and with a "
        "correlation over 0.999 in every channel; lossy formats in length within a codec frame, in level within 0.5 dB, "
        f"and with a correlation over 0.98. {found['agree']:,} agree, {found['faults']:,} do not."
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
    return table(["environment", "commands", "faults"], rows)


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
        f"Both ran at the same time for {found['minutes']:g} minutes on a machine with a load average of "
        f"{found['load']:g} (including other work), at commit `{found['key']['commit']}`; the studio was visited "
        f"{found['visits']} times."
    )
    head = ["", "memory at the end", "growth after warm-up", "growth per hour", "peak", "gaps"]
    return text + "\n\n" + table(head, rows)


def _machines(results: dict[str, Any]) -> str:
    rows = []
    for stage, found in results.items():
        m, key = found["machine"], found["key"]
        rows.append([stage, key["seed"], f"`{key['commit']}`", f"{found['took_s']:,} s", f"{m['cpu']}, {m['cores']} cores",
                     f"{m['system']}, Python {m['python']}"])  # fmt: skip
    return table(["stage", "seed", "commit", "run time", "processor", "system"], rows) if rows else NOT_YET
