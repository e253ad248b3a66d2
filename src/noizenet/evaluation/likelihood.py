"""What held-out music costs a model in bits, genre by genre, beside predictors that learn next to nothing."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from noizenet.audio.beats import Beats, find_beats, ticks_of
from noizenet.audio.waveform import Waveform, mix_channels
from noizenet.base.errors import UsageError
from noizenet.corpus.corpus import Corpus, Track
from noizenet.evaluation.baselines import linear_prediction, persistence, zeroth_order
from noizenet.store.model import Model

EXCERPT_S, CODES_S, EXCERPTS, TRAINING_EXCERPTS = 2.0, 4.0, 8, 64


def likelihood(model: Model, corpus: Corpus) -> dict[str, Any]:
    """Return bits per sample and per second over excerpts of every genre's held-out tracks.

    Each excerpt, two seconds of samples or four of codes, begins from the model's start state. Bits are exact: of the
    classes, sketch included; the baselines' are of the same classes. A network with a clock is told the music's own
    beat, as in training and its validation; what it pays where it is told nothing of it stands beside.

    Returns
    -------
    dict
        ``genres``: figures of each: ``bits`` (the model's), ``bits_without_beat`` (of networks with a clock),
        ``zeroth_order``, and for classes that are samples
        ``persistence`` and ``linear_prediction``, all in the ``unit`` given, ``bits_per_second`` and ``seconds``; their
        ``mean``; ``excerpts``: the bits of every excerpt, and its track's number among the genre's, genre by genre;
        and ``distortion_db``, the mean difference of mel levels between the sound and what is left of it in the
        frames: bits per second of two representations can be compared at like distortion only.

    Raises
    ------
    UsageError
        If the model predicts no distribution, plays at another rate than the corpus, or no held-out track is
        long enough.
    """
    r = model.representation
    values = r.values()
    if model.architecture.kind != "classes" or not model.architecture.samples:
        raise UsageError("this model predicts no distribution: it has no likelihood to compare")
    check_same_sound(model, corpus)
    train = _excerpts(model, corpus, corpus.split("train"), TRAINING_EXCERPTS).lanes
    genres, excerpts = dict[str, dict[str, float]](), list[dict[str, list[float]]]()
    apart = list[float]()
    for genre in corpus.genres:
        held = [t for t in corpus.held_out() if t.genre == genre]
        found = _excerpts(model, corpus, held, EXCERPTS, apart)
        lanes, ticks = found.lanes, found.ticks
        if not len(lanes) or not len(train):
            continue
        rows = {"bits": [_bits(model, lane[None], genre, tick[None]) for lane, tick in zip(lanes, ticks, strict=True)]}
        if model.architecture.options.clock:
            rows["bits_without_beat"] = [_bits(model, lane[None], genre, None) for lane in lanes]
        rows |= _simple(train, lanes, r.levels, values)
        excerpts.append({**rows, "track": list(map(float, found.tracks))})
        genres[genre] = {k: float(np.mean(v)) for k, v in rows.items()}
        genres[genre] |= {
            "bits_per_second": genres[genre]["bits"] * r.frame_rate,
            "seconds": lanes[..., 0].size / r.frame_rate,
        }
    if not genres:
        raise UsageError(f"no held-out track is as long as {EXCERPT_S:g} s")
    keys = [k for k in next(iter(genres.values())) if k != "seconds"]
    return {
        "genres": genres,
        "mean": {k: float(np.mean([g[k] for g in genres.values()])) for k in keys},
        "excerpts": excerpts,
        "distortion_db": float(np.mean(apart)),
        "unit": "bits per frame of codes" if model.architecture.tokens else "bits per sample",
    }


def _simple(
    train: NDArray[np.int64], lanes: NDArray[np.int64], levels: int, values: NDArray[np.float32] | None
) -> dict[str, list[float]]:
    """Return what the baselines pay for lanes [B, T, K]. Codes have no order: of them only the histogram can be had."""
    books = range(lanes.shape[2])
    found = {"zeroth_order": sum(zeroth_order(train[..., k], lanes[..., k], levels) for k in books)}
    if values is not None:
        found["persistence"] = persistence(train[..., 0], lanes[..., 0], levels)
        found["linear_prediction"] = linear_prediction(lanes[..., 0], values)
    return {k: np.asarray(v).tolist() for k, v in found.items()}


def check_same_sound(model: Model, corpus: Corpus) -> None:
    """See that a model can hear a corpus as it is.

    Raises
    ------
    UsageError
        If their rates or channels differ.
    """
    r = model.representation
    if r.key:  # hears any sound, converted
        return
    if (r.sample_rate, r.channels) != (corpus.sample_rate, corpus.channels):
        raise UsageError(
            f"the model plays {r.channels} channel(s) at {r.sample_rate} Hz, the corpus holds "
            f"{corpus.channels} at {corpus.sample_rate} Hz: build it anew at the model's"
        )


class _Excerpts(NamedTuple):
    """Classes [B, T + 1, K], what is told of the beat in the last T frames [B, T], and the number of each's track."""

    lanes: NDArray[np.int64]
    ticks: NDArray[np.int64]
    tracks: list[int]


def _excerpts(
    model: Model, corpus: Corpus, tracks: Sequence[Track], count: int, apart: list[float] | None = None
) -> _Excerpts:
    """Return excerpts in classes, spread evenly over the tracks; T is a multiple of the network's step.

    Where `apart` is given, each one's distortion in dB is appended to it.
    """
    r, clock = model.representation, model.architecture.options.clock
    granule = math.lcm(model.network.granule, r.granule)
    samples = round((EXCERPT_S if r.values() is not None else CODES_S) * corpus.sample_rate)
    frames = r.frames_for(int(samples * r.sample_rate / corpus.sample_rate)) // granule * granule
    long = [t for t in tracks if t.frames > samples + 1]
    lanes, ticks, numbers, beats = [], [], list[int](), dict[int, Beats]()
    for i in range(count if long else 0):
        number = i * len(long) // count if len(long) > count else i % len(long)
        track = long[number]
        start = round((i + 0.5) / count * (track.frames - samples - 1))
        sound = corpus.waveform(track, start, samples + 1)
        encoded = r.encode(sound)
        if apart is not None:
            apart.append(mel_distance(sound, r.decode(encoded)))
        lanes.append(encoded[: frames + 1].astype(np.int64))
        numbers.append(number)
        told = np.zeros(frames, np.int64)
        if clock and apart is not None:
            if number not in beats:
                beats[number] = find_beats(corpus.mono(track), corpus.sample_rate)
            middles = start / corpus.sample_rate + (np.arange(1, frames + 1, dtype=np.float64) + 0.5) / r.frame_rate
            told = ticks_of(beats[number].phases(np.asarray(middles, np.float64)), clock)
        ticks.append(told)
    if not lanes:
        return _Excerpts(np.zeros((0, frames + 1, r.dim), np.int64), np.zeros((0, frames), np.int64), [])
    return _Excerpts(np.stack(lanes), np.stack(ticks), numbers)


def mel_distance(sound: Waveform, kept: Waveform) -> float:
    """Return the mean absolute difference of mel levels in dB; what is under -60 dB counts as that."""
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


def mix_of(model: Model, genre: str) -> NDArray[np.float32]:
    """Return a genre as a model is told it, [G]; a genre that it does not know is all of them alike."""
    count = max(1, len(model.genres))
    if genre in model.genres:
        return np.asarray(np.eye(count)[model.genres.index(genre)], np.float32)
    return np.full(count, 1 / count, np.float32)


def _bits(model: Model, lanes: NDArray[np.int64], genre: str, ticks: NDArray[np.int64] | None) -> float:
    import torch

    network = model.network
    mix = torch.from_numpy(mix_of(model, genre))
    frames = torch.from_numpy(lanes)
    told = None if ticks is None or not model.architecture.options.clock else torch.from_numpy(ticks)
    with torch.inference_mode():
        nats, _, _ = network.nats(
            frames[:, :-1], frames[:, 1:], mix.expand(len(lanes), -1), network.start_state(len(lanes)), told
        )
    return float(nats) / math.log(2)
