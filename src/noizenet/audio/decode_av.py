"""Decoding with FFmpeg's libraries, in this process, through PyAV, packet by packet: damage costs one packet."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Any

import numpy as np

from noizenet.audio.clock import Clock
from noizenet.audio.frames import DecodedBlock, FormatFilter, FrameJoiner, Gap, PlanePacker, planes_of, take_layout
from noizenet.audio.sniff import RAW, Container, Found, find_following
from noizenet.audio.source import Section, StalledError
from noizenet.audio.sync import flac_ends, flac_position, sync_at
from noizenet.base.errors import AudioError

CHECKED = frozenset({"flac", "wavpack", "tta", "ape", "ac3", "eac3", "tak"})
"""Codecs whose checksums are correct in every intact file and reveal damage."""
NO_DURATION = RAW | {"ogg", "shorten"}
"""Containers without a declared duration; FFmpeg's value is an estimate, or the last page's time."""
MAX_ERRORS = 10_000
"""Decoding stops after more than this number of consecutive errors."""
MAX_FALSE = 4
"""Maximum number of false frame headers within one FLAC frame."""
MAX_FRAME = 1 << 22
"""Maximum samples of a frame in a valid file."""
LOSSY_PEAK = 30.0
"""Samples 30 dB above full scale mean that a lossy decoder received damaged bytes."""
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
"""Decoders that may run: codecs of music and speech; none of video, images, subtitles or games."""


class AVDecoder:
    """A decoder for one audio stream of a section of a file.

    Parameters
    ----------
    section : Section
        The bytes.
    container : Container
        Their format. Its demuxer is forced; no other can run.
    options : dict, optional
        Options of the demuxer.
    end_s : float, optional
        The time stamp of the end in seconds, if the container's last bytes declare it.

    Raises
    ------
    AudioError
        If it has no audio that can be decoded; the message has no path.
    """

    def __init__(
        self, section: Section, container: Container, options: dict[str, str] | None = None, end_s: float | None = None
    ) -> None:
        import av

        self._section, self._kind, self._end_s = section, container, end_s
        try:
            self._container: Any = _open(section, container.demuxer, {**_options(container.demuxer), **(options or {})})
        except (av.error.FFmpegError, ValueError, OSError, StalledError, MemoryError) as error:
            raise AudioError(reason(error)) from error
        self.unread_tracks = ""
        """A remark on the audio tracks that are not read; empty if there are none."""
        self._stream = self._choose()
        context = self._stream.codec_context
        self.codec = str(context.codec.name)
        context.options = {"max_samples": str(MAX_FRAME)}
        if self.codec in CHECKED:
            context.options = {**context.options, "err_detect": "crccheck+explode"}
        context.thread_count = 1
        self.rate, self.layout = int(context.sample_rate), take_layout(context)
        self.tags = {**_lower(self._stream.metadata), **_lower(self._container.metadata)}
        self.seconds = self._declared_seconds()
        self.gave_up = False
        self.following: Found | None = None  # a recording of another format that follows
        self._decoded_end = 0  # the byte after the last packet that was decoded
        self._packer = PlanePacker()
        self.exact = self.codec.startswith("pcm") or self.codec in ("flac", "wavpack", "alac", "tta", "ape")

    def close(self) -> None:
        """Release the decoder."""
        self._container.close()

    def blocks(self) -> Iterator[DecodedBlock | Gap]:
        """Decode from the beginning; yield blocks of audio, and gaps where audio is missing."""
        clock = Clock(self._kind.name, self._section)
        joiner = FrameJoiner(self.layout)
        formats = FormatFilter(self._kind.name in RAW)
        last: Any = None
        for packet, error in self._packets():
            clock.note_packet(packet)
            frames = [] if error or packet is None else self._decode(packet, clock)
            if frames and packet is not None and packet.pos is not None:
                self._decoded_end, last = max(self._decoded_end, packet.pos + packet.size), packet
            for frame in formats.accept(frames, clock):
                gap = clock.gap_before(frame)
                if gap > 0:
                    if (block := joiner.flush()) is not None:
                        yield block
                    yield Gap(gap, only_stamps=clock.only_stamps)
                if (block := joiner.push(frame)) is not None:
                    yield block
                clock.advance(frame)
                self._section.progress()
        if (block := joiner.flush()) is not None:
            yield block
        if self._kind.name == "flac" and last is not None:  # its last packet includes all bytes that follow
            self._decoded_end = last.pos + (_frames_of_flac(bytes(last)) or [last.size])[-1] + 1
        self.following = find_following(self._section, self._kind.name, clock.end or self._decoded_end)
        missing = clock.missing_at_end(
            self._end_s, self._section.size if self.following is None else self.following.start
        )
        if missing > 0:
            yield Gap(missing, at_end=True)

    def _choose(self) -> Any:
        """Return the default track if it can be decoded, else the first that can."""
        tracks = list(self._container.streams.audio)
        known = [s for s in tracks if s.codec_context is not None and s.codec_context.codec.name in CODECS]
        if not known:
            self._container.close()
            raise AudioError("it has no audio stream that can be decoded")
        chosen = next((s for s in known if _is_default(s)), known[0])
        self.unread_tracks = _unread_tracks(len(tracks) - 1, tracks.index(chosen) + 1)
        return chosen

    def _declared_seconds(self) -> float | None:
        if self._kind.name in NO_DURATION:
            return None
        if self._stream.duration is not None and self._stream.time_base:
            seconds = float(self._stream.duration * self._stream.time_base)
        elif self._container.duration is not None:
            seconds = self._container.duration / 1e6
        else:
            return None
        return seconds if seconds > 0 else None

    def _packets(self) -> Iterator[tuple[Any, BaseException | None]]:
        """Yield packets, or an error where the container is damaged."""
        import av

        errors, last = 0, -1
        while True:
            try:
                for packet in self._container.demux(self._stream):
                    errors = 0
                    yield packet, None
                return
            except StalledError as error:
                self.gave_up = True
                yield None, error
                return
            except (av.error.FFmpegError, OSError, ValueError, MemoryError) as error:
                errors += 1
                stuck = self._section.tell() == last
                last = self._section.tell()
                yield None, error
                if errors > MAX_ERRORS or (stuck and errors > 3):
                    self.gave_up = True
                    return

    def _decode(self, packet: Any, clock: Clock) -> list[Any]:
        import av

        skipped = clock.tag_bytes(packet)
        if skipped >= packet.size > 0:
            return []
        raw = self._kind.name in RAW
        if not skipped and not (raw and _is_tag(packet)):
            try:
                frames = self._frames(packet.decode())
                if self._kind.name == "flac" and packet.size and packet.duration != sum(f.samples for f in frames):
                    return self._each_frame(packet, clock)
                if self._sane(frames):
                    clock.note_decoded(packet)
                    return frames
            except (av.error.FFmpegError, ValueError, MemoryError):
                if packet.size == 0:  # the flush at the end
                    return []
                if self._kind.name == "flac":
                    return self._each_frame(packet, clock)
        rest = self._after_junk(packet, clock) if raw else None
        if rest is None:
            clock.note_lost(packet)
        return rest or []

    def _each_frame(self, packet: Any, clock: Clock) -> list[Any]:
        """Decode a packet frame by frame: near damage, FFmpeg's FLAC parser merges several frames."""
        import av

        data = bytes(packet)
        starts = _frames_of_flac(data)
        ends = [*starts[1:], len(data)]
        frames: list[Any] = []
        at = 0 if starts else len(data)
        front_lost = not starts or starts[0] > 0
        while at < len(starts):
            first = flac_position(data, starts[at], self._stream.codec_context.extradata or b"")
            # A frame may contain bytes that look like a header.
            tries = [(k, ends[k]) for k in range(at, min(at + MAX_FALSE, len(starts)))]
            if at == len(starts) - 1:  # a tag may follow, with which some FFmpeg versions reject the frame
                tries += [(at, end) for end in islice(flac_ends(data, starts[at]), MAX_FALSE)]
            for k, end in tries:
                block = av.Packet(data[starts[at] : end])
                block.time_base = packet.time_base
                if first is not None:
                    block.pts = round(first / self._stream.codec_context.sample_rate / packet.time_base)
                try:
                    found = self._frames(self._stream.codec_context.decode(block))
                except (av.error.FFmpegError, ValueError, MemoryError):
                    continue
                if found:
                    frames += found
                    at = k
                    break
            else:
                front_lost = front_lost or not frames
            at += 1
        if front_lost and not (frames and clock.begun):  # losses between frames follow from their positions
            clock.note_lost(packet)
        return frames

    def _frames(self, decoded: list[Any]) -> list[Any]:
        return [packed for f in decoded if f.samples for packed in self._packer.packed(f)]

    def _after_junk(self, packet: Any, clock: Clock) -> list[Any] | None:
        """Decode the frame in a packet that begins with tags or junk; None if there is none."""
        import av

        data = bytes(packet)
        clock.find_tags(packet)
        at = max(0, clock.tag_bytes(packet) - 1)
        while 0 <= (at := data.find(b"\xff", at + 1)) < len(data) - 8:
            found = sync_at(data, at)
            if found is None or found.container != self._kind.name or at + found.size > len(data):
                continue
            try:
                frames = self._frames(self._stream.codec_context.decode(av.Packet(data[at:])))
            except (av.error.FFmpegError, ValueError, MemoryError):
                return None
            clock.note_decoded(packet, at)
            return frames
        return None

    def _sane(self, frames: list[Any]) -> bool:
        """Whether the levels of a lossy codec's frames are plausible; damaged bits give absurd levels."""
        if self.exact:
            return True
        for frame in frames:
            if frame.format.name in ("fltp", "flt"):
                planar = frame.format.is_planar
                count = frame.samples * (1 if planar else frame.layout.nb_channels)
                for plane in planes_of(frame):
                    if not np.abs(np.frombuffer(plane, "<f4", count)).max() < LOSSY_PEAK:
                        return False
        return True


