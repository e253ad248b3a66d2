"""The codec in torch: an autoencoder of log-spectra with a quantised latent.

:mod:`noizenet.training.codec_training` trains it; :mod:`noizenet.representation.codec_network` runs it in NumPy. Both
use the same names of arrays.
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
"""Decay of the running means that update the codebooks."""
RUNNING = ("uses", "sums", "begun")
"""Buffers that only training needs."""
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
    """The encoder or the decoder; its layers have the names of the arrays."""

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
    """The codec as a torch module.

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
        encoder_inputs = (shape.past + 1 + shape.ahead) * shape.spectra * shape.bands
        decoder_inputs = (shape.decoder_past + 1 + shape.decoder_ahead) * shape.latent
        self.encoder = _Side(encoder_inputs, shape.width, shape.encoder_blocks, {"last": shape.latent})
        outputs = {"mean": shape.spectra * shape.bins, "spread": shape.spectra * shape.bands}
        self.decoder = _Side(decoder_inputs, shape.width, shape.decoder_blocks, outputs)
        density = self.bands.sum(0)
        self.register_buffer("weight", (density / density.mean()).clamp(min=0.1), persistent=False)
        self.register_buffer("begun", torch.zeros((), dtype=torch.bool))

    @classmethod
    def of(cls, weights: CodecWeights) -> CodecNetwork:
        """Return a trained codec as a torch module."""
        network = cls(weights.shape)
        names = {k.replace(".outputs.", "."): k for k in network.state_dict() if k not in RUNNING}
        arrays = {names[k]: torch.from_numpy(v) for k, v in weights.arrays.items()}
        network.load_state_dict(arrays | {k: getattr(network, k) for k in RUNNING})
        return network.eval()

    def spectra(self, sound: Tensor) -> Tensor:
        """Return magnitudes [B, T, F] of samples [B, N]; T is a multiple of the spectra in a frame."""
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
        inputs = (self.in_bands(magnitudes) - CENTRE) / SCALE
        inputs = inputs.reshape(len(inputs), -1, s.spectra * s.bands)
        with autocast(self.training):
            latent: Tensor = self.encoder.outputs["last"](self.encoder.hidden(windows_of(inputs, s.past, s.ahead)))
        return latent.float()

    def decode(self, latent: Tensor) -> tuple[Tensor, Tensor]:
        """Return log-magnitudes [B, T, F] and log-spreads [B, T, bands]."""
        s = self.shape
        return self.decode_windows(windows_of(latent, s.decoder_past, s.decoder_ahead))

    def decode_windows(self, windows: Tensor) -> tuple[Tensor, Tensor]:
        """Decode from each frame with its neighbours [B, T, W · D]."""
        s = self.shape
        with autocast(self.training):
            hidden = self.decoder.hidden(windows)
            log_magnitudes, spread = self.decoder.outputs["mean"](hidden), self.decoder.outputs["spread"](hidden)
        log_magnitudes = log_magnitudes.float().reshape(windows.shape[0], -1, s.bins) * SCALE + CENTRE
        return log_magnitudes, spread.float().reshape(windows.shape[0], -1, s.bands)

    def quantise(self, latent: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return quantised latents (straight-through gradient), codes [B, T, K] and the commitment loss.

        In training the codebooks are updated by running means (A. van den Oord et al., "Neural discrete representation
        learning", NeurIPS 2017, appendix A.1), and unused codes are replaced by latents of the batch.
        """
        s = self.shape
        flat = latent.detach().reshape(-1, s.latent)
        residual, parts, codes = flat, [], []
        for k in range(s.codebooks):
            x = flat[:, k * s.code_size : (k + 1) * s.code_size] if s.quantiser == "product" else residual
            if self.training and not self.begun:
                self._init_book(k, x)
            nearest = (self.book[k].square().sum(1) - 2 * x @ self.book[k].T).argmin(1)
            chosen = self.book[k][nearest]
            if self.training:
                self._update_book(k, x, nearest)
            parts.append(chosen)
            codes.append(nearest)
            residual = residual - chosen if s.quantiser == "residual" else residual
        if self.training:
            self.begun.fill_(True)
        quantised = torch.cat(parts, 1) if s.quantiser == "product" else torch.stack(parts).sum(0)
        quantised = quantised.reshape_as(latent)
        straight_through = latent + (quantised - latent).detach()
        return straight_through, torch.stack(codes, 1).reshape(*latent.shape[:2], -1), F.mse_loss(latent, quantised)

    def _init_book(self, k: int, x: Tensor) -> None:
        self.book[k] = x[torch.randint(len(x), (self.shape.levels,))]
        self.sums[k] = self.book[k]

    def _update_book(self, k: int, x: Tensor, nearest: Tensor) -> None:
        uses = torch.bincount(nearest, minlength=self.shape.levels).float()
        sums = torch.zeros_like(self.book[k]).index_add_(0, nearest, x)
        self.uses[k].mul_(DECAY).add_(uses, alpha=1 - DECAY)
        self.sums[k].mul_(DECAY).add_(sums, alpha=1 - DECAY)
        self.book[k] = self.sums[k] / self.uses[k].clamp(min=1e-3)[:, None]
        unused = self.uses[k] < 0.002 * len(x) / self.shape.levels
        if unused.any():
            replacements = x[torch.randint(len(x), (int(unused.sum()),))]
            self.book[k][unused], self.sums[k][unused], self.uses[k][unused] = replacements, replacements, 1.0

    def loss(self, sound: Tensor) -> tuple[Tensor, dict[str, float]]:
        """Return the loss over crops [B, N] and its parts, in nepers: of bins (mel-weighted) and of bands."""
        magnitudes = self.spectra(sound)
        latent, _, commitment = self.quantise(self.encode(magnitudes))
        log_magnitudes, spread = self.decode(latent)
        true = torch.log(magnitudes + self.shape.floor)
        error = (log_magnitudes - true).abs()
        bins = (error * self.weight).mean()
        bands = (self.in_bands(magnitudes) - self.in_bands(torch.exp(log_magnitudes))).abs().mean()
        band_error = error.detach() @ self.bands.T  # target of the spread: the scale of a Laplace distribution
        spread_loss = (spread + band_error * torch.exp(-spread)).mean()
        total = bins + BAND_WEIGHT * bands + SPREAD_WEIGHT * spread_loss + COMMITMENT * commitment
        return total, {"bins": float(bins.detach()), "bands": float(bands.detach())}

    def arrays(self) -> dict[str, NDArray[np.float32]]:
        """Return the weights under the names of the codec's arrays."""
        learned = {k: v for k, v in self.state_dict().items() if k not in RUNNING}
        return {k.replace(".outputs.", "."): v.detach().numpy().copy() for k, v in learned.items()}


def windows_of(x: Tensor, past: int, ahead: int) -> Tensor:
    """Return each frame with its neighbours, [B, T, F] → [B, T, (past + 1 + ahead) · F]; the ends are repeated."""
    padded = torch.cat([x[:, :1].expand(-1, past, -1), x, x[:, -1:].expand(-1, ahead, -1)], 1)
    return padded.unfold(1, past + 1 + ahead, 1).transpose(2, 3).flatten(2)


def mel_bands(shape: CodecShape) -> NDArray[np.float32]:
    """Return weights [bands, F] of triangular mel filters; those of a band sum to 1."""
    from noizenet.kernels.cache import load_librosa

    librosa = load_librosa()

    weights = librosa.filters.mel(
        sr=shape.sample_rate, n_fft=shape.n_fft, n_mels=shape.bands, fmin=20, fmax=shape.sample_rate / 2, norm=None
    )
    for empty in np.flatnonzero(weights.sum(1) == 0):  # narrower than a bin: use the nearest bin
        centre = librosa.mel_frequencies(shape.bands + 2, fmin=20, fmax=shape.sample_rate / 2)[empty + 1]
        weights[empty, round(centre * shape.n_fft / shape.sample_rate)] = 1
    return np.asarray(weights / weights.sum(1, keepdims=True), np.float32)
