"""Held-out measures during training, on the same stretches every time."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
import torch

from noizenet.corpus.corpus import Corpus, Track
from noizenet.model.network import Network
from noizenet.representation.base import Representation
from noizenet.training.step import autocast, detach_state, to_tensors
from noizenet.training.windows import Batch, WindowReader

LANES = 32


class Validation:
    """A fixed set of windows of held-out tracks.

    Parameters
    ----------
    corpus, tracks, representation
        As for :class:`WindowReader`.
    window : int
        Frames per window.
    seconds : float
        Sound to read.
    seed : int
        Fixes the stretches.
    clock, phrase, lookback
        As for the reader: the network is told the beat as in training.
    on_track : callable, optional
        As for the reader.
    """

    def __init__(
        self,
        corpus: Corpus,
        tracks: Sequence[Track],
        representation: Representation,
        *,
        window: int,
        seconds: float,
        seed: int,
        clock: int = 0,
        phrase: int = 0,
        lookback: Sequence[int] = (),
        on_track: Callable[[float], None] | None = None,
    ) -> None:
        windows = max(1, math.ceil(seconds * representation.frame_rate / window))
        ratio = 0.8 * representation.sample_rate / corpus.sample_rate  # silences are left out
        ratio = ratio if representation.cache_key else 1.0
        possible = sum(representation.frames_for(int(t.frames * ratio)) // window for t in tracks)
        rows = max(1, min(LANES, windows, possible))
        steps = max(1, windows // rows)
        segment = steps * window / representation.frame_rate
        reader = WindowReader(
            corpus,
            tracks,
            representation,
            batch=rows,
            window=window,
            segment_seconds=segment,
            seed=seed,
            clock=clock,
            phrase=phrase,
            lookback=lookback,
            on_track=on_track,
        )
        self._batches: list[Batch] = [reader.next() for _ in range(steps)]
        self._used, self._frames_each = steps, rows * window
        self._per_second = representation.frame_rate

    @property
    def frames(self) -> int:
        """Frames that one measurement reads."""
        return self._used * self._frames_each

    @property
    def batches(self) -> int:
        """How many of the windows in a row are read."""
        return self._used

    def limit(self, batches: int) -> None:
        """Read no more than so many windows in a row from now on, of all tracks; one at least."""
        self._used = max(1, min(batches, len(self._batches)))

    def measure(self, network: Network, *, bf16: bool) -> dict[str, float]:
        """Return the loss and what it means.

        Classes: ``loss`` in nats per frame, ``bits_per_frame``, ``bits_per_second``. Numbers: ``loss``, ``mse``,
        ``mae``, ``mbe`` (mean bias) and ``persistence_mse``, the error of repeating the last frame.
        """
        network.eval()
        sums: dict[str, float] = {}
        state = network.start_state(len(self._batches[0].genres))
        with torch.inference_mode():
            for batch in self._batches[: self._used]:
                inputs, targets, mix, beat = to_tensors(batch, network.architecture.genres)
                with autocast(bf16):
                    before = detach_state(network, state, batch.fresh)
                    loss, output, state = network.compute_loss(inputs, targets, mix, before, *beat)
                values = {"loss": float(loss)}
                if network.architecture.kind == "vectors":
                    error = output.float() - targets
                    values["mse"] = float(error.square().mean())
                    values["mae"] = float(error.abs().mean())
                    values["mbe"] = float(error.mean())
                    values["persistence_mse"] = float((inputs - targets).square().mean())
                for key, value in values.items():
                    sums[key] = sums.get(key, 0.0) + value / self._used
        network.train()
        if network.architecture.kind == "classes":
            sums["bits_per_frame"] = sums["loss"] / math.log(2)
            sums["bits_per_second"] = sums["bits_per_frame"] * self._per_second
        return {k: float(np.float64(v)) for k, v in sums.items()}
