"""Test the wheel on every other installed Python from 3.10 to 3.13: ``python tools/pythons.py``.

The wheel is built once. For each Python a new environment gets torch, the wheel and the test requirements; commands
generate, train and serve from there, and the fast half of the tests runs. The last line lists the Pythons, with those
that were skipped because of the time limit.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
MINORS = 10, 13, 12, 11
"""The oldest and the newest first, because they differ most."""
FIRST_S = 360.0
"""Expected time of the first Python, in seconds; later ones are expected to take as long as the slowest before."""
TORCH = "torch==2.13.0"


def main() -> int:
    """Test all Pythons; return an exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--torch", default=TORCH)
    parser.add_argument("--only", help="test only this version, for instance 3.12 (may be the current one)")
    tests = parser.add_mutually_exclusive_group()
    tests.add_argument(
        "--no-tests",
        dest="tests",
        action="store_const",
        const="",
        help="skip the tests: only generate, train and serve",
    )
    tests.add_argument(
        "--all-tests",
        dest="tests",
        action="store_const",
        const="not slow",
        help="run all tests except the slow ones, not only the fast half",
    )
    parser.set_defaults(tests="fast")
    parser.add_argument(
        "--minutes", type=float, default=float("inf"), help="time limit: skip versions that would exceed it"
    )
    options = parser.parse_args()
    found = {v: p for v, p in pythons().items() if v == options.only or (not options.only and v != current())}
    if not found:
        print(f"no other Python from 3.10 to 3.13 here; this is {current()}")
        return 0
    outcomes: dict[str, str] = {}
    began_all, longest = time.monotonic(), FIRST_S
    with tempfile.TemporaryDirectory(prefix="noizenet-pythons-") as place:
        work = Path(place)
        wheel = build(work / "dist")
        for version, python in found.items():
            began = time.monotonic()
            if began - began_all + longest > 60 * options.minutes:
                outcomes[version] = "skipped (time limit)"
                continue
            fault = check(python, wheel, work / version, options.torch, tests=options.tests)
            outcomes[version] = fault or f"passed in {time.monotonic() - began:.0f} s"
            longest = max(longest, time.monotonic() - began)
            shutil.rmtree(work / version, ignore_errors=True)
    print("\nthe wheel on other Pythons: " + "; ".join(f"{v} {how}" for v, how in outcomes.items()))
    return int(any(how.startswith("failed") for how in outcomes.values()))


def current() -> str:
    """Return this Python's version as 3.x."""
    return "{}.{}".format(*sys.version_info[:2])


def pythons() -> dict[str, str]:
    """Return version → path of the installed Pythons, on the PATH or in pyenv's folder."""
    found = {}
    for minor in MINORS:
        version = f"3.{minor}"
        roots = [Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"]
        named = shutil.which(f"python{version}")
        candidates = [str(p) for r in roots for p in sorted(r.glob(f"{version}.*/bin/python"))]
        for candidate in [*candidates, *([named] if named else [])]:
            done = subprocess.run(
                [candidate, "-c", "import sys, venv, ensurepip; print('3.%d' % sys.version_info[1])"],
                capture_output=True, text=True, check=False,
            )  # fmt: skip
            if done.returncode == 0 and done.stdout.strip() == version:
                found[version] = candidate
                break
    return found


def build(folder: Path) -> Path:
    """Build the wheel from a copy of the sources, so that the checkout is not changed."""
    copy = folder.parent / "source"
    shutil.copytree(
        ROOT, copy, ignore=shutil.ignore_patterns(".git", ".venv*", "demo-out", "*.nb?", "__pycache__", "build")
    )
    subprocess.run(
        [sys.executable, "-m", "build", "--wheel", "--outdir", str(folder), str(copy)],
        check=True,
        stdout=subprocess.DEVNULL,
    )
    shutil.rmtree(copy)
    return next(folder.glob("*.whl"))


def check(python: str, wheel: Path, venv: Path, torch: str, *, tests: str) -> str:
    """Install the wheel for one Python, use it and run the tests with a mark; return what failed, if anything."""
    print(f"== the wheel on {python}", flush=True)
    binaries = venv / "bin"
    steps = [
        ("venv", [python, "-m", "venv", str(venv)]),
        ("torch", [str(binaries / "pip"), "install", "--quiet", "--no-compile", torch]),
        ("install", [str(binaries / "pip"), "install", "--quiet", "--no-compile", f"{wheel}[test]"]),
    ]
    if tests:
        own = ["-m", tests, "-p", "no:cacheprovider", "-n", str(os.cpu_count() or 1), "--dist", "loadfile"]
        steps.append(("tests", [str(binaries / "pytest"), "tests", "-q", *own]))
    for name, command in steps[:3]:
        if subprocess.run(command, cwd=ROOT, check=False).returncode:
            return f"failed ({name})"
    fault = use(binaries / "noizenet", venv / "use")
    if fault:
        return f"failed ({fault})"
    for name, command in steps[3:]:
        if subprocess.run(command, cwd=ROOT, check=False).returncode:
            return f"failed ({name})"
    return ""


def use(noizenet: Path, folder: Path) -> str:
    """Generate, train and serve in an empty folder; return what failed, or an empty string."""
    folder.mkdir()
    commands = [
        ["doctor"],
        ["generate", "token-lstm", "new.wav", "--seconds", "3"],
        ["corpus", "demo", "corpus", "--minutes", "1"],
        ["train", "corpus", "model", "--model", "sample-lstm", "--minutes", "0.2"],
        ["generate", "model", "own.flac", "--seconds", "1"],
        ["view", "own.flac", "own.png"],
    ]
    for command in commands:
        done = subprocess.run(
            [str(noizenet), *command], cwd=folder, capture_output=True, text=True, check=False, timeout=900
        )
        if done.returncode:
            print(done.stdout, done.stderr)
            return "noizenet " + " ".join(command)
    return serve(noizenet, folder)


def serve(noizenet: Path, folder: Path) -> str:
    """Start the studio, request its page and its list of models; return what failed, or an empty string."""
    with (folder / "studio.log").open("w+") as log:
        studio = subprocess.Popen(
            [str(noizenet), "studio", "--port", "0", "--data", "data"], cwd=folder, stdout=log, stderr=log
        )
        try:
            address = None
            for _ in range(600):
                time.sleep(0.2)
                match = re.search(r"http://127\.0\.0\.1:\d+", (folder / "studio.log").read_text(encoding="utf-8"))
                if match or studio.poll() is not None:
                    address = match and match[0]
                    break
            if not address:
                print((folder / "studio.log").read_text(encoding="utf-8"))
                return "noizenet studio"
            for path, wanted in (("/", "<html"), ("/api/models", "token-lstm")):
                with urllib.request.urlopen(address + path, timeout=60) as answer:  # noqa: S310 - a local server
                    if wanted not in answer.read().decode():
                        return f"noizenet studio {path}"
        except OSError as error:
            return f"noizenet studio: {error}"
        finally:
            studio.terminate()
            studio.wait(60)
    return ""


if __name__ == "__main__":
    sys.exit(main())
