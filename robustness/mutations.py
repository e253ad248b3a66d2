"""Operations that damage a file. An operation is plain data, so that findings can be stored, repeated and minimised."""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Any

Operation = list[Any]
FALSE_LENGTHS = (
    0,
    1,
    2,
    0xFF,
    0x7FFF,
    0xFFFF,
    0x10000,
    0x7FFFFFFF,
    0x80000000,
    0xFFFFFFFE,
    0xFFFFFFFF,
    2**63 - 1,
    2**64 - 1,
)
HEADER = 400
"""Half of all changes are in the first bytes of a file, because decoders rely on headers."""
PREFIXES = (b"ID3\x03\x00\x00\x00\x00\x02\x01", b"\0" * 1000, b"#EXTM3U\n", b"<html>not found</html>\n", b"RIFF")


def draw(rng: random.Random, names: list[str], size: int) -> list[Operation]:
    """Draw one to four operations for a file of `size` bytes; `names` are files that may be joined to it."""
    return [_draw(rng, names, size) for _ in range(rng.choice((1, 1, 1, 2, 2, 3, 4)))]


def _position(rng: random.Random, size: int) -> int:
    return rng.randrange(min(size, HEADER)) if rng.random() < 0.5 else rng.randrange(size)


def _draw(rng: random.Random, names: list[str], size: int) -> Operation:
    kind = rng.choice(("flip", "flip", "set", "cut", "keep", "drop", "join", "splice", "fill", "repeat", "lie", "lie",
                       "swap", "before", "after", "exchange", "insert"))  # fmt: skip
    a, length = _position(rng, size), max(1, int(size ** rng.random()))
    if kind == "flip":
        return [kind, [[_position(rng, size), rng.randrange(8)] for _ in range(rng.choice((1, 1, 3, 10, 50)))]]
    if kind == "set":
        return [kind, [[_position(rng, size), rng.randrange(256)] for _ in range(rng.choice((1, 1, 3, 10, 50)))]]
    if kind == "keep":
        return [kind, rng.randrange(size + 1)]
    if kind == "cut":
        return [kind, 0, length]
    if kind in ("drop", "repeat"):
        return [kind, a, length]
    if kind == "fill":
        return [kind, a, length, rng.choice((0, 0, 255, 128))]
    if kind == "join":
        return [kind, rng.choice(names)]
    if kind == "splice":
        return [kind, rng.choice(names), rng.randrange(1, HEADER)]
    if kind == "lie":
        return [kind, a, rng.choice((1, 2, 4, 4, 4, 8)), rng.choice(FALSE_LENGTHS), rng.choice(("little", "big"))]
    if kind == "swap":
        return [kind, rng.choice(names)]
    if kind == "exchange":
        return [kind, a, _position(rng, size), length]
    if kind == "insert":
        return [kind, a, min(length, 5000), rng.randrange(2**31)]
    return [kind, rng.randrange(len(PREFIXES))]


def apply(data: bytes, operations: list[Operation], others: Mapping[str, bytes]) -> bytes:
    """Return `data` after the operations; positions are taken modulo the length, so that any subset can be applied."""
    out = bytearray(data)
    for kind, *given in operations:
        n = max(1, len(out))
        if kind == "flip":
            for at, bit in given[0]:
                if out:
                    out[at % n] ^= 1 << bit
        elif kind == "set":
            for at, value in given[0]:
                if out:
                    out[at % n] = value
        elif kind == "keep":
            del out[given[0] :]
        elif kind in ("cut", "drop"):
            del out[given[0] : given[0] + given[1]]
        elif kind == "repeat":
            out[given[0] : given[0]] = out[given[0] : given[0] + given[1]]
        elif kind == "fill":
            part = out[given[0] : given[0] + given[1]]
            out[given[0] : given[0] + len(part)] = bytes([given[2]]) * len(part)
        elif kind == "join":
            out += others[given[0]]
        elif kind == "splice":
            out[: given[1]] = others[given[0]][: given[1]]
        elif kind == "lie":
            at, width, value, order = given
            out[at : at + width] = (value % 256**width).to_bytes(width, order)
        elif kind == "before":
            out[:0] = PREFIXES[given[0]]
        elif kind == "after":
            out += PREFIXES[given[0]]
        elif kind == "exchange":
            a, b, length = given
            out[a : a + length], out[b : b + length] = out[b : b + length], out[a : a + length]
        elif kind == "insert":
            out[given[0] : given[0]] = random.Random(given[2]).randbytes(given[1])
    return bytes(out)


def final_suffix(operations: list[Operation], suffix: str, suffixes: Mapping[str, str]) -> str:
    """Return the suffix of the file after all swaps."""
    for kind, *given in operations:
        if kind == "swap":
            suffix = suffixes[given[0]]
    return suffix


EXTREME_VALUES: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 2, 3, 7, 65_537, 2**31, 2**63, -(2**63), 1e308, 0.5, -0.0, float("nan"), float("inf"), "",
    " ", "x", "../../etc/passwd", "\u202e", "\ud800", "a" * 5_000, "NaN", "1e999", [], {}, [None], [[]], {"": {}},
    [[1, 2], [3]], [0] * 100, "wav", "lstm", "categorical", "\0",
)  # fmt: skip


def change_tree(rng: random.Random, tree: Any) -> Any:
    """Return a copy of plain data with one to three values replaced, removed, renamed or nested."""
    import copy

    tree = copy.deepcopy(tree)
    for _ in range(rng.choice((1, 1, 2, 3))):
        nodes = list(_nodes(tree))
        if not nodes:
            return rng.choice(EXTREME_VALUES)
        parent, key = rng.choice(nodes)
        what = rng.random()
        if what < 0.65:
            parent[key] = copy.deepcopy(rng.choice(EXTREME_VALUES))
        elif what < 0.75 and isinstance(parent, dict):
            del parent[key]
        elif what < 0.85 and isinstance(parent[key], (int, float)) and not isinstance(parent[key], bool):
            parent[key] = _perturb(rng, parent[key])
        elif what < 0.95 and isinstance(parent, dict):
            parent[str(rng.choice(EXTREME_VALUES))] = parent.pop(key)
        else:
            value = parent[key]
            for _ in range(rng.choice((1, 5, 200))):
                value = [value]
            parent[key] = value
    return tree


def _perturb(rng: random.Random, value: float) -> float:
    try:
        return rng.choice((value + 1, value - 1, value * 2, -value, value / 2, value * 10**6, float(value)))
    except OverflowError:
        return 0


def _nodes(tree: Any) -> Any:
    items = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ()
    for key, value in list(items):
        yield tree, key
        yield from _nodes(value)
