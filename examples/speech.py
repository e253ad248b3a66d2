"""Fit the speech classifier of ``noizenet.corpus.speech`` and measure its accuracy.

    python examples/speech.py SPEECH MUSIC

Both are folders of folders of recordings, one folder for each speaker or collection of music. Each folder is also
classified with weights fitted without it (leave-one-out). Debian's ``asterisk-core-sounds-{en,es,fr,it,ru}-wav`` have
five speakers; their prompts are concatenated with pauses of 0.3 s. Of each music recording 30 s are read, after the
first half minute.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray

from noizenet.corpus.speech import EXCERPT_S, RATE_HZ, SILENT_RMS, features, to_8_khz

MUSIC_S, MUSIC_START_S, SPEECH_S, PAUSE_S = 30.0, 30.0, 240.0, 0.3
ENDINGS = (".wav", ".ogg", ".flac", ".mp3", ".opus")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("speech", type=Path)
    parser.add_argument("music", type=Path)
    o = parser.parse_args()
    speech = {f.name: stretches(read_speech(f)) for f in sorted(o.speech.iterdir()) if f.is_dir()}
    music = {
        f.name: np.concatenate([stretches(x) for x in read_music(f)]) for f in sorted(o.music.iterdir()) if f.is_dir()
    }
    weights, bias = fit([*speech.values()], [*music.values()])
    print("WEIGHTS", np.round(weights, 1).tolist(), "BIAS", round(float(bias), 1))
    print("| | segments of 3 s | classified as speech | … by leave-one-out |\n|---|---|---|---|")
    for name, x in {**speech, **music}.items():
        rest = fit([v for k, v in speech.items() if k != name], [v for k, v in music.items() if k != name])
        shares = [float((x @ w + b > 0).mean()) for w, b in ((weights, bias), rest)]
        print(f"| {name} | {len(x)} | {shares[0]:.1%} | {shares[1]:.1%} |")


def fit(speech: list[NDArray[np.float64]], music: list[NDArray[np.float64]]) -> tuple[NDArray[np.float64], float]:
    from sklearn.linear_model import LogisticRegression

    x = np.concatenate([*speech, *music])
    y = np.repeat([1, 0], [sum(map(len, speech)), sum(map(len, music))])
    mean, spread = x.mean(0), x.std(0)
    found = LogisticRegression(class_weight="balanced").fit((x - mean) / spread, y)
    weights = found.coef_[0] / spread
    return weights, float(found.intercept_[0] - weights @ mean)


def stretches(x: NDArray[np.float32]) -> NDArray[np.float64]:
    n = round(EXCERPT_S * RATE_HZ)
    parts = [x[i : i + n] for i in range(0, len(x) - n + 1, n)]
    described = [features(p) for p in parts if np.sqrt(np.mean(np.square(p))) >= SILENT_RMS]
    return np.array(described).reshape(-1, 3)


def files(folder: Path) -> list[Path]:
    return sorted(f for f in folder.rglob("*") if f.suffix.lower() in ENDINGS)


def read(path: Path, first_s: float, seconds: float) -> NDArray[np.float32]:
    with soundfile.SoundFile(path) as handle:
        rate = handle.samplerate
        handle.seek(max(0, min(int(first_s * rate), handle.frames - int(seconds * rate))))
        return to_8_khz(handle.read(int(seconds * rate), dtype="float32", always_2d=True).mean(1), rate)


def read_speech(folder: Path) -> NDArray[np.float32]:
    order, parts, pause = files(folder), list[NDArray[np.float32]](), np.zeros(int(PAUSE_S * RATE_HZ), np.float32)
    np.random.default_rng(0).shuffle(order)  # type: ignore[arg-type]
    for path in order:
        part = read(path, 0.0, MUSIC_S)
        if len(part) > RATE_HZ:
            parts += [part, pause]
        if sum(map(len, parts)) > SPEECH_S * RATE_HZ:
            break
    return np.concatenate(parts)


def read_music(folder: Path) -> list[NDArray[np.float32]]:
    return [read(path, MUSIC_START_S, MUSIC_S) for path in files(folder)]


if __name__ == "__main__":
    main()
