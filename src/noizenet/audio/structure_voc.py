"""Creative Voice files: blocks of audio, silence and repeats. FFmpeg reads only audio, all at the first rate."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from noizenet.audio.issue import lost
from noizenet.audio.link import MAX_CHUNKS, MAX_LINKS, Link, RawFormat, Structure, continuation
from noizenet.audio.source import Source

_END, _SOUND, _MORE, _SILENCE, _REPEAT, _REPEAT_END, _EXTENDED, _NEW = 0, 1, 2, 3, 6, 7, 8, 9
_CODINGS = {0: ("PCM_U8", 1), 4: ("PCM_16", 2), 6: ("ALAW", 1), 7: ("ULAW", 1)}
"""libsndfile's subtypes of uncompressed codings, and bytes per sample."""
_ENDLESS = 0xFFFF


class _Block(NamedTuple):
    kind: int
    start: int  # of its content
    size: int


class _Sound(NamedTuple):
    start: int
    stop: int
    raw: RawFormat | None  # None for ADPCM
    rate: float

    @property
    def seconds(self) -> float:
        if self.raw is None:
            return 0.0
        width = next(w for name, w in _CODINGS.values() if name == self.raw.subtype)
        return (self.stop - self.start) // (width * self.raw.channels) / self.rate


def voc(source: Source, start: int) -> Structure:
    """Walk the blocks; https://wiki.multimedia.cx/index.php/Creative_Voice.

    Blocks of different formats become separate links. Silence and repeats are reported.
    """
    structure = Structure([Link(start, source.size)], length_from_decoder=True)
    sounds: list[_Sound] = []
    silent: list[float] = []
    repeated: list[tuple[int, float]] = []
    extended: tuple[float, int] | None = None
    loop: tuple[int, int] | None = None  # repetitions, and the first sound that repeats
    for block in _blocks(source, start):
        head = source.peek(block.start, min(block.size, 12))
        if block.kind in (_SOUND, _MORE, _NEW) and (sound := _sound(block, head, extended, sounds)):
            sounds.append(sound)
            extended = None
        elif block.kind == _EXTENDED and len(head) >= 4:
            channels = head[3] + 1
            extended = 256e6 / (channels * (65536 - int.from_bytes(head[:2], "little"))), channels
        elif block.kind == _SILENCE and len(head) >= 3:
            silent.append((int.from_bytes(head[:2], "little") + 1) * (256 - head[2]) / 1e6)
        elif block.kind == _REPEAT and len(head) >= 2:
            loop = int.from_bytes(head[:2], "little"), len(sounds)
        elif block.kind == _REPEAT_END and loop is not None:
            repeated.append((loop[0], sum(s.seconds for s in sounds[loop[1] :])))
            loop = None
    _report(structure, silent, repeated)
    kinds = {(s.raw, s.rate) for s in sounds}
    if sounds and all(s.raw for s in sounds):
        structure.seconds, structure.length_from_decoder = sum(s.seconds for s in sounds), False
        structure.cut = sounds[-1].stop > source.size
    if len(kinds) < 2:
        return structure
    if not all(s.raw for s in sounds) or len(sounds) > MAX_LINKS:
        structure.issues.append(
            lost(f"its audio has {len(kinds)} formats and is decoded as the first one: a part plays wrong")
        )
        return structure
    structure.links = [continuation(s.start, min(s.stop, source.size), s.raw) for s in sounds]
    return structure


def _blocks(source: Source, start: int) -> Iterator[_Block]:
    at = start + int.from_bytes(source.peek(start + 20, 2), "little")
    for _ in range(MAX_CHUNKS):
        head = source.peek(at, 4)
        if len(head) < 4 or head[0] == _END:
            return
        size = int.from_bytes(head[1:4], "little")
        yield _Block(head[0], at + 4, size)
        at += 4 + size


def _sound(block: _Block, head: bytes, extended: tuple[float, int] | None, before: list[_Sound]) -> _Sound | None:
    """Return the audio of a block; `extended` are the rate and the channels of a preceding extension block."""
    stop = block.start + block.size
    if block.kind == _MORE:
        return before[-1]._replace(start=block.start, stop=stop) if before else None
    if block.kind == _SOUND:
        if len(head) < 2:
            return None
        rate, channels = extended or (1e6 / (256 - head[0]), 1)
        coding, used = head[1], 2
    else:
        if len(head) < 12:
            return None
        rate, channels = float(int.from_bytes(head[:4], "little")), head[5]
        coding, used = int.from_bytes(head[6:8], "little"), 12
    name = _CODINGS.get(coding, ("", 0))[0]
    raw = RawFormat(name, int(rate), channels, "little") if name and rate >= 1 and channels else None
    return _Sound(block.start + used, stop, raw, rate)


def _report(structure: Structure, silent: list[float], repeated: list[tuple[int, float]]) -> None:
    if silent:
        pauses = "1 pause" if len(silent) == 1 else f"{len(silent)} pauses"
        structure.issues.append(
            lost(f"{pauses} of silence ({sum(silent):.1f} s) left out; the audio before and after was joined")
        )
    for times, seconds in repeated:
        if times:
            long = f" of {seconds:.1f} s" if seconds else ""
            total = f", {times * seconds:.1f} s" if seconds else ""
            more = "without end" if times == _ENDLESS else f"{times} more times{total}"
            structure.issues.append(lost(f"a part{long} that repeats ({more}) is read once"))
