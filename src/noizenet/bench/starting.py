"""Start-up time of the package's import and of the command line."""

from __future__ import annotations

import statistics
import subprocess
import sys

from noizenet.bench.figure import Measurement, time_call


def measure(rounds: int) -> list[Measurement]:
    """Measure whole processes; the start-up time of the bare interpreter is subtracted from the import's."""

    def run(*arguments: str) -> float:
        command = [sys.executable, *arguments]
        return statistics.median(
            time_call(lambda: subprocess.run(command, check=True, stdout=subprocess.DEVNULL))
            for _ in range(max(3, rounds))
        )

    bare = run("-c", "pass")
    return [
        Measurement("import noizenet", max(0.0, run("-c", "import noizenet") - bare), "s", 0.3, False),
        Measurement("noizenet --version, whole process", run("-m", "noizenet", "--version"), "s", None, False),
    ]
