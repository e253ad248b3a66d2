"""Trainings and evaluations as jobs: their commands, their progress, and audio samples of their checkpoints."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

from noizenet.base.bundled import bundled
from noizenet.base.errors import NoizenetError, UsageError
from noizenet.base.files import make_folder, remove_stale
from noizenet.evaluation import EMBEDDINGS
from noizenet.store.model import ABOUT
from noizenet.studio.job import RUNNING, Job
from noizenet.studio.jobs import Queue
from noizenet.studio.names import check_name, path_inside
from noizenet.studio.refusals import RefusedError, required_text, without_paths
from noizenet.studio.settings import Settings
from noizenet.training import RECIPES
from noizenet.training.log import read_metrics

MAX_LOSS_ROWS = 400
SAMPLE_S, SAMPLE_EVERY_S, SAMPLES = 6.0, 60.0, 24
SAMPLE_LIMIT_S = 300.0
SAMPLE = re.compile(r"sample-[0-9]{6,12}\.flac")
"""File names of samples."""


def queue_training(settings: Settings, queue: Queue, request: dict[str, Any]) -> Job:
    """Queue a training: build the corpus from a collection, then train on it.

    Raises
    ------
    UsageError
        For an invalid request.
    """
    collection = check_name(required_text(request, "collection"), "collection")
    name = check_name(required_text(request, "name"), "model")
    source = path_inside(settings.folder("uploads"), collection)
    if not source.is_dir():
        raise UsageError(f"no collection {collection!r}: upload some recordings first")
    folder = path_inside(settings.folder("models"), name)
    # A trained model would hide a bundled or given model of the same name.
    existing = [*bundled("models"), *(p.resolve().name for p in settings.models)]
    taken = {n.casefold() for n in (*existing, *(p.name for p in settings.folder("models").iterdir()))}
    if name.casefold() in taken:
        raise RefusedError(f"there is a model {name!r} already; choose another name", 409)
    recipe, minutes, seed = str(request.get("recipe", "token-lstm")), request.get("minutes", 10), request.get("seed", 0)
    if recipe not in RECIPES:
        raise UsageError(f"unknown recipe {recipe[:40]!r}")
    if not _is_number(minutes) or not 0.05 <= minutes <= 7 * 24 * 60:
        raise UsageError("minutes: expected a number from 0.05 to 10,080")
    if not isinstance(seed, int) or isinstance(seed, bool) or not 0 <= seed < 2**31:
        raise UsageError("seed: expected a whole number")
    corpus = settings.folder("corpora") / collection
    # Keep one core free for the listeners.
    threads = max(1, (os.cpu_count() or 2) - 1)
    steps = [
        ["corpus", "build", str(source), str(corpus)],
        ["train", str(corpus), str(folder), "--model", recipe, "--minutes", f"{minutes:g}", "--seed", str(seed),
         "--set", f"training.threads={threads}"],
    ]  # fmt: skip
    about = {"name": name, "collection": collection, "recipe": recipe, "minutes": minutes, "seed": seed}
    return queue.add(
        "train", f"train {name}", about, lambda _: steps,
        conflicts_with=lambda job: job.kind == "train" and str(job.about["name"]).casefold() == name.casefold(),
    )  # fmt: skip


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def queue_evaluation(settings: Settings, queue: Queue, request: dict[str, Any], model: Path) -> Job:
    """Queue an evaluation of a model against a collection on which a model was trained.

    Raises
    ------
    UsageError
        For an invalid request.
    """
    collection = check_name(required_text(request, "collection"), "collection")
    corpus = path_inside(settings.folder("corpora"), collection)
    if not (corpus / "corpus.json").is_file():
        raise UsageError(f"no corpus {collection!r}: train a model on that collection first")
    streams, seconds = request.get("streams", 12), request.get("seconds", 20)
    if not isinstance(streams, int) or not 1 <= streams <= 240 or not _is_number(seconds) or not 1 <= seconds <= 600:
        raise UsageError("streams: expected 1 to 240; seconds: 1 to 600")
    embedding = request.get("embedding", "tagger")
    if embedding not in EMBEDDINGS:
        raise UsageError(f"embedding: expected one of {', '.join(EMBEDDINGS)}")
    name = check_name(required_text(request, "model"), "model")
    about = {"model": name, "collection": collection}
    options = ["--streams", str(streams), "--seconds", f"{seconds:g}", "--embedding", embedding]
    return queue.add(
        "evaluate", f"evaluate {name} against {collection}", about,
        lambda folder: [["evaluate", str(model), str(corpus), str(folder / "report"), *options]],
    )  # fmt: skip


def job_status(settings: Settings, queue: Queue, job: Job) -> dict[str, Any]:
    """Return the status of a job: its state, losses, time left, problems of the collection, samples."""
    found: dict[str, Any] = {
        "key": job.key, "kind": job.kind, "title": job.title, "state": job.state, "action": job.action,
        "problem": without_paths(job.problem, settings.roots), "created": job.created, "about": job.about,
    }  # fmt: skip
    if job.kind == "evaluate":
        found["report"] = (queue.folder(job.key) / "report" / "report.html").is_file()
        return found
    if job.kind != "train":
        return found
    rows = _downsample(read_metrics(settings.folder("models") / job.about["name"]))
    found["losses"] = [[r["step"], r["loss"]] for r in rows if "loss" in r]
    found["validations"] = [[r["step"], r["validation_loss"]] for r in rows if "validation_loss" in r]
    spent = max((float(r.get("seconds", 0.0)) for r in rows), default=0.0)
    total = 60.0 * float(job.about["minutes"])
    found |= {"spent_s": spent, "left_s": max(0.0, total - spent), "done": min(1.0, spent / total)}
    found["rate"] = next((r["audio_rate"] for r in reversed(rows) if "audio_rate" in r), None)
    found["samples"] = sorted(p.name for p in queue.folder(job.key).glob("sample-*") if SAMPLE.fullmatch(p.name))
    found["refused"] = _corpus_problems(settings.folder("corpora") / job.about["collection"])
    return found


def _downsample(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return about 400 rows: all validations, the last row, and every n-th of the others."""
    step = max(1, len(rows) // MAX_LOSS_ROWS)
    return [r for i, r in enumerate(rows) if i % step == 0 or "validation_loss" in r or i == len(rows) - 1]


def _corpus_problems(corpus: Path) -> list[dict[str, str]]:
    import csv

    try:
        with (corpus / "problems.csv").open(encoding="utf-8", newline="") as handle:
            return list(csv.DictReader(handle))[:200]
    except OSError:
        return []


class Sampler:
    """Generates a few seconds of audio from the latest weights of each running training.

    Parameters
    ----------
    settings : Settings
    queue : Queue
    """

    def __init__(self, settings: Settings, queue: Queue) -> None:
        self._settings, self._queue = settings, queue
        self._closing = threading.Event()
        self._sampled: dict[str, tuple[float, float]] = {}
        for job in queue.all():  # incomplete files of a killed process
            remove_stale(queue.folder(job.key), abandoned=True)
        self._thread = threading.Thread(target=self._run, name="noizenet-sampler", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop the thread."""
        self._closing.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._closing.wait(2.0):
            for job in self._queue.all():
                if job.kind == "train" and job.state == RUNNING:
                    self._sample(job)

    def _sample(self, job: Job) -> None:
        folder = self._settings.folder("models") / job.about["name"]
        out = make_folder(self._queue.folder(job.key))
        try:
            modified = (folder / ABOUT).stat().st_mtime
            at, last = self._sampled.get(job.key, (0.0, 0.0))
            if modified == at or time.monotonic() - last < SAMPLE_EVERY_S or len(list(out.glob("sample-*"))) >= SAMPLES:
                return
            step = int(json.loads((folder / ABOUT).read_bytes()).get("training", {}).get("metrics", {}).get("steps", 0))
            self._sampled[job.key] = (modified, time.monotonic())
            self._generate(folder, out / f"sample-{step:06d}.flac")
        except (OSError, ValueError, AttributeError, TypeError, NoizenetError):
            return  # the model does not exist yet or is being written: try again later

    def _generate(self, model: Path, out: Path) -> None:
        """Generate a sample in a subprocess, so that the model does not stay in this process's memory."""
        command = [sys.executable, "-m", "noizenet", "generate", str(model), str(out), "--seconds", f"{SAMPLE_S:g}",
                   "--seed", "0", "--watch", "off"]  # fmt: skip
        child = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        started = time.monotonic()
        while child.poll() is None:
            if self._closing.wait(0.2) or time.monotonic() - started > SAMPLE_LIMIT_S:
                child.terminate()  # it removes its incomplete output
                try:
                    child.wait(10)
                except subprocess.TimeoutExpired:
                    child.kill()
        child.wait()
