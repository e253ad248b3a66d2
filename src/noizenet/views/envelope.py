"""The envelope: RMS level over time, with attack, decay, sustain and release (ADSR) of every note.

The four numbers follow the synthesiser's convention (M. Vail, The Synthesizer, 2013). Attack is the time from the onset
to (nine tenths of) the peak, decay the time from there to the sustain level, sustain the level that is held, release
the time in which it fades out.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from noizenet.audio.dsp import rms, stream_frames
from noizenet.audio.peaks import pick_peaks
from noizenet.audio.units import amplitude_to_db
from noizenet.views.base import DrawOptions, View, time_axis
from noizenet.views.render import ACCENT, MUTED, WAVE
from noizenet.views.sound import Sound

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FRAME_S, HOP_S = 0.012, 0.004
RISE_DB = 6.0  # minimum rise of a note's level over the preceding level
FLOOR_DB = -60.0
MIN_NOTE_S, MAX_NOTE_S = 0.05, 8.0
COLUMNS = 4000
COLOURS = {"A": "#1b9e77", "D": "#d95f02", "S": "#7570b3", "R": "#e7298a"}


class Note(NamedTuple):
    """A note: times in seconds, levels linear. The release is 0 if the next note cuts this one off."""

    onset: float
    attack: float
    decay: float
    sustain: float
    release: float
    peak: float
    sustained_until: float


class Envelope(NamedTuple):
    """RMS level [n] at `times` in seconds [n], the detected notes, and the length in seconds."""

    times: NDArray[np.float64]
    level: NDArray[np.float32]
    notes: list[Note]
    seconds: float


class EnvelopeView(View):
    """RMS envelope with the ADSR of the clearest note, and the medians of all notes."""

    name = "envelope"
    height = 2.6

    def analyse(self, sound: Sound) -> Envelope:
        """Measure the envelope every 4 ms and detect the notes."""
        rate = sound.sample_rate
        length, hop = max(2, round(FRAME_S * rate)), max(1, round(HOP_S * rate))
        count = 0

        def counted() -> Any:
            nonlocal count
            yield np.zeros(length // 2, np.float32)
            for block in sound.blocks:
                count += len(block)
                yield block
            yield np.zeros(length, np.float32)

        level = np.concatenate([rms(f) for f in stream_frames(counted(), length, hop)])
        times = np.arange(len(level)) * hop / rate
        return Envelope(times, level, find_notes(level, hop / rate), count / rate)

    def draw(self, data: Any, axes: Axes, figure: Figure, options: DrawOptions) -> None:
        """Draw the whole envelope; an inset shows the clearest note with its four parts."""
        envelope: Envelope = data
        unit = time_axis(axes, envelope.seconds)
        stride = max(1, len(envelope.level) // COLUMNS)
        level = _maxima(envelope.level, stride)
        axes.fill_between(envelope.times[::stride][: len(level)] / unit, 0, level, color=WAVE, alpha=0.75, lw=0)
        top = max(1e-3, float(envelope.level.max()))
        axes.set(xlim=(0, envelope.seconds / unit), ylim=(0, top * 1.9), ylabel="RMS level", title=options.title)
        axes.grid(alpha=0.2)
        note = clearest(envelope.notes)
        if note is None:
            axes.text(0.99, 0.95, "no note onsets found", transform=axes.transAxes, ha="right", va="top", fontsize=8)
            return
        if len(envelope.notes) <= 400:
            axes.vlines([n.onset / unit for n in envelope.notes], 0, top * 0.03, color=ACCENT, lw=0.8)
        _label(axes, summary(envelope.notes))
        inset = axes.inset_axes((0.68, 0.56, 0.3, 0.32))
        _draw_note(inset, envelope, note)


def find_notes(level: NDArray[np.float32], step_s: float) -> list[Note]:
    """Find note onsets in an RMS envelope and measure each note's ADSR.

    Parameters
    ----------
    level : ndarray [n]
        Linear RMS levels.
    step_s : float
        Seconds between levels.

    Returns
    -------
    list of Note
    """
    if len(level) < 8:
        return []
    decibels = np.maximum(amplitude_to_db(level), FLOOR_DB)
    back = max(1, round(0.03 / step_s))
    earlier = np.concatenate([np.full(back, FLOOR_DB), decibels[:-back]])
    rise = np.maximum(decibels - earlier, 0)
    wait = max(1, round(MIN_NOTE_S / step_s))
    peaks = pick_peaks(rise, maximum=wait, average=wait, delta=RISE_DB / 3, wait=wait)
    starts = [max(0, int(p) - back) for p in peaks if rise[p] >= RISE_DB and decibels[p] > FLOOR_DB + 10]
    notes = []
    for i, start in enumerate(starts):
        end = starts[i + 1] if i + 1 < len(starts) else len(level)
        note = _measure(level[start:end].astype(np.float64), step_s, start * step_s, cut=i + 1 < len(starts))
        if note is not None:
            notes.append(note)
    return notes


def clearest(notes: list[Note]) -> Note | None:
    """Return the note with the most visible parts: loud, long enough, preferably with a release."""
    return max(notes, key=lambda n: n.peak * min(1.0, _length(n) / 0.3) * (2 if n.release else 1), default=None)


def summary(notes: list[Note]) -> str:
    """Return the medians of all notes in three short lines."""
    a, d, s, r = (
        np.median(v) for v in zip(*[(n.attack, n.decay, n.sustain / n.peak, n.release) for n in notes], strict=True)
    )
    return (
        f"{len(notes)} notes (medians):\nattack {a * 1e3:.0f} ms, decay {d * 1e3:.0f} ms,\n"
        f"sustain {s:.0%} of peak, release {r * 1e3:.0f} ms"
    )


def _measure(x: NDArray[np.float64], step: float, onset: float, *, cut: bool) -> Note | None:
    x = x[: round(MAX_NOTE_S / step)]
    peak = float(x.max(initial=0.0))
    if len(x) * step < MIN_NOTE_S or peak <= 0:
        return None
    first = int(np.argmax(x >= 0.1 * peak))  # the note begins at a tenth of the peak
    top = int(np.argmax(x >= 0.9 * peak))  # a held note may have its maximum anywhere
    last = int(np.nonzero(x >= 0.1 * peak)[0][-1])
    middle = x[top + (last - top) // 3 : max(top + 1, top + 2 * (last - top) // 3) + 1]
    sustain = float(min(peak, np.median(middle)))
    # The sustain ends where the level falls below 0.7 of its middle and stays below.
    until = max(top, int(np.nonzero(x >= min(0.7 * sustain, peak))[0][-1]))
    reached = np.nonzero(x[top : until + 1] <= sustain + 0.1 * (peak - sustain))[0]
    decay = int(reached[0]) if len(reached) else until - top
    release = 0.0 if cut and last >= len(x) - 2 else max(0.0, (last - until) * step)
    return Note(onset + first * step, (top - first) * step, decay * step, sustain, release, peak, onset + until * step)


def _length(note: Note) -> float:
    return note.sustained_until - note.onset + note.release


def _maxima(values: NDArray[np.float32], stride: int) -> NDArray[np.float32]:
    if stride == 1:
        return values
    whole = -(-len(values) // stride) * stride
    return np.asarray(np.pad(values, (0, whole - len(values))).reshape(-1, stride).max(1))


def _label(axes: Axes, text: str) -> None:
    box = {"facecolor": "white", "alpha": 0.8, "lw": 0, "pad": 1.5}
    axes.text(0.006, 0.96, text, transform=axes.transAxes, va="top", fontsize=8, bbox=box)


def _draw_note(axes: Axes, envelope: Envelope, note: Note) -> None:
    """Draw one note enlarged: its four parts in colours, times below, levels at the side."""
    begin, end = note.onset - 0.03, note.onset + _length(note) + 0.05
    inside = (envelope.times >= begin) & (envelope.times <= end)
    ms = (envelope.times[inside] - note.onset) * 1e3
    axes.plot(ms, envelope.level[inside], color=MUTED, lw=1.0)
    peak = note.attack
    corners = [0.0, peak, peak + note.decay, note.sustained_until - note.onset, _length(note)]
    corners = [c * 1e3 for c in np.maximum.accumulate(corners)]
    heights = [
        0.1 * note.peak,
        note.peak,
        note.sustain,
        note.sustain,
        0.1 * note.peak if note.release else note.sustain,
    ]
    spans = dict(zip("ADSR", pairwise(corners), strict=True))
    for i, (letter, (left, right)) in enumerate(spans.items()):
        if right - left <= 0:
            continue
        axes.plot([left, right], heights[i : i + 2], color=COLOURS[letter], lw=2.2, solid_capstyle="round")
        axes.axvspan(left, right, color=COLOURS[letter], alpha=0.10, lw=0)
    times = (note.attack, note.decay, spans["S"][1] / 1e3 - spans["S"][0] / 1e3, note.release)
    text = "  ".join(f"{k} {v * 1e3:.0f}" for k, v in zip("ADSR", times, strict=True))
    axes.set_title(f"{text} ms, at {note.onset:.2f} s", fontsize=7, pad=2, loc="right")
    axes.set_yticks(
        [note.sustain, note.peak],
        [f"S {note.sustain:.2f}", f"peak {note.peak:.2f}"]
        if note.peak > 1.15 * note.sustain
        else ["", f"S≈peak {note.peak:.2f}"],
        fontsize=6,
    )
    axes.tick_params(axis="x", labelsize=6, pad=1)
    axes.set_ylim(0, note.peak * 1.15)
    axes.set_xlim((begin - note.onset) * 1e3, (end - note.onset) * 1e3)
