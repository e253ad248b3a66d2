"""Make the virtual environment that ``make`` uses: ``python tools/set_up.py VENV TORCH [EXTRA]``.

Two processes may run this at once: the second waits for the first. What was interrupted is taken up again. The
script itself must also parse on a Python that is too old, so that it can say so.
"""

import os
import subprocess
import sys

OLDEST, NEWEST = (3, 10), (3, 13)


def main(arguments):
    """Set up VENV; torch first and alone, so that nothing later replaces it."""
    venv, torch = arguments[0], arguments[1]
    extra = arguments[2] if len(arguments) > 2 else "dev"
    if not OLDEST <= sys.version_info[:2] <= NEWEST:
        sys.exit(
            "noizenet needs Python 3.10 to 3.13, this is %d.%d; name another: make PYTHON=python3.12 …"
            % sys.version_info[:2]
        )
    with _lock(venv + ".lock"):
        if _is_ready(venv):
            return
        if _python(venv) is None:
            _run(
                [sys.executable, "-m", "venv", venv],
                "python -m venv does not work here; install it (on Debian: apt install python3-venv)",
            )
        python = _python(venv) or sys.exit("%s: the virtual environment has no python; remove the folder" % venv)
        pip = [python, "-m", "pip", "install", "--quiet"]
        remedy = "pip could not install everything; look at its message above, and at the network, and run make again"
        _run([*pip, torch], remedy)
        _run([*pip, "--editable", ".[%s]" % extra], remedy)
        with open(os.path.join(venv, ".ready"), "w", encoding="utf-8"):
            pass


class _lock:
    """Hold a file for this process; the other one waits."""

    def __init__(self, path):
        self._path = path

    def __enter__(self):
        self._file = open(self._path, "w", encoding="utf-8")
        try:
            import fcntl
        except ImportError:  # no such locks on this system: set up once at a time there
            return
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            print("another make sets up; waiting for it …", flush=True)
            fcntl.flock(self._file, fcntl.LOCK_EX)

    def __exit__(self, *_):
        self._file.close()


def _is_ready(venv):
    stamp = os.path.join(venv, ".ready")
    return os.path.exists(stamp) and os.path.getmtime(stamp) >= os.path.getmtime("pyproject.toml")


def _python(venv):
    places = (os.path.join(venv, "bin", "python"), os.path.join(venv, "Scripts", "python.exe"))
    return next((p for p in places if os.path.exists(p)), None)


def _run(command, remedy):
    if subprocess.call(command):
        sys.exit(remedy)


if __name__ == "__main__":
    main(sys.argv[1:])
