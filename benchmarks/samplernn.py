"""The public PyTorch implementation of SampleRNN, trained and measured for ``compare.py``.

It is not part of noizenet: its files are imported from a checkout of
https://github.com/deepsound-project/samplernn-pytorch (MIT), and names that torch has since renamed are patched. Its
defaults are used: frame sizes 16 and 4, one GRU of 1024 units per tier, 256 levels, learned start, weight norm, batches
of 128 sequences, windows of 1024 samples, Adam at 0.001, gradients clamped to ±1.
"""

from __future__ import annotations

import subprocess
import sys
import time
import types
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from noizenet.training.windows import Batch, WindowReader

URL = "https://github.com/deepsound-project/samplernn-pytorch"
BATCH, WINDOW, LEVELS = 128, 1024, 256


class SampleRnn:
    """The network, its optimizer and a training step.

    Parameters
    ----------
    checkout : Path
        Folder of the implementation; cloned there if it is missing.
    """

    def __init__(self, checkout: Path, seed: int = 0) -> None:
        if not (checkout / "model.py").exists():
            subprocess.run(["git", "clone", "--depth", "1", URL, str(checkout)], check=True)
        warnings.filterwarnings("ignore")
        for old, new in (("uniform", "uniform_"), ("constant", "constant_"), ("kaiming_uniform", "kaiming_uniform_"),
                         ("orthogonal", "orthogonal_")):  # fmt: skip
            setattr(torch.nn.init, old, getattr(torch.nn.init, new))
        torch.autograd.Variable = lambda tensor, volatile=False: tensor
        sys.path.insert(0, str(checkout))
        self._code = __import__("model")
        optim: types.ModuleType = __import__("optim")
        torch.manual_seed(seed)
        self.network: Any = self._code.SampleRNN(
            frame_sizes=[16, 4], n_rnn=1, dim=1024, learn_h0=True, q_levels=LEVELS, weight_norm=True
        )
        self.predictor: Any = self._code.Predictor(self.network)
        self._optimizer: Any = optim.gradient_clipping(torch.optim.Adam(self.predictor.parameters()))
        self._history: Tensor | None = None

    def parameter_count(self) -> int:
        """Return the number of weights."""
        return sum(p.numel() for p in self.network.parameters())

    def step(self, batch: Batch) -> float:
        """Train on one window of every row; return bits per sample."""
        loss = torch.zeros(())

        def closure() -> Tensor:
            nonlocal loss
            self._optimizer.zero_grad(set_to_none=False)  # as in its time; the optimizer clamps all gradients
            loss = self._loss(batch)
            loss.backward()
            return loss

        self._optimizer.step(closure)
        return float(loss)

    def measure(self, batches: list[Batch]) -> float:
        """Return bits per sample over consecutive windows."""
        self._history = None
        with torch.no_grad():
            bits = sum(float(self._loss(b)) for b in batches) / len(batches)
        self._history = None
        self.predictor.reset_hidden_states()
        return bits

    def generate_seconds(self, samples: int) -> float:
        """Return the seconds in which its generation loop makes `samples` of one stream."""
        generator = self._code.Generator(self.network)
        with torch.no_grad():
            begun = time.perf_counter()
            generator(1, samples)
            return time.perf_counter() - begun

    def generate(self, streams: int, samples: int) -> NDArray[np.int16]:
        """Generate all streams in one batch with its loop; return classes [streams, samples]."""
        with torch.no_grad():
            classes = self._code.Generator(self.network)(streams, samples)
        return np.asarray(classes.numpy(), np.int16)

    def _loss(self, batch: Batch) -> Tensor:
        """Return bits per sample; hidden states are carried, and reset if all rows start a segment."""
        frames = torch.from_numpy(batch.frames[..., 0]).long()
        reset = bool(batch.fresh.all())
        lookback = self.network.lookback
        if reset or self._history is None:
            self._history = frames[:, :1].expand(-1, lookback - 1)
        sequence = torch.cat([self._history, frames], 1)  # lookback samples, then the window's targets
        self._history = sequence[:, -lookback:-1]
        output = self.predictor(sequence[:, :-1], reset)
        nats = torch.nn.functional.nll_loss(output.reshape(-1, LEVELS), frames[:, 1:].reshape(-1))
        return nats / torch.log(torch.tensor(2.0))


def lockstep(reader: WindowReader, windows: int) -> Iterator[Batch]:
    """Yield batches whose rows all start a segment at the same step, as its loader does.

    A row whose segment is shorter (at the end of a track) continues with the next segment, and its state carries over.
    """
    step = 0
    while True:
        batch = reader.next()
        batch.fresh[:] = step % windows == 0
        step += 1
        yield batch
