"""Validation during training, on the same segments every time."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
import torch

from noizenet.corpus.corpus import Corpus, Track
from noizenet.model.network import Network
from noizenet.representation.base import Representation
from noizenet.training.sources import NO_BEAT, BeatOptions
from noizenet.training.step import autocast, detach_state, to_tensors
from noizenet.training.windows import Batch, WindowReader

MAX_ROWS = 32


class Validation:
    """A fixed set of windows of held-out tracks.

    Parameters
    ----------
    corpus, tracks, representation
        As for :class:`WindowReader`.
    window : int
        Frames per window.
    seconds : float
        Audio to read.
    seed : int
        Selects the segments.
    beat : BeatOptions
        As for :class:`WindowReader`.
    on_track : callable, optional
        As for :class:`WindowReader`.
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
        beat: BeatOptions = NO_BEAT,
        on_track: Callable[[float], None] | None = None,
    ) -> None:
        windows = max(1, math.ceil(seconds * representation.frame_rate / window))
        ratio = 0.8 * representation.sample_rate / corpus.sample_rate  # silences are left out
        ratio = ratio if representation.cache_key else 1.0
        possible = sum(representation.frames_for(int(t.frames * ratio)) // window for t in tracks)
        n_rows = max(1, min(MAX_ROWS, windows, possible))
        steps = max(1, windows // n_rows)
        segment = steps * window / representation.frame_rate
        reader = WindowReader(
            corpus,
            tracks,
            representation,
            batch=n_rows,
            window=window,
            segment_seconds=segment,
            seed=seed,
            beat=beat,
            on_track=on_track,
        )
        self._batches: list[Batch] = [reader.next() for _ in range(steps)]
        self._n_used, self._frames_each = steps, n_rows * window
        self._per_second = representation.frame_rate

    @property
    def frames(self) -> int:
        """Number of frames that one validation reads."""
        return self._n_used * self._frames_each

    @property
    def batches(self) -> int:
        """Number of batches that one validation reads."""
        return self._n_used

    def limit(self, batches: int) -> None:
        """Limit further validations to so many batches; at least one."""
        self._n_used = max(1, min(batches, len(self._batches)))

    def measure(self, network: Network, *, bf16: bool) -> dict[str, float]:
        """Return the metrics of a network.

        Of classes: ``loss`` in nats per frame, ``bits_per_frame``, ``bits_per_second``. Of numbers: ``loss``, ``mse``,
        ``mae``, ``mbe`` (mean bias error) and ``persistence_mse``, the error of repeating the last frame.
        """
        network.eval()
        sums: dict[str, float] = {}
        state = network.start_state(len(self._batches[0].genres))
        with torch.inference_mode():
            for batch in self._batches[: self._n_used]:
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
                    sums[key] = sums.get(key, 0.0) + value / self._n_used
        network.train()
        if network.architecture.kind == "classes":
            sums["bits_per_frame"] = sums["loss"] / math.log(2)
            sums["bits_per_second"] = sums["bits_per_frame"] * self._per_second
        return {k: float(np.float64(v)) for k, v in sums.items()}
