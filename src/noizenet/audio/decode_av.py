"""Decoding with FFmpeg's libraries, in this process, through PyAV: packet by packet, so that damage costs a packet."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from noizenet.audio.fold import Layout, known_layout
from noizenet.audio.sniff import Container, tag_size
from noizenet.audio.source import Section, StalledError
from noizenet.audio.sync import sync_at
from noizenet.base.errors import AudioError

RAW = frozenset({"mp3", "aac", "ac3", "eac3", "dts", "amr"})
"""Streams of frames without time stamps: how much is lost follows from the bytes."""
CHECKED = frozenset({"flac", "wavpack", "tta", "ape", "ac3", "eac3", "tak"})
"""Codecs whose checksums are right in every sound file, and tell damage."""
NO_PROMISE = RAW | {"ogg", "shorten"}
"""Containers that do not say how long they are; FFmpeg's figure is an estimate or the last page's."""
MOST_ERRORS = 10_000
"""So many packets in a row that cannot be decoded end a file."""
MOST_FRAME = 1 << 22
"""No frame of a sane file has more samples than that."""
LOSSY_PEAK = 30.0
"""A lossy decoder that gives samples of 30 dB above full scale was fed with noise."""
JUMP_S = {"flac": 0.005, "ogg": 0.03}
"""From this jump of the time stamps on, sound is missing; 0.1 s for other containers, whose stamps are rounded."""
ODD_JUMP_S = 60.0

_CODEC_NAMES = """
    aac aac_latm ac3 eac3 mp1 mp1float mp2 mp2float mp3 mp3float vorbis opus libopus flac alac wavpack tta ape tak
    shorten mpc7 mpc8 wmav1 wmav2 wmapro wmalossless wmavoice speex dca mlp truehd qoa gsm gsm_ms g722 g726 g726le
    ilbc mace3 mace6 amrnb amrwb libopencore_amrnb libopencore_amrwb qdm2 atrac3 atrac3plus dsd_lsbf dsd_lsbf_planar
    dsd_msbf dsd_msbf_planar adpcm_ms adpcm_ima_wav adpcm_ima_qt adpcm_yamaha adpcm_swf adpcm_ct adpcm_sbpro_2
    adpcm_sbpro_3 adpcm_sbpro_4 pcm_alaw pcm_mulaw pcm_bluray pcm_dvd pcm_f16le pcm_f24le pcm_f32be pcm_f32le
    pcm_f64be pcm_f64le pcm_s16be pcm_s16be_planar pcm_s16le pcm_s16le_planar pcm_s24be pcm_s24le pcm_s24le_planar
    pcm_s32be pcm_s32le pcm_s32le_planar pcm_s64be pcm_s64le pcm_s8 pcm_s8_planar pcm_u16be pcm_u16le pcm_u24be
    pcm_u24le pcm_u32be pcm_u32le pcm_u8
