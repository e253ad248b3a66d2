"""The music tagger of the package musicnn as an embedding: a small CNN over log-mel patches of three seconds.

J. Pons and X. Serra, "musicnn: Pre-trained convolutional neural networks for music audio tagging", ISMIR 2019;
model ``MSD_musicnn``, trained on the Million Song Dataset. Its weights are in the PyPI package musicnn 0.1.0 (ISC
licence), which is downloaded once, verified and cached; its code is not run.
"""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from noizenet.base.errors import ModelError
from noizenet.evaluation.bundle import read_bundle

RATE_HZ, HOP, N_FFT, MELS, FRAMES, SIZE = 16_000, 256, 512, 96, 187, 200
EPSILON = 1e-3  # of TensorFlow's batch normalisation
MEMBER = "musicnn/MSD_musicnn/"
TAGS = (
    "rock", "pop", "alternative", "indie", "electronic", "female vocalists", "dance", "00s", "alternative rock", "jazz",
    "beautiful", "metal", "chillout", "male vocalists", "classic rock", "soul", "indie rock", "mellow", "electronica",
    "80s", "folk", "90s", "chill", "instrumental", "punk", "oldies", "blues", "hard rock", "ambient", "acoustic",
    "experimental", "female vocalist", "guitar", "hip-hop", "70s", "party", "country", "easy listening", "sexy",
    "catchy", "funk", "electro", "heavy metal", "progressive rock", "60s", "rnb", "indie pop", "sad", "house", "happy",
)  # fmt: skip


class Tagger(nn.Module):
    """Log-mel patches [B, 187, 96] → the penultimate layer [B, 200] and the tags' logits [B, 50].

    Parameters
    ----------
    tensors : dict of str to ndarray
        Tensors of the checkpoint under TensorFlow's names.
    """

    def __init__(self, tensors: dict[str, NDArray[np.float32]]) -> None:
        super().__init__()
        try:
            for i in range(11):
                self._norm(tensors, i)
            for i in range(8):
                kernel = _named(tensors, "conv2d", i, "kernel")
                order = (3, 2, 0, 1) if i < 5 else (3, 1, 0, 2)  # the last three cover all features: 1-d
                weight = np.ascontiguousarray(kernel.transpose(order))
                self.register_buffer(f"kernel{i}", torch.from_numpy(weight if i < 5 else weight[..., 0]))
                self.register_buffer(f"bias{i}", torch.from_numpy(_named(tensors, "conv2d", i, "bias").copy()))
            for i in range(2):
                self.register_buffer(f"dense{i}", torch.from_numpy(_named(tensors, "dense", i, "kernel").T.copy()))
                self.register_buffer(f"dense_bias{i}", torch.from_numpy(_named(tensors, "dense", i, "bias").copy()))
        except KeyError as error:
            raise ModelError(f"the tagger's checkpoint has no {error}") from error
        self.eval()

    def _norm(self, tensors: dict[str, NDArray[np.float32]], i: int) -> None:
        gamma, beta, mean, variance = (
            _named(tensors, "batch_normalization", i, part)
            for part in ("gamma", "beta", "moving_mean", "moving_variance")
        )
        factor = gamma / np.sqrt(variance + EPSILON)
        self.register_buffer(f"factor{i}", torch.from_numpy(factor))
        self.register_buffer(f"offset{i}", torch.from_numpy(beta - mean * factor))

    def forward(self, patches: Tensor) -> tuple[Tensor, Tensor]:
        """Return embeddings and logits of patches."""
        b = dict(self.named_buffers())

        def norm(x: Tensor, i: int) -> Tensor:  # channels are the second axis
            shape = (1, -1) + (1,) * (x.ndim - 2)
            return x * b[f"factor{i}"].view(shape) + b[f"offset{i}"].view(shape)

        x = norm(patches[:, None], 0)
        front = []
        for i in range(5):  # two kernels for timbre (tall in frequency), three for time
            size = b[f"kernel{i}"].shape[2]
            padded = F.pad(x, (0, 0, (size - 1) // 2, size // 2))
            y = F.relu(F.conv2d(padded, b[f"kernel{i}"], b[f"bias{i}"]))
            front.append(norm(y, i + 1).amax(3))
        features = [torch.cat(front, 1)]
        for i in range(5, 8):
            y = norm(F.relu(F.conv1d(features[-1], b[f"kernel{i}"], b[f"bias{i}"], padding=3)), i + 1)
            features.append(y if i == 5 else y + features[-1])
        every = torch.cat(features, 1)
        pooled = torch.stack([every.amax(2), every.mean(2)], 2).flatten(1)
        hidden = norm(F.relu(F.linear(norm(pooled, 9), b["dense0"], b["dense_bias0"])), 10)
        return hidden, F.linear(hidden, b["dense1"], b["dense_bias1"])


def _named(tensors: dict[str, NDArray[np.float32]], layer: str, i: int, part: str) -> NDArray[np.float32]:
    return tensors[f"{layer}_{i}/{part}" if i else f"{layer}/{part}"]


def load_tagger(wheel: Path) -> Tagger:
    """Read the tagger from musicnn's wheel.

    Raises
    ------
    ModelError
        If the file is not that wheel.
    """
    try:
        with zipfile.ZipFile(wheel) as archive:
            index, data = (archive.read(MEMBER + name) for name in (".index", ".data-00000-of-00001"))
    except (OSError, KeyError, zipfile.BadZipFile) as error:
        raise ModelError(f"{wheel}: not the wheel of musicnn 0.1.0 ({error}); delete it and try again") from error
    return Tagger(read_bundle(index, data))


def log_mel(samples: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the tagger's log-mel spectrogram of mono samples at 16 kHz, [n] → [1 + n // 256, 96]."""
    from noizenet.kernels.cache import load_librosa

    librosa = load_librosa()

    mel = librosa.feature.melspectrogram(y=samples, sr=RATE_HZ, n_fft=N_FFT, hop_length=HOP, n_mels=MELS)
    logarithm: NDArray[np.float32] = np.log10(10_000 * mel.T + 1).astype(np.float32)
    return logarithm
