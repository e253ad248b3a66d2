"""Adverse environments: full disks, read-only folders, little memory, clocks, consoles, long paths, many files."""

from __future__ import annotations

import contextlib
import os
import resource
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from robustness import material

DISK_BYTES = 6_000_000
STEPS = 12
"""Number of amounts of free space that each command is tested with."""
MANY_FILES = 100_000

Checks = list[tuple[str, bool, str]]


def run(fixtures: Path, *, short: bool = False) -> dict[str, Any]:
    """Test every environment; return ``checks``, ``faults``, ``skipped`` and findings."""
    found: dict[str, Any] = {"groups": {}, "skipped": {}, "findings": []}
    with tempfile.TemporaryDirectory(prefix="noizenet-robust-") as scratch:
        for name, group in GROUPS.items():
            if short and name not in SHORT_GROUPS:
                continue
            folder = Path(scratch) / name.replace(" ", "-")
            folder.mkdir()
            try:
                checks = group(fixtures, folder, short)
            except _SkippedError as reason:
                found["skipped"][name] = str(reason)
                continue
            failed = [(what, message) for what, passed, message in checks if not passed]
            found["groups"][name] = {"checks": len(checks), "faults": len(failed)}
            found["findings"] += [{"group": name, "what": w, "text": s[-300:]} for w, s in failed]
            _writable(folder)
    found["checks"] = sum(g["checks"] for g in found["groups"].values())
    found["faults"] = sum(g["faults"] for g in found["groups"].values())
    return found


class _SkippedError(Exception):
    """The environment cannot be created on this machine."""


def _writable(folder: Path) -> None:
    for path in (folder, *folder.rglob("*")):
        if path.is_dir():
            with contextlib.suppress(OSError):
                path.chmod(0o755)


def _commands(fixtures: Path, out: Path, album: Path) -> dict[str, list[object]]:
    return {
        "build": ["corpus", "build", album, out / "c", "--sample-rate", 22_050, "--workers", 1],
        "generate": ["generate", fixtures / "sample", out / "new.wav", "--seconds", 60],
        "train": material.training(
            fixtures / "corpus", out / "m", "sample-lstm", 0.05, "training.checkpoint_seconds=0"
        ),
        "view": ["view", next(album.rglob("*.wav")), out / "x.png"],
    }


def check_failure(
    done: subprocess.CompletedProcess[str], out: Path, *, may_succeed: bool, expected_text: str = ""
) -> tuple[bool, str]:
    """Return whether a command failed correctly: one line, exit code 1 or 2, no partial files."""
    text = done.stderr
    lines = [x for x in text.splitlines() if x.startswith("noizenet:")]
    left = [p.name for p in out.rglob("*") if ".part" in p.name] if out.exists() else []
    if done.returncode == 0:
        return may_succeed and not left, f"exit 0 {text[-200:]} {left}"
    passed = (
        done.returncode in (1, 2) and len(lines) == 1 and "a bug in noizenet" not in text and "Traceback" not in text
    )
    passed = passed and (not expected_text or expected_text in text) and not left
    return passed, f"exit {done.returncode}, left {left}: {text[-250:]}"


def _run_command(arguments: list[object], **options: Any) -> subprocess.CompletedProcess[str]:
    settings = {"env": material.environment(), **options}
    return subprocess.run(
        material.command(*arguments),
        capture_output=True,
        text=True,
        errors="replace",
        timeout=300,
        check=False,
        **settings,
    )


def _full_disk(fixtures: Path, folder: Path, short: bool) -> Checks:
    """Run each command with several amounts of free space, so that different writes fail."""
    disk = folder / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "tmpfs", str(disk)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True, check=False).returncode:
        raise _SkippedError("needs permission to mount a small file system")
    checks: Checks = []
    try:
        album = material.album(folder / "album", count=4)
        for name in ("build", "generate") if short else _commands(fixtures, disk, album):
            steps = 2 if short else STEPS
            for step in range(steps):
                available = int(4_096 * (DISK_BYTES / 3 / 4_096) ** (step / (steps - 1)))
                (disk / "ballast").write_bytes(b"\0" * max(0, shutil.disk_usage(disk).free - available))
                out = disk / "out"
                out.mkdir()
                passed, message = check_failure(
                    _run_command(_commands(fixtures, out, album)[name]),
                    disk,
                    may_succeed=True,
                    expected_text="disk is full",
                )
                checks.append((f"{name}, {available:,} bytes free", passed, message))
                for path in disk.iterdir():
                    shutil.rmtree(path) if path.is_dir() else path.unlink()
    finally:
        subprocess.run(["umount", str(disk)], check=False)
    return checks


def _read_only(fixtures: Path, folder: Path, short: bool) -> Checks:
    """Run each command with an output folder that is read-only."""
    out = folder / "out"
    out.mkdir(mode=0o555)
    if os.geteuid() == 0:  # root can write to any folder, except on a read-only file system
        mount = ["mount", "-t", "tmpfs", "-o", "ro", "tmpfs", str(out)]
        if subprocess.run(mount, capture_output=True, check=False).returncode:
            raise _SkippedError("needs a user other than root, or permission to mount")
    album = material.album(folder / "album", count=2)
    checks: Checks = []
    for name, arguments in _commands(fixtures, out, album).items():
        passed, message = check_failure(_run_command(arguments), out, may_succeed=False)
        checks.append((name, passed, message))
    if os.geteuid() == 0:
        subprocess.run(["umount", str(out)], check=False)
    return checks


