"""Runs a job's commands in order, in a separate process: ``python -m noizenet.studio.runner JOB``.

The studio may be closed or restarted while the job runs; the exit code is written to the job's folder.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

from noizenet.base.files import write_json

ENDED, COMMANDS, LOG = "ended.json", "commands.json", "log.txt"


def main(folder: Path) -> int:
    """Run the commands of ``commands.json``; write ``ended.json``; return the exit code."""
    # Signals to the process group are for the command, which saves its state; this process then writes its exit code.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: None)
    code = 0
    with (folder / LOG).open("ab") as log:
        for command in json.loads((folder / COMMANDS).read_text(encoding="utf-8")):
            code = subprocess.run(
                [sys.executable, "-m", "noizenet", *command],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, check=False, preexec_fn=_restore_signal_handlers,
            ).returncode  # fmt: skip
            if code:
                break
    write_json(folder / ENDED, {"code": code})
    return code


def _restore_signal_handlers() -> None:
    """Restore the signal handling that this process has disabled, for the command."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
