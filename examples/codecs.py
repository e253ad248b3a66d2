"""Comparison of codecs: bits per second that a token network needs, and the quality of the round trip.

    python examples/codecs.py CORPUS OUT [--minutes 4] [--only NAME]

Each codec is trained for the same CPU time on one thread, then a small token network on its codes for the same time.
The table has the nominal bits per second, those that the network needs for held-out tracks, the mean difference of mel
levels between held-out tracks and their round trip, the multi-resolution spectral distance (spectral convergence plus
log-magnitude, over three windows: R. Yamamoto et al., "Parallel WaveGAN", ICASSP 2020), and the Fréchet distances of
the round trip to the training music. The first rows are not codecs: the held-out music itself, and its magnitude
spectra with several methods of phase reconstruction. The last rows are the bundled codecs, which are not trained here.
An interrupted run resumes.
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
from ablation import slug, train_variant

EXCERPT_S = 20.0
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
    "magnitudes, phases by projections (zero start)": PhaseOptions(iterations=12, integrate=False),
    "magnitudes, phases by integrated gradients": PhaseOptions(iterations=0),
    "magnitudes, gradients and 6 projections": PhaseOptions(iterations=6),
    "magnitudes, gradients and 4 projections (the recipe)": PhaseOptions(),
}


END_TO_END = "product, 43 Hz, 4 × 256, end-to-end: predicted phases, inverse STFT"


class EndToEnd(CodecNetwork):
    """A codec whose decoder also predicts phases, trained on the decoded audio (H. Siuzdak, "Vocos", ICLR 2024)."""

    def __init__(self, shape: CodecShape) -> None:
        super().__init__(shape)
        self.decoder.outputs["phase"] = torch.nn.Linear(shape.width, shape.spectra * shape.bins)

    def sound(self, latent: torch.Tensor, length: int) -> torch.Tensor:
        """Return audio [B, N]."""
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
        """Return the multi-resolution spectral distance of the decoded audio, plus the commitment loss."""
        latent, _, commitment = self.quantise(self.encode(self.spectra(sound)))
        length = min(latent.shape[1] * self.shape.samples, sound.shape[1])
        decoded, total = self.sound(latent, length), torch.zeros(())
        for n in (512, 1024, 2048):
            window = torch.hann_window(n)
            x, y = (
                torch.stft(v[:, :length], n, n // 4, window=window, return_complex=True).abs() for v in (sound, decoded)
            )
            total = total + (x - y).norm() / x.norm() + (torch.log(x + 1e-3) - torch.log(y + 1e-3)).abs().mean()
        unused = sum(
            (p.sum() for p in self.decoder.outputs.parameters()), torch.zeros(())
        )  # gives all parameters a gradient
        return total + 0.25 * commitment + 0 * unused, {"bins": float(total.detach()) / 3, "bands": 0.0}


def end_to_end(bench: Bench, folder: Path, minutes: float) -> dict[str, float]:
    """Train the end-to-end codec; return the metrics of its round trips."""
    network = train_codec(bench.corpus, folder, CodecShape(), minutes=minutes, make=EndToEnd)
    assert isinstance(network, EndToEnd)
    decoded = []
    with torch.inference_mode():
        for w in bench.held:
            latent, _, _ = network.quantise(network.encode(network.spectra(torch.from_numpy(w.samples.copy())[None])))
            sound = network.sound(latent, latent.shape[1] * network.shape.samples)[0].numpy()
            sound = np.pad(sound, (0, max(0, len(w) - len(sound))))[: len(w)]
            decoded.append(Waveform(np.clip(sound, -1, 1), w.sample_rate))
    return bench.evaluate(decoded)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpus", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--minutes", type=float, default=4.0)
    parser.add_argument("--only", default="", help="only rows whose name contains this")
    o = parser.parse_args()
    torch.set_num_threads(1)
    o.out.mkdir(parents=True, exist_ok=True)
    bench = Bench(Corpus(o.corpus))
    rows = {"held-out music": bench.held}
    print(bench.header(), flush=True)
    shipped = {f"{name}, as bundled": name for name in bundled("codecs")}
    for name in ("held-out music", *PHASES, *CODECS, END_TO_END, *shipped):
        if o.only not in name:
            continue
        path = o.out / f"{slug(name)}.json"
        if not path.exists():
            if name in rows:
                found = bench.evaluate(rows[name])
            elif name in PHASES:
                found = bench.evaluate([reconstruct_phases(w, PHASES[name]) for w in bench.held])
            elif name in shipped:
                found = bench.evaluate(round_trips(bench, shipped[name]))
            elif name == END_TO_END:
                found = end_to_end(bench, o.out / slug(name), o.minutes)
            else:
                found = codec(bench, o.out / slug(name), CODECS[name], o.minutes)
            path.write_text(json.dumps(found))
        print(bench.row(name, json.loads(path.read_text())), flush=True)


def codec(bench: Bench, folder: Path, shape: dict[str, Any], minutes: float) -> dict[str, float]:
    """Train a codec and a small network on its codes; return the metrics."""
    train_codec(bench.corpus, folder / "codec", CodecShape(**shape), minutes=minutes)
    r = create({"name": "codec", "codec": str(folder / "codec")}, sample_rate=bench.corpus.sample_rate, channels=1)
    found = bench.evaluate(round_trips(bench, str(folder / "codec")))
    sets = (f"representation.codec={folder / 'codec'}", *SMALL)
    model = train_variant(bench.corpus.folder, folder / "model", sets, minutes, recipe="token-lstm")
    found["bits"] = model.training["metrics"]["best_validation_bits_per_second"]
    found["nominal"] = r.frame_rate * r.dim * float(np.log2(r.levels))
    return found


def round_trips(bench: Bench, name: str) -> list[Waveform]:
    """Return the held-out excerpts after encoding and decoding."""
    r = create({"name": "codec", "codec": name}, sample_rate=bench.corpus.sample_rate, channels=1)
    return [r.decode(r.encode(w)) for w in bench.held]


def reconstruct_phases(w: Waveform, options: PhaseOptions) -> Waveform:
    """Return audio reconstructed from magnitude spectra only."""
    shape = CodecShape()
    search = PhaseSearch(shape.n_fft, shape.hop, options)
    magnitudes = spectra(w.samples, shape) * np.float32(shape.n_fft / 4)
    return Waveform(np.concatenate([search.push(magnitudes), search.finish()])[: len(w)], w.sample_rate)


class Bench:
    """Held-out excerpts and the metrics of their round trips."""

    def __init__(self, corpus: Corpus) -> None:
        self.corpus, self._tagger = corpus, load_tagger(tagger_wheel())
        self._train = [analyze(r, self._tagger) for r in of_corpus(corpus, corpus.split("train"), 30.0)]
        self._tracks = corpus.held_out()
        self.held = [corpus.waveform(t, *middle(t, EXCERPT_S, corpus.sample_rate)) for t in self._tracks]

    def evaluate(self, decoded: list[Waveform]) -> dict[str, float]:
        """Return the metrics of decoded audio, one waveform for each held-out excerpt."""
        analyzed = [
            analyze(Recording(t.name, t.genre, w.sample_rate, lambda w=w: iter([w.samples])), self._tagger)  # type: ignore[misc]
            for t, w in zip(self._tracks, decoded, strict=True)
        ]
        inputs = MetricInputs(self._train, analyzed, analyzed, {}, self.corpus, tagger=True)
        pairs = list(zip(self.held, decoded, strict=True))
        return {
            "mel": float(np.mean([mel_distance(a, b) for a, b in pairs])),
            "spectral": float(np.mean([spectral_distance(a.samples, b.samples) for a, b in pairs])),
            "tagger": FRECHET_TAGGER.score(inputs, analyzed).value,
            "crafted": FRECHET_CRAFTED.score(inputs, analyzed).value,
        }

    @staticmethod
    def header() -> str:
        """Return the table's header."""
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
    """Return spectral convergence plus mean log-magnitude difference (nepers), averaged over three window sizes."""
    import librosa

    total = 0.0
    for n in (512, 1024, 2048):
        x, y = (np.abs(librosa.stft(v, n_fft=n, hop_length=n // 4)) for v in (a, b[: len(a)]))
        logs = np.abs(np.log(np.maximum(x, 1e-3)) - np.log(np.maximum(y, 1e-3))).mean()
        total += float(np.linalg.norm(x - y) / max(np.linalg.norm(x), 1e-9) + logs) / 3
    return total


if __name__ == "__main__":
    main()
