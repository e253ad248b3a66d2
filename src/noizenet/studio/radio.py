"""Streaming to listeners: each has a separate instrument, rendered only as fast as its buffer requests samples.

The page requests samples, and the studio renders blocks until it has sent them. So a slow or disconnected listener
costs nothing, and the latency of a control is the content of the page's buffer plus one block.

From the page: ``{"type": "more", "samples": n}``, ``{"type": "move", …}`` (see
:attr:`noizenet.generation.instrument.Instrument.moves`), ``{"type": "record", "on": true, "format": "flac"}``.
To the page: 16-bit little-endian PCM as binary messages, and JSON: ``hello``, ``moved``, ``refused``, ``see``,
``recording``, ``recorded``. Close code 4000 discards the instrument at once.
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
from noizenet.base.renamed import CONTROLS, renamed
from noizenet.generation.instrument import SETTINGS, Instrument
from noizenet.generation.prefetch import Pace
from noizenet.studio.recordings import Recorder
from noizenet.studio.refusals import check_sendable, without_paths
from noizenet.studio.settings import Limits

MAX_REQUESTED_S = 3.0
"""Limit of the samples that a page can request ahead."""

MAX_PENDING_MOVES = 64
"""Limit of the moves that wait for the next block; consecutive ``set`` moves are merged."""

MAX_MALFORMED_MESSAGES = 50
STATUS_INTERVAL_S = 0.2
SESSION_TIMEOUT_S = 120.0
"""How long the session of a lost connection can be resumed."""

MAX_DISCONNECTED = 8
"""Limit of the disconnected sessions; the oldest is removed first."""

CLOSE_DISCARD = 4000
MAX_MARK_LENGTH, MAX_NUMBER = 80, 10**9


@dataclass
class Session:
    """A listener's instrument, which outlives a lost connection for :data:`SESSION_TIMEOUT_S`."""

    key: str
    model: str
    instrument: Instrument
    sent: int = 0
    disconnected_at: float | None = None
    recorder: Recorder | None = None
    requested: int = 0
    moves: deque[dict[str, Any]] = field(default_factory=deque)
    wake: asyncio.Event = field(default_factory=asyncio.Event)

    def handle(self, message: dict[str, Any]) -> None:
        """Handle a message of the page.

        Raises
        ------
        UsageError
            If the message is invalid, or too many moves are waiting.
        """
        kind = message.get("type")
        if kind == "more":
            count = message.get("samples")
            if not isinstance(count, int) or isinstance(count, bool) or count < 0:
                raise UsageError("samples: expected a whole number")
            self.requested = min(self.requested + count, round(MAX_REQUESTED_S * self.instrument.sample_rate))
        elif kind == "move":
            move = _check_move({k: v for k, v in message.items() if k != "type"})
            last = self.moves[-1] if self.moves else {}
            if isinstance(move.get("set"), dict) and isinstance(last.get("set"), dict):
                last["set"].update(move["set"])  # the next block needs only the latest values
            elif len(self.moves) < MAX_PENDING_MOVES:
                self.moves.append(move)
            else:
                raise UsageError("too many moves at once; the last one was ignored")
        elif kind == "record":
            if len(self.moves) >= MAX_PENDING_MOVES:
                raise UsageError("too many moves at once; the last one was ignored")
            self.moves.append({"record": message})
        else:
            raise UsageError("expected a message of type more, move or record")
        self.wake.set()


def _check_move(move: dict[str, Any]) -> dict[str, Any]:
    """Return a move with current names of its settings, if its values are within limits."""
    if isinstance(values := move.get("set"), dict):
        values = renamed(values, CONTROLS)
        move = {**move, "set": values}
        for name, value in values.items():
            if name not in SETTINGS:
                raise UsageError(f"{name[:40]!r} is not a setting; the settings are {', '.join(SETTINGS)}")
            if not (value is None or isinstance(value, (int, float, str))) or len(str(value)) > 2000:
                raise UsageError(f"{name}: expected a number or a name")
            if isinstance(value, int) and abs(value) > MAX_NUMBER:  # may not fit a float
                raise UsageError(f"{name}: expected a smaller number")
    for name in ("mark", "return"):
        if name in move and (not isinstance(move[name], str) or not 0 < len(move[name]) <= MAX_MARK_LENGTH):
            raise UsageError(f"{name}: expected a name of at most {MAX_MARK_LENGTH} characters")
    return move


