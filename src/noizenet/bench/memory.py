"""Peak memory of long tasks, each in a separate process."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path

from noizenet.base.errors import NoizenetError
from noizenet.bench.figure import Measurement

_PREPARE = """
import sys, noizenet
corpus = noizenet.build_corpus(sys.argv[1], sys.argv[2])
noizenet.train(corpus, sys.argv[3], minutes=2)
"""

_GENERATE = """
import sys, json, psutil, noizenet
me = psutil.Process()
blocks = noizenet.stream(sys.argv[1], noizenet.Controls(seconds=3600.0))
made, first = 0.0, 0
for block in blocks:
    made += block.seconds
    if not first and made >= 60:
        first = me.memory_info().rss
print(json.dumps({"growth": me.memory_info().rss - first, "rss": me.memory_info().rss}))
"""


def measure(audio: Path | None) -> list[Measurement]:
    """Measure preparing and training on a folder (or six hours of procedural songs), then generating an hour."""
    with tempfile.TemporaryDirectory(prefix="noizenet-bench-") as temporary:
        work = Path(temporary)
        if audio is None:
            from noizenet.corpus.synthetic import build_synthetic

            build_synthetic(work / "songs", minutes=600)
            audio = work / "songs" / "source"
        peak = _peak_rss([_PREPARE, str(audio), str(work / "corpus"), str(work / "model")])
        hours = json.loads((work / "corpus" / "corpus.json").read_text())["hours"]
        run = subprocess.run(
            [sys.executable, "-c", _GENERATE, str(work / "model")],
            capture_output=True,
            text=True,
            check=False,
        )
        if run.returncode:
            raise NoizenetError(f"the memory benchmark failed: {run.stderr.strip().splitlines()[-1]}")
        result = json.loads(run.stdout)
    return [
        Measurement(
            "preparing and training, peak RSS", peak / 2**30, "GiB", 1.5 * 1e9 / 2**30, False, f"{hours:.1f} hours",
        ),
        Measurement(
            "playing 60 minutes, RSS growth after the first", result["growth"] / 1e6, "MB", 10.0, False,
            f"RSS {result['rss'] / 1e6:.0f} MB",
        ),
    ]  # fmt: skip


def _peak_rss(arguments: list[str]) -> int:
    """Run Python code and return the highest RSS, in bytes, of it and its children together."""
    import threading
    import time

    import psutil

    process = subprocess.Popen([sys.executable, "-c", *arguments], stdout=subprocess.DEVNULL)
    main = psutil.Process(process.pid)
    peak = 0

    def watch() -> None:
        nonlocal peak
        while process.poll() is None:
            try:
                family = [main, *main.children(recursive=True)]
                peak = max(peak, sum(p.memory_info().rss for p in family))
            except psutil.Error:
                pass
            time.sleep(0.1)

    thread = threading.Thread(target=watch)
    thread.start()
    process.wait()
    thread.join()
    if process.returncode:
        raise NoizenetError("the memory benchmark's training failed; see its message above")
    return peak
