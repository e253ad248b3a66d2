"""The queue of trainings and evaluations: one runs at a time, as a process that outlives the studio."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from noizenet.base.errors import NoizenetError, UsageError
from noizenet.base.files import make_folder, write_json
from noizenet.studio import runner
from noizenet.studio.job import (
    ABOUT,
    DAMAGED,
    DONE,
    FAILED,
    PAUSED,
    QUEUED,
    RUNNING,
    STOPPED,
    Job,
    read_job,
    sort_key,
)  # fmt: skip
from noizenet.studio.refusals import RefusedError

INTERRUPTED = 130
TICK_S = 0.3

TERMINATION_SIGNALS = [
    int(getattr(signal, n)) for n in ("SIGHUP", "SIGINT", "SIGTERM", "SIGKILL") if hasattr(signal, n)
]
"""Signals that interrupt a command from outside; the job can be resumed."""


class Queue:
    """Jobs on disk, and a thread that starts the next one.

    Parameters
    ----------
    folder : Path
    max_jobs : int
        Maximum number of jobs, in any state.
    """

    def __init__(self, folder: Path, max_jobs: int = 500) -> None:
        self._folder, self._max_jobs = folder, max_jobs
        self._unsaved: set[str] = set()
        self._lock = threading.RLock()
        self._children: dict[str, subprocess.Popen[bytes]] = {}
        self._jobs = {job.key: job for job in self._read()}
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="noizenet-queue", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop the thread; a running job continues."""
        self._closing.set()
        self._thread.join()

    def add(
        self,
        kind: str,
        title: str,
        about: dict[str, Any],
        steps: Callable[[Path], list[list[str]]],
        *,
        conflicts_with: Callable[[Job], bool] = lambda _: False,
    ) -> Job:
        """Append a job to the queue.

        Parameters
        ----------
        kind, title, about : str, str, dict
            See :class:`Job`.
        steps : callable
            Returns the commands to run, given the job's folder.
        conflicts_with : callable
            Returns whether the new job conflicts with an earlier one.

        Raises
        ------
        RefusedError
            If there is a conflicting job, or there are too many jobs.
        DiskFullError
        """  # fmt: skip
        with self._lock:
            conflict = next((j for j in self._jobs.values() if conflicts_with(j)), None)
            if conflict is not None:
                raise RefusedError(
                    f"{conflict.title!r} is in the list already ({conflict.state}): remove it, or choose another name",
                    409,
                )
            if len(self._jobs) >= self._max_jobs:
                raise RefusedError(f"there are {len(self._jobs)} jobs, the maximum; remove some first", 507)
            key = f"{int(time.time()):x}-{secrets.token_hex(3)}"
            number = 1 + max((j.number for j in self._jobs.values()), default=0)
            folder = make_folder(self.folder(key))
            try:
                job = Job(key, kind, title, steps(folder), about, number=number)
                self._save(job)
            except BaseException:
                shutil.rmtree(folder, ignore_errors=True)
                raise
            self._jobs[job.key] = job
            return job

    def folder(self, key: str) -> Path:
        """Return a job's folder."""
        return self._folder / key

    def get(self, key: str) -> Job:
        """Return a job.

        Raises
        ------
        UsageError
            If there is no job with that key.
        """
        with self._lock:
            if key not in self._jobs:
                raise UsageError(f"no job {key[:40]!r}")
            return self._jobs[key]

    def all(self) -> list[Job]:
        """Return all jobs, newest first."""
        with self._lock:
            return sorted(self._jobs.values(), key=sort_key, reverse=True)

    def transition(self, key: str, action: str) -> Job:
        """Pause, resume, stop or delete (``forget``) a job.

        Raises
        ------
        UsageError
            If the action is unknown or not possible in the job's state.
        """
        with self._lock:
            job = self.get(key)
            if action == "pause" and job.state == RUNNING:
                job.action = "pause"
                self._signal(job, signal.SIGINT)
            elif action == "pause" and job.state == QUEUED:
                job.state = PAUSED
            elif action == "resume" and job.state in (PAUSED, FAILED, STOPPED) and job.kind != DAMAGED:
                job.state, job.action, job.problem = QUEUED, "", ""
            elif action == "stop" and job.state == RUNNING:
                job.action = "stop"
                self._signal(job, signal.SIGINT)
            elif action == "stop" and job.state in (QUEUED, PAUSED):
                job.state = STOPPED
            elif action == "forget" and job.state in (DONE, FAILED, STOPPED):
                del self._jobs[key]
                shutil.rmtree(self.folder(key), ignore_errors=True)
                return job
            else:
                raise UsageError(f"the action {action[:20]!r} is not possible for a job that is {job.state}")
            self._save_or_retry(job)
            return job

    def _read(self) -> list[Job]:
        return [read_job(path) for path in sorted(self._folder.glob(f"*/{ABOUT}"))]

    def _save(self, job: Job) -> None:
        write_json(self.folder(job.key) / ABOUT, asdict(job))

    def _save_or_retry(self, job: Job) -> None:
        """Save a job's state, or mark it to be saved later: a running job continues while the disk is full."""
        try:
            self._save(job)
            self._unsaved.discard(job.key)
        except NoizenetError as error:
            if job.key not in self._unsaved:
                sys.stderr.write(f"studio: {error}\n")
            self._unsaved.add(job.key)

    def _run(self) -> None:
        while not self._closing.wait(TICK_S):
            try:
                with self._lock:
                    self._update()
            except Exception as error:  # one job's error must not stop the queue
                sys.stderr.write(f"studio: error in the job queue: {type(error).__name__}: {error}\n")

    def _update(self) -> None:
        for key in self._unsaved & self._jobs.keys():
            self._save_or_retry(self._jobs[key])
        running = [j for j in self._jobs.values() if j.state == RUNNING]
        for job in running:
            if not self._is_running(job):
                self._end(job)
        if any(j.state == RUNNING for j in self._jobs.values()):
            return
        waiting = sorted((j for j in self._jobs.values() if j.state == QUEUED), key=sort_key)
        if waiting:
            try:
                self._start(waiting[0])
            except (OSError, NoizenetError) as error:
                waiting[0].state, waiting[0].problem = FAILED, f"the job cannot be started: {error}"
                self._save_or_retry(waiting[0])

    def _start(self, job: Job) -> None:
        folder = self.folder(job.key)
        (folder / runner.ENDED).unlink(missing_ok=True)
        write_json(folder / runner.COMMANDS, [_with_resume(step) for step in job.steps])
        child = subprocess.Popen(
            [sys.executable, "-m", "noizenet.studio.runner", str(folder)],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
        )  # fmt: skip
        self._children[job.key] = child
        job.state, job.pid, job.born, job.action = RUNNING, child.pid, _process_start(child.pid), ""
        self._save_or_retry(job)

    def _is_running(self, job: Job) -> bool:
        child = self._children.get(job.key)
        if child is not None:
            return child.poll() is None
        return job.pid > 0 and _process_start(job.pid) == job.born != 0.0

    def _end(self, job: Job) -> None:
        self._children.pop(job.key, None)
        path = self.folder(job.key) / runner.ENDED
        try:
            code = int(json.loads(path.read_text(encoding="utf-8"))["code"])
        except (OSError, ValueError, KeyError):
            code = INTERRUPTED  # the machine may have gone down: the job can be resumed
        if code == 0:
            job.state = DONE
        elif job.action:
            job.state = PAUSED if job.action == "pause" else STOPPED
        elif code in (
            INTERRUPTED,
            *(-n for n in TERMINATION_SIGNALS),
            *(128 + n for n in TERMINATION_SIGNALS),
        ):  # as reported by subprocess, and by a shell
            job.state = PAUSED
            job.problem = "the job was interrupted from outside; resume continues it"
        else:
            job.state, job.problem = FAILED, self._last_line(job)
        job.pid, job.action = 0, ""
        self._save_or_retry(job)

    def _last_line(self, job: Job) -> str:
        lines = self.log(job.key)
        return next((line for line in reversed(lines) if line.strip()), "the job failed without an error message")[:500]

    def log(self, key: str) -> list[str]:
        """Return the last lines of a job's log."""
        try:
            with (self.folder(key) / runner.LOG).open("rb") as handle:
                size = handle.seek(0, os.SEEK_END)
                handle.seek(max(0, size - 20_000))
                return handle.read().decode("utf-8", "replace").splitlines()[-40:]
        except OSError:
            return []

    def _signal(self, job: Job, number: signal.Signals) -> None:
        if self._is_running(job):
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(job.pid, number)


def _with_resume(step: list[str]) -> list[str]:
    """Return a command, with ``--resume`` if it is a training that has a resume file."""
    if step[0] == "train" and (Path(step[2]) / "resume.safetensors").exists():
        return [*step, "--resume"]
    return step


def _process_start(pid: int) -> float:
    """Return the start time of a process, which distinguishes processes of the same pid; 0 if none is running.

    On Linux it is counted in clock ticks since boot, which does not depend on the wall clock.
    """
    import psutil

    try:
        process = psutil.Process(pid)
        if process.status() == psutil.STATUS_ZOMBIE:
            return 0.0
        with contextlib.suppress(OSError, IndexError, ValueError):
            return float(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19])
        return float(process.create_time())
    except psutil.Error:
        return 0.0
