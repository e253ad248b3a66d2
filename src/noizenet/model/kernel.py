"""Compiled loop of plain networks: one stream, one thread, no allocation and no Python per frame."""

from __future__ import annotations

from typing import Any

from noizenet.kernels.functions import compiled
from noizenet.kernels.products import add_product, begin
from noizenet.model.numeric import NLL_EVERY, draw_class, nll, recur

# Rows of the layout: each layer's input and recurrent matrices, then the head's matrix.
W_IH, W_HH = 0, 1


@compiled
def _upper_layers(
    cell: Any, weights: Any, scales: Any, biases: Any, layout: Any, h: Any, c: Any, z: Any, zh: Any
) -> None:
    """Finish the bottom layer's step (z holds its input part), then run every layer above it."""
    width = cell.gates * h.shape[1]
    recur(cell, weights, scales, biases, layout[W_HH], h[0], c[0], z, zh)
    for layer in range(1, h.shape[0]):
        begin(biases, layout[2 * layer + W_IH], 0, width, z)
        add_product(weights, scales, layout[2 * layer + W_IH], 0, width, h[layer - 1], z)
        recur(cell, weights, scales, biases, layout[2 * layer + W_HH], h[layer], c[layer], z, zh)


@compiled
def run_classes(
    cell: Any, weights: Any, scales: Any, biases: Any, layout: Any, table: Any, genre: Any,
    h: Any, c: Any, current: Any, forced: Any, uniforms: Any, noise: Any,
    temperature: Any, top_k: Any, top_p: Any, z: Any, zh: Any, logits: Any, raw_logits: Any, nll_sum: Any,
    out: Any, record: Any,
) -> None:  # fmt: skip
    """Run ``len(out)`` steps over classes.

    `table` [V, G·H] and `genre` [G·H] are the input parts of the bottom layer that a class and the genre contribute.
    `forced` holds the classes of teacher forcing, or is empty to sample. `noise` is added to the chosen class, or is
    empty. `record` [n, V] receives the logits, or is empty. `nll_sum` accumulates nats and the number of their terms.
    """
    V, top = table.shape[0], h.shape[0] - 1
    width, head = cell.gates * h.shape[1], layout[2 * h.shape[0]]
    for t in range(out.shape[0]):
        row = current[0]
        for j in range(width):
            z[j] = table[row, j] + genre[j]
        _upper_layers(cell, weights, scales, biases, layout, h, c, z, zh)
        begin(biases, head, 0, V, logits)
        add_product(weights, scales, head, 0, V, h[top], logits)
        if record.shape[0] > 0:
            for j in range(V):
                record[t, j] = logits[j]
        with_nll = t % NLL_EVERY == 0
        if with_nll:
            for j in range(V):
                raw_logits[j] = logits[j]
        chosen = forced[t] if forced.shape[0] > 0 else draw_class(logits, uniforms[t], temperature, top_k, top_p)
        if with_nll:
            nll_sum[0] += nll(raw_logits, chosen)
            nll_sum[1] += 1.0
        if noise.shape[0] > 0:
            chosen = min(max(chosen + noise[t], 0), V - 1)
        out[t] = chosen
        current[0] = chosen


@compiled
def run_vectors(
    cell: Any, weights: Any, scales: Any, biases: Any, layout: Any, genre: Any,
    h: Any, c: Any, current: Any, forced: Any, noise: Any, z: Any, zh: Any, prediction: Any, out: Any, record: Any,
) -> None:  # fmt: skip
    """Run ``len(out)`` steps over vectors [D]; the prediction (or `forced`) is the next input."""
    D, top = out.shape[1], h.shape[0] - 1
    width, head = cell.gates * h.shape[1], layout[2 * h.shape[0]]
    for t in range(out.shape[0]):
        for j in range(width):
            z[j] = genre[j]
        add_product(weights, scales, layout[W_IH], 0, width, current, z)
        _upper_layers(cell, weights, scales, biases, layout, h, c, z, zh)
        begin(biases, head, 0, D, prediction)
        add_product(weights, scales, head, 0, D, h[top], prediction)
        for j in range(D):
            if record.shape[0] > 0:
                record[t, j] = prediction[j]
            value = forced[t, j] if forced.shape[0] > 0 else prediction[j]
            if noise.shape[0] > 0:
                value += noise[t, j]
            out[t, j] = value
            current[j] = value
