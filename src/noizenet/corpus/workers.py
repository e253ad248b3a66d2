"""Prepare recordings in worker processes, so that a file that crashes a decoder does not end the build."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Generator, Iterator, Sequence
from pathlib import Path

from noizenet.base.errors import NoizenetError
from noizenet.corpus.fingerprint import fingerprint
from noizenet.corpus.prepare import Prepared, refused, safe_prepare

Settings = tuple[int, int, float]
"""Sample rate in Hz, channels, minimum length in seconds."""
Result = tuple[int, "Prepared | NoizenetError"]


def prepare_all(
    paths: Sequence[Path], order: Sequence[int], audio: Path, settings: Settings, workers: int
) -> Generator[Result, None, None]:
    """Prepare recordings.

    Parameters
    ----------
    paths : sequence of Path
    order : sequence of int
        Indices into `paths`, in the order of processing.
    audio : Path
        Folder of the prepared audio.
    settings : tuple
        See :data:`Settings`.
    workers : int
        Number of processes; with one, recordings are prepared in this process, which a crash of a decoder then ends.

    Yields
    ------
    tuple
        The index and the result. An error as a result must end the build: no more jobs are started, and running jobs
        are finished and yielded.
    """
    if workers <= 1:
        for index in order:
            outcome = prepare_one(index, paths[index], audio, settings)
            yield outcome
            if isinstance(outcome[1], NoizenetError):
                return
        return
    workers = max(2, min(workers, len(order)))
    pending = dict.fromkeys(order)
    failed = threading.Event()
    while pending and not failed.is_set():
        for index, result in _run_until_crash(paths, list(pending), audio, settings, workers, failed):
            pending.pop(index)
            yield index, result
        # A worker died. The cause is among the first pending recordings: run those one by one, then all others.
        for index in list(itertools.islice(pending, 3 * workers)):
            if not failed.is_set():
                pending.pop(index)
                outcome = _run_isolated(index, paths[index], audio, settings)
                if isinstance(outcome[1], NoizenetError):
                    failed.set()
                yield outcome


def prepare_one(index: int, path: Path, audio: Path, settings: Settings) -> Result:
    """Prepare one recording in the current process."""
    result = safe_prepare(path, audio, *settings)
    if isinstance(result, Prepared) and result.audio:
        fingerprint(audio / result.audio)  # cached next to the audio
    return index, result


def _run_until_crash(
    paths: Sequence[Path], order: list[int], audio: Path, settings: Settings, workers: int, failed: threading.Event
) -> Iterator[Result]:
    """Yield results until all are done or a worker has died; start no more jobs after an error."""
    from joblib import Parallel, delayed
    from joblib.externals.loky.process_executor import TerminatedWorkerError

    jobs = (delayed(prepare_one)(i, paths[i], audio, settings) for i in order if not failed.is_set())
    try:
        for outcome in Parallel(n_jobs=workers, return_as="generator_unordered", pre_dispatch="2*n_jobs")(jobs):
            if isinstance(outcome[1], NoizenetError):
                failed.set()
            yield outcome
    except TerminatedWorkerError:
        return


def _run_isolated(index: int, path: Path, audio: Path, settings: Settings) -> Result:
    """Prepare one recording in a separate process."""
    from joblib import Parallel, delayed
    from joblib.externals.loky.process_executor import TerminatedWorkerError

    parallel = Parallel(n_jobs=2)  # two, because joblib runs a single worker in the calling process
    try:
        outcome: Result = parallel([delayed(prepare_one)(index, path, audio, settings)])[0]
    except TerminatedWorkerError as error:
        killed = "SIGKILL" in str(error)
        why = "its process was killed twice (out of memory?)" if killed else "the decoder crashed on this file, twice"
        return index, refused("", f"{why}; the others are not affected")
    return outcome
