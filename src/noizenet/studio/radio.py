"""One listener: an instrument of their own, played as fast as their buffer asks for, and no faster.

The page asks for samples; the studio makes blocks until it has given them. So a slow listener, or one that has gone,
makes nothing and costs nothing, and the delay of a control is what lies in the page's buffer plus one block.

From the page: ``{"type": "more", "samples": n}``, ``{"type": "move", …}`` (see
:attr:`noizenet.generation.instrument.Instrument.moves`), ``{"type": "record", "on": true, "format": "flac"}``.
To the page: 16-bit little-endian PCM as binary messages, and JSON: ``hello``, ``moved``, ``refused``, ``see``,
``recording``, ``recorded``. A page that closes the connection with code 4000 will not come back for its instrument.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import re
import time
from collections import deque
from concurrent.futures import Executor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fastapi import WebSocket, WebSocketDisconnect

from noizenet.audio.waveform import Waveform
from noizenet.audio.write import pcm_bytes
from noizenet.base.errors import NoizenetError, UsageError
from noizenet.generation.instrument import SETTINGS, Instrument
from noizenet.generation.prefetch import Pace
from noizenet.studio.recordings import Recorder
from noizenet.studio.refusals import check_sendable, without_paths
from noizenet.studio.settings import Limits

MOST_WANTED_S = 3.0
"""A page that asks for more than this ahead is given so much."""

MOST_MOVES = 64
"""Moves that wait for the next block; settings are merged into one."""

MALFORMED = 50
SEE_EVERY_S = 0.2
KEPT_S = 120.0
"""How long the instrument of a lost connection waits to be taken up again."""

MOST_WAITING = 8
"""Instruments that wait so; the oldest goes first."""

FAREWELL = 4000
LONGEST_NAME, MOST_NUMBER = 80, 10**9


@dataclass
class Session:
    """A listener's instrument, which outlives a lost connection for a while."""

    key: str
    model: str
    instrument: Instrument
    given: int = 0
    left_at: float | None = None
    recorder: Recorder | None = None
    wanted: int = 0
    moves: deque[dict[str, Any]] = field(default_factory=deque)
    wake: asyncio.Event = field(default_factory=asyncio.Event)

    def ask(self, message: dict[str, Any]) -> None:
        """Take in what the page says."""
        kind = message.get("type")
        if kind == "more":
            count = message.get("samples")
            if not isinstance(count, int) or isinstance(count, bool) or count < 0:
                raise UsageError("samples: expected a whole number")
            self.wanted = min(self.wanted + count, round(MOST_WANTED_S * self.instrument.sample_rate))
        elif kind == "move":
            move = _checked({k: v for k, v in message.items() if k != "type"})
            last = self.moves[-1] if self.moves else {}
            if isinstance(move.get("set"), dict) and isinstance(last.get("set"), dict):
                last["set"].update(move["set"])  # however many there are, the next block sees the latest
            elif len(self.moves) < MOST_MOVES:
                self.moves.append(move)
            else:
                raise UsageError("too many moves at once; the last was left out")
        elif kind == "record":
            if len(self.moves) >= MOST_MOVES:
                raise UsageError("too many moves at once; the last was left out")
            self.moves.append({"record": message})
        else:
            raise UsageError("expected a message of type more, move or record")
        self.wake.set()


def _checked(move: dict[str, Any]) -> dict[str, Any]:
    """Return a move if it is of a size that can be kept and played again."""
    values = move.get("set")
    if isinstance(values, dict):
        for name, value in values.items():
            if name not in SETTINGS:
                raise UsageError(f"{name[:40]!r} cannot be moved; what can: {', '.join(SETTINGS)}")
            if not (value is None or isinstance(value, (int, float, str))) or len(str(value)) > 2000:
                raise UsageError(f"{name}: expected a number or a name")
            if isinstance(value, int) and abs(value) > MOST_NUMBER:  # no float holds it, say
                raise UsageError(f"{name}: expected a smaller number")
    for name in ("mark", "return"):
        if name in move and (not isinstance(move[name], str) or not 0 < len(move[name]) <= LONGEST_NAME):
            raise UsageError(f"{name}: expected a name of at most {LONGEST_NAME} characters")
    return move


