"""Likelihood of held-out music under a model, in bits by genre, with baselines."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from noizenet.audio.beats import Beats, beat_phase_ids, find_beats, phrase_beat_ids
from noizenet.audio.phrases import find_phrases
from noizenet.audio.waveform import Waveform, mix_channels
from noizenet.base.errors import UsageError
from noizenet.corpus.corpus import Corpus, Track
from noizenet.evaluation.baselines import linear_prediction, persistence, zeroth_order
from noizenet.model.lookback import frames_before, steps_of
from noizenet.store.model import Model

EXCERPT_S, CODES_S, EXCERPTS, TRAINING_EXCERPTS = 2.0, 4.0, 8, 64
LOOKBACK_S = 16.0
"""Context before an excerpt from which lookback codes are taken."""


def likelihood(model: Model, corpus: Corpus) -> dict[str, Any]:
    """Return bits per sample and per second over excerpts of every genre's held-out tracks.

    Each excerpt, two seconds of samples or four of codes, starts from the model's start state. Bits are the exact
    negative log-likelihood of the classes, coarse features included; the baselines predict the same classes. A network
    with a clock is conditioned on the music's beat phase (and beat of the phrase, and lookback codes), as in training
    and validation; its bits without this conditioning are returned too.

    Returns
    -------
    dict
        ``genres``: for each genre ``bits`` (the model's), ``bits_without_beat`` (only with a clock), ``zeroth_order``,
        and for classes that are samples ``persistence`` and ``linear_prediction``, all in ``unit``; then
        ``bits_per_second`` and ``seconds``. ``mean``: their means over the genres. ``excerpts``: for each genre the
        bits of every excerpt and the index of its track among the genre's. ``distortion_db``: mean difference of mel
        levels between the audio and its reconstruction from the frames; bits per second of two representations can be
        compared only at equal distortion.

    Raises
    ------
    UsageError
        If the model predicts no distribution, its rate or channels are not the corpus's, or no held-out track is long
        enough.
    """
    r = model.representation
    values = r.values()
    if model.architecture.kind != "classes" or not model.architecture.samples:
        raise UsageError("this model predicts no distribution, so it has no likelihood")
    check_compatible(model, corpus)
    train = _excerpts(model, corpus, corpus.split("train"), TRAINING_EXCERPTS).windows
    genres, excerpts = dict[str, dict[str, float]](), list[dict[str, list[float]]]()
    distortions = list[float]()
    for genre in corpus.genres:
        held_out = [t for t in corpus.held_out() if t.genre == genre]
        found = _excerpts(model, corpus, held_out, EXCERPTS, distortions)
        windows, beat_inputs = found.windows, [found.beat_phase, found.phrase_beat, found.lookback_codes]
        if not len(windows) or not len(train):
            continue
        rows = {
            "bits": [
                _bits(model, window[None], genre, [x[i : i + 1] for x in beat_inputs])
                for i, window in enumerate(windows)
            ]
        }
        if model.architecture.options.clock:
            rows["bits_without_beat"] = [_bits(model, window[None], genre, None) for window in windows]
        rows |= _baseline_bits(train, windows, r.levels, values)
        excerpts.append({**rows, "track": list(map(float, found.tracks))})
        genres[genre] = {k: float(np.mean(v)) for k, v in rows.items()}
        genres[genre] |= {
            "bits_per_second": genres[genre]["bits"] * r.frame_rate,
            "seconds": windows[..., 0].size / r.frame_rate,
        }
    if not genres:
        raise UsageError(f"no held-out track is longer than {EXCERPT_S:g} s")
    keys = [k for k in next(iter(genres.values())) if k != "seconds"]
    return {
        "genres": genres,
        "mean": {k: float(np.mean([g[k] for g in genres.values()])) for k in keys},
        "excerpts": excerpts,
        "distortion_db": float(np.mean(distortions)),
        "unit": "bits per frame of codes" if model.architecture.tokens else "bits per sample",
    }


def _baseline_bits(
    train: NDArray[np.int64], windows: NDArray[np.int64], levels: int, values: NDArray[np.float32] | None
) -> dict[str, list[float]]:
    """Return the baselines' bits for windows [B, T, K]. Codes have no order, so only the histogram applies to them."""
    books = range(windows.shape[2])
    found = {"zeroth_order": sum(zeroth_order(train[..., k], windows[..., k], levels) for k in books)}
    if values is not None:
        found["persistence"] = persistence(train[..., 0], windows[..., 0], levels)
        found["linear_prediction"] = linear_prediction(windows[..., 0], values)
    return {k: np.asarray(v).tolist() for k, v in found.items()}


def check_compatible(model: Model, corpus: Corpus) -> None:
    """Raise if a model cannot take a corpus's audio without conversion.

    Raises
    ------
    UsageError
        If their rates or channels differ.
    """
    r = model.representation
    if r.cache_key:  # its encoder converts rate and channels
        return
    if (r.sample_rate, r.channels) != (corpus.sample_rate, corpus.channels):
        raise UsageError(
            f"the model has {r.channels} channel(s) at {r.sample_rate} Hz, the corpus "
            f"{corpus.channels} at {corpus.sample_rate} Hz: build the corpus again with the model's"
        )


class _Excerpts(NamedTuple):
    """Classes [B, T + 1, K], beat conditioning of the last T frames, and the track index of each row.

    `beat_phase` and `phrase_beat` [B, T] and `lookback_codes` [B, T, L, K] are those of
    :class:`~noizenet.model.network.BeatInputs`.
    """

    windows: NDArray[np.int64]
    beat_phase: NDArray[np.int64]
    phrase_beat: NDArray[np.int64]
    lookback_codes: NDArray[np.int64]
    tracks: list[int]


def _excerpts(
    model: Model, corpus: Corpus, tracks: Sequence[Track], count: int, distortions: list[float] | None = None
) -> _Excerpts:
    """Return encoded excerpts, spread evenly over the tracks; T is a multiple of the network's frame multiple.

    If `distortions` is given, each excerpt's distortion in dB is appended to it, and the beat is detected.
    """
    r, o = model.representation, model.architecture.options
    frame_multiple = math.lcm(model.network.frame_multiple, r.frame_multiple)
    samples = round((EXCERPT_S if r.values() is not None else CODES_S) * corpus.sample_rate)
    frames = r.frames_for(int(samples * r.sample_rate / corpus.sample_rate)) // frame_multiple * frame_multiple
    long = [t for t in tracks if t.frames > samples + 1]
    windows, numbers, beats = [], list[int](), dict[int, tuple[Beats, NDArray[np.int64]]]()
    beat_inputs = list[tuple[NDArray[np.int64], ...]]()
    for i in range(count if long else 0):
        number = i * len(long) // count if len(long) > count else i % len(long)
        track = long[number]
        start = round((i + 0.5) / count * (track.frames - samples - 1))
        sound = corpus.waveform(track, start, samples + 1)
        encoded = r.encode(sound)
        if distortions is not None:
            distortions.append(mel_distance(sound, r.decode(encoded)))
        windows.append(encoded[: frames + 1].astype(np.int64))
        numbers.append(number)
        if not (o.clock and distortions is not None):
            beat_inputs.append(_no_beat(model, frames))
            continue
        if number not in beats:
            mono = corpus.mono(track)
            found = find_beats(mono, corpus.sample_rate)
            needs_phrases = o.phrase or o.lookback_beats
            beat_numbers = (
                find_phrases(mono, corpus.sample_rate, found.times) if needs_phrases else np.arange(len(found.times))
            )
            beats[number] = found, beat_numbers
        beat_inputs.append(_beat_inputs(model, corpus, track, start, windows[-1], *beats[number]))
    if not windows:
        empty = np.zeros((0, frames + 1, r.dim), np.int64)
        beat_phase, phrase_beat, lookback_codes = (x[None][:0] for x in _no_beat(model, frames))
        return _Excerpts(empty, beat_phase, phrase_beat, lookback_codes, [])
    beat_phase, phrase_beat, lookback_codes = (np.stack(x) for x in zip(*beat_inputs, strict=True))
    return _Excerpts(np.stack(windows), beat_phase, phrase_beat, lookback_codes, numbers)


def _no_beat(model: Model, frames: int) -> tuple[NDArray[np.int64], ...]:
    """Return beat phase, phrase beat and lookback codes that mean "unknown" for so many frames."""
    a = model.architecture
    none = np.zeros(frames, np.int64)
    return none, none, np.full((frames, len(a.options.lookback_beats), a.dim), -1, np.int64)


def _beat_inputs(
    model: Model, corpus: Corpus, track: Track, start: int, window: NDArray[np.int64], beats: Beats,
    numbers: NDArray[np.int64],
) -> tuple[NDArray[np.int64], ...]:  # fmt: skip
    """Return beat phase, phrase beat and lookback codes of an excerpt from sample `start`, without its first frame."""
    r, o = model.representation, model.architecture.options
    beat_phase, phrase_beat, lookback_codes = _no_beat(model, len(window) - 1)
    begin = start / corpus.sample_rate

    def frame_centres(first: int, last: int) -> NDArray[np.float64]:
        return np.asarray(begin + (np.arange(first, last, dtype=np.float64) + 0.5) / r.frame_rate, np.float64)

    beat_phase = beat_phase_ids(beats.phases(frame_centres(1, len(window))), o.clock)
    if o.phrase:
        phrase_beat = phrase_beat_ids(beats.positions(frame_centres(1, len(window)), numbers), o.phrase)
    if o.lookback_beats:
        # Lookback codes also come from before the excerpt, which is not an input of the network.
        count = int(min(LOOKBACK_S, begin) * r.frame_rate)
        samples = round(count / r.frame_rate * corpus.sample_rate)
        codes = window
        if count:
            before = r.encode(corpus.waveform(track, start - samples, samples))[:count].astype(np.int64)
            count, codes = len(before), np.concatenate([before, window])
        steps = steps_of(beats.positions(frame_centres(-count, len(window)), numbers))
        rows = frames_before(steps, o.lookback_beats, len(window) - 1, len(steps))
        lookback_codes = np.where(rows[..., None] >= 0, codes[rows.clip(min=0)], -1)
    return beat_phase, phrase_beat, lookback_codes


def mel_distance(sound: Waveform, kept: Waveform) -> float:
    """Return the mean absolute difference of mel levels in dB; levels below -60 dB count as -60 dB."""
    from noizenet.kernels.cache import load_librosa

    librosa = load_librosa()

    length = round(len(sound) * kept.sample_rate / sound.sample_rate)

    def levels(x: Waveform) -> NDArray[np.float32]:
        mono = mix_channels(x.samples, 1)[:, 0]
        mono = librosa.resample(mono, orig_sr=x.sample_rate, target_sr=kept.sample_rate, res_type="soxr_hq")
        mono = np.pad(mono, (0, max(0, length - len(mono))))[:length]
        mel = librosa.feature.melspectrogram(y=mono, sr=kept.sample_rate, n_fft=1024, hop_length=256, n_mels=64)
        return np.asarray(10 * np.log10(np.maximum(mel * (2 / 512) ** 2, 1e-6)), np.float32)

    return float(np.abs(levels(sound) - levels(kept)).mean())


def genre_mix(model: Model, genre: str) -> NDArray[np.float32]:
    """Return a model's conditioning vector of a genre, [G]: one-hot, or uniform for an unknown genre."""
    count = max(1, len(model.genres))
    if genre in model.genres:
        return np.asarray(np.eye(count)[model.genres.index(genre)], np.float32)
    return np.full(count, 1 / count, np.float32)


def _bits(model: Model, windows: NDArray[np.int64], genre: str, beat: Sequence[NDArray[np.int64]] | None) -> float:
    """Return the bits of windows [B, T + 1, K], conditioned on beat phase, phrase beat and lookback codes if given."""
    import torch

    network, o = model.network, model.architecture.options
    mix = torch.from_numpy(genre_mix(model, genre))
    frames = torch.from_numpy(windows)
    parts = zip(beat or (), (o.clock, o.phrase, o.lookback_beats), strict=bool(beat))
    beat_inputs = [torch.from_numpy(x) if used else None for x, used in parts]
    with torch.inference_mode():
        nats, _, _ = network.compute_loss(
            frames[:, :-1], frames[:, 1:], mix.expand(len(windows), -1), network.start_state(len(windows)), *beat_inputs
        )
    return float(nats) / math.log(2)
