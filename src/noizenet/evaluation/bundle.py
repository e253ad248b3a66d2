"""Read TensorFlow checkpoints (a sorted string table and a file of raw numbers) with NumPy alone.

Formats: LevelDB's table format (``doc/table_format.md`` of github.com/google/leveldb) and the messages
``BundleEntryProto`` and ``TensorShapeProto`` of TensorFlow, in protocol buffers' wire encoding.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from noizenet.base.errors import ModelError

MAGIC = 0xDB4775248B80FB57
FOOTER = 48
FLOAT32 = 1  # of TensorFlow's DataType


def read_bundle(index: bytes, data: bytes) -> dict[str, NDArray[np.float32]]:
    """Return the float32 tensors of a checkpoint of one shard, by name.

    Raises
    ------
    ModelError
        If the bytes are not such a checkpoint.
    """
    try:
        if struct.unpack("<Q", index[-8:])[0] != MAGIC:
            raise ValueError("the magic number at the end is missing")
        *_, at = _handle(index, len(index) - FOOTER)  # of the meta block, which is not needed
        start, size, _ = _handle(index, at)
        tensors = {}
        for _, handle in _entries(index[start : start + size]):
            first, length, _ = _handle(handle, 0)
            if index[first + length]:
                raise ValueError("a block is compressed")
            for name, message in _entries(index[first : first + length]):
                if name:
                    tensor = _tensor(message, data)
                    if tensor is not None:
                        tensors[name.decode()] = tensor
    except (ValueError, IndexError, struct.error) as error:
        raise ModelError(f"this is not a TensorFlow checkpoint of one shard: {error}") from error
    return tensors


def _tensor(message: bytes, data: bytes) -> NDArray[np.float32] | None:
    fields = dict(_fields(message))
    if fields.get(1) != FLOAT32:
        return None
    shape = [int(dict(_fields(dim)).get(1, 0)) for number, dim in _fields(fields.get(2, b"")) if number == 2]
    offset, size = int(fields.get(4, 0)), int(fields[5])
    if offset + size > len(data) or size != 4 * int(np.prod(shape)):
        raise ValueError("a tensor's size does not match its shape")
    return np.frombuffer(data, "<f4", size // 4, offset).reshape(shape)


def _varint(data: bytes, at: int) -> tuple[int, int]:
    """Return a little-endian number of seven bits a byte, and the offset of its end."""
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 127) << shift
        shift += 7
        if byte < 128:
            return value, at


def _handle(data: bytes, at: int) -> tuple[int, int, int]:
    """Return a block's offset and size, and the offset of the handle's end."""
    offset, at = _varint(data, at)
    size, at = _varint(data, at)
    return offset, size, at


def _entries(block: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield a block's keys and values; each key is stored as its difference from the previous key."""
    restarts = struct.unpack("<I", block[-4:])[0]
    end, at, key = len(block) - 4 - 4 * restarts, 0, b""
    while at < end:
        shared, at = _varint(block, at)
        fresh, at = _varint(block, at)
        length, at = _varint(block, at)
        key = key[:shared] + block[at : at + fresh]
        yield key, block[at + fresh : at + fresh + length]
        at += fresh + length


def _fields(message: int | bytes) -> Iterator[tuple[int, int | bytes]]:
    """Yield a message's field numbers and values."""
    at = 0
    if not isinstance(message, bytes):
        raise ValueError("expected a message, found a number")
    while at < len(message):
        tag, at = _varint(message, at)
        kind = tag & 7
        if kind == 0:
            value, at = _varint(message, at)
            yield tag >> 3, value
        elif kind == 2:
            length, at = _varint(message, at)
            yield tag >> 3, message[at : at + length]
            at += length
        elif kind in (1, 5):
            width = 8 if kind == 1 else 4
            yield tag >> 3, int.from_bytes(message[at : at + width], "little")
            at += width
        else:
            raise ValueError(f"unknown wire type {kind}")