"""
CODECS = frozenset(_CODEC_NAMES.split())
"""Decoders that may run: codecs of music and speech, none of films, pictures, subtitles or games."""

_TYPES: dict[str, tuple[str, float, float]] = {
    "u8": ("u1", 128.0, 1 / 128),
    "s16": ("<i2", 0.0, 1 / 32768),
    "s32": ("<i4", 0.0, 1 / 2147483648),
    "s64": ("<i8", 0.0, 1 / 9223372036854775808),
    "flt": ("<f4", 0.0, 1.0),
    "dbl": ("<f8", 0.0, 1.0),
}


class Piece(NamedTuple):
    """Sound as it was decoded: float32 [n, C], its rate in Hz, its channels."""

    samples: NDArray[np.float32]
    rate: int
    layout: Layout


class Gap(NamedTuple):
    """Sound that is missing here; `at_end` where nothing came after it."""

    seconds: float
    at_end: bool = False


class AVDecoder:
    """One stream of sound of a section of a file.

    Parameters
    ----------
    section : Section
        The bytes.
    container : Container
        What they are; its demuxer is forced, and none other can be reached.

    Raises
    ------
    AudioError
        If there is no sound in it that can be decoded; the message has no path.
    """

    def __init__(self, section: Section, container: Container) -> None:
        import av

        self._section, self._kind = section, container
        try:
            # Whatever bytes of names are not UTF-8 is replaced: tags are no reason to refuse a song.
            self._container: Any = av.open(
                section, format=container.demuxer, metadata_errors="replace", options=_options(container.demuxer)
            )
        except (av.error.FFmpegError, ValueError, OSError, StalledError, MemoryError) as error:
            raise AudioError(reason(error)) from error
        self._stream = self._choose()
        context = self._stream.codec_context
        self.codec = str(context.codec.name)
        context.options = {"max_samples": str(MOST_FRAME)}
        if self.codec in CHECKED:
            context.options = {**context.options, "err_detect": "crccheck+explode"}
        context.thread_count = 1
        self.rate, self.layout = int(context.sample_rate), _layout(context.layout)
        self.tags = {**_lower(self._stream.metadata), **_lower(self._container.metadata)}
        self.seconds = self._promise()
        self._exact = self.codec.startswith("pcm") or self.codec in ("flac", "wavpack", "alac", "tta", "ape")

    def close(self) -> None:
        """Let the decoder go."""
        self._container.close()

    def pieces(self) -> Iterator[Piece | Gap]:
        """Decode from the beginning: sound, and gaps where it is missing."""
        clock = _Clock(self._kind.name)
        joined = _Joined()
        for packet, error in self._packets():
            frames = [] if error or packet is None else self._decode(packet, clock)
            for frame in frames:
                gap = clock.gap_before(frame)
                if gap > 0:
                    if (piece := joined.take()) is not None:
                        yield piece
                    yield Gap(gap)
                if (piece := joined.push(frame)) is not None:
                    yield piece
                clock.advance(frame)
                self._section.progress()
        if (piece := joined.take()) is not None:
            yield piece
        if clock.pending:
            yield Gap(clock.pending, at_end=True)

    def _choose(self) -> Any:
        for stream in self._container.streams.audio:
            if stream.codec_context is not None and stream.codec_context.codec.name in CODECS:
                return stream
        self._container.close()
        raise AudioError("there is no stream of sound in it that can be decoded")

    def _promise(self) -> float | None:
        if self._kind.name in NO_PROMISE:
            return None
        if self._stream.duration is not None and self._stream.time_base:
            seconds = float(self._stream.duration * self._stream.time_base)
        elif self._container.duration is not None:
            seconds = self._container.duration / 1e6
        else:
            return None
        return seconds if seconds > 0 else None

    def _packets(self) -> Iterator[tuple[Any, BaseException | None]]:
        """Yield packets, and an error where the container itself is damaged."""
        import av

        errors, last = 0, -1
        while True:
            try:
                for packet in self._container.demux(self._stream):
                    errors = 0
                    yield packet, None
                return
            except StalledError as error:
                yield None, error
                return
            except (av.error.FFmpegError, OSError, ValueError, MemoryError) as error:
                errors += 1
                stuck = self._section.tell() == last
                last = self._section.tell()
                yield None, error
                if errors > MOST_ERRORS or (stuck and errors > 3):
                    return

    def _decode(self, packet: Any, clock: _Clock) -> list[Any]:
        import av

        clock.see(packet)
        if clock.skips(packet):
            return []
        try:
            frames = [f for f in packet.decode() if f.samples]
            if self._sane(frames):
                return frames
        except (av.error.FFmpegError, ValueError, MemoryError):
            if packet.size == 0:  # the flush at the end
                return []
        if self._kind.name in RAW:
            rest = self._after_junk(packet, clock)
            if rest is not None:
                return rest
        clock.lose(packet)
        return []

    def _after_junk(self, packet: Any, clock: _Clock) -> list[Any] | None:
        """Look at a packet that cannot be decoded: a tag or junk may stand before a frame that can."""
        import av

        data = bytes(packet)
        tag = next((i for i in range(min(len(data), 4)) if tag_size(data[i : i + 32])), -1)
        start = 1
        if tag >= 0:
            start = tag + tag_size(data[tag : tag + 32])
            if start >= len(data):
                clock.skip_until(packet, start)
                return []
        at = data.find(b"\xff", start)
        while 0 <= at < len(data) - 8:
            found = sync_at(data, at)
            if found and found.container == self._kind.name and at + found.size <= len(data):
                try:
                    frames = self._stream.codec_context.decode(av.Packet(data[at:]))
                except (av.error.FFmpegError, ValueError):
                    return None
                if tag < 0:
                    clock.lose(packet, at)
                return [f for f in frames if f.samples]
            at = data.find(b"\xff", at + 1)
        return None

    def _sane(self, frames: list[Any]) -> bool:
        """Whether a lossy codec's frames are sound: noise in its bits gives absurd levels."""
        if self._exact:
            return True
        for frame in frames:
            if frame.format.name == "fltp":
                for plane in frame.planes:
                    x = np.frombuffer(plane, "<f4", frame.samples)
                    if not (np.abs(x).max() < LOSSY_PEAK):
                        return False
        return True


