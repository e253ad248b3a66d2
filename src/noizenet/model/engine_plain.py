"""Engine of plain networks, for :mod:`noizenet.model.kernel`."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from noizenet.kernels.products import Pack
from noizenet.model.engine import Engine, class_frames, class_inputs, layer_arrays, sampling_numbers
from noizenet.model.kernel import PlainScratch, PlainState, run_classes, run_vectors
from noizenet.model.numeric import Draws, Outputs, Packed
from noizenet.model.sampling import Sampling
from noizenet.model.weights import F32, Weights


class PlainEngine(Engine):
    """One stack of layers, one step per frame."""

    def __init__(self, weights: Weights, start: NDArray[Any], precision: str) -> None:
        super().__init__(weights, start, precision)
        a = self._a
        frame = a.frame_size
        pack, layout = Pack(precision), []
        self._table, self._genre_weights = np.zeros((0, 0), np.float32), np.zeros((0, 0), np.float32)
        for number in range(a.options.layers):
            w_ih, w_hh, b_ih, b_hh = layer_arrays(weights, f"stack.cells.{number}")
            if number == 0:
                self._bias0 = b_ih
                if a.genre_size:
                    self._genre_weights = w_ih[:, frame:]
                w_ih = w_ih[:, :frame]
                if a.kind == "classes":  # the product of W_ih and a class's embedding comes from a table
                    self._table = np.ascontiguousarray(weights["frame.weight"] @ w_ih.T)
                    w_ih = w_ih[:0]
            layout += [pack.add(w_ih, b_ih[: len(w_ih)]), pack.add(w_hh, b_hh)]
        layout.append(pack.add(weights["head.linear.weight"], weights["head.linear.bias"]))
        self._genres = weights.get("genre.weight")
        self._packed = Packed(*pack.arrays(), np.asarray(layout, np.int64))
        width = self.cell.gates * a.options.hidden
        self.scratch = {
            "z": np.zeros(width, np.float32), "zh": np.zeros(width, np.float32),
            "output": np.zeros(a.outputs, np.float32), "raw": np.zeros(a.outputs, np.float32),
        }  # fmt: skip
        self._genre = self._bias0
        self.reset()

    def reset(self) -> None:
        """Reset the memory to the start of a track."""
        o = self._a.options
        shape = (o.layers, o.hidden)
        kind = np.int64 if self._a.kind == "classes" else np.float32
        self.memory = {
            "h": np.zeros(shape, np.float32),
            "c": np.zeros(shape, np.float32),
            "current": self._start.reshape(-1).astype(kind),
        }

    def set_genre(self, mix: F32) -> None:
        """Set the genre mix."""
        self._genre = self._bias0
        if self._genres is not None:
            self._genre = self._bias0 + self._genre_weights @ (mix @ self._genres)

    @property
    def bytes_per_frame(self) -> float:
        """All matrices, and a row of the table."""
        return float(self._packed.weights.nbytes + (self._table[0].nbytes if len(self._table) else 0))

    def run(
        self, count: int, forced: NDArray[Any] | None, uniforms: NDArray[np.float64], coarse: NDArray[np.float64],
        noise: F32, sampling: Sampling, record: F32,
    ) -> NDArray[Any]:  # fmt: skip
        """Run `count` frames."""
        m, s, a = self.memory, self.scratch, self._a
        state = PlainState(m["h"], m["c"], m["current"])
        scratch = PlainScratch(s["z"], s["zh"], s["output"], s["raw"])
        if a.kind == "classes":
            forced_classes, class_noise = class_inputs(forced, noise)
            classes = np.zeros(count, np.int64)
            run_classes(
                self.cell, self._packed, self._table, self._genre, state, Draws(forced_classes, uniforms, class_noise),
                sampling_numbers(sampling), scratch, Outputs(self.nll_sum, classes, record),
            )  # fmt: skip
            return class_frames(classes, a.levels)
        forced_rows = np.zeros((0, a.dim), np.float32) if forced is None else np.ascontiguousarray(forced, np.float32)
        out = np.zeros((count, a.dim), np.float32)
        draws, outputs = Draws(forced_rows, uniforms, noise), Outputs(self.nll_sum, out, record)
        run_vectors(self.cell, self._packed, self._genre, state, draws, scratch, outputs)
        return out
