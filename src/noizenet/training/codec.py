"""The codec in torch: an autoencoder of log-spectra with codes in its middle.

What is learned (:mod:`noizenet.training.codec_training`) is what NumPy plays
(:mod:`noizenet.representation.codec_network`), under the same names.
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from noizenet.audio.dsp import hann
from noizenet.representation.codec_network import CENTRE, SCALE
from noizenet.representation.codec_weights import CodecShape, CodecWeights
from noizenet.training.step import autocast

DECAY = 0.99
"""Of the running means that a code stands for."""
RUNNING = ("uses", "sums", "begun")
"""Of the network's tensors those that only training needs."""
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
        self.register_buffer("uses", torch.ones(shape.codebooks, shape.levels))
        self.register_buffer("sums", torch.zeros_like(self.book))
        heard = (shape.past + 1 + shape.ahead) * shape.spectra * shape.bands
        told = (shape.decoder_past + 1 + shape.decoder_ahead) * shape.latent
        self.encoder = _Side(heard, shape.width, shape.encoder_blocks, {"last": shape.latent})
        outputs = {"mean": shape.spectra * shape.bins, "spread": shape.spectra * shape.bands}
        self.decoder = _Side(told, shape.width, shape.decoder_blocks, outputs)
        density = self.bands.sum(0)
        self.register_buffer("weight", (density / density.mean()).clamp(min=0.1), persistent=False)
        self.register_buffer("begun", torch.zeros((), dtype=torch.bool))

    @classmethod
    def of(cls, weights: CodecWeights) -> CodecNetwork:
        """Return a trained codec in torch."""
        network = cls(weights.shape)
        names = {k.replace(".outputs.", "."): k for k in network.state_dict() if k not in RUNNING}
        arrays = {names[k]: torch.from_numpy(v) for k, v in weights.arrays.items()}
        network.load_state_dict(arrays | {k: getattr(network, k) for k in RUNNING})
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
        learned = {k: v for k, v in self.state_dict().items() if k not in RUNNING}
        return {k.replace(".outputs.", "."): v.detach().numpy().copy() for k, v in learned.items()}


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