class _Clock:
    """Where in time the decoder is, and how much is missing."""

    def __init__(self, kind: str) -> None:
        self._raw = kind in RAW
        self._jump = JUMP_S.get(kind, 0.1)
        self._anchor: float | None = None
        self._seconds = 0.0  # given out or lost
        self._given = 0.0
        self._bytes = 0
        self._good_bytes = 0
        self._skip = -1
        self._lost_s = 0.0

    @property
    def pending(self) -> float:
        """Seconds that are known to be lost and not yet told."""
        return self._lost_s

    def see(self, packet: Any) -> None:
        self._good_bytes += packet.size

    def skips(self, packet: Any) -> bool:
        return packet.pos is not None and 0 <= packet.pos < self._skip

    def skip_until(self, packet: Any, count: int) -> None:
        self._good_bytes -= packet.size
        if packet.pos is not None:
            self._skip = packet.pos + count

    def lose(self, packet: Any, count: int | None = None) -> None:
        """Note a packet that is lost; how long it was, its stamps or its bytes say."""
        size = packet.size if count is None else count
        self._good_bytes -= size
        if self._raw:
            per_byte = self._given / self._good_bytes if self._good_bytes > 0 else 0.0
            self._lost_s += size * per_byte
        elif packet.duration and packet.time_base:
            self._lost_s += float(packet.duration * packet.time_base)
        else:
            self._lost_s += 1e-6

    def gap_before(self, frame: Any) -> float:
        """Return how many seconds are missing before a frame."""
        lost, self._lost_s = self._lost_s, 0.0
        if self._raw or frame.pts is None or frame.time_base is None:
            self._seconds += lost
            return lost
        at = float(frame.pts * frame.time_base)
        if self._anchor is None:
            self._anchor = at - self._seconds
        jump = at - self._anchor - self._seconds
        if jump < -0.05 or (jump > ODD_JUMP_S and jump > 0.5 * max(self._seconds, 1.0)):
            self._anchor = at - self._seconds - lost
            jump = lost
        if jump < self._jump and not lost:
            return 0.0
        jump = max(jump, 0.0)
        self._seconds += jump
        return jump

    def advance(self, frame: Any) -> None:
        self._seconds += frame.samples / frame.sample_rate
        self._given += frame.samples / frame.sample_rate


class _Joined:
    """Frames of one kind, joined to pieces of about a second."""

    def __init__(self) -> None:
        self._frames: list[Any] = []
        self._count = 0
        self._kind: tuple[str, int, str] | None = None

    def push(self, frame: Any) -> Piece | None:
        """Take a frame in; return the piece that is full, or that ends because this frame is of another kind."""
        kind = (frame.format.name, frame.sample_rate, frame.layout.name)
        done = None
        if self._frames and (kind != self._kind or self._count >= frame.sample_rate):
            done = self.take()
        self._kind = kind
        self._frames.append(frame)
        self._count += frame.samples
        return done

    def take(self) -> Piece | None:
        """Return what was joined, if anything."""
        if not self._frames:
            return None
        frames, self._frames, self._count = self._frames, [], 0
        return Piece(_samples(frames), frames[0].sample_rate, _layout(frames[0].layout))


def _samples(frames: list[Any]) -> NDArray[np.float32]:
    """Return frames of one kind as float32 [n, C]."""
    form, channels = frames[0].format, frames[0].layout.nb_channels
    dtype, zero, scale = _TYPES[form.packed.name if form.is_planar else form.name]
    count = sum(f.samples for f in frames)
    out = np.empty((count, channels), np.float32)
    if form.is_planar:
        planes = [f.planes for f in frames]
        for c in range(channels):
            parts = [np.frombuffer(p[c], dtype, f.samples) for p, f in zip(planes, frames, strict=True)]
            out[:, c] = np.concatenate(parts)
    else:
        parts = [np.frombuffer(f.planes[0], dtype, f.samples * channels) for f in frames]
        out[:] = np.concatenate(parts).reshape(-1, channels)
    if zero:
        out -= np.float32(zero)
    if scale != 1.0:
        out *= np.float32(scale)
    return out


def _options(demuxer: str) -> dict[str, str]:
    """Return white lists: no protocol, one demuxer, decoders of sound."""
    return {
        "protocol_whitelist": "none",
        "format_whitelist": demuxer,
        "codec_whitelist": ",".join(sorted(CODECS)),
    }


def _layout(layout: Any) -> Layout:
    return known_layout(tuple(c.name for c in layout.channels))


def _lower(tags: dict[str, str]) -> dict[str, str]:
    return {key.lower(): value for key, value in tags.items()}


def reason(error: BaseException) -> str:
    """Return a decoder's complaint in a few words."""
    if isinstance(error, StalledError):
        return "the decoder reads on and gives no sound"
    if isinstance(error, MemoryError):
        return "it asks for more memory than there is"
    text = str(getattr(error, "strerror", "") or error).strip().rstrip(".")
    return text.split(": ")[-1] if text else type(error).__name__
