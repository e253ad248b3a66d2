"""What starting costs: importing the package, and the command line."""

from __future__ import annotations

import statistics
import subprocess
import sys

from noizenet.bench.figure import Figure, clock


def measure(rounds: int) -> list[Figure]:
    """Measure whole processes; the bare interpreter's start is subtracted from the import."""

    def run(*arguments: str) -> float:
        command = [sys.executable, *arguments]
        return statistics.median(
            clock(lambda: subprocess.run(command, check=True, stdout=subprocess.DEVNULL)) for _ in range(max(3, rounds))
        )

    bare = run("-c", "pass")
    return [
        Figure("import noizenet", max(0.0, run("-c", "import noizenet") - bare), "s", 0.3, False),
        Figure("noizenet --version, whole process", run("-m", "noizenet", "--version"), "s", None, False),
    ]
