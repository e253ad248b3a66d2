"""From real recordings to generated music: build, train, generate, view and check.

    python examples/real_music.py SOURCE OUT [--minutes 20] [--seconds 60] [--model sample-lstm]

SOURCE is a folder of genre folders. Writes OUT/corpus, OUT/model, a recording and an image for each genre, and
OUT/results.md, which compares the held-out music of each genre with the generated music.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np

import noizenet
from noizenet.audio.units import amplitude_to_db
from noizenet.audio.waveform import Waveform


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--minutes", type=float, default=20.0)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--model", default="sample-lstm")
    parser.add_argument("--set", action="append", default=[], help="section.key=value, as for noizenet train")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    corpus = noizenet.build_corpus(options.source, options.out / "corpus")
    print(f"{len(corpus.tracks)} tracks, {corpus.seconds() / 3600:.2f} hours, {', '.join(corpus.genres)}", flush=True)
    model = noizenet.train(
        corpus, options.out / "model", model=options.model, set=options.set, minutes=options.minutes, resume=True
    )
    lines = [
        "| genre | held-out music: healthy | level | centroid | generated: healthy | level | centroid | × real time |",
        "|---|---|---|---|---|---|---|---|",
    ]
    facts = {"training": model.training["metrics"], "genres": {}}
    for genre in corpus.genres:
        real = held_out(corpus, genre, options.seconds)
        path = options.out / f"{genre}.wav"
        made = noizenet.generate(model, path, noizenet.Controls(options.seconds, genre=genre))
        new = noizenet.read(path)
        noizenet.view([real, new], options.out / f"{genre}.png", names=[f"{genre}, held out", f"{genre}, generated"])
        judged = [(noizenet.aliveness(w).alive, level(w), centroid(w)) for w in (real, new)]
        cells = [f"{a:.0%} | {db:.1f} dB | {hz:.0f} Hz" for a, db, hz in judged]
        lines.append(f"| {genre} | {cells[0]} | {cells[1]} | {made.real_time_factor:.1f} |")
        facts["genres"][genre] = {"real": judged[0], "generated": judged[1], "real_time": made.real_time_factor}
    (options.out / "results.json").write_text(json.dumps(facts, indent=2) + "\n")
    (options.out / "results.md").write_text("\n".join(lines) + "\n")
    print("\n".join(lines))


def held_out(corpus: noizenet.Corpus, genre: str, seconds: float) -> Waveform:
    """Return the middle of a genre's held-out track."""
    tracks = [t for s in ("test", "validation", "train") for t in corpus.split(s) if t.genre == genre]
    track = tracks[0]
    count = int(seconds * corpus.sample_rate)
    samples = corpus.samples(track, max(0, (track.frames - count) // 2), count)
    return Waveform(samples[:, 0], corpus.sample_rate)


def level(w: Waveform) -> float:
    """Return the RMS level in dB."""
    return float(amplitude_to_db(np.sqrt(np.mean(np.square(w.samples, dtype=np.float64)))))


def centroid(w: Waveform) -> float:
    """Return the mean spectral centroid in Hz."""
    import librosa

    return float(librosa.feature.spectral_centroid(y=np.array(w.samples), sr=w.sample_rate).mean())


if __name__ == "__main__":
    main()