def _is_default(stream: Any) -> bool:
    return bool(getattr(getattr(stream, "disposition", None), "value", 0) & 1)  # FFmpeg's AV_DISPOSITION_DEFAULT


def _unread_tracks(count: int, chosen: int) -> str:
    """Return a remark on further audio tracks, "" if there are none."""
    if not count:
        return ""
    further = "1 further audio track is not read" if count == 1 else f"{count} further audio tracks are not read"
    return further if chosen == 1 else f"audio track {chosen} is read; {further}"


def _frames_of_flac(data: bytes) -> list[int]:
    found, at = [], data.find(b"\xff")
    while at >= 0:
        sync = sync_at(data, at)
        if sync is not None and sync.container == "flac":
            found.append(at)
        at = data.find(b"\xff", at + 1)
    return found


def _options(demuxer: str) -> dict[str, str]:
    """Return allow lists: no protocol, one demuxer, audio decoders."""
    return {
        "protocol_whitelist": "none",
        "format_whitelist": demuxer,
        "codec_whitelist": ",".join(sorted(CODECS)),
    }


def _open(section: Section, demuxer: str, options: dict[str, str]) -> Any:
    """Open a container; invalid UTF-8 in tags is replaced."""
    import av

    try:
        return av.open(section, format=demuxer, metadata_errors="replace", options=options)
    except TypeError:  # PyAV 19 and later have no such option
        return av.open(section, format=demuxer, options=options)


def _is_tag(packet: Any) -> bool:
    """Whether a packet is a tag; some decoders accept tags as audio."""
    return packet.size > 3 and bytes(memoryview(packet)[:3]) in (b"ID3", b"TAG", b"APE")


def _lower(tags: dict[str, str]) -> dict[str, str]:
    """Return tags with lower-case names; PyAV 19 decodes bytes that are not UTF-8 as surrogates."""
    return {k.lower(): v.encode("utf-8", "surrogateescape").decode("utf-8", "replace") for k, v in tags.items()}


def reason(error: BaseException) -> str:
    """Return a short reason for a decoder error."""
    if isinstance(error, StalledError):
        return "the decoder keeps reading without output"
    if isinstance(error, MemoryError):
        return "it requests more memory than is available"
    text = str(getattr(error, "strerror", "") or error).strip().rstrip(".")
    if isinstance(error, EOFError) or text == "End of file":
        return "it ends before the audio begins"
    if text.startswith("Invalid data found"):
        return "its header is damaged or cut off"
    return text.split(": ")[-1] if text else type(error).__name__
