"""Checks that the elements of a Matroska file are contiguous; RFC 8794 and RFC 9559."""

from __future__ import annotations

from noizenet.audio.link import MAX_CHUNKS
from noizenet.audio.source import Section, Source
from noizenet.audio.structure import SEGMENT_PARTS, element

_CLUSTER = 0x1F43B675
_GROUP = 0xA0
_ENTERED = frozenset({_CLUSTER, _GROUP})
_WITHIN = frozenset({
    0xE7, 0x5854, 0xA7, 0xAB, 0xA3, _GROUP, 0xAF,  # of a cluster: time, silent tracks, position, sizes, blocks
    0xA1, 0xA2, 0x75A1, 0x9B, 0xFA, 0xFB, 0xFD, 0xA4, 0x75A2, 0x8E, 0xC8,  # of a group of blocks
})  # fmt: skip
_KNOWN = SEGMENT_PARTS | _WITHIN
_BLOCKS = (0xA3, 0xA1)
_HEAD = 12
"""Maximum bytes of an element's id and size."""
_MAX_STRIPPED = 64
"""A block may be smaller than its packet by up to this number of bytes: FFmpeg restores stripped headers."""


def is_whole(source: Source | Section, before: int, size: int, after: int) -> bool:
    """Return whether only whole elements lie between two packets.

    Where bytes were cut out, the element that began before the cut ends within another one, and no element follows it;
    or a cluster ends within another one.

    Parameters
    ----------
    source : Source or Section
    before : int
        First byte of a block's content: the position of its packet.
    size : int
        Size of that packet.
    after : int
        First byte of a later block's content.

    Returns
    -------
    bool
        True also if the first block's header is not found, since nothing can be checked then.
    """
    at = _end_of_block(source, before, size)
    if at is None or before == after:  # frames of one block
        return True
    for _ in range(MAX_CHUNKS):
        ident, length, used = element(source.peek(at, _HEAD))
        if ident not in _KNOWN:
            return False
        at += used
        if ident in _ENTERED:
            continue
        if at >= after:
            return at == after and ident in _BLOCKS
        if length is None:
            return False
        at += length
    return True


def broken_clusters(source: Source | Section) -> list[tuple[int, int]]:
    """Find clusters that do not end at the start of another element.

    Returns
    -------
    list of (int, int)
        The first byte of such a cluster, and of the next intact one. The last cluster is not included: it may be cut
        off, and in a live recording its size is unknown.
    """
    broken: list[tuple[int, int]] = []
    _, header, used = element(source.peek(0, _HEAD))
    if header is None:
        return broken
    at = used + header
    _, length, used = element(source.peek(at, _HEAD))
    stop = source.size if length is None else min(source.size, at + used + length)
    at += used
    last = at
    for _ in range(MAX_CHUNKS):
        if at >= stop:
            return broken
        ident, length, used = element(source.peek(at, _HEAD))
        if ident in SEGMENT_PARTS:
            if length is None:
                return broken
            last, at = at, at + used + length
            continue
        following = _next_cluster(source, last + 4)
        broken.append((last, following))
        last = at = following
    return broken


def _end_of_block(source: Source | Section, at: int, size: int) -> int | None:
    """Return the end of the block whose content begins here, from the size field before it."""
    head = source.peek(at - 9, min(9, at))
    for width in range(1, 9):
        if len(head) <= width or head[-width - 1] not in _BLOCKS:
            continue
        _, length, used = element(head[-width - 1 :] + bytes(8))
        if used == width + 1 and length is not None and length + _MAX_STRIPPED >= size:
            return at + length
    return None


def _next_cluster(source: Source | Section, at: int) -> int:
    name = _CLUSTER.to_bytes(4, "big")
    while at < source.size:
        data = source.peek(at, 1 << 20)
        found = data.find(name)
        if found >= 0:
            return at + found
        at += max(1, len(data) - 3)
    return source.size