class Radio:
    """The sessions of all listeners.

    Parameters
    ----------
    pool : Executor
        Renders the blocks.
    recordings : Path
        Folder of the recordings.
    limits : Limits
    """

    def __init__(self, pool: Executor, recordings: Path, limits: Limits) -> None:
        self._pool, self._recordings, self._limits = pool, recordings, limits
        self._max_listeners = limits.listeners
        self._sessions: dict[str, Session] = {}
        self._numbers = itertools.count(1)
        self.pace = Pace()

    def listeners(self) -> int:
        """Return the number of connected listeners."""
        return sum(s.disconnected_at is None for s in self._sessions.values())

    def active_recordings(self) -> int:
        """Return the number of recordings in progress."""
        return sum(s.recorder is not None for s in self._sessions.values())

    def find_session(self, key: str) -> Session | None:
        """Return a disconnected session that can be resumed."""
        self.expire_sessions()
        found = self._sessions.get(key)
        return found if found is not None and found.disconnected_at is not None else None

    def check_capacity(self, starting: int = 0) -> None:
        """Check that there is capacity for one more listener, next to those connected and `starting`.

        Raises
        ------
        UsageError
            If there are too many listeners.
        """
        self.expire_sessions()
        if self.listeners() + starting >= self._max_listeners:
            raise UsageError(f"{self._max_listeners} listen already, the maximum; try again later")

    def start_session(self, model: str, instrument: Instrument, secret: str) -> Session:
        """Create the session of a new listener.

        Raises
        ------
        UsageError
            If there are too many listeners.
        """
        self.check_capacity()
        session = Session(f"{next(self._numbers)}-{secret}", model, instrument)
        self._sessions[session.key] = session
        return session

    async def serve(self, socket: WebSocket, session: Session) -> None:
        """Stream to one listener until the connection ends."""
        session.disconnected_at, session.requested = None, 0
        session.moves.clear()
        hello = self._hello(session)
        receiving = asyncio.create_task(self._receive(socket, session))
        sending = asyncio.create_task(self._send_audio(socket, session))
        discard = False
        try:
            await socket.send_json(hello)
            await asyncio.wait({receiving, sending}, return_when=asyncio.FIRST_COMPLETED)
            await asyncio.wait({receiving}, timeout=0.2)  # if sending failed, wait for the close code
            for task in (receiving, sending):
                if task.done():
                    task.result()
        except WebSocketDisconnect as error:
            discard = error.code == CLOSE_DISCARD
        except (RuntimeError, ConnectionError):
            pass  # the listener has disconnected
        finally:
            for task in (receiving, sending):
                task.cancel()
                with contextlib.suppress(BaseException):
                    await task
            session.disconnected_at = time.monotonic()
            recorder, session.recorder = session.recorder, None
            if recorder is not None:
                with contextlib.suppress(NoizenetError):  # disk full: the next start of the studio finishes it
                    await self._run(recorder.finish)
            if discard:
                self._sessions.pop(session.key, None)

    def _hello(self, session: Session) -> dict[str, Any]:
        i = session.instrument
        return {
            "type": "hello", "session": session.key, "model": session.model, "sample_rate": i.sample_rate,
            "channels": i.channels, "genres": i.genres if i.conditioned else [], "frame": i.frame,
            "marks": i.marks, "remarks": [self._public_remark(r) for r in i.remarks],
            "given": session.sent, "settings": i.settings(),
            "recording": None if session.recorder is None else session.recorder.name,
        }  # fmt: skip

    def _public_remark(self, remark: str) -> str:
        """Return a remark without paths of this computer; the stored prompt is called "the prompt"."""
        return re.sub(r"\bseeds/[0-9a-f]{16}\.wav\b", "the prompt", without_paths(remark, [self._recordings.parent]))

    def expire_sessions(self) -> None:
        """Remove the disconnected sessions that have timed out, or are more than :data:`MAX_DISCONNECTED`."""
        now = time.monotonic()
        for key, session in list(self._sessions.items()):
            if session.disconnected_at is not None and now - session.disconnected_at > SESSION_TIMEOUT_S:
                del self._sessions[key]
        waiting = sorted((s.disconnected_at, key) for key, s in self._sessions.items() if s.disconnected_at is not None)
        for _, key in waiting[:-MAX_DISCONNECTED]:
            del self._sessions[key]

    async def _run(self, work: Any, *arguments: Any) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self._pool, work, *arguments)

    async def _receive(self, socket: WebSocket, session: Session) -> None:
        malformed = 0
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
                check_sendable(message)  # Python parses NaN and lone surrogates, but cannot send them back
                session.handle(message)
            except (ValueError, RecursionError, NoizenetError) as error:
                malformed += 1
                if malformed > MAX_MALFORMED_MESSAGES:
                    await socket.close(1008, "too many malformed messages")
                    return
                why = str(error) if isinstance(error, NoizenetError) else "expected JSON"
                await socket.send_json({"type": "refused", "why": why[:300]})

    async def _send_audio(self, socket: WebSocket, session: Session) -> None:
        since_status = 0.0
        while True:
            if not session.moves and session.requested <= 0:
                session.wake.clear()
                await session.wake.wait()
            while session.moves:
                await self._apply_move(socket, session, session.moves.popleft())
            if session.requested <= 0:
                continue
            started = time.perf_counter()
            block = await self._run(next, session.instrument)
            self.pace.add(len(block) / block.sample_rate, time.perf_counter() - started)
            session.requested = max(0, session.requested - len(block))  # the page counts surplus samples
            session.sent += len(block)
            await self._record_block(socket, session, block)
            await socket.send_bytes(pcm_bytes(block))
            since_status += len(block) / block.sample_rate
            if since_status >= STATUS_INTERVAL_S:
                since_status = 0.0
                network_state = await self._run(session.instrument.visible)
                watch = session.instrument.watch
                dead = None if watch is None else round(watch.degenerate_s, 1)
                await socket.send_json(
                    {
                        "type": "see",
                        "given": session.sent,
                        "pace": round(self.pace.real_time_factor, 2),
                        "dead": dead,
                        **network_state,
                    }
                )

    async def _record_block(self, socket: WebSocket, session: Session, block: Waveform) -> None:
        """Record a block; on an error, end the recording and report the error."""
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
                    {"type": "refused", "why": "nothing was played while recording: no recording was saved"}
                )
        except NoizenetError as error:
            await socket.send_json({"type": "refused", "why": without_paths(str(error), [self._recordings])[:300]})
            name = None
        await socket.send_json({"type": "recorded", "name": name, "seconds": round(recorder.seconds, 2)})

    async def _apply_move(self, socket: WebSocket, session: Session, move: dict[str, Any]) -> None:
        if "record" in move:
            await self._start_recording(socket, session, move["record"])
            return
        try:
            await self._run(session.instrument.apply, move)
        except (NoizenetError, TypeError, ValueError, ArithmeticError) as error:
            await socket.send_json({"type": "refused", "why": str(error)[:300], "move": move})
            return
        await socket.send_json(
            {
                "type": "moved", "move": move, "given": session.sent, "frame": session.instrument.frame,
                "marks": session.instrument.marks, "settings": session.instrument.settings(),
            }
        )  # fmt: skip

    async def _start_recording(self, socket: WebSocket, session: Session, message: dict[str, Any]) -> None:
        await self._end_recording(socket, session)
        if message.get("on") is True:
            kind = str(message.get("format", "wav"))
            try:
                session.recorder = await self._run(
                    Recorder, self._recordings, session.model, session.instrument, session.sent, kind, self._limits
                )
            except NoizenetError as error:
                why = without_paths(str(error), [self._recordings])
                await socket.send_json({"type": "refused", "why": why[:300]})
                return
            await socket.send_json({"type": "recording", "name": session.recorder.name})
