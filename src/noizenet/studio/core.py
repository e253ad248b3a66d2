"""State shared by all routes: models, listeners, the job queue and thread pools."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from noizenet.base.errors import NoizenetError, UsageError
from noizenet.base.files import TEMPORARY_SUFFIX
from noizenet.evaluation.aliveness import failure_mode
from noizenet.generation.controls import Controls
from noizenet.generation.instrument import Instrument
from noizenet.studio import recordings, trainings
from noizenet.studio.decode_sandbox import DecodeTimeoutError
from noizenet.studio.jobs import Queue
from noizenet.studio.library import Library
from noizenet.studio.memory import freeze_startup_objects, release_memory
from noizenet.studio.names import path_inside
from noizenet.studio.radio import Radio, Session
from noizenet.studio.refusals import without_paths
from noizenet.studio.scheduling import (
    BUILDER_THREADS,
    SMALL_UPLOAD_BYTES,
    SMALL_UPLOAD_TIMEOUT_S,
    HeavyWorkLock,
    WorkerPools,
)
from noizenet.studio.settings import Settings

BLOCK_S = 0.1
RENDER_THREADS = 2
PROMPT_S = 5.0
HOUSEKEEPING_S = 20.0


class Studio:
    """State shared by all routes.

    Parameters
    ----------
    settings : Settings
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.port = settings.port
        _remove_incomplete_files(settings)
        for name in recordings.recover(settings.folder("recordings")):
            sys.stderr.write(f"studio: the recording {name} was not finished; its samples were recovered\n")
        self.library = Library(settings)
        self.pool = ThreadPoolExecutor(RENDER_THREADS, "noizenet-render")
        # Instruments are created outside the rendering threads; those with an audio prompt have a separate pool.
        self.builders = WorkerPools("builder", BUILDER_THREADS, 1)
        self.decoders = WorkerPools("decoder", 1, 1)
        self.heavy = HeavyWorkLock()  # one memory-intensive task at a time
        self._starting = 0
        self.radio = Radio(self.pool, settings.folder("recordings"), settings.limits)
        self.queue = Queue(settings.folder("jobs"), settings.limits.jobs)
        self.sampler = trainings.Sampler(settings, self.queue)

    def close(self) -> None:
        """Shut down the threads; running jobs continue."""
        self.sampler.close()
        self.queue.close()
        self.builders.close()
        self.decoders.close()
        self.pool.shutdown(wait=False, cancel_futures=True)

    def warm_up(self) -> None:
        """Render a block of the first bundled model, so that the first listener does not wait for it to load."""
        with contextlib.suppress(NoizenetError, OSError, StopIteration):
            next(self.create_instrument({"model": next(iter(self.library.folders()))}))
        freeze_startup_objects()

    async def run_housekeeping(self) -> None:
        """Expire disconnected sessions and release free memory periodically."""
        while True:
            await asyncio.sleep(HOUSEKEEPING_S)
            self.radio.expire_sessions()
            await asyncio.to_thread(release_memory)

    async def start_session(self, query: dict[str, str]) -> Session:
        """Create an instrument and a session for a new listener.

        Raises
        ------
        NoizenetError
            If the instrument cannot be created, or there are too many listeners.
        """
        self.radio.check_capacity(self._starting)
        self._starting += 1
        try:
            instrument = await self.builders.run(bool(query.get("song")), self.create_instrument, query)
        finally:
            self._starting -= 1
        return self.radio.start_session(query.get("model", ""), instrument, secrets.token_hex(16))

    async def decode(self, work: Callable[..., dict[str, Any]], size: int, *arguments: Any) -> dict[str, Any]:
        """Decode and store an upload. Large and slow uploads have a separate pool, so that others do not wait.

        Parameters
        ----------
        work : callable
            :func:`~noizenet.studio.uploads.accept_recording` or
            :func:`~noizenet.studio.uploads.accept_prompt`.
        size : int
            Size of the upload, in bytes.
        *arguments
            Arguments of `work`, without the timeout.
        """
        if size <= SMALL_UPLOAD_BYTES:
            with contextlib.suppress(DecodeTimeoutError):
                return await self.decoders.run(False, work, *arguments, SMALL_UPLOAD_TIMEOUT_S)
        return await self.decoders.run(True, work, *arguments)

    def create_instrument(self, query: dict[str, str]) -> Instrument:
        """Create a listener's instrument from the query of its request.

        Raises
        ------
        NoizenetError
            If the model, the prompt or a control is invalid.
        """
        model, packed = self.library.packed(query.get("model", ""))
        try:
            seed = int(query.get("seed") or "0")
        except ValueError as error:
            raise UsageError("seed: expected a whole number") from error
        prompt = path_inside(self.settings.folder("seeds"), query["song"]) if query.get("song") else None
        if prompt is not None and not (prompt.suffix == ".wav" and prompt.is_file()):
            raise UsageError("the prompt is not in the cache any more; upload it again")
        controls = Controls(
            seconds=None, seed=seed, genre=query.get("genre") or None, block_seconds=BLOCK_S, prompt=prompt,
            prompt_noise=query.get("noise") or None, prompt_seconds=PROMPT_S,
        )  # fmt: skip
        return Instrument(model, controls, failure_mode, packed)

    def public_message(self, error: Exception | str) -> str:
        """Return an error message without the paths of this computer."""
        return without_paths(str(error), self.settings.roots)


def _remove_incomplete_files(settings: Settings) -> None:
    """Remove incomplete uploads and outputs of a studio that was killed."""
    incomplete = [p for name in ("made", "ab", "seeds") for p in settings.folder(name).rglob(f".*{TEMPORARY_SUFFIX}*")]
    for path in [*settings.folder("incoming").iterdir(), *incomplete]:
        with contextlib.suppress(OSError):
            path.unlink()