class Radio:
    """All listeners.

    Parameters
    ----------
    pool : Executor
        Where blocks are made.
    recordings : Path
        Where recordings go.
    limits : Limits
    """

    def __init__(self, pool: Executor, recordings: Path, limits: Limits) -> None:
        self._pool, self._recordings, self._limits = pool, recordings, limits
        self._most = limits.listeners
        self._sessions: dict[str, Session] = {}
        self._names = itertools.count(1)
        self.pace = Pace()

    def listeners(self) -> int:
        """Return how many are connected."""
        return sum(s.left_at is None for s in self._sessions.values())

    def recording(self) -> int:
        """Return how many record."""
        return sum(s.recorder is not None for s in self._sessions.values())

    def find(self, key: str) -> Session | None:
        """Return an instrument that waits to be taken up again."""
        self.forget()
        found = self._sessions.get(key)
        return found if found is not None and found.left_at is not None else None

    def check_room(self, coming: int = 0) -> None:
        """Make sure that one more can be taken in beside those who listen and those who are coming.

        Raises
        ------
        UsageError
            If there are too many.
        """
        self.forget()
        if self.listeners() + coming >= self._most:
            raise UsageError(f"{self._most} listen already; try again later")

    def begin(self, model: str, instrument: Instrument, secret: str) -> Session:
        """Take in a new listener.

        Raises
        ------
        UsageError
            If there are too many.
        """
        self.check_room()
        session = Session(f"{next(self._names)}-{secret}", model, instrument)
        self._sessions[session.key] = session
        return session

    async def serve(self, socket: WebSocket, session: Session) -> None:
        """Play to one listener until they go."""
        session.left_at, session.wanted = None, 0
        session.moves.clear()
        hello = self._hello(session)
        hearing = asyncio.create_task(self._hear(socket, session))
        playing = asyncio.create_task(self._play(socket, session))
        farewell = False
        try:
            await socket.send_json(hello)
            await asyncio.wait({hearing, playing}, return_when=asyncio.FIRST_COMPLETED)
            await asyncio.wait({hearing}, timeout=0.2)  # where sending failed: with what words did they go?
            for task in (hearing, playing):
                if task.done():
                    task.result()
        except WebSocketDisconnect as error:
            farewell = error.code == FAREWELL
        except (RuntimeError, ConnectionError):
            pass  # gone: nothing to tell anyone
        finally:
            for task in (hearing, playing):
                task.cancel()
                with contextlib.suppress(BaseException):
                    await task
            session.left_at = time.monotonic()
            recorder, session.recorder = session.recorder, None
            if recorder is not None:
                with contextlib.suppress(NoizenetError):  # no room: the next start of the studio finishes it
                    await self._run(recorder.finish)
            if farewell:
                self._sessions.pop(session.key, None)

    def _hello(self, session: Session) -> dict[str, Any]:
        i = session.instrument
        return {
            "type": "hello", "session": session.key, "model": session.model, "sample_rate": i.sample_rate,
            "channels": i.channels, "genres": i.genres if i.conditioned else [], "frame": i.frame,
            "marks": i.marks, "remarks": [self._told(r) for r in i.remarks],
            "given": session.given, "settings": i.settings(),
            "recording": None if session.recorder is None else session.recorder.name,
        }  # fmt: skip

    def _told(self, remark: str) -> str:
        """Return a remark without the folders of this computer, and without the name that a song was given here."""
        return re.sub(r"\bseeds/[0-9a-f]{16}\.wav\b", "the song", without_paths(remark, [self._recordings.parent]))

    def forget(self) -> None:
        """Let go of the instruments that nobody has come back for."""
        now = time.monotonic()
        for key, session in list(self._sessions.items()):
            if session.left_at is not None and now - session.left_at > KEPT_S:
                del self._sessions[key]
        waiting = sorted((s.left_at, key) for key, s in self._sessions.items() if s.left_at is not None)
        for _, key in waiting[:-MOST_WAITING]:
            del self._sessions[key]

    async def _run(self, work: Any, *arguments: Any) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self._pool, work, *arguments)

    async def _hear(self, socket: WebSocket, session: Session) -> None:
        wrong = 0
        while True:
            got = await socket.receive()
            if got["type"] == "websocket.disconnect":
                raise WebSocketDisconnect(got.get("code", 1005))
            try:
                if got.get("text") is None:
                    raise UsageError("expected text, not a binary message")
                message = json.loads(got["text"])
                if not isinstance(message, dict):
                    raise UsageError("expected an object")
                check_sendable(message)  # Python reads NaN and half a surrogate pair, and cannot send them back
                session.ask(message)
            except (ValueError, RecursionError, NoizenetError) as error:
                wrong += 1
                if wrong > MALFORMED:
                    await socket.close(1008, "too many messages that mean nothing")
                    return
                why = str(error) if isinstance(error, NoizenetError) else "expected JSON"
                await socket.send_json({"type": "refused", "why": why[:300]})

    async def _play(self, socket: WebSocket, session: Session) -> None:
        seen = 0.0
        while True:
            if not session.moves and session.wanted <= 0:
                session.wake.clear()
                await session.wake.wait()
            while session.moves:
                await self._move(socket, session, session.moves.popleft())
            if session.wanted <= 0:
                continue
            begun = time.perf_counter()
            block = await self._run(next, session.instrument)
            self.pace.add(len(block) / block.sample_rate, time.perf_counter() - begun)
            session.wanted = max(0, session.wanted - len(block))  # more than asked for is the page's to count
            session.given += len(block)
            await self._keep(socket, session, block)
            await socket.send_bytes(pcm_bytes(block))
            seen += len(block) / block.sample_rate
            if seen >= SEE_EVERY_S:
                seen = 0.0
                about = await self._run(session.instrument.visible)
                watch = session.instrument.watch
                dead = None if watch is None else round(watch.degenerate_s, 1)
                await socket.send_json(
                    {
                        "type": "see",
                        "given": session.given,
                        "pace": round(self.pace.real_time_factor, 2),
                        "dead": dead,
                        **about,
                    }
                )

    async def _keep(self, socket: WebSocket, session: Session, block: Waveform) -> None:
        """Record a block; a recording that cannot go on ends, and says why."""
        if session.recorder is None:
            return
        try:
            await self._run(session.recorder.write, block)
        except NoizenetError as error:
            await socket.send_json({"type": "refused", "why": str(error)[:300]})
            await self._end_recording(socket, session)

    async def _end_recording(self, socket: WebSocket, session: Session) -> None:
        recorder, session.recorder = session.recorder, None
        if recorder is None:
            return
        try:
            name = await self._run(recorder.finish)
            if name is None:
                await socket.send_json(
                    {"type": "refused", "why": "nothing was played meanwhile: there is no recording"}
                )
        except NoizenetError as error:
            await socket.send_json({"type": "refused", "why": without_paths(str(error), [self._recordings])[:300]})
            name = None
        await socket.send_json({"type": "recorded", "name": name, "seconds": round(recorder.seconds, 2)})

    async def _move(self, socket: WebSocket, session: Session, move: dict[str, Any]) -> None:
        if "record" in move:
            await self._record(socket, session, move["record"])
            return
        try:
            await self._run(session.instrument.apply, move)
        except (NoizenetError, TypeError, ValueError, ArithmeticError) as error:
            await socket.send_json({"type": "refused", "why": str(error)[:300], "move": move})
            return
        await socket.send_json(
            {
                "type": "moved", "move": move, "given": session.given, "frame": session.instrument.frame,
                "marks": session.instrument.marks, "settings": session.instrument.settings(),
            }
        )  # fmt: skip

    async def _record(self, socket: WebSocket, session: Session, message: dict[str, Any]) -> None:
        await self._end_recording(socket, session)
        if message.get("on") is True:
            kind = str(message.get("format", "wav"))
            try:
                session.recorder = await self._run(
                    Recorder, self._recordings, session.model, session.instrument, session.given, kind, self._limits
                )
            except NoizenetError as error:
                why = without_paths(str(error), [self._recordings])
                await socket.send_json({"type": "refused", "why": why[:300]})
                return
            await socket.send_json({"type": "recording", "name": session.recorder.name})
