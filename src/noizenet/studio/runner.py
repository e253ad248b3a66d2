"""Runs a job's commands one after another, apart from the studio: ``python -m noizenet.studio.runner JOB``.

The studio may be closed or restarted meanwhile; how the job ended stands in its folder.
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
    """Run what ``commands.json`` says; write ``ended.json``; return the exit code."""
    # What is sent to the group is meant for the command, which saves itself; this process then tells how it ended.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: None)
    code = 0
    with (folder / LOG).open("ab") as log:
        for command in json.loads((folder / COMMANDS).read_text(encoding="utf-8")):
            code = subprocess.run(
                [sys.executable, "-m", "noizenet", *command],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, check=False, preexec_fn=_mind_signals,
            ).returncode  # fmt: skip
            if code:
                break
    write_json(folder / ENDED, {"code": code})
    return code


def _mind_signals() -> None:
    """Let the command hear what this process does not heed."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
