"""Tiered networks, packed for :mod:`noizenet.model.kernel_tiered`."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from noizenet.model.engine import F32, Engine, class_frames, class_inputs, to_array
from noizenet.model.kernel_tiered import ADAPT, BRIGHT, LATEST, LEVEL, TIER, run_tiered
from noizenet.model.mixture import MixtureHead
from noizenet.model.numeric import COLUMNS, GRU, ROWS, Pack
from noizenet.model.sampling import Sampling
from noizenet.model.sketch import Sketch, classify, measure
from noizenet.model.tiered import GAIN, TieredNetwork, compand


class TieredEngine(Engine):
    """Tiers at falling rates over samples."""

    def __init__(self, network: TieredNetwork, start: NDArray[Any], precision: str) -> None:
        super().__init__(network, start, precision)
        o = self._a.options
        tiers = network.tier_list()
        pack, layout, shapes = Pack(precision), [], []
        genre: list[F32] = []
        still: list[F32] = []
        with torch.no_grad():
            for tier in tiers:
                cell = tier.cell
                b_ih, b_hh = to_array(cell.b_ih), to_array(cell.b_hh)
                if self._cell != GRU:
                    b_ih = b_ih + b_hh
                layout += [
                    pack.add(to_array(tier.frame.weight)),
                    pack.add(to_array(cell.w_ih), b_ih),
                    pack.add(to_array(cell.w_hh), b_hh),
                    pack.add(to_array(tier.speak.weight), to_array(tier.speak.bias)),
                ]
                shapes.append([tier.samples, cell.hidden, tier.ratio, tier.lower])
                still.append(to_array(tier.frame.bias))
                genre.append(to_array(tier.genre.weight) if tier.genre is not None else np.zeros((0, 0), np.float32))
            still.append(to_array(network.latest.bias))
            genre.append(
                to_array(network.colour.weight) if network.colour is not None else np.zeros((0, 0), np.float32)
            )
            adapt = network.adapt if network.order else None
            hidden = tiers[0].cell.hidden
            turns = np.zeros((0, hidden), np.float32) if adapt is None else to_array(adapt.weight)
            sketch = network.sketch
            nothing = np.zeros((0, tiers[-1].cell.hidden), np.float32)
            layout += [
                pack.add(turns),
                pack.add(to_array(sketch.level.weight), to_array(sketch.level.bias)) if sketch else pack.add(nothing),
                pack.add(to_array(sketch.bright.weight), to_array(sketch.bright.bias)) if sketch else pack.add(nothing),
                pack.add(to_array(network.latest.weight)),
                pack.add(to_array(network.head.linear.weight), to_array(network.head.linear.bias)),
                *(
                    pack.add(to_array(n.weight), to_array(n.bias))
                    for n in network.layers
                    if isinstance(n, torch.nn.Linear)
                ),
            ]
            self._fixed = to_array(network.taps) if network.order else np.zeros(0, np.float32)
            if adapt is not None:
                self._fixed = self._fixed + to_array(adapt.bias)
            values = network.values
            self._features = np.ascontiguousarray(torch.stack([GAIN * values, compand(values)], 1).numpy())
            tables = [to_array(table.weight) for table in network.tables if isinstance(table, torch.nn.Embedding)]
            self._genres = to_array(network.genre.weight) if network.genre is not None else None
            self._starts = [to_array(tier.start) for tier in tiers]
            self._tell = _sketch_tables(sketch, len(tiers), max(o.tier_inputs, o.width))
        self._network = network  # only to measure what is forced
        self._tables = np.stack(tables) if tables else np.zeros((0, 1, 1), np.float32)
        self._mixture = isinstance(network.head, MixtureHead)
        self._edges = to_array(network.head.edges) if isinstance(network.head, MixtureHead) else np.zeros(2, np.float32)
        self._layout, self._tiers = np.asarray(layout, np.int64), np.asarray(shapes, np.int64)
        self._weights, self._scales, self._biases = pack.arrays()
        self._history = network.history + 1
        self._still, self._genre_weights = still, genre
        units = max(h for _, h in o.tiers)
        heard = 2 * o.tiers[-1][0] * o.tier_context + 2
        widest = max(o.width, o.tier_inputs, self._gates * units, 3 * o.mixtures, o.prediction_order, heard, 64)
        wide = {k: np.zeros(widest, np.float32) for k in ("x", "z", "zh", "a", "b")}
        self.scratch = wide | {k: np.zeros(self._a.outputs, np.float32) for k in ("output", "plain")}
        self.set_genre(np.zeros(self._a.genres, np.float32))
        self.reset()

    def reset(self) -> None:
        """Go to a track's start."""
        units = max(h for _, h in self._a.options.tiers)
        h, c = (np.zeros((len(self._starts), units), np.float32) for _ in range(2))
        for k, start in enumerate(self._starts):
            h[k, : start.shape[1]] = start[0]
            if len(start) > 1:
                c[k, : start.shape[1]] = start[1]
        first = int(self._start.reshape(-1)[0])
        self.memory = {
            "h": h, "c": c,
            "ring": np.tile(self._features[first], 2 * self._history),
            "place": np.zeros(2, np.int64),
            "taps": np.zeros_like(self._fixed),
            "wish": np.zeros((len(self._tiers) + 1, self._tell[1].shape[2]), np.float32),
            "sketched": np.zeros(2, np.int64),
            "recent": np.full(len(self._tables), first, np.int64),
        }  # fmt: skip

    def set_genre(self, mix: F32) -> None:
        """Set the genre mix."""
        rows = np.zeros((len(self._still), max(map(len, self._still))), np.float32)
        for k, (still, weights) in enumerate(zip(self._still, self._genre_weights, strict=True)):
            rows[k, : len(still)] = still
            if self._genres is not None:
                rows[k, : len(still)] += weights @ (mix @ self._genres)
        self.genre = rows

    def shares_weights(self, other: Engine) -> bool:
        """Tell whether another engine reads the same float32 weights."""
        mine: NDArray[Any] = self._weights
        return isinstance(other, TieredEngine) and mine is other._weights and mine.dtype == np.float32

    def packed(self, genre: F32) -> tuple[Any, ...]:
        """Return what :func:`noizenet.model.kernel_together.run_together` reads and never writes."""
        return (
            self._cell, self._mixture, self._weights, self._biases, self._layout, self._tiers,
            self._a.options.tier_context, genre, self._features, self._tables, self._fixed, self._edges, *self._tell,
        )  # fmt: skip

    @property
    def levels(self) -> int:
        """V."""
        return self._a.levels

    @property
    def bytes_per_frame(self) -> float:
        """Each tier's weights at its own rate, the per-sample network's at every sample."""
        size = self._weights.itemsize
        cost = (self._layout[:, ROWS] * self._layout[:, COLUMNS]).astype(float)
        bottom = len(self._tiers) * TIER
        total = float(cost[bottom + LATEST :].sum())
        below = 1
        for k, (samples, _, ratio, _) in enumerate(self._tiers):
            *cell, speak = cost[k * TIER : (k + 1) * TIER]
            total += sum(cell) / samples + speak / ratio / below
            below = int(samples)
        total += float(cost[bottom + ADAPT]) / float(self._tiers[0, 0])
        total += float(cost[bottom + LEVEL : bottom + BRIGHT + 1].sum()) / below
        return float(total * size + 4 * self._tables.shape[0] * self._tables.shape[2])

    def sketches_in(self, count: int) -> int:
        """Count the slowest tier's steps."""
        step, now = int(self._tiers[-1, 0]), int(self.memory["place"][1])
        return -(-(now + count) // step) - -(-now // step) if len(self._tell[0]) else 0

    def _sketches_of(self, forced: NDArray[Any]) -> NDArray[np.float64]:
        """Return the sketches of steps that begin within frames to follow; of the last, as far as it is known."""
        if not len(self._tell[0]):
            return np.zeros((0, 2))
        step, now = int(self._tiers[-1, 0]), int(self.memory["place"][1])
        samples = self._network.values[torch.from_numpy(forced[-now % step :, 0].astype(np.int64))]
        whole = len(samples) // step * step
        parts = [samples[:whole].reshape(-1, step)]
        found = [classify(measure(p)) for p in parts]
        if whole < len(samples):
            found.append(classify(measure(torch.cat([samples[whole:], samples[-1:]])))[None])
        return torch.cat(found).double().numpy()

    def run(
        self, count: int, forced: NDArray[Any] | None, uniforms: NDArray[np.float64], sketches: NDArray[np.float64],
        jumps: F32, sampling: Sampling, record: F32,
    ) -> NDArray[Any]:  # fmt: skip
        """Run `count` samples."""
        m, s = self.memory, self.scratch
        given, leaps = class_inputs(forced, jumps)
        out = np.zeros(count, np.int64)
        sketches = np.ascontiguousarray(sketches, np.float64)
        run_tiered(
            self._cell, self._mixture, self._weights, self._scales, self._biases, self._layout, self._tiers,
            self._a.options.tier_context, self.genre, self._features, self._tables, self._fixed, self._edges,
            *self._tell, m["h"], m["c"], m["ring"], m["place"], m["taps"], m["recent"], m["wish"], m["sketched"],
            sketches if forced is None else self._sketches_of(forced), given, uniforms, leaps,
            float(sampling.temperature), int(sampling.top_k), float(sampling.top_p),
            s["x"], s["z"], s["zh"], s["a"], s["b"], s["output"], s["plain"], self.surprise, out, record,
        )  # fmt: skip
        return class_frames(out, self._a.levels)


def _sketch_tables(sketch: Sketch | None, tiers: int, size: int) -> tuple[F32, F32, F32]:
    """Return the kernel's tables; a row of zeros for the slowest tier, which is not told what it says."""
    if sketch is None:
        empty = np.zeros((tiers + 1, 0, size), np.float32)
        return np.zeros((0, 0), np.float32), empty, empty
    tables = []
    for modules in (sketch.tell_level, sketch.tell_bright):
        told = [to_array(m.weight) for m in modules if isinstance(m, torch.nn.Embedding)]
        table = np.zeros((tiers + 1, len(told[0]), size), np.float32)
        for layer, weights in enumerate(told):
            table[layer if layer < tiers - 1 else tiers, :, : weights.shape[1]] = weights
        tables.append(table)
    return to_array(sketch.bright_at.weight), tables[0], tables[1]
