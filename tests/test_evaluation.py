"""Metrics on cases with known answers: noise is far, swapped genres are far, replayed training music is detected."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import numpy as np
import pytest
from scipy.linalg import sqrtm

import noizenet
from noizenet.base.errors import ModelError, UsageError
from noizenet.cli.main import main
from noizenet.evaluation import overtime
from noizenet.evaluation.bundle import MAGIC, read_bundle
from noizenet.evaluation.copying import Copying, Excerpts, compare
from noizenet.evaluation.distance import Gaussian, frechet, frechet_distance, kernel_distance
from noizenet.evaluation.features import Features, extract_features
from noizenet.evaluation.genre import GenreClassifier
from noizenet.evaluation.tagger import FRAMES, MELS, SIZE, TAGS, Tagger, log_mel

RATE = 16_000


def song(seed: int, seconds: float = 24.0, base: float = 220.0, beat_s: float = 0.5) -> np.ndarray:
    """Return a simple melody of decaying tones in a major scale over a drum-like click."""
    g = np.random.default_rng(seed)
    t = np.arange(round(beat_s * RATE)) / RATE
    scale = base * 2 ** (np.array([0, 2, 4, 5, 7, 9, 11]) / 12)
    notes = [
        sum(np.sin(2 * np.pi * k * hz * t) / k for k in range(1, 5)) * np.exp(-4 * t) * 0.2
        + g.normal(0, 0.1, len(t)) * np.exp(-60 * t)
        for hz in g.choice(scale, round(seconds / beat_s))
    ]
    return np.concatenate(notes).astype(np.float32)


def features_of(name: str, samples: np.ndarray, genre: str = "a") -> Features:
    return extract_features(name, genre, [samples[i : i + RATE] for i in range(0, len(samples), RATE)], RATE, None)


@pytest.fixture(scope="module")
def songs() -> list[Features]:
    return [features_of(f"s{i}", song(i)) for i in range(16)]


def points(recordings: list[Features]) -> np.ndarray:
    return np.concatenate([r.crafted for r in recordings]).astype(float)


def groups(recordings: list[Features]) -> np.ndarray:
    return np.repeat(np.arange(len(recordings)), [len(r.crafted) for r in recordings])


def test_the_frechet_distance_agrees_with_the_formula() -> None:
    g = np.random.default_rng(0)
    a, b = (Gaussian.of(g.normal(size=(200, 7)) @ g.normal(size=(7, 7)) + i) for i in range(2))
    expected = np.square(a.mean - b.mean).sum() + np.trace(
        a.covariance + b.covariance - 2 * sqrtm(a.covariance @ b.covariance).real
    )
    assert frechet(a, b) == pytest.approx(expected, rel=1e-6)
    assert frechet(a, a) == pytest.approx(0, abs=1e-6)


def test_the_extrapolated_distance_of_equal_sets_is_near_zero() -> None:
    g = np.random.default_rng(1)
    real, same = g.normal(size=(600, 16)), g.normal(size=(300, 16))
    biased = frechet(Gaussian.of(real), Gaussian.of(same))
    found = frechet_distance(real, same, np.arange(300) // 10)
    assert biased > 0.3
    assert abs(found.value) < 0.6 * biased
    assert found.low <= found.value <= found.high
    moved = frechet_distance(real, same + 0.5, np.arange(300) // 10)
    assert moved.value == pytest.approx(16 * 0.25, rel=0.15)


def test_distances_increase_with_added_noise(songs: list[Features]) -> None:
    real = points(songs)
    g = np.random.default_rng(2)
    frechets, kernels = [], []
    for amount in (0.0, 0.02, 0.08, 0.3):
        mixed = [
            features_of(f"m{i}", song(100 + i) + g.normal(0, amount, 24 * RATE).astype(np.float32)) for i in range(16)
        ]
        frechets.append(frechet_distance(real, points(mixed), groups(mixed)).value)
        kernels.append(kernel_distance(real, points(mixed), groups(mixed)).value)
    assert frechets == sorted(frechets)
    assert kernels == sorted(kernels)


def test_too_few_points_are_rejected() -> None:
    with pytest.raises(UsageError, match="too few"):
        frechet_distance(np.zeros((5, 64)), np.zeros((5, 64)), np.arange(5))


def test_genres_are_classified_and_a_swap_is_detected() -> None:
    low = [features_of(f"l{i}", song(i, base=110, beat_s=1.0), "low") for i in range(6)]
    high = [features_of(f"h{i}", song(i, base=880, beat_s=0.25), "high") for i in range(6)]
    train = [*low[:3], *high[:3]]
    classifier = GenreClassifier(points(train), [r.genre for r in train for _ in r.crafted])
    held = [*low[3:], *high[3:]]
    assert classifier.evaluate([(r.genre, r.crafted) for r in held]).accuracy.value == 1
    swapped = {"low": "high", "high": "low"}
    verdict = classifier.evaluate([(swapped[r.genre], r.crafted) for r in held])
    assert verdict.accuracy.value == 0
    assert verdict.confusion.tolist() == [[0, 3], [3, 0]]
    with pytest.raises(UsageError, match="at least two"):
        GenreClassifier(points(low), ["low"] * len(points(low)))


def compare_with(excerpts: Excerpts, made: list[Features], held: list[Features]) -> Copying:
    return compare([excerpts.nearest(r) for r in made], [excerpts.nearest(r) for r in held])


def test_a_replayed_training_set_is_detected() -> None:
    keys = [110 * 2 ** (k / 5) for k in range(16)]
    made = [song(i, base=keys[i], beat_s=0.3 + 0.02 * i) for i in range(16)]
    train, held = (
        [features_of(f"s{i}", made[i]) for i in range(8)],
        [features_of(f"h{i}", made[i]) for i in range(8, 16)],
    )
    excerpts = Excerpts(train)
    replayed = [features_of(f"r{i}", made[i][3000:]) for i in range(5)]  # not on the grid
    assert compare_with(excerpts, replayed, held).verdict == "copies"
    new = compare_with(
        excerpts, [features_of(f"n{i}", song(200 + i, base=keys[8 + i] * 1.07, beat_s=0.45)) for i in range(6)], held
    )
    assert new.verdict != "copies"
    pair = compare_with(excerpts, [features_of("again", made[2])], held).worst[0]
    assert pair.source == "s2"
    assert pair.source_s == pytest.approx(pair.made_s, abs=0.01)
    assert pair.likeness > 0.99


def test_features_over_time_on_known_signals() -> None:
    clicks = np.zeros(24 * RATE, np.float32)
    clicks[:: RATE // 4] = 0.9
    steady, noise = (
        features_of("c", clicks),
        features_of("n", np.random.default_rng(0).normal(0, 0.2, 24 * RATE).astype(np.float32)),
    )
    assert overtime.onset_rate(steady) == pytest.approx(4, abs=0.2)
    assert overtime.tempo_clarity(steady).min() > 0.8
    assert overtime.tempo_clarity(noise).max() < 0.3
    melody = features_of("m", song(0))
    assert overtime.key_clarity(melody).min() > overtime.key_clarity(noise).max()
    assert overtime.similarity(steady, 1).min() > 0.9
    assert len(overtime.similarity(steady, 64)) == 0
    assert overtime.drift(steady) is None
    assert overtime.wasserstein(np.array([0.0, 1.0]), np.array([1.0, 2.0])) == pytest.approx(1)


def varint(n: int) -> bytes:
    out = b""
    while n > 127:
        out, n = out + bytes([n & 127 | 128]), n >> 7
    return out + bytes([n])


def block(entries: list[tuple[bytes, bytes]]) -> bytes:
    body = b"".join(varint(0) + varint(len(k)) + varint(len(v)) + k + v for k, v in entries)
    return body + struct.pack("<II", 0, 1)


def bundle(tensors: dict[str, np.ndarray]) -> tuple[bytes, bytes]:
    """Return the bytes of a checkpoint in TensorFlow's layout."""
    data, entries = b"", [(b"", b"\x08\x01")]
    for name, tensor in sorted(tensors.items()):
        raw = tensor.astype("<f4").tobytes()
        dims = b"".join(b"\x12" + varint(len(d)) + d for d in (b"\x08" + varint(n) for n in tensor.shape))
        message = b"\x08\x01\x12" + varint(len(dims)) + dims + b"\x20" + varint(len(data)) + b"\x28" + varint(len(raw))
        entries.append((name.encode(), message))
        data += raw
    first = block(entries)
    table = first + b"\0" + b"\0" * 4
    index = block([(b"z", varint(0) + varint(len(first)))])
    at = len(table)
    table += index + b"\0" + b"\0" * 4
    footer = varint(0) + varint(0) + varint(at) + varint(len(index))
    return table + footer.ljust(40, b"\0") + struct.pack("<Q", MAGIC), data


