"""Create the virtual environment for ``make``: ``python tools/set_up.py VENV TORCH [EXTRA]``.

If two processes run this at the same time, the second waits for the first. An interrupted installation is resumed. The
script must also parse on unsupported old Pythons, so that it can print an error.
"""

import os
import subprocess
import sys

OLDEST, NEWEST = (3, 10), (3, 13)


def main(arguments):
    """Set up VENV; torch is installed first, so that no other package selects another build."""
    venv, torch = arguments[0], arguments[1]
    extra = arguments[2] if len(arguments) > 2 else "dev"
    if not OLDEST <= sys.version_info[:2] <= NEWEST:
        sys.exit(
            "noizenet needs Python 3.10 to 3.13, this is %d.%d; select another one: make PYTHON=python3.12 …"
            % sys.version_info[:2]
        )
    with _lock(venv + ".lock"):
        if _is_ready(venv):
            return
        if _python(venv) is None:
            _run(
                [sys.executable, "-m", "venv", venv],
                "python -m venv failed; install it (on Debian: apt install python3-venv)",
            )
        python = _python(venv) or sys.exit("%s: the virtual environment has no python; remove the folder" % venv)
        pip = [python, "-m", "pip", "install", "--quiet"]
        remedy = "pip failed; see its message above, check the network, and run make again"
        _run([*pip, torch], remedy)
        _run([*pip, "--editable", ".[%s]" % extra], remedy)
        with open(os.path.join(venv, ".ready"), "w", encoding="utf-8"):
            pass


class _lock:
    """Lock a file; another process waits for it."""

    def __init__(self, path):
        self._path = path

    def __enter__(self):
        self._file = open(self._path, "w", encoding="utf-8")
        try:
            import fcntl
        except ImportError:  # no file locks on this system
            return
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            print("waiting for another make that is setting up …", flush=True)
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
