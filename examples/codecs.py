"""Codecs side by side: the bits a second that a language model needs, against what is left of the sound.

    python examples/codecs.py CORPUS OUT [--minutes 4] [--only NAME]

Each codec is trained for the same CPU time on one thread, then a small token network on its codes for the same time.
The table has the nominal bits a second, those that the network needs for held-out tracks, the mean difference of mel
levels between held-out tracks and their round trip, the multi-resolution spectral distance (spectral convergence plus
log-magnitude, over three windows: R. Yamamoto et al., "Parallel WaveGAN", ICASSP 2020), and the Fréchet distances of
the round trip to the training music. The first rows are no codecs: the held-out music itself, and its spectra with
phases found again in several ways; the last are the bundled codecs, which are not trained here. Goes on where it was
stopped.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from noizenet.audio.waveform import Waveform
from noizenet.base.bundled import bundled
from noizenet.corpus.corpus import Corpus
from noizenet.evaluation.fetch import tagger_wheel
from noizenet.evaluation.likelihood import mel_distance
from noizenet.evaluation.metric import MetricInputs
from noizenet.evaluation.metrics import FRECHET_CRAFTED, FRECHET_TAGGER
from noizenet.evaluation.recording import Recording, analyze, middle, of_corpus
from noizenet.evaluation.tagger import load_tagger
from noizenet.representation.base import create
from noizenet.representation.codec_network import spectra
from noizenet.representation.codec_weights import CodecShape
from noizenet.representation.phase import PhaseOptions, PhaseSearch
from noizenet.training.codec import CodecNetwork, windows_of
from noizenet.training.codec_training import train_codec

sys.path.insert(0, str(Path(__file__).parent))
from ablation import slug, train_anew

HEARD_S = 20.0
SMALL = ("model.hidden=256", "training.threads=1", "training.init_from=")
CODECS: dict[str, dict[str, Any]] = {
    "product, 43 Hz, 4 × 256": {},
    "residual, 43 Hz, 4 × 256": {"quantiser": "residual", "code_size": 64},
    "product, 43 Hz, 2 × 1024": {"codebooks": 2, "levels": 1024, "code_size": 32},
    "product, 43 Hz, 4 × 64": {"levels": 64},
    "product, 43 Hz, 8 × 256": {"codebooks": 8},
    "product, 22 Hz, 8 × 256 (noizenet-2's)": {"spectra": 4, "codebooks": 8},
    "product, 22 Hz, 4 × 1024": {"spectra": 4, "levels": 1024},
    "product, 86 Hz, 2 × 256": {"spectra": 1, "codebooks": 2, "code_size": 32},
    "product, 43 Hz, 4 × 256, window 2048": {"n_fft": 2048, "hop": 512, "spectra": 1},
    "product, 43 Hz, 4 × 256, no look-ahead": {"ahead": 0, "decoder_ahead": 0},
}
PHASES = {
    "spectra, phases by projections from nothing": PhaseOptions(iterations=12, integrate=False),
    "spectra, phases by integrated gradients": PhaseOptions(iterations=0),
    "spectra, gradients and 6 projections": PhaseOptions(iterations=6),
    "spectra, gradients and 4 projections (the recipe)": PhaseOptions(),
}


END_TO_END = "product, 43 Hz, 4 × 256, end to end: phases learned, inverse transform"


class EndToEnd(CodecNetwork):
    """A codec whose decoder says phases too, trained by what comes out (after H. Siuzdak, "Vocos", ICLR 2024)."""

    def __init__(self, shape: CodecShape) -> None:
        super().__init__(shape)
        self.decoder.outputs["phase"] = torch.nn.Linear(shape.width, shape.spectra * shape.bins)

    def sound(self, latent: torch.Tensor, length: int) -> torch.Tensor:
        """Return sound [B, N]."""
        s = self.shape
        hidden = self.decoder.hidden(windows_of(latent, s.decoder_past, s.decoder_ahead))
        logs, phases = (
            self.decoder.outputs[name](hidden).reshape(len(latent), -1, s.bins).transpose(1, 2)
            for name in ("mean", "phase")
        )
        z = torch.polar(torch.exp((logs * 2 - 4).clamp(max=0.0)) * s.n_fft / 4, phases)
        z = torch.nn.functional.pad(z, (0, 1))
        return torch.istft(z, s.n_fft, s.hop, window=self.window, center=True, length=length)

    def loss(self, sound: torch.Tensor) -> tuple[torch.Tensor, dict[str, float]]:
        """Return the multi-resolution spectral distance of what comes out."""
        latent, _, commitment = self.quantise(self.encode(self.spectra(sound)))
        length = min(latent.shape[1] * self.shape.samples, sound.shape[1])
        made, total = self.sound(latent, length), torch.zeros(())
        for n in (512, 1024, 2048):
            window = torch.hann_window(n)
            x, y = (
                torch.stft(v[:, :length], n, n // 4, window=window, return_complex=True).abs() for v in (sound, made)
            )
            total = total + (x - y).norm() / x.norm() + (torch.log(x + 1e-3) - torch.log(y + 1e-3)).abs().mean()
        unused = sum((p.sum() for p in self.decoder.outputs.parameters()), torch.zeros(()))  # all get a gradient
        return total + 0.25 * commitment + 0 * unused, {"bins": float(total.detach()) / 3, "bands": 0.0}


def end_to_end(bench: Bench, folder: Path, minutes: float) -> dict[str, float]:
    """Train that codec; return the figures of its round trips."""
    network = train_codec(bench.corpus, folder, CodecShape(), minutes=minutes, make=EndToEnd)
    assert isinstance(network, EndToEnd)
    made = []
    with torch.inference_mode():
        for w in bench.held:
            latent, _, _ = network.quantise(network.encode(network.spectra(torch.from_numpy(w.samples.copy())[None])))
            sound = network.sound(latent, latent.shape[1] * network.shape.samples)[0].numpy()
            sound = np.pad(sound, (0, max(0, len(w) - len(sound))))[: len(w)]
            made.append(Waveform(np.clip(sound, -1, 1), w.sample_rate))
    return bench.judge(made)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpus", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--minutes", type=float, default=4.0)
    parser.add_argument("--only", default="", help="rows whose name holds this")
    o = parser.parse_args()
    torch.set_num_threads(1)
    o.out.mkdir(parents=True, exist_ok=True)
    bench = Bench(Corpus(o.corpus))
    rows = {"held-out music": bench.held}
    print(bench.head(), flush=True)
    shipped = {f"{name}, as bundled": name for name in bundled("codecs")}
    for name in ("held-out music", *PHASES, *CODECS, END_TO_END, *shipped):
        if o.only not in name:
            continue
        path = o.out / f"{slug(name)}.json"
        if not path.exists():
            if name in rows:
                found = bench.judge(rows[name])
            elif name in PHASES:
                found = bench.judge([again(w, PHASES[name]) for w in bench.held])
            elif name in shipped:
                found = bench.judge(round_trips(bench, shipped[name]))
            elif name == END_TO_END:
                found = end_to_end(bench, o.out / slug(name), o.minutes)
            else:
                found = codec(bench, o.out / slug(name), CODECS[name], o.minutes)
            path.write_text(json.dumps(found))
        print(bench.row(name, json.loads(path.read_text())), flush=True)


def codec(bench: Bench, folder: Path, shape: dict[str, Any], minutes: float) -> dict[str, float]:
    """Train a codec and a small network on its codes; return the figures."""
    train_codec(bench.corpus, folder / "codec", CodecShape(**shape), minutes=minutes)
    r = create({"name": "codec", "codec": str(folder / "codec")}, sample_rate=bench.corpus.sample_rate, channels=1)
    found = bench.judge(round_trips(bench, str(folder / "codec")))
    sets = (f"representation.codec={folder / 'codec'}", *SMALL)
    model = train_anew(bench.corpus.folder, folder / "model", sets, minutes, recipe="token-lstm")
    found["bits"] = model.training["metrics"]["best_validation_bits_per_second"]
    found["nominal"] = r.frame_rate * r.dim * float(np.log2(r.levels))
    return found


def round_trips(bench: Bench, name: str) -> list[Waveform]:
    """Return held-out excerpts as a codec gives them back."""
    r = create({"name": "codec", "codec": name}, sample_rate=bench.corpus.sample_rate, channels=1)
    return [r.decode(r.encode(w)) for w in bench.held]


def again(w: Waveform, options: PhaseOptions) -> Waveform:
    """Return sound whose spectra have kept their magnitudes alone."""
    shape = CodecShape()
    search = PhaseSearch(shape.n_fft, shape.hop, options)
    magnitudes = spectra(w.samples, shape) * np.float32(shape.n_fft / 4)
    return Waveform(np.concatenate([search.push(magnitudes), search.finish()])[: len(w)], w.sample_rate)


class Bench:
    """Held-out excerpts and what they are judged by."""

    def __init__(self, corpus: Corpus) -> None:
        self.corpus, self._tagger = corpus, load_tagger(tagger_wheel())
        self._train = [analyze(r, self._tagger) for r in of_corpus(corpus, corpus.split("train"), 30.0)]
        self._tracks = corpus.held_out()
        self.held = [corpus.waveform(t, *middle(t, HEARD_S, corpus.sample_rate)) for t in self._tracks]

    def judge(self, made: list[Waveform]) -> dict[str, float]:
        """Return the figures of round trips, one of each held-out excerpt."""
        heard = [
            analyze(Recording(t.name, t.genre, w.sample_rate, lambda w=w: iter([w.samples])), self._tagger)  # type: ignore[misc]
            for t, w in zip(self._tracks, made, strict=True)
        ]
        inputs = MetricInputs(self._train, heard, heard, {}, self.corpus, tagger=True)
        pairs = list(zip(self.held, made, strict=True))
        return {
            "mel": float(np.mean([mel_distance(a, b) for a, b in pairs])),
            "spectral": float(np.mean([spectral_distance(a.samples, b.samples) for a, b in pairs])),
            "tagger": FRECHET_TAGGER.score(inputs, heard).value,
            "crafted": FRECHET_CRAFTED.score(inputs, heard).value,
        }

    @staticmethod
    def head() -> str:
        """Return the table's head."""
        names = (
            "",
            "nominal bits/s",
            "bits/s of the network",
            "mel, dB",
            "spectral",
            "Fréchet, tagger",
            "Fréchet, crafted",
        )
        return "| " + " | ".join(names) + " |\n" + "|---" * len(names) + "|"

    @staticmethod
    def row(name: str, f: dict[str, float]) -> str:
        """Return a row."""
        bits = [f"{f[k]:,.0f}" if k in f else "–" for k in ("nominal", "bits")]
        rest = [f"{f['mel']:.2f}", f"{f['spectral']:.2f}", f"{f['tagger']:.1f}", f"{f['crafted']:.1f}"]
        return "| " + " | ".join([name, *bits, *rest]) + " |"


def spectral_distance(a: NDArray[np.float32], b: NDArray[np.float32]) -> float:
    """Return spectral convergence plus mean log-magnitude difference (nepers), mean over three windows."""
    import librosa

    total = 0.0
    for n in (512, 1024, 2048):
        x, y = (np.abs(librosa.stft(v, n_fft=n, hop_length=n // 4)) for v in (a, b[: len(a)]))
        logs = np.abs(np.log(np.maximum(x, 1e-3)) - np.log(np.maximum(y, 1e-3))).mean()
        total += float(np.linalg.norm(x - y) / max(np.linalg.norm(x), 1e-9) + logs) / 3
    return total


if __name__ == "__main__":
    main()