def test_a_checkpoint_is_read_back() -> None:
    g = np.random.default_rng(0)
    tensors = {"a/kernel": g.normal(size=(3, 4)), "a/bias": g.normal(size=200), "b": np.zeros((2, 1, 3))}
    index, data = bundle(tensors)
    found = read_bundle(index, data)
    assert set(found) == set(tensors)
    for name, tensor in tensors.items():
        np.testing.assert_array_equal(found[name], tensor.astype(np.float32))
    for bad in (index[:-1], b"", index[:-8] + b"12345678"):
        with pytest.raises(ModelError):
            read_bundle(bad, data)
    with pytest.raises(ModelError):
        read_bundle(index, data[:10])


def test_the_tagger_has_the_published_shape() -> None:
    import torch

    g = np.random.default_rng(0)
    shapes = [(7, 38, 1, 204), (7, 67, 1, 204), (128, 1, 1, 51), (64, 1, 1, 51), (32, 1, 1, 51)]
    shapes += [(7, 561, 1, 64), (7, 64, 1, 64), (7, 64, 1, 64)]
    tensors: dict[str, np.ndarray] = {}
    for i, shape in enumerate(shapes):
        name = f"conv2d_{i}" if i else "conv2d"
        tensors |= {f"{name}/kernel": g.normal(0, 0.05, shape), f"{name}/bias": np.zeros(shape[-1])}
    for i, size in enumerate((1, 204, 204, 51, 51, 51, 64, 64, 64, 1506, 200)):
        name = f"batch_normalization_{i}" if i else "batch_normalization"
        tensors |= {f"{name}/{p}": np.ones(size) for p in ("gamma", "moving_variance")}
        tensors |= {f"{name}/{p}": np.zeros(size) for p in ("beta", "moving_mean")}
    for name, shape in (("dense", (1506, SIZE)), ("dense_1", (SIZE, len(TAGS)))):
        tensors |= {f"{name}/kernel": g.normal(0, 0.05, shape), f"{name}/bias": np.zeros(shape[1])}
    tagger = Tagger({k: v.astype(np.float32) for k, v in tensors.items()})
    mel = log_mel(song(0, 4.0))
    assert mel.shape[1] == MELS
    hidden, logits = tagger(torch.from_numpy(mel[None, :FRAMES]))
    assert hidden.shape == (1, SIZE)
    assert logits.shape == (1, len(TAGS))
    del tensors["dense/bias"]
    with pytest.raises(ModelError, match="dense/bias"):
        Tagger({k: v.astype(np.float32) for k, v in tensors.items()})


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> noizenet.Corpus:
    folder = tmp_path_factory.mktemp("evaluation")
    for genre, base in (("low", 110.0), ("high", 880.0)):
        for i in range(12):
            path = folder / "music" / genre / f"artist{i}"
            path.mkdir(parents=True)
            noizenet.write(path / "song.wav", noizenet.Waveform(song(i, base=base)[:, None], RATE))
    return noizenet.build_corpus(folder / "music", folder / "corpus", sample_rate=RATE, workers=1)


