"""Frames as FFmpeg's decoders give them, joined to pieces of float32."""

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
    """Sound as it was decoded: float32 [n, C], its rate in Hz, its channels."""

    samples: NDArray[np.float32]
    rate: int
    layout: Layout


class Gap(NamedTuple):
    """Sound that is missing here.

    `at_end` where nothing came after it; `only_stamps` where the time stamps leap and no byte is missing: nothing was
    recorded then.
    """

    seconds: float
    at_end: bool = False
    only_stamps: bool = False


MAX_PLANES = 7
"""PyAV counts planes up to a null pointer, which FFmpeg's list of eight has not when full (PyAV 19 then fails)."""

_HELD: list[Any] = []


def hold_layout(layout: Any) -> None:
    """Hold a layout for ever, unless it is plain.

    FFmpeg's layouts in an order of their own hold memory. PyAV (to 18.1 at least) copies the pointer and frees it with
    its own object, and FFmpeg frees it again: the process would crash. An object that is never freed does no harm, and
    is small.
    """
    if layout.name not in ("mono", "stereo", "1 channels", "2 channels"):
        _HELD.append(layout)


def take_layout(context: Any) -> Layout:
    """Return a decoder's channels, and make it decode without the container's order, which frames would inherit."""
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
        If there are more than PyAV can count.
    """
    count = frame.layout.nb_channels if frame.format.is_planar else 1
    if count > MAX_PLANES:
        raise ValueError(f"{count} planes")
    return list(frame.planes[:count])


class PlanePacker:
    """Makes one plane of many, where there are more than PyAV can count."""

    def __init__(self) -> None:
        self._resampler: Any = None
        self._kind: tuple[str, int, str] | None = None

    def packed(self, frame: Any) -> list[Any]:
        """Return a frame as it is, or its sound in packed frames."""
        hold_layout(frame.layout)
        if not frame.format.is_planar or frame.layout.nb_channels <= MAX_PLANES:
            return [frame]
        import av

        kind = (frame.format.name, frame.sample_rate, frame.layout.name)
        if "(" in kind[2]:  # an order of its own cannot be handed on; see keep
            raise ValueError(f"channels in an order of their own: {kind[2]}")
        if kind != self._kind:
            self._kind = kind
            self._resampler = av.AudioResampler(frame.format.packed.name, frame.layout, frame.sample_rate)
        return list(self._resampler.resample(frame))


class FormatFilter:
    """Holds frames of another rate or other channels back until more of their kind follow.

    In a stream of frames without a container, damage can look like the head of a frame of any kind; a joined file of
    another kind goes on.
    """

    FRAMES = 4

    def __init__(self, raw: bool) -> None:
        self._raw = raw
        self._kind: tuple[int, int] | None = None
        self._held: list[Any] = []

    def accept(self, frames: list[Any], clock: Clock) -> Iterator[Any]:
        """Yield the frames that are sure to be sound."""
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
    """Frames of one kind, joined to pieces of about a second."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout  # of frames that name no channels
        self._frames: list[Any] = []
        self._count = 0
        self._kind: tuple[str, int, str] | None = None

    def push(self, frame: Any) -> DecodedBlock | None:
        """Take a frame in; return the piece that is full, or that ends because this frame is of another kind."""
        kind = (frame.format.name, frame.sample_rate, frame.layout.name)
        done = None
        if self._frames and (kind != self._kind or self._count >= frame.sample_rate):
            done = self.flush()
        self._kind = kind
        self._frames.append(frame)
        self._count += frame.samples
        return done

    def flush(self) -> DecodedBlock | None:
        """Return what was joined, if anything."""
        if not self._frames:
            return None
        frames, self._frames, self._count = self._frames, [], 0
        layout = frames[0].layout
        nameless = layout.name == f"{len(self._layout)} channels"
        return DecodedBlock(_samples(frames), frames[0].sample_rate, self._layout if nameless else frame_layout(layout))


def _samples(frames: list[Any]) -> NDArray[np.float32]:
    """Return frames of one kind as float32 [n, C]."""
    form, channels = frames[0].format, frames[0].layout.nb_channels
    dtype, zero, scale = _TYPES[form.packed.name if form.is_planar else form.name]
    count = sum(f.samples for f in frames)
    out = np.empty((count, channels), np.float32)
    with np.errstate(over="ignore"):  # 64-bit levels that 32 bits cannot hold become infinite, and are told as such
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
