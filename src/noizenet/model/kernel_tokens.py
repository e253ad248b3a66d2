"""The compiled inner loop of token networks: one stream, one thread, no allocation and no Python per frame."""

from __future__ import annotations

from typing import Any

from noizenet.model.numeric import add_product, begin, compiled, draw_class, recur, surprise_of_class

# Rows of the layout: a layer's input and recurrent matrices in turn, then of each code what is said and what comes out.


@compiled
def run_tokens(
    cell: Any, gates: Any, weights: Any, scales: Any, biases: Any, layout: Any, codes: Any, given: Any, colours: Any,
    h: Any, c: Any, current: Any, forced: Any, uniforms: Any, jumps: Any,
    temperatures: Any, top_k: Any, top_p: Any, guidance: Any, x: Any, z: Any, zh: Any, deep: Any, coloured: Any,
    anyone: Any, logits: Any, plain: Any, surprise: Any, out: Any, record: Any,
) -> None:  # fmt: skip
    """Run ``len(out)`` frames of K codes.

    codes [K, V, E] are embeddings, given [K (K - 1) / 2, V, D] what each code hears of those before it, colours [K, D]
    what it hears of the genre. With `guidance` the logits go as much further from those without the genre. `forced`
    [n, K] holds the frames to follow, or is empty to sample. Where `jumps` [n, K] is not negative it stands in for the
    drawn code. `temperatures` and `top_p` are per code. `record` [n, K · V] takes the logits, or is empty. `surprise`
    takes nats and the number of frames they are summed over.
    """
    K, V, E = codes.shape
    layers, width, D = h.shape[0], gates * h.shape[1], deep.shape[0]
    for t in range(out.shape[0]):
        for e in range(E):
            x[e] = codes[0, current[0], e]
        for k in range(1, K):
            row = codes[k, current[k]]
            for e in range(E):
                x[e] += row[e]
        for layer in range(layers):
            begin(biases, layout[2 * layer], 0, width, z)
            if layer == 0:
                add_product(weights, scales, layout[0], 0, width, x, z)
            else:
                add_product(weights, scales, layout[2 * layer], 0, width, h[layer - 1], z)
            recur(cell, weights, scales, biases, layout[2 * layer + 1], h[layer], c[layer], z, zh)
        for k in range(K):
            say, speak = layout[2 * layers + 2 * k], layout[2 * layers + 2 * k + 1]
            begin(biases, say, 0, D, deep)
            add_product(weights, scales, say, 0, D, h[layers - 1], deep)
            for j in range(k):
                row = given[k * (k - 1) // 2 + j, out[t, j]]
                for d in range(D):
                    deep[d] += row[d]
            if guidance > 0.0:
                for d in range(D):
                    coloured[d] = max(deep[d] + colours[k, d], 0.0)
                    deep[d] = max(deep[d], 0.0)
                begin(biases, speak, 0, V, anyone)
                add_product(weights, scales, speak, 0, V, deep, anyone)
            else:
                for d in range(D):
                    coloured[d] = max(deep[d] + colours[k, d], 0.0)
            begin(biases, speak, 0, V, logits)
            add_product(weights, scales, speak, 0, V, coloured, logits)
            if record.shape[0] > 0:
                for v in range(V):
                    record[t, k * V + v] = logits[v]
            for v in range(V):
                plain[v] = logits[v]
            if forced.shape[0] > 0:
                chosen = forced[t, k]
            else:
                if guidance > 0.0:
                    for v in range(V):
                        logits[v] += guidance * (logits[v] - anyone[v])
                chosen = draw_class(logits, uniforms[t, k], temperatures[k], top_k, top_p[k])
            surprise[0] += surprise_of_class(plain, chosen)
            if jumps.shape[0] > 0 and jumps[t, k] >= 0:
                chosen = jumps[t, k]
            out[t, k] = chosen
        surprise[1] += 1.0
        for k in range(K):
            current[k] = out[t, k]
