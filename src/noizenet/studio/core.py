"""What all routes share: models, listeners, the queue, and the threads that make sound."""

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
from noizenet.studio.decode_sandbox import SlowError
from noizenet.studio.jobs import Queue
from noizenet.studio.library import Library
from noizenet.studio.memory import begin_counting, give_back
from noizenet.studio.names import inside
from noizenet.studio.radio import Radio, Session
from noizenet.studio.refusals import without_paths
from noizenet.studio.settings import Settings
from noizenet.studio.turns import BUILDERS, QUICK_S, SMALL_BYTES, Heavy, Lanes

BLOCK_S = 0.1
MAKERS = 2
SEED_S = 5.0
HOUSEKEEPING_S = 20.0


class Studio:
    """What the routes share.

    Parameters
    ----------
    settings : Settings
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.port = settings.port
        _sweep(settings)
        for name in recordings.recover(settings.folder("recordings")):
            sys.stderr.write(f"studio: the recording {name} was not finished; what there is of it was kept\n")
        self.library = Library(settings)
        self.pool = ThreadPoolExecutor(MAKERS, "noizenet-maker")
        # Instruments are built apart from the threads that play, those with a song apart from those without.
        self.builders = Lanes("builder", BUILDERS, 1)
        self.decoders = Lanes("decoder", 1, 1)
        self.heavy = Heavy()  # what needs much memory is done one at a time
        self._building = 0
        self.radio = Radio(self.pool, settings.folder("recordings"), settings.limits)
        self.queue = Queue(settings.folder("jobs"), settings.limits.jobs)
        self.sampler = trainings.Sampler(settings, self.queue)

    def close(self) -> None:
        """Let go of threads; jobs go on."""
        self.sampler.close()
        self.queue.close()
        self.builders.close()
        self.decoders.close()
        self.pool.shutdown(wait=False, cancel_futures=True)

    def warm_up(self) -> None:
        """Play a little of the first bundled model, so that the first listener need not wait for it to load."""
        with contextlib.suppress(NoizenetError, OSError, StopIteration):
            next(self.instrument({"model": next(iter(self.library.folders()))}))
        begin_counting()

    async def keep_house(self) -> None:
        """Let go of what nobody has come back for, again and again."""
        while True:
            await asyncio.sleep(HOUSEKEEPING_S)
            self.radio.forget()
            await asyncio.to_thread(give_back)

    async def begin(self, asked: dict[str, str]) -> Session:
        """Take in a new listener, for whom an instrument is built.

        Raises
        ------
        NoizenetError
            If it cannot be had, or there are as many listeners as may be.
        """
        self.radio.check_room(self._building)
        self._building += 1
        try:
            instrument = await self.builders.run(bool(asked.get("song")), self.instrument, asked)
        finally:
            self._building -= 1
        return self.radio.begin(asked.get("model", ""), instrument, secrets.token_hex(16))

    async def decode(self, work: Callable[..., dict[str, Any]], size: int, *arguments: Any) -> dict[str, Any]:
        """Have an upload decoded and kept; what is large, or proves to take long, makes no other wait.

        Parameters
        ----------
        work : callable
            :func:`~noizenet.studio.uploads.accept` or :func:`~noizenet.studio.uploads.accept_seed`.
        size : int
            Bytes.
        *arguments
            Of `work`, without the patience.
        """
        if size <= SMALL_BYTES:
            with contextlib.suppress(SlowError):
                return await self.decoders.run(False, work, *arguments, QUICK_S)
        return await self.decoders.run(True, work, *arguments)

    def instrument(self, asked: dict[str, str]) -> Instrument:
        """Make a listener's instrument from what the page asks for.

        Raises
        ------
        NoizenetError
            If it cannot be had.
        """
        model, packed = self.library.packed(asked.get("model", ""))
        try:
            seed = int(asked.get("seed") or "0")
        except ValueError as error:
            raise UsageError("seed: expected a whole number") from error
        song = inside(self.settings.folder("seeds"), asked["song"]) if asked.get("song") else None
        if song is not None and not (song.suffix == ".wav" and song.is_file()):
            raise UsageError("that song is not here any more; drop it in again")
        controls = Controls(
            seconds=None, seed=seed, genre=asked.get("genre") or None, block_seconds=BLOCK_S, prompt=song,
            prompt_noise=asked.get("noise") or None, prompt_seconds=SEED_S,
        )  # fmt: skip
        return Instrument(model, controls, failure_mode, packed)

    def problem(self, error: Exception | str) -> str:
        """Return what a visitor is told: one line, without the paths of this computer."""
        return without_paths(str(error), self.settings.roots)


def _sweep(settings: Settings) -> None:
    """Remove what a studio that was killed had begun to take in or to make."""
    begun = [p for name in ("made", "ab", "seeds") for p in settings.folder(name).rglob(f".*{TEMPORARY_SUFFIX}*")]
    for path in [*settings.folder("incoming").iterdir(), *begun]:
        with contextlib.suppress(OSError):
            path.unlink()
