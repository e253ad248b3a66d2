"""Damaged recordings: each is read completely; some are also built into a corpus or drawn."""

from __future__ import annotations

import functools
import random
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from robustness import mutations, sounds

DURATION_TOLERANCE_S = 0.05
EVERY_BUILD, EVERY_VIEW = 50, 500
EVERY_DURATION = 4
"""One in this many recordings that are read without issues is compared with the length that ffmpeg decodes."""


def tasks(numbers: Iterable[int], seed: int) -> Iterator[dict[str, Any]]:
    """Yield recipes of damaged recordings by index; they depend only on the seed and the index."""
    good = sounds.good_files()
    names = list(good)
    for index in numbers:
        rng = random.Random(f"{seed} audio {index}")
        name = names[index % len(names)]
        action = "view" if index % EVERY_VIEW == 7 else "build" if index % EVERY_BUILD == 3 else "read"
        yield {"what": "audio", "format": name, "operations": mutations.draw(rng, names, len(good[name])), "how": action,
               "duration": rng.randrange(EVERY_DURATION) == 0}  # fmt: skip


def setup() -> Callable[[dict[str, Any]], tuple[str, str]]:
    """Return the function that tests one recipe; called once in each worker."""
    import noizenet.audio.read  # noqa: F401 - loaded before time is measured

    good = sounds.good_files()
    return functools.partial(attempt, good=good)


def damaged_bytes(task: dict[str, Any], good: dict[str, bytes]) -> tuple[bytes, str]:
    """Return the bytes and the suffix of a damaged recording."""
    suffixes = {n: sounds.FORMATS[n].suffix for n in good}
    operations = task["operations"]
    data = mutations.apply(good[task["format"]], operations, good)
    return data, mutations.final_suffix(operations, suffixes[task["format"]], suffixes)


def attempt(task: dict[str, Any], good: dict[str, bytes]) -> tuple[str, str]:
    """Test one recipe; return the kind of outcome and a message."""
    data, suffix = damaged_bytes(task, good)
    with tempfile.TemporaryDirectory(prefix="noizenet-robust-") as scratch:
        folder = Path(scratch) / "in"
        folder.mkdir()
        path = folder / f"x{suffix}"
        path.write_bytes(data)
        if task["how"] == "build":
            found = command(["corpus", "build", folder, Path(scratch) / "out", "--sample-rate", 8000, "--workers", 1])
        elif task["how"] == "view":
            found = command(["view", path, Path(scratch) / "out.png"])
        else:
            found = _read(path, duration=task.get("duration", True))
        return found if found[0] in ("traceback", "duration") else leftover_files(Path(scratch)) or found


def command(arguments: list[object]) -> tuple[str, str]:
    """Run a command in this process; tracebacks, "a bug in noizenet" and unknown exit codes are faults."""
    import contextlib
    import io

    from noizenet.cli.main import main

    captured = io.StringIO()
    with contextlib.redirect_stderr(captured), contextlib.redirect_stdout(io.StringIO()):
        code = main([str(a) for a in arguments])
    text = captured.getvalue()
    if "Traceback" in text or "a bug in noizenet" in text:
        return "traceback", f"noizenet {arguments[0]}: {text.strip()[-300:]}"
    if code not in (0, 1, 2):
        return "traceback", f"noizenet {arguments[0]}: exit code {code}"
    return ("fine" if code == 0 else "refused"), text.strip()[-300:]


def leftover_files(scratch: Path) -> tuple[str, str] | None:
    left = [p.name for p in scratch.rglob("*") if ".part" in p.name]
    return ("leftover", ", ".join(left)) if left else None


def _read(path: Path, *, duration: bool) -> tuple[str, str]:
    import numpy as np

    from noizenet.audio.read import AudioReader
    from noizenet.base.errors import NoizenetError

    frames = 0
    try:
        with AudioReader(path) as reader:
            rate, channels = reader.info.sample_rate, reader.info.channels
            for block in reader.blocks():
                if block.ndim != 2 or block.shape[1] != channels or block.dtype != np.float32:
                    return (
                        "traceback",
                        f"a block has shape {block.shape}, type {block.dtype}; {channels} channels were declared",
                    )
                if not np.isfinite(block).all():
                    return "traceback", "a block is not finite"
                frames += len(block)
            issues = [f"{i.kind}: {i.text}" for i in getattr(reader, "issues", [])]
    except NoizenetError as error:
        text = str(error)
        return ("refused", text.replace(str(path), "x")) if "\n" not in text else ("traceback", f"two lines: {text}")
    if frames and duration and not issues:
        reference = ffmpeg_lengths(path)
        if reference is not None:
            declared, decoded = reference
            agree = abs(declared - decoded) <= DURATION_TOLERANCE_S
            if agree and abs(frames / rate - decoded) > DURATION_TOLERANCE_S:
                return "duration", f"{frames / rate:.3f} s were read without an issue, ffmpeg reads {decoded:.3f} s"
    return "fine", "; ".join(issues)


def ffmpeg_lengths(path: Path) -> tuple[float, float] | None:
    """Return the length in the container and the decoded length by ffmpeg, in seconds; None if ffmpeg fails."""
    if not shutil.which("ffmpeg"):
        return None
    rate = 8000
    try:
        done = subprocess.run(
            ["ffmpeg", "-v", "info", "-nostdin", "-i", f"file:{path}", "-map", "a:0", "-ac", "1", "-ar", str(rate),
             "-f", "s16le", "-"],
            capture_output=True, timeout=15, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return None
    found = re.search(rb"Duration: (\d+):(\d+):([\d.]+)", done.stderr)
    if done.returncode or not found:
        return None
    return int(found[1]) * 3600 + int(found[2]) * 60 + float(found[3]), len(done.stdout) / 2 / rate
