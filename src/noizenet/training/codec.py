"""Training of the codec: an autoencoder of log-spectra with codes in its middle.

What is learned is what NumPy plays (:mod:`noizenet.representation.codec_network`), under the same names.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from noizenet.audio.dsp import hann
from noizenet.audio.write import from_pcm16
from noizenet.base.errors import TrainingError, UsageError
from noizenet.base.files import write_bytes, write_json
from noizenet.corpus.corpus import Corpus, Track
from noizenet.representation.codec_network import CENTRE, SCALE
from noizenet.representation.codec_weights import CodecShape, CodecWeights, save_codec
from noizenet.training.step import autocast

CROP_S = 1.5
SILENT = 1e-4
DECAY = 0.99
"""Of the running means that a code stands for."""
COMMITMENT, BAND_WEIGHT, SPREAD_WEIGHT = 0.25, 1.0, 0.1


class _Block(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm, self.up, self.down = nn.LayerNorm(width), nn.Linear(width, width), nn.Linear(width, width)
        with torch.no_grad():
            self.down.weight.mul_(0.3)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = x + self.down(F.silu(self.up(self.norm(x))))
        return y


class _Side(nn.Module):
    """Layers of the encoder or the decoder, named as the arrays are."""

    def __init__(self, inputs: int, width: int, blocks: int, outputs: dict[str, int]) -> None:
        super().__init__()
        self.first = nn.Linear(inputs, width)
        self.blocks = nn.ModuleList(_Block(width) for _ in range(blocks))
        self.outputs = nn.ModuleDict({name: nn.Linear(width, size) for name, size in outputs.items()})

    def hidden(self, x: Tensor) -> Tensor:
        h: Tensor = self.first(x)
        for block in self.blocks:
            h = block(h)
        return h


class CodecNetwork(nn.Module):
    """The codec in torch.

    Parameters
    ----------
    shape : CodecShape
    """

    bands: Tensor
    book: Tensor
    window: Tensor
    uses: Tensor
    sums: Tensor
    weight: Tensor
    begun: Tensor

    def __init__(self, shape: CodecShape) -> None:
        super().__init__()
        self.shape = shape
        self.register_buffer("bands", torch.from_numpy(mel_bands(shape)))
        self.register_buffer("book", torch.zeros(shape.codebooks, shape.levels, shape.code_size))
        self.register_buffer("window", torch.from_numpy(hann(shape.n_fft)), persistent=False)
        self.register_buffer("uses", torch.ones(shape.codebooks, shape.levels), persistent=False)
        self.register_buffer("sums", torch.zeros_like(self.book), persistent=False)
        heard = (shape.past + 1 + shape.ahead) * shape.spectra * shape.bands
        told = (shape.decoder_past + 1 + shape.decoder_ahead) * shape.latent
        self.encoder = _Side(heard, shape.width, shape.encoder_blocks, {"last": shape.latent})
        outputs = {"mean": shape.spectra * shape.bins, "spread": shape.spectra * shape.bands}
        self.decoder = _Side(told, shape.width, shape.decoder_blocks, outputs)
        density = self.bands.sum(0)
        self.register_buffer("weight", (density / density.mean()).clamp(min=0.1), persistent=False)
        self.register_buffer("begun", torch.zeros((), dtype=torch.bool), persistent=False)

    @classmethod
    def of(cls, weights: CodecWeights) -> CodecNetwork:
        """Return a trained codec in torch."""
        network = cls(weights.shape)
        names = {k.replace(".outputs.", "."): k for k in network.state_dict()}
        network.load_state_dict({names[k]: torch.from_numpy(v) for k, v in weights.arrays.items()})
        return network.eval()

    def spectra(self, sound: Tensor) -> Tensor:
        """Return magnitudes [B, T, F] of sound [B, N]; T is a multiple of the spectra in a frame."""
        s = self.shape
        z = torch.stft(sound, s.n_fft, s.hop, window=self.window, center=True, pad_mode="constant", return_complex=True)
        magnitudes = z.abs().transpose(1, 2) * (4 / s.n_fft)
        return magnitudes[:, : magnitudes.shape[1] // s.spectra * s.spectra]

    def in_bands(self, magnitudes: Tensor) -> Tensor:
        """Return log band magnitudes [B, T, bands]."""
        return torch.log((magnitudes.square() @ self.bands.T + 1e-12).sqrt() + self.shape.floor)

    def encode(self, magnitudes: Tensor) -> Tensor:
        """Return latents [B, T / S, D]."""
        s = self.shape
        told = (self.in_bands(magnitudes) - CENTRE) / SCALE
        told = told.reshape(len(told), -1, s.spectra * s.bands)
        with autocast(self.training):
            latent: Tensor = self.encoder.outputs["last"](self.encoder.hidden(windows_of(told, s.past, s.ahead)))
        return latent.float()

    def decode(self, latent: Tensor) -> tuple[Tensor, Tensor]:
        """Return log-magnitudes [B, T, F] and log-spreads [B, T, bands]."""
        s = self.shape
        return self.say(windows_of(latent, s.decoder_past, s.decoder_ahead))

    def say(self, windows: Tensor) -> tuple[Tensor, Tensor]:
        """Decode from each frame's neighbourhood [B, T, W · D]."""
        s = self.shape
        with autocast(self.training):
            hidden = self.decoder.hidden(windows)
            middle, spread = self.decoder.outputs["mean"](hidden), self.decoder.outputs["spread"](hidden)
        middle = middle.float().reshape(windows.shape[0], -1, s.bins) * SCALE + CENTRE
        return middle, spread.float().reshape(windows.shape[0], -1, s.bands)

    def quantise(self, latent: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return quantised latents (with the gradient passed through), codes [B, T, K] and the commitment's cost.

        In training the books follow the running means of what they stand for (A. van den Oord et al., "Neural discrete
        representation learning", NeurIPS 2017, appendix A.1), and codes that nobody uses are put where sound is.
        """
        s = self.shape
        flat = latent.detach().reshape(-1, s.latent)
        rest, parts, codes = flat, [], []
        for k in range(s.codebooks):
            x = flat[:, k * s.code_size : (k + 1) * s.code_size] if s.quantiser == "product" else rest
            if self.training and not self.begun:
                self._begin(k, x)
            nearest = (self.book[k].square().sum(1) - 2 * x @ self.book[k].T).argmin(1)
            chosen = self.book[k][nearest]
            if self.training:
                self._follow(k, x, nearest)
            parts.append(chosen)
            codes.append(nearest)
            rest = rest - chosen if s.quantiser == "residual" else rest
        if self.training:
            self.begun.fill_(True)
        found = torch.cat(parts, 1) if s.quantiser == "product" else torch.stack(parts).sum(0)
        found = found.reshape_as(latent)
        passed = latent + (found - latent).detach()
        return passed, torch.stack(codes, 1).reshape(*latent.shape[:2], -1), F.mse_loss(latent, found)

    def _begin(self, k: int, x: Tensor) -> None:
        self.book[k] = x[torch.randint(len(x), (self.shape.levels,))]
        self.sums[k] = self.book[k]

    def _follow(self, k: int, x: Tensor, nearest: Tensor) -> None:
        uses = torch.bincount(nearest, minlength=self.shape.levels).float()
        sums = torch.zeros_like(self.book[k]).index_add_(0, nearest, x)
        self.uses[k].mul_(DECAY).add_(uses, alpha=1 - DECAY)
        self.sums[k].mul_(DECAY).add_(sums, alpha=1 - DECAY)
        self.book[k] = self.sums[k] / self.uses[k].clamp(min=1e-3)[:, None]
        idle = self.uses[k] < 0.002 * len(x) / self.shape.levels
        if idle.any():
            fresh = x[torch.randint(len(x), (int(idle.sum()),))]
            self.book[k][idle], self.sums[k][idle], self.uses[k][idle] = fresh, fresh, 1.0

    def loss(self, sound: Tensor) -> tuple[Tensor, dict[str, float]]:
        """Return the loss over crops [B, N] and its parts, in nepers: of bins (weighted as ears do) and of bands."""
        magnitudes = self.spectra(sound)
        latent, _, commitment = self.quantise(self.encode(magnitudes))
        middle, spread = self.decode(latent)
        true = torch.log(magnitudes + self.shape.floor)
        apart = (middle - true).abs()
        bins = (apart * self.weight).mean()
        bands = (self.in_bands(magnitudes) - self.in_bands(torch.exp(middle))).abs().mean()
        here = apart.detach() @ self.bands.T  # what the spread has to say: Laplace's scale in each band
        says = (spread + here * torch.exp(-spread)).mean()
        total = bins + BAND_WEIGHT * bands + SPREAD_WEIGHT * says + COMMITMENT * commitment
        return total, {"bins": float(bins.detach()), "bands": float(bands.detach())}

    def arrays(self) -> dict[str, NDArray[np.float32]]:
        """Return the numbers under the codec's names."""
        return {k.replace(".outputs.", "."): v.detach().numpy().copy() for k, v in self.state_dict().items()}


def windows_of(x: Tensor, past: int, ahead: int) -> Tensor:
    """Return each frame's neighbourhood, [B, T, F] → [B, T, (past + 1 + ahead) · F]; the ends are repeated."""
    padded = torch.cat([x[:, :1].expand(-1, past, -1), x, x[:, -1:].expand(-1, ahead, -1)], 1)
    return padded.unfold(1, past + 1 + ahead, 1).transpose(2, 3).flatten(2)


def mel_bands(shape: CodecShape) -> NDArray[np.float32]:
    """Return weights [bands, F] of triangles on the mel scale; those of a band sum to 1."""
    from noizenet.kernels.cache import load_librosa

    librosa = load_librosa()

    weights = librosa.filters.mel(
        sr=shape.sample_rate, n_fft=shape.n_fft, n_mels=shape.bands, fmin=20, fmax=shape.sample_rate / 2, norm=None
    )
    for empty in np.flatnonzero(weights.sum(1) == 0):  # narrower than a bin: the nearest bin
        centre = librosa.mel_frequencies(shape.bands + 2, fmin=20, fmax=shape.sample_rate / 2)[empty + 1]
        weights[empty, round(centre * shape.n_fft / shape.sample_rate)] = 1
    return np.asarray(weights / weights.sum(1, keepdims=True), np.float32)


class Crops:
    """Random crops of tracks, genres weighted by the square root of their length, each at a level of its own."""

    def __init__(self, corpus: Corpus, tracks: list[Track], seed: int) -> None:
        self._corpus, self._rng = corpus, np.random.default_rng(seed)
        self.length = round(CROP_S * corpus.sample_rate)
        self._tracks = [t for t in tracks if t.frames > self.length]
        if not self._tracks:
            raise TrainingError(f"no track is as long as a crop of {CROP_S} s; add longer recordings")
        frames = {g: sum(t.frames for t in self._tracks if t.genre == g) for g in corpus.genres}
        weights = np.array([t.frames / math.sqrt(frames[t.genre]) for t in self._tracks])
        self._weights = weights / weights.sum()

    def next(self, count: int) -> Tensor:
        """Return crops [count, N]."""
        chosen = self._rng.choice(len(self._tracks), count, p=self._weights)
        rows = []
        for i in chosen:
            track = self._tracks[i]
            start = int(self._rng.integers(0, track.frames - self.length))
            rows.append(from_pcm16(self._corpus.read(track, start, self.length)).mean(1))
        gains = np.exp(0.2 * self._rng.standard_normal((count, 1))).astype(np.float32)
        return torch.from_numpy(np.clip(np.stack(rows) * gains, -1, 1))

    def state(self) -> dict[str, Any]:
        """Return where the random numbers stand."""
        return dict(self._rng.bit_generator.state)

    def restore(self, state: dict[str, Any]) -> None:
        """Go back to it."""
        self._rng.bit_generator.state = state


def train_codec(
    corpus: Corpus,
    folder: Path,
    shape: CodecShape,
    *,
    minutes: float,
    batch: int = 16,
    learning_rate: float = 1e-3,
    seed: int = 0,
    command: str = "",
    on_progress: Callable[[str, float], None] | None = None,
    make: type[CodecNetwork] = CodecNetwork,
) -> CodecNetwork:
    """Train a codec for so many minutes of CPU time of one thread, and write its folder.

    A run that was stopped goes on from its last resume point (``resume.safetensors``, every two minutes). `make` is the
    network to train: variants of it are tried in ``examples/codecs.py``.

    Raises
    ------
    UsageError
        If the corpus has another rate than the codec.
    """
    from safetensors.torch import load as from_bytes
    from safetensors.torch import save as to_bytes

    if corpus.sample_rate != shape.sample_rate:
        raise UsageError(f"the corpus is at {corpus.sample_rate} Hz, the codec for {shape.sample_rate}")
    torch.manual_seed(seed)
    network, crops = make(shape).train(), Crops(corpus, corpus.split("train"), seed)
    optimizer = torch.optim.AdamW(network.parameters(), lr=learning_rate, betas=(0.9, 0.99), weight_decay=1e-4)
    spent, step, recent = 0.0, 0, {"bins": 0.0, "bands": 0.0}
    point, numbers = folder / "resume.safetensors", folder / "resume.json"
    names = [n for n, _ in network.named_parameters()]
    if point.exists() and numbers.exists():
        import json

        saved, tensors = json.loads(numbers.read_text()), from_bytes(point.read_bytes())
        buffers = {k: v for k, v in tensors.items() if not k.startswith("moment.")}
        for name, buffer in [*network.named_parameters(), *network.named_buffers()]:
            buffer.data.copy_(buffers[name])
        spent, step = saved["spent"], saved["step"]
        crops.restore(saved["crops"])
        optimizer.load_state_dict({
            "param_groups": optimizer.state_dict()["param_groups"],
            "state": {
                i: {"step": torch.tensor(float(step)), "exp_avg": tensors[f"moment.1.{n}"],
                    "exp_avg_sq": tensors[f"moment.2.{n}"]}
                for i, n in enumerate(names)
            },
        })  # fmt: skip
    begun, kept = time.process_time() - spent, spent
    while spent < 60 * minutes:
        done = spent / (60 * minutes)
        for group in optimizer.param_groups:
            group["lr"] = learning_rate * min(1, (step + 1) / 50) * (0.51 + 0.49 * math.cos(math.pi * done))
        loss, parts = network.loss(crops.next(batch))
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        step += 1
        recent = {k: 0.98 * recent[k] + 0.02 * v for k, v in parts.items()} if step > 50 else parts
        spent = time.process_time() - begun
        if on_progress is not None and step % 50 == 0:
            on_progress(f"step {step}: bins {recent['bins']:.3f}, bands {recent['bands']:.3f} nepers", done)
        if spent - kept > 120 or spent >= 60 * minutes:
            kept = spent
            tensors = {n: b.detach() for n, b in [*network.named_parameters(), *network.named_buffers()]}
            for i, name in enumerate(names):
                moments = optimizer.state_dict()["state"][i]
                tensors |= {f"moment.1.{name}": moments["exp_avg"], f"moment.2.{name}": moments["exp_avg_sq"]}
            folder.mkdir(parents=True, exist_ok=True)
            write_bytes(point, to_bytes({k: v.contiguous().clone() for k, v in tensors.items()}))
            write_json(numbers, {"spent": spent, "step": step, "crops": crops.state()})
    about = {
        "command": command, "seed": seed, "cpu_minutes": spent / 60, "steps": step, "loss": recent,
        "hours_read": step * batch * CROP_S / 3600, "hours": corpus.seconds("train") / 3600,
        "content": sorted(t.content for t in corpus.split("train")), "shape": asdict(shape),
    }  # fmt: skip
    save_codec(shape, network.eval().arrays(), about, folder, _card(corpus, about))
    return network


def _card(corpus: Corpus, about: dict[str, Any]) -> str:
    tracks = corpus.split("train")
    return f"""# A codec

Codes for music at {corpus.sample_rate:,} Hz mono, trained on {len(tracks)} tracks ({about["hours"]:.1f} hours;
genres: {", ".join(corpus.genres)}) for {about["cpu_minutes"]:.0f} minutes of one core ({about["steps"]:,} steps,
{about["hours_read"]:.1f} hours of crops read), seed {about["seed"]}.

- Licences of the recordings: {corpus.about.get("licence") or "see the corpus"}
- Command: `{about["command"]}`
- Last losses in training, nepers: bins {about["loss"]["bins"]:.3f}, bands {about["loss"]["bands"]:.3f}
"""
