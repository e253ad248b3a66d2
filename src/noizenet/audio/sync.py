"""Frame headers of streams without a container: MPEG audio, ADTS, AC-3, DTS, FLAC."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

CHAIN = 4
"""Number of consecutive matching frames that identify a stream; one byte pattern does not suffice."""

MAX_FRAME_BYTES = 1 << 14
"""Maximum of a DTS frame; ADTS frames have at most half of it, others less."""

_MPEG_RATES = {3: (44100, 48000, 32000), 2: (22050, 24000, 16000), 0: (11025, 12000, 8000)}
_KBPS = {
    (3, 3): (32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448),
    (3, 2): (32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    (3, 1): (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    (2, 3): (32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256),
    (2, 2): (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
    (2, 1): (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
_AC3_KBPS = (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384, 448, 512, 576, 640)
_AC3_RATES = (48000, 44100, 32000)


class Sync(NamedTuple):
    """A frame header: container, bytes (0: unknown), samples, rate in Hz, and a key that identifies its stream."""

    container: str
    size: int
    samples: int
    rate: int
    key: tuple[int, ...]


def sync_at(data: bytes, at: int) -> Sync | None:
    """Return the frame header at an offset, or None."""
    if len(data) < at + 8:
        return None
    if data[at] == 0xFF and data[at + 1] & 0xE0 == 0xE0:
        for read in (_flac_frame, _adts, _mpeg):
            found = read(data, at)
            if found:
                return found
        return None
    if data[at] == 0x0B and data[at + 1] == 0x77:
        return _ac3(data, at)
    if data[at : at + 4] == b"\x7f\xfe\x80\x01":
        return Sync("dts", (((data[at + 5] & 3) << 12) | (data[at + 6] << 4) | (data[at + 7] >> 4)) + 1, 512, 48000, ())
    return None


def find_chain(data: bytes, at: int, first: Sync) -> bool:
    """Whether CHAIN frames follow one another from here, or as many as the data holds (two, or one that ends it)."""
    count, sync = 1, first
    while count < CHAIN:
        if sync.size == 0:  # free format, or FLAC: the next header has to be searched for
            return first.container == "flac"
        at += sync.size
        if at + 8 > len(data):
            return count >= 2 or at == len(data)
        following = sync_at(data, at)
        if following is None or following.container != first.container or following.key != first.key:
            return False
        count, sync = count + 1, following
    return True


def next_chain(data: bytes, at: int, stop: int, container: str = "") -> tuple[int, Sync] | None:
    """Return the first offset in [at, stop) where a chain of frames begins (of `container` only, if given)."""
    while True:
        ends = [i for i in (data.find(b"\xff", at, stop), data.find(b"\x0b\x77", at, stop)) if i >= 0]
        if not ends:
            return None
        at = min(ends)
        sync = sync_at(data, at)
        if sync and container in ("", sync.container) and find_chain(data, at, sync):
            return at, sync
        at += 1


def is_free_format(data: bytes) -> bool:
    """Whether MPEG audio of free format begins here: frames declare no length; all are equal except for padding.

    Source: ISO/IEC 11172-3, section 2.4.2.3 (a bitrate index of zero).
    """
    if not _is_free_header(data, 0):
        return False
    slot = 4 if data[1] & 6 == 6 else 1
    padding = slot * (data[2] >> 1 & 1)
    first = data.find(data[:2], 24)
    while 0 <= first < MAX_FRAME_BYTES:
        at, size = first, first - padding
        for _ in range(CHAIN - 1):
            if not (_is_free_header(data, at) and data[at : at + 2] == data[:2]):
                break
            at += size + slot * (data[at + 2] >> 1 & 1)
        else:
            return True
        first = data.find(data[:2], first + 1)
    return False


def _is_free_header(data: bytes, at: int) -> bool:
    head = data[at : at + 8]
    if len(head) < 8 or head[0] != 0xFF or head[1] & 0xE0 != 0xE0 or head[2] >> 4:
        return False
    return _mpeg(bytes((*head[:2], head[2] | 0x10, *head[3:])), 0) is not None


def _mpeg(data: bytes, at: int) -> Sync | None:
    """Parse an MPEG audio header; ISO/IEC 11172-3 and 13818-3, section 2.4.2.3."""
    b1, b2, b3 = data[at + 1], data[at + 2], data[at + 3]
    version, layer = (b1 >> 3) & 3, (b1 >> 1) & 3
    rate_index, bitrate_index = (b2 >> 2) & 3, b2 >> 4
    if version == 1 or layer == 0 or rate_index == 3 or bitrate_index in (0, 15) or b3 & 3 == 2:
        return None
    rate = _MPEG_RATES[version][rate_index]
    kbps = _KBPS[(3 if version == 3 else 2, layer)][bitrate_index - 1]
    padding = (b2 >> 1) & 1
    if layer == 3:
        return Sync("mp3", (12 * kbps * 1000 // rate + padding) * 4, 384, rate, (version, layer, rate))
    samples = 576 if layer == 1 and version != 3 else 1152
    return Sync("mp3", samples // 8 * kbps * 1000 // rate + padding, samples, rate, (version, layer, rate))


def _adts(data: bytes, at: int) -> Sync | None:
    """Parse an ADTS header; ISO/IEC 13818-7, section 6.2."""
    b1, b2, b3 = data[at + 1], data[at + 2], data[at + 3]
    rates = (96000, 88200, 64000, 48000, 44100, 32000, 24000, 22050, 16000, 12000, 11025, 8000, 7350)
    index = (b2 >> 2) & 15
    size = ((b3 & 3) << 11) | (data[at + 4] << 3) | (data[at + 5] >> 5)
    if b1 & 0xF6 != 0xF0 or index >= len(rates) or size < 7:
        return None
    return Sync("aac", size, 1024 * ((data[at + 6] & 3) + 1), rates[index], (b1, b2 & 0xFC))


def _ac3(data: bytes, at: int) -> Sync | None:
    """Parse an AC-3 or E-AC-3 header; ETSI TS 102 366, sections 4.4.1 and E.1.3.1."""
    bsid = data[at + 5] >> 3
    if bsid > 16:
        return None
    if bsid > 10:
        size = (((data[at + 2] & 7) << 8) | data[at + 3]) * 2 + 2
        code = data[at + 4] >> 6
        rate = _AC3_RATES[code] if code < 3 else 24000
        blocks = 6 if code == 3 else (1, 2, 3, 6)[(data[at + 4] >> 4) & 3]
        return Sync("eac3", size, 256 * blocks, rate, (code,))
    code, index = data[at + 4] >> 6, data[at + 4] & 63
    if code == 3 or index >= 2 * len(_AC3_KBPS):
        return None
    kbps, rate = _AC3_KBPS[index >> 1], _AC3_RATES[code]
    size = 2 * (kbps * 96000 // rate + (index & 1 if code == 1 else 0))
    return Sync("ac3", size, 1536, rate, (code,))


def flac_position(data: bytes, at: int, streaminfo: bytes) -> int | None:
    """Return the index of a FLAC frame's first sample in its stream, or None if unknown.

    Parameters
    ----------
    data : bytes
    at : int
        Offset of the frame's header.
    streaminfo : bytes
        The STREAMINFO block, which declares the frames' length; RFC 9639, sections 8.2 and 9.1.5.
    """
    size = _coded_size(data[at + 4])
    coded = data[at + 4 : at + 4 + size]
    number = coded[0] if size == 1 else coded[0] & ((1 << (7 - size)) - 1)
    for byte in coded[1:]:
        number = number << 6 | byte & 0x3F
    if data[at + 1] & 1:  # the number of a sample
        return number
    least, most = int.from_bytes(streaminfo[:2], "big"), int.from_bytes(streaminfo[2:4], "big")
    return number * most if least == most else None


def flac_ends(data: bytes, at: int) -> Iterator[int]:
    """Yield possible ends of a FLAC frame: its last two bytes are a CRC-16 of those before; RFC 9639, section 9.3.

    One in 65,536 other positions matches by chance.
    """
    crc = 0
    for i in range(at, len(data)):
        crc = (crc << 8 & 0xFFFF) ^ _CRC16[crc >> 8 ^ data[i]]
        if crc == 0 and i + 1 - at >= _MIN_FLAC:
            yield i + 1


def _coded_size(lead: int) -> int:
    """Return the bytes of a number in UTF-8-like coding, from its first byte; 0 for an invalid first byte."""
    if lead < 0x80:
        return 1
    if lead & 0xC0 == 0x80:
        return 0
    return next((n for n in range(2, 8) if (lead << (n + 1)) & 0x80 == 0), 0)


def _flac_frame(data: bytes, at: int) -> Sync | None:
    """Parse a FLAC frame header and check its CRC-8; RFC 9639, section 9.1."""
    if data[at + 1] & 0xFE != 0xF8 or data[at + 2] >> 4 == 0 or data[at + 2] & 15 == 15 or data[at + 3] & 1:
        return None
    if data[at + 3] >> 4 > 10:
        return None
    number = _coded_size(data[at + 4])
    if number == 0:
        return None
    end = at + 4 + number
    end += {6: 1, 7: 2}.get(data[at + 2] >> 4, 0) + {12: 1, 13: 2, 14: 2}.get(data[at + 2] & 15, 0)
    if end >= len(data) or _crc8(data[at:end]) != data[end]:
        return None
    return Sync("flac", 0, 0, 0, ())


def _crc16_of_byte(byte: int) -> int:
    crc = byte << 8
    for _ in range(8):
        crc = ((crc << 1) ^ 0x8005) & 0xFFFF if crc & 0x8000 else crc << 1
    return crc


_CRC16 = [_crc16_of_byte(byte) for byte in range(256)]
_MIN_FLAC = 10  # bytes: a header of six, a subframe of two, the CRC


def _crc8(data: bytes) -> int:
    crc = 0
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = ((crc << 1) ^ 0x07) & 0xFF if crc & 0x80 else crc << 1
    return crc
