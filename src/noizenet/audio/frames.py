"""Frames of FFmpeg's decoders, joined to blocks of float32."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from noizenet.audio.clock import Clock
from noizenet.audio.fold import Layout, known_layout

_TYPES: dict[str, tuple[str, float, float]] = {
    "u8": ("u1", 128.0, 1 / 128),
    "s16": ("<i2", 0.0, 1 / 32768),
    "s32": ("<i4", 0.0, 1 / 2147483648),
    "s64": ("<i8", 0.0, 1 / 9223372036854775808),
    "flt": ("<f4", 0.0, 1.0),
    "dbl": ("<f8", 0.0, 1.0),
}


class DecodedBlock(NamedTuple):
    """Decoded audio: float32 [n, C], its sample rate in Hz, its channel layout."""

    samples: NDArray[np.float32]
    rate: int
    layout: Layout


class Gap(NamedTuple):
    """Missing audio.

    `at_end` is True if nothing follows. `only_stamps` is True if the time stamps jump but no bytes are missing: nothing
    was recorded there.
    """

    seconds: float
    at_end: bool = False
    only_stamps: bool = False


MAX_PLANES = 7
"""PyAV counts planes up to a null pointer. FFmpeg's list of eight has none when it is full (PyAV 19 then fails)."""

_HELD: list[Any] = []


def hold_layout(layout: Any) -> None:
    """Keep a reference to a layout for the life of the process, unless it is mono or stereo.

    FFmpeg's layouts with a custom channel order own memory. PyAV (to 18.1 at least) copies the pointer and frees it
    with its own object, and FFmpeg frees it again: the process would crash. An object that is never freed avoids this,
    and is small.
    """
    if layout.name not in ("mono", "stereo", "1 channels", "2 channels"):
        _HELD.append(layout)


def take_layout(context: Any) -> Layout:
    """Return a decoder's channels, and reset its layout: frames would inherit the container's channel order."""
    layout = context.layout
    hold_layout(layout)
    if layout.nb_channels > 2:
        context.layout = f"{layout.nb_channels} channels"
    return frame_layout(layout)


def planes_of(frame: Any) -> list[Any]:
    """Return the planes of a frame.

    Raises
    ------
    ValueError
        If there are more than MAX_PLANES.
    """
    count = frame.layout.nb_channels if frame.format.is_planar else 1
    if count > MAX_PLANES:
        raise ValueError(f"{count} planes")
    return list(frame.planes[:count])


class PlanePacker:
    """Interleaves the planes of frames that have more than MAX_PLANES."""

    def __init__(self) -> None:
        self._resampler: Any = None
        self._kind: tuple[str, int, str] | None = None

    def packed(self, frame: Any) -> list[Any]:
        """Return a frame unchanged, or as packed (interleaved) frames."""
        hold_layout(frame.layout)
        if not frame.format.is_planar or frame.layout.nb_channels <= MAX_PLANES:
            return [frame]
        import av

        kind = (frame.format.name, frame.sample_rate, frame.layout.name)
        if "(" in kind[2]:  # a custom channel order cannot be passed on; see hold_layout
            raise ValueError(f"custom channel order: {kind[2]}")
        if kind != self._kind:
            self._kind = kind
            self._resampler = av.AudioResampler(frame.format.packed.name, frame.layout, frame.sample_rate)
        return list(self._resampler.resample(frame))


class FormatFilter:
    """Holds back frames of another rate or channel count until several of the same format follow.

    In a stream of frames without a container, damaged bytes can look like a frame header of any format. After two files
    were joined, frames of the new format continue.
    """

    FRAMES = 4

    def __init__(self, raw: bool) -> None:
        self._raw = raw
        self._kind: tuple[int, int] | None = None
        self._held: list[Any] = []

    def accept(self, frames: list[Any], clock: Clock) -> Iterator[Any]:
        """Yield the frames that are audio."""
        for frame in frames:
            kind = (frame.sample_rate, frame.layout.nb_channels)
            if not self._raw or self._kind in (None, kind):
                for false in self._held:
                    clock.note_lost_seconds(false.samples / false.sample_rate)
                self._held, self._kind = [], kind
                yield frame
                continue
            if self._held and kind != (self._held[0].sample_rate, self._held[0].layout.nb_channels):
                self._held = []
            self._held.append(frame)
            if len(self._held) >= self.FRAMES:
                held, self._held, self._kind = self._held, [], kind
                yield from held


class FrameJoiner:
    """Joins frames of one format to blocks of about a second."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout  # for frames that declare no channel names
        self._frames: list[Any] = []
        self._count = 0
        self._kind: tuple[str, int, str] | None = None

    def push(self, frame: Any) -> DecodedBlock | None:
        """Add a frame; return the finished block if it is full or this frame has another format."""
        kind = (frame.format.name, frame.sample_rate, frame.layout.name)
        done = None
        if self._frames and (kind != self._kind or self._count >= frame.sample_rate):
            done = self.flush()
        self._kind = kind
        self._frames.append(frame)
        self._count += frame.samples
        return done

    def flush(self) -> DecodedBlock | None:
        """Return the joined frames as a block; None if there are none."""
        if not self._frames:
            return None
        frames, self._frames, self._count = self._frames, [], 0
        layout = frames[0].layout
        nameless = layout.name == f"{len(self._layout)} channels"
        return DecodedBlock(_samples(frames), frames[0].sample_rate, self._layout if nameless else frame_layout(layout))


def _samples(frames: list[Any]) -> NDArray[np.float32]:
    """Return frames of one format as float32 [n, C]."""
    form, channels = frames[0].format, frames[0].layout.nb_channels
    dtype, zero, scale = _TYPES[form.packed.name if form.is_planar else form.name]
    count = sum(f.samples for f in frames)
    out = np.empty((count, channels), np.float32)
    with np.errstate(over="ignore"):  # 64-bit levels beyond float32 become infinite, and are reported
        if form.is_planar:
            planes = [planes_of(f) for f in frames]
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


def frame_layout(layout: Any) -> Layout:
    """Return the channels of FFmpeg's layout by name."""
    return known_layout(tuple(c.name for c in layout.channels))
