"""Engine of tiered networks, for :mod:`noizenet.model.kernel_tiered`."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from noizenet.kernels.products import COLUMNS, ROWS, Pack, W
from noizenet.model.engine import Engine, class_frames, class_inputs, layer_arrays, sampling_numbers
from noizenet.model.features import COARSE, LPC_WINDOW, edges_of, features_of, lpc_taper
from noizenet.model.kernel_tiered import (
    ADAPT,
    COARSE_PROJ,
    OUT_PROJ,
    TIER,
    TieredDraws,
    TieredScratch,
    TieredState,
    TieredTables,
    run_tiered,
)
from noizenet.model.numeric import Outputs, Packed
from noizenet.model.sampling import Sampling
from noizenet.model.weights import F32, Weights


class TieredEngine(Engine):
    """Recurrent tiers at different rates over samples."""

    def __init__(self, weights: Weights, start: NDArray[Any], precision: str) -> None:
        super().__init__(weights, start, precision)
        a, o = self._a, self._a.options
        pack, layout = Pack(precision), []
        for k in range(len(o.tiers)):
            w_ih, w_hh, b_ih, b_hh = layer_arrays(weights, f"tiers.{k}.cell")
            layout += [
                pack.add(weights[f"tiers.{k}.frame.weight"]),
                pack.add(w_ih, b_ih),
                pack.add(w_hh, b_hh),
                pack.add(weights[f"tiers.{k}.out_proj.weight"], weights[f"tiers.{k}.out_proj.bias"], a.tiers[k].ratio),
            ]
        fastest, slowest = o.tiers[0][1], o.tiers[-1][1]
        coarse = [(f"coarse.out_proj.{s}", slowest) for s in range(len(COARSE))]
        for name, inputs in (("adapt", fastest), *coarse):
            matrix = weights.get(f"{name}.weight")
            empty = np.zeros((0, inputs), np.float32)
            layout.append(pack.add(empty) if matrix is None else pack.add(matrix, weights[f"{name}.bias"]))
        layout.append(pack.add(weights["latest.weight"]))
        for name in ("head.linear", *(f"layers.{i}" for i in range(o.depth))):
            layout.append(pack.add(weights[f"{name}.weight"], weights[f"{name}.bias"]))
        self.packed = Packed(*pack.arrays(), np.asarray(layout, np.int64))
        self._layer_biases = [weights[f"tiers.{k}.frame.bias"] for k in range(len(o.tiers))] + [weights["latest.bias"]]
        self._genre_weights = [weights.get(f"tiers.{k}.genre.weight") for k in range(len(o.tiers))]
        self._genre_weights.append(weights.get("genre_proj.weight"))
        self._genres = weights.get("genre.weight")
        self._logit_bias = weights.get("coarse.logit_bias")
        self._values = weights["values"]
        self._starts = [weights[f"tiers.{k}.start"] for k in range(len(o.tiers))]
        self.mixture = o.head == "mixture"
        self.tables = self._make_tables(weights)
        self._history = a.history + 1
        units = max(h for _, h in o.tiers)
        most_inputs = max(a.latest_size, *(tier.input_size for tier in a.tiers))
        gates = self.cell.gates * units
        widest = max(o.width, o.tier_inputs, gates, 3 * o.mixtures, o.prediction_order, most_inputs, 64)
        wide = {k: np.zeros(widest, np.float32) for k in ("x", "z", "zh", "a", "b")}
        narrow = {k: np.zeros(self._a.outputs, np.float32) for k in ("output", "raw_output")}
        self.scratch = {**wide, **narrow, "lpc_work": np.zeros(LPC_WINDOW + 2 * a.lpc + 1)}
        self.set_genre(np.zeros(self._a.genres, np.float32))
        self.reset()

    def _make_tables(self, weights: Weights) -> TieredTables:
        """Return the kernel's arrays besides the matrices; the genre's terms are those of a run."""
        a, o = self._a, self._a.options
        base_taps = np.zeros(0, np.float32)
        if a.order:
            adapt = weights.get("adapt.bias")
            base_taps = weights["taps"] if adapt is None else weights["taps"] + adapt
        embedded = [weights[f"tables.{i}.weight"] for i in range(o.embedded)]
        previous, coarse = _coarse_tables(weights)
        return TieredTables(
            np.asarray(o.tiers, np.int64), o.tier_context, None, features_of(self._values),
            np.stack(embedded) if embedded else np.zeros((0, 1, 1), np.float32), base_taps, edges_of(self._values),
            previous, coarse, lpc_taper(), a.lpc_hop, a.n_learned_mixtures,
        )  # fmt: skip

    def reset(self) -> None:
        """Reset the memory to the start of a track."""
        units = max(h for _, h in self._a.options.tiers)
        h, c = (np.zeros((len(self._starts), units), np.float32) for _ in range(2))
        for k, start in enumerate(self._starts):
            h[k, : start.shape[1]] = start[0]
            if len(start) > 1:
                c[k, : start.shape[1]] = start[1]
        first = int(self._start.reshape(-1)[0])
        self.memory = {
            "h": h, "c": c,
            "ring": np.tile(self.tables.features[first], 2 * self._history),
            "position": np.zeros(2, np.int64),
            "taps": np.zeros_like(self.tables.base_taps),
            "lpc": np.zeros(self._a.lpc), "lpc_stats": np.zeros(2),
            "condition": np.zeros((len(self._starts) + 1, self.tables.coarse.shape[-1]), np.float32),
            "coarse_drawn": np.zeros(len(COARSE), np.int64),
            "recent": np.full(len(self.tables.tables), first, np.int64),
        }  # fmt: skip

    def set_genre(self, mix: F32) -> None:
        """Set the genre mix."""
        layers, classes = len(self._layer_biases), COARSE[0].classes
        rows = np.zeros((layers + len(COARSE), max(classes, *map(len, self._layer_biases))), np.float32)
        for k, (layer_bias, weights) in enumerate(zip(self._layer_biases, self._genre_weights, strict=True)):
            rows[k, : len(layer_bias)] = layer_bias
            if self._genres is not None and weights is not None:
                rows[k, : len(layer_bias)] += weights @ (mix @ self._genres)
        if self._logit_bias is not None:
            for s, logit_bias in enumerate(self._logit_bias):
                rows[layers + s, :classes] = mix @ logit_bias if len(mix) == len(logit_bias) else logit_bias[0]
        self.genre = rows

    def shares_weights(self, other: Engine) -> bool:
        """Return whether another engine shares these packed weights, in float32."""
        ours: NDArray[Any] = self.packed.weights
        return isinstance(other, TieredEngine) and ours is other.packed.weights and ours.dtype == np.float32

    @property
    def levels(self) -> int:
        """V."""
        return self._a.levels

    def schedule(self) -> NDArray[np.int64]:
        """Return how the matrices are read: first weight, number of weights, period and parts of each, [n, 4].

        Once in `period` samples one of a matrix's `parts` is read, in turn.
        """
        bottom = len(self.tables.tiers) * TIER
        periods = {bottom + ADAPT: (int(self.tables.tiers[0, 0]), 1)}
        below = 1
        for k, samples in enumerate(map(int, self.tables.tiers[:, 0])):
            periods |= {k * TIER + j: (samples, 1) for j in range(TIER)}
            periods[k * TIER + OUT_PROJ] = (below, samples // below)
            below = samples
        periods |= {bottom + COARSE_PROJ + s: (below, 1) for s in range(len(COARSE))}
        rows = [(row[W], row[ROWS] * row[COLUMNS], *periods.get(j, (1, 1))) for j, row in enumerate(self.packed.layout)]
        return np.asarray([row for row in rows if row[1]], np.int64)

    @property
    def bytes_per_frame(self) -> float:
        """Each tier's weights at its own rate, the per-sample network's at every sample."""
        _, weights, period, parts = self.schedule().T
        row_bytes = float(self.tables.tables[:, 0].nbytes)
        return float((weights / period / parts).sum() * self.packed.weights.itemsize) + row_bytes

    def coarse_steps(self, count: int) -> int:
        """Count the slowest tier's steps."""
        step, now = int(self.tables.tiers[-1, 0]), int(self.memory["position"][1])
        return -(-(now + count) // step) - -(-now // step) if self._a.options.coarse_features else 0

    def _coarse_classes(self, forced: NDArray[Any]) -> NDArray[np.float64]:
        """Return the coarse classes of the steps that begin within `forced`; the last may be incomplete."""
        if not self._a.options.coarse_features:
            return np.zeros((0, len(COARSE)))
        import torch

        from noizenet.model.coarse import classify, measure

        step, now = int(self.tables.tiers[-1, 0]), int(self.memory["position"][1])
        samples = torch.from_numpy(self._values[forced[-now % step :, 0].astype(np.int64)])
        whole = len(samples) // step * step
        parts = [samples[:whole].reshape(-1, step)]
        found = [classify(measure(p)) for p in parts]
        if whole < len(samples):
            found.append(classify(measure(torch.cat([samples[whole:], samples[-1:]])))[None])
        return torch.cat(found).double().numpy()

    def run(
        self, count: int, forced: NDArray[Any] | None, uniforms: NDArray[np.float64], coarse: NDArray[np.float64],
        noise: F32, sampling: Sampling, record: F32,
    ) -> NDArray[Any]:  # fmt: skip
        """Run `count` samples."""
        m = self.memory
        forced_classes, class_noise = class_inputs(forced, noise)
        out = np.zeros(count, np.int64)
        coarse = np.ascontiguousarray(coarse, np.float64) if forced is None else self._coarse_classes(forced)
        run_tiered(
            self.cell, self.mixture, self.packed, self.tables._replace(genre=self.genre),
            TieredState(**{name: m[name] for name in TieredState._fields}),
            TieredDraws(forced_classes, uniforms, class_noise, coarse), sampling_numbers(sampling),
            TieredScratch(**self.scratch), Outputs(self.nll_sum, out, record),
        )  # fmt: skip
        return class_frames(out, self._a.levels)


def _coarse_tables(weights: Weights) -> tuple[F32, F32]:
    """Return the kernel's tables; zeros for the slowest tier, which is not conditioned on the features it draws."""
    o = weights.architecture.options
    tiers, size = len(o.tiers), max(o.tier_inputs, o.width)
    most = max(scale.classes for scale in COARSE) if o.coarse_features else 0
    previous = np.zeros((len(COARSE), most, most), np.float32)
    coarse_table = np.zeros((len(COARSE), tiers + 1, most, size), np.float32)
    for s, scale in enumerate(COARSE if o.coarse_features else ()):
        if s:
            previous[s, : COARSE[s - 1].classes, : scale.classes] = weights[f"coarse.previous.{s - 1}.weight"]
        for layer in range(tiers):
            rows = weights[f"coarse.embeddings.{s}.{layer}.weight"]
            coarse_table[s, layer if layer < tiers - 1 else tiers, : len(rows), : rows.shape[1]] = rows
    return previous, coarse_table