def test_a_folder_is_evaluated_from_the_command_line(
    corpus: noizenet.Corpus, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made = tmp_path / "made"
    for genre, base in (("low", 110.0), ("high", 880.0)):
        (made / genre).mkdir(parents=True)
        for i in range(4):
            noizenet.write(made / genre / f"{i}.wav", noizenet.Waveform(song(300 + i, base=base)[:, None], RATE))
    (made / "broken.wav").write_bytes(b"nothing")
    noizenet.write(made / "short.wav", noizenet.Waveform(song(0, 1.0)[:, None], RATE))
    train_track = corpus.split("train")[0]
    (made / "own.wav").write_bytes((corpus.folder.parent / "music" / train_track.source).read_bytes())
    out = tmp_path / "out"
    arguments = ["evaluate", str(corpus.folder), str(out), "--audio", str(made), "--embedding", "crafted"]
    assert main(arguments) == 0
    assert "own.wav" in capsys.readouterr().err
    report = json.loads((out / "report.json").read_text())
    results = {f["measure"]: f for f in report["figures"]}
    assert results["genre accuracy"]["made"]["value"] > 0.9
    assert results["alive"]["made"]["value"] == 1
    assert {name for name, _ in report["skipped"]} == {"broken.wav", "short.wav"}
    assert "self-similarity, 64 s: distance of distributions" in report["unsaid"]
    page = (out / "report.html").read_text()
    assert "data:audio/ogg" in page
    assert "http" not in page.replace("http-equiv", "")
    again = tmp_path / "again"
    assert main([*arguments[:2], str(again), *arguments[3:]]) == 0
    assert (again / "report.json").read_text() == (out / "report.json").read_text()


def test_wrong_usage_is_reported(corpus: noizenet.Corpus, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["evaluate", str(corpus.folder), str(tmp_path)]) == 2
    assert "MODEL CORPUS OUT" in capsys.readouterr().err
    assert main(["evaluate", str(corpus.folder), str(tmp_path / "o"), "--audio", str(tmp_path / "nowhere")]) == 2
    assert "no such folder" in capsys.readouterr().err
    (tmp_path / "empty").mkdir()
    assert main(["evaluate", str(corpus.folder), str(tmp_path / "o"), "--audio", str(tmp_path / "empty")]) == 2
    assert "no sound" in capsys.readouterr().err
    assert (
        main(["evaluate", str(corpus.folder), str(tmp_path / "o"), "--audio", str(tmp_path), "--embedding", "x"]) == 2
    )
    assert "crafted" in capsys.readouterr().err
