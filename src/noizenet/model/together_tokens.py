"""Many streams of one token network in lockstep: one matrix product for all of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from noizenet.model.engine_tokens import TokenEngine
from noizenet.model.numeric import CELL_NUMBERS, GRU, LSTM, compiled, draw_class, surprise_of_class
from noizenet.model.sampling import Sampling
from noizenet.model.weights import F32, Weights


class TokensTogether:
    """A token network's matrices as BLAS wants them for many rows.

    Parameters
    ----------
    weights : Weights
    """

    def __init__(self, weights: Weights) -> None:
        self._a, self._w = weights.architecture, weights
        o = self._a.options
        self._cell = CELL_NUMBERS[o.cell]
        self._layers = []
        for i in range(o.layers):
            part = {
                n: weights[f"stack.cells.{i}.kernel.{n}_l0"] for n in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
            }
            self._layers.append(
                (
                    np.ascontiguousarray(part["weight_ih"].T),
                    np.ascontiguousarray(part["weight_hh"].T),
                    part["bias_ih"],
                    part["bias_hh"],
                )
            )
        self._say = [np.ascontiguousarray(weights[f"head.say.{k}.weight"].T) for k in range(self._a.dim)]
        self._out = [np.ascontiguousarray(weights[f"head.out.{k}.weight"].T) for k in range(self._a.dim)]

    def run(
        self, engines: Sequence[TokenEngine], count: int, uniforms: NDArray[np.float64], sampling: Sampling
    ) -> NDArray[np.int64]:
        """Run `count` frames of every stream with uniforms [S, count, K]; return codes [S, count, K]."""
        h = np.stack([e.memory["h"] for e in engines], 1)  # [L, S, H]
        c = np.stack([e.memory["c"] for e in engines], 1)
        current = np.stack([e.memory["current"] for e in engines])
        colours = np.stack([e.colours for e in engines], 1)  # [K, S, D]
        guidance = np.float32(engines[0].guidance(sampling))
        books, out = self._a.dim, np.zeros((len(engines), count, self._a.dim), np.int64)
        nats = np.zeros(len(engines))
        for t in range(count):
            x: F32 = sum(self._w[f"codes.{k}.weight"][current[:, k]] for k in range(books))
            for i in range(len(h)):
                self._step(i, x, h, c)
                x = h[i]
            for k in range(books):
                deep = x @ self._say[k] + self._w[f"head.say.{k}.bias"]
                for j in range(k):
                    deep += self._w[f"head.given.{k * (k - 1) // 2 + j}.weight"][out[:, t, j]]
                plain = np.maximum(deep + colours[k], 0) @ self._out[k] + self._w[f"head.out.{k}.bias"]
                logits = plain
                if guidance:
                    anyone = np.maximum(deep, 0) @ self._out[k] + self._w[f"head.out.{k}.bias"]
                    logits = plain + guidance * (plain - anyone)
                _draw(
                    plain, logits, uniforms[:, t, k], float(sampling.temperature), int(sampling.top_k),
                    float(sampling.top_p), nats, out[:, t, k],
                )  # fmt: skip
            current = out[:, t]
        for i, engine in enumerate(engines):
            engine.memory = {"h": h[:, i].copy(), "c": c[:, i].copy(), "current": current[i].copy()}
            engine.surprise += (nats[i], count)
        return out

    def _step(self, i: int, x: F32, h: F32, c: F32) -> None:
        """Take one step of layer `i`: h and c [L, S, H] are updated."""
        inputs, recurrent, bias_ih, bias_hh = self._layers[i]
        z = x @ inputs + bias_ih
        zh = h[i] @ recurrent + bias_hh
        size = h.shape[2]
        if self._cell == GRU:
            r, u = (gate(z[:, s] + zh[:, s]) for s in (slice(0, size), slice(size, 2 * size)))
            n = np.tanh(z[:, 2 * size :] + r * zh[:, 2 * size :])
            h[i] = (1 - u) * n + u * h[i]
        elif self._cell == LSTM:
            z += zh
            i_gate, f_gate, o_gate = (gate(z[:, g * size : (g + 1) * size]) for g in (0, 1, 3))
            c[i] = f_gate * c[i] + i_gate * np.tanh(z[:, 2 * size : 3 * size])
            h[i] = o_gate * np.tanh(c[i])
        else:
            h[i] = np.tanh(z + zh)


def gate(x: F32) -> F32:
    """Return the sigmoid, by tanh: no exponential overflows."""
    y: F32 = 0.5 * np.tanh(0.5 * x) + 0.5
    return y


@compiled
def _draw(
    plain: Any, logits: Any, uniforms: Any, temperature: Any, top_k: Any, top_p: Any, nats: Any, out: Any
) -> None:  # fmt: skip
    for s in range(logits.shape[0]):
        kept = plain[s].copy()  # drawing overwrites logits, which may be the same
        out[s] = draw_class(logits[s], uniforms[s], temperature, top_k, top_p)
        nats[s] += surprise_of_class(kept, out[s])
