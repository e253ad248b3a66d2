"""Small corpora, models and tables, made once by code as inputs of the stages."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from robustness import sounds

ROOT = Path(__file__).resolve().parent.parent
RATE = 8_000
QUICK_TRAINING = (
    "training.batch=4", "training.window=64", "training.segment_seconds=1", "training.validation_seconds=1",
    "training.validate_every=10", "training.calibration_seconds=0.2", "model.hidden=24", "training.threads=1",
)  # fmt: skip
SAMPLES = ("model.tiers=[[4, 16], [16, 24]]", "model.tier_inputs=16", "model.width=16", "model.lookback=16")
TOKENS = ("model.embedding=24", "model.depth_width=24", "training.init_from=")
SMALL_CODEC = {
    "sample_rate": RATE, "n_fft": 256, "hop": 64, "bands": 24, "width": 48, "codebooks": 3, "levels": 16,
    "code_size": 4, "past": 2, "decoder_past": 2,
}  # fmt: skip

FMA_TRACKS = """,track,track,track,set,set,artist,artist
,genre_top,title,license,split,subset,id,name
track_id,,,,,,,
2,Hip-Hop,Food,CC,training,small,1,AWOL
5,Rock,This World,CC,validation,small,1,AWOL
10,Pop,Freeway,CC,training,small,6,Kurt Vile
"""
FMA_GENRES = "genre_id,#tracks,parent,title,top_level\n21,8693,0,Hip-Hop,21\n12,32923,0,Rock,12\n10,13845,0,Pop,10\n"
FMA_ARTISTS = "artist_id,artist_name\n1,AWOL\n6,Kurt Vile\n"


def environment() -> dict[str, str]:
    """Return an environment in which ``python -m noizenet`` runs this checkout."""
    path = os.pathsep.join(filter(None, (str(ROOT / "src"), str(ROOT), os.environ.get("PYTHONPATH", ""))))
    return {**os.environ, "PYTHONPATH": path, "PYTHONUNBUFFERED": "1"}


def command(*arguments: object) -> list[str]:
    """Return the command line of ``noizenet``."""
    return [sys.executable, "-m", "noizenet", *map(str, arguments)]


def noizenet(*arguments: object, timeout: float = 600) -> subprocess.CompletedProcess[str]:
    """Run ``noizenet`` in a separate process and wait for it."""
    return subprocess.run(
        command(*arguments), capture_output=True, text=True, errors="replace", env=environment(), timeout=timeout,
        check=False,
    )  # fmt: skip


def training(corpus: Path, out: Path, model: str, epochs: float, *extra: str) -> list[object]:
    """Return the arguments of a short training run."""
    sets = [*QUICK_TRAINING, *{"sample-lstm": SAMPLES, "token-lstm": TOKENS}.get(model, ()), *extra]
    chosen = [x for s in sets for x in ("--set", s)]
    return ["train", corpus, out, "--model", model, "--epochs", epochs, *chosen]


def album(folder: Path, count: int = 6, seconds: float = 3.0) -> Path:
    """Make a folder of genre folders with recordings of several formats."""
    kinds = ("wav-16", "flac", "mp3-cbr", "ogg-vorbis", "m4a-aac", "wavpack")
    for k in range(count):
        kind = sounds.FORMATS[kinds[k % len(kinds)]]
        genre_folder = folder / ("blues", "rock")[k % 2]
        genre_folder.mkdir(parents=True, exist_ok=True)
        rate = 44_100 if 44_100 in kind.rates else 48_000
        sounds.write(genre_folder / f"song {k}{kind.suffix}", kind, sounds.music(seconds + 0.25 * k, rate, 2, k), rate)
    return folder


def make(folder: Path) -> Path:
    """Make ``corpus``, ``sample``, ``paper``, ``token`` and ``fma`` below `folder`, unless they exist."""
    if (folder / "made").exists():
        return folder
    folder.mkdir(parents=True, exist_ok=True)
    _check(noizenet("doctor", "--compile", timeout=3600))  # compiled once, so that no stage has to
    _check(noizenet("corpus", "demo", folder / "corpus", "--minutes", 1.2, "--sample-rate", RATE))
    _check(noizenet(*training(folder / "corpus", folder / "sample", "sample-lstm", 0.1)))
    _check(noizenet(*training(folder / "corpus", folder / "paper", "paper-lstm", 0.1)))
    code = (
        "import sys, torch; from pathlib import Path; from noizenet.corpus.corpus import Corpus; "
        "from noizenet.representation.codec_weights import CodecShape; from noizenet.training.codec_training import train_codec; "
        f"torch.manual_seed(0); train_codec(Corpus(sys.argv[1]), Path(sys.argv[2]), CodecShape(**{SMALL_CODEC!r}), steps=30)"
    )
    command_line = [sys.executable, "-c", code, str(folder / "corpus"), str(folder / "codec")]
    _check(subprocess.run(command_line, capture_output=True, text=True, env=environment(), check=False))
    extra = f"representation.codec={folder / 'codec'}"
    _check(noizenet(*training(folder / "corpus", folder / "token", "token-lstm", 2, extra)))
    make_fma(folder / "fma")
    (folder / "made").touch()
    return folder


def make_fma(folder: Path) -> None:
    """Make a small dataset with the layout of the Free Music Archive."""
    mp3 = sounds.FORMATS["mp3-cbr"]
    (folder / "fma_small" / "000").mkdir(parents=True)
    (folder / "fma_metadata").mkdir()
    for k, number in enumerate((2, 5, 10)):
        path = folder / "fma_small" / "000" / f"{number:06d}.mp3"
        sounds.write(path, mp3, sounds.music(1.5, 16_000, 1, k), 16_000)
    for name, text in (("tracks", FMA_TRACKS), ("genres", FMA_GENRES), ("raw_artists", FMA_ARTISTS)):
        (folder / "fma_metadata" / f"{name}.csv").write_text(text, encoding="utf-8")


def _check(done: subprocess.CompletedProcess[str]) -> None:
    if done.returncode:
        raise RuntimeError(f"{' '.join(map(str, done.args))[:200]}: {done.stderr[-2000:]}")