def _little_memory(fixtures: Path, folder: Path, short: bool) -> Checks:
    """Limit the address space: a command must succeed or fail with one line."""
    album = material.album(folder / "album", count=2)
    checks: Checks = []
    for megabytes in (300, 500, 800, 1200, 2000, 3000):

        def limit(most: int = megabytes << 20) -> None:
            resource.setrlimit(resource.RLIMIT_AS, (most, most))

        for name in ("build", "generate", "train"):
            out = folder / f"{name} {megabytes}"
            out.mkdir()
            done = _run_command(_commands(fixtures, out, album)[name], preexec_fn=limit)
            passed, message = check_failure(done, out, may_succeed=True)
            checks.append((f"{name}, {megabytes} MB", passed, message))
    return checks


CLOCK = """
import random, sys, time
true, rng = time.time, random.Random(0)
time.time = lambda: true() - rng.choice((0.0, 3600.0, 86400.0, 40 * 365 * 86400.0))
from noizenet.cli.main import main
sys.exit(main(sys.argv[1:]))
"""


def _clock(fixtures: Path, folder: Path, short: bool) -> Checks:
    """Let the wall clock jump at every call."""
    album = material.album(folder / "album", count=2)
    checks: Checks = []
    for name, arguments in _commands(fixtures, folder, album).items():
        command = [sys.executable, "-c", CLOCK, *map(str, arguments)]
        done = subprocess.run(
            command, capture_output=True, text=True, env=material.environment(), timeout=300, check=False
        )
        checks.append((name, done.returncode == 0, done.stderr))
    return checks


CONSOLES: dict[str, dict[str, str]] = {
    "LANG=C": {"LANG": "C", "LC_ALL": "C"}, "no UTF-8 mode": {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
    "cp1252": {"PYTHONIOENCODING": "cp1252"}, "cp437": {"PYTHONIOENCODING": "cp437"}, "ascii": {"PYTHONIOENCODING": "ascii"},
    "koi8-r": {"PYTHONIOENCODING": "koi8-r"}, "no terminal": {"TERM": "dumb", "COLUMNS": "20"}, "no HOME": {"HOME": "/nonexistent"},
}  # fmt: skip


def _consoles(fixtures: Path, folder: Path, short: bool) -> Checks:
    """Run commands that print non-Latin names, under locales and encodings that cannot represent them."""
    album = material.album(folder / "альбом 𝄞 ñ", count=3)
    non_utf8 = os.fsencode(album / "blues") + b"/caf\xe9.wav"
    shutil.copy(next(album.rglob("*.wav")), non_utf8)
    checks: Checks = []
    names = list(CONSOLES)[1:3] if short else list(CONSOLES)
    for name in names:
        env = {**material.environment(), **CONSOLES[name]}
        for what, arguments in {
            "build": ["corpus", "build", album, folder / f"c {name}", "--sample-rate", 8000, "--workers", 1],
            "models": ["models"],
            "generate": ["generate", fixtures / "sample", folder / f"{name} ü.wav", "--seconds", 1],
            "no such file": ["view", folder / "не.wav", folder / "x.png"],
        }.items():
            passed, message = check_failure(
                _run_command(arguments, env=env), folder, may_succeed=what != "no such file"
            )
            checks.append((f"{name}: {what}", passed and ("exit 0" in message or what == "no such file"), message))
    return checks


def _long_path(fixtures: Path, folder: Path, short: bool) -> Checks:
    """Use file names of 250 bytes, and nested folders."""
    album = material.album(folder / "album", count=2)
    source = next(album.rglob("*.wav"))
    long = folder / "in" / ("n" * 246 + ".wav")
    long.parent.mkdir()
    shutil.copy(source, long)
    wide = folder / "in" / ("ж" * 123 + ".wav")
    shutil.copy(source, wide)
    deep = folder
    for _ in range(12):
        deep = deep / ("d" * 250)
    deep.mkdir(parents=True)
    checks: Checks = []
    for what, arguments in {
        "build": ["corpus", "build", long.parent, folder / "c", "--sample-rate", 8000, "--workers", 1],
        "view": ["view", long, folder / "x.png"],
        "view to a long name": ["view", source, folder / ("p" * 246 + ".png")],
        "generate to a long name": ["generate", fixtures / "sample", folder / ("ж" * 123 + ".wav"), "--seconds", 1],
        "generate in a deep folder": ["generate", fixtures / "sample", deep / "x.wav", "--seconds", 1],
        "build in a deep folder": ["corpus", "build", album, deep / "c", "--sample-rate", 8000, "--workers", 1],
    }.items():
        done = _run_command(arguments)
        passed, message = check_failure(done, folder / "c", may_succeed=True, expected_text="path is longer")
        checks.append((what, passed and (done.returncode == 0 or "deep folder" in what), message))
    passed, message = check_failure(
        _run_command(["generate", fixtures / "sample", folder / ("x" * 300 + ".wav"), "--seconds", 1]),
        folder / "c",
        may_succeed=False,
    )
    checks.append(("a name of 304 characters", passed, message))
    return checks


def _many_files(fixtures: Path, folder: Path, short: bool) -> Checks:
    """Build from a folder of 100,000 files, few of which are audio."""
    count = MANY_FILES
    album = material.album(folder / "album", count=4)
    for k in range(count):
        (album / "rock" / f"{k}.txt").touch()
    done = _run_command(["corpus", "build", album, folder / "c", "--sample-rate", 8000, "--workers", 1, "--json"])
    passed, message = check_failure(done, folder, may_succeed=True)
    return [(f"{count:,} files", passed and done.returncode == 0, message)]


GROUPS: dict[str, Callable[[Path, Path, bool], Checks]] = {
    "full disk": _full_disk, "read-only folder": _read_only, "little memory": _little_memory, "clock": _clock,
    "locale and console": _consoles, "long paths": _long_path, "many files": _many_files,
}  # fmt: skip
SHORT_GROUPS = ("full disk", "read-only folder", "locale and console")
"""Environments of the short run."""
