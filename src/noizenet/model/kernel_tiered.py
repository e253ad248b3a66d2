"""Compiled loop of tiered networks: one stream, one thread, no allocation and no Python per sample."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numba import float32

from noizenet.kernels.functions import compiled, sigmoid
from noizenet.kernels.products import COLUMNS, ROWS, add_product, begin
from noizenet.model.features import (
    COARSE,
    GAIN,
    LEVEL,
    LOG_SCALE_HIGH,
    LOG_SCALE_LOW,
    LPC_FLOOR,
    LPC_POWER,
    NEPERS,
    SMALLEST_SCALE,
)
from noizenet.model.numeric import NLL_EVERY, draw_class, nll, recur

# Rows of the layout: TIER rows for each tier, fastest first; then those of the per-sample network.
FRAME, W_IH, W_HH, OUT_PROJ, TIER = range(5)
ADAPT, COARSE_PROJ = 0, 1
LATEST, HEAD, LAYERS = range(COARSE_PROJ + len(COARSE), COARSE_PROJ + len(COARSE) + 3)

# Columns of `tiers`.
SAMPLES, HIDDEN = range(2)

MEASURES, LEVEL_LOW_DB, LEVEL_STEP_DB = len(COARSE), LEVEL.low_db, LEVEL.step_db


@compiled
def _step_tier(
    cell: Any, weights: Any, scales: Any, biases: Any, rows: Any, part: Any, proj_row: Any, above: Any,
    genre: Any, condition: Any, window: Any, h: Any, c: Any, x: Any, z: Any, zh: Any,
) -> None:  # fmt: skip
    """Run one step of one tier. `above` is the output of the tier above, `proj_row` its projection's layout row."""
    inputs = rows[FRAME][ROWS]
    for j in range(inputs):
        x[j] = genre[j] + condition[j]
    add_product(weights, scales, rows[FRAME], 0, inputs, window, x)
    if above.shape[0] > 0:
        begin(biases, proj_row, part, inputs, zh)
        add_product(weights, scales, proj_row, part, inputs, above, zh)
        for j in range(inputs):
            x[j] += zh[j]
    for j in range(inputs):
        x[j] = max(x[j], float32(0.0))
    width = rows[W_IH][ROWS]
    begin(biases, rows[W_IH], 0, width, z)
    add_product(weights, scales, rows[W_IH], 0, width, x[:inputs], z)
    recur(cell, weights, scales, biases, rows[W_HH], h, c, z, zh)


@compiled
def measure(window: Any, count: Any, gain: Any, out: Any) -> None:
    """Write the normalized coarse features of the window's last `count` samples; see :mod:`noizenet.model.coarse`."""
    first = window.shape[0] - 2 * count
    power, slope_power, bend_power = 0.0, 0.0, 0.0
    last, slope = 0.0, 0.0
    for j in range(count):
        v = window[first + 2 * j] * gain
        power += v * v
        d = v - last
        if j > 0:
            slope_power += d * d
        if j > 1:
            bend_power += (d - slope) * (d - slope)
        last, slope = v, d
    power = power / count + 1e-9
    slope_power = slope_power / (count - 1) + 1e-12
    bend_power = bend_power / max(count - 2, 1) + 1e-12
    out[0] = 10 * math.log10(power) / 30 + 1
    out[1] = 10 * math.log10(slope_power / power) / 15 + 1
    out[2] = 10 * math.log10(bend_power / slope_power) / 15 + 1


@compiled
def adapt_lpc(window: Any, taper: Any, gain: Any, lpc: Any, lpc_work: Any, lpc_stats: Any) -> None:
    """Compute LPC's taps (newest sample first), its error's log scale and the log level from the latest samples.

    See :func:`noizenet.model.lpc.predictors`. `window` holds pairs of features as in the ring buffer.
    """
    n, order = taper.shape[0], lpc.shape[0]
    r, previous_taps = lpc_work[n : n + order + 1], lpc_work[n + order + 1 : n + 2 * order + 1]
    for j in range(n):
        lpc_work[j] = window[2 * j] * gain * taper[j]
    for lag in range(order + 1):
        late, early = lpc_work[lag:n], lpc_work[: n - lag]
        total = 0.0
        for j in range(n - lag):
            total += late[j] * early[j]
        r[lag] = total
    error_power = r[0] * (1 + LPC_FLOOR) + 1e-9
    window_power = error_power
    for m in range(order):
        k = r[m + 1]
        for i in range(m):
            k -= lpc[i] * r[m - i]
        k /= error_power
        for i in range(m):
            previous_taps[i] = lpc[i]
        for i in range(m):
            lpc[i] = previous_taps[i] - k * previous_taps[m - 1 - i]
        lpc[m] = k
        error_power *= 1 - k * k
    lpc_stats[0] = math.log(max(math.sqrt(error_power / LPC_POWER * 3.0) / math.pi, SMALLEST_SCALE))
    lpc_stats[1] = math.log(math.sqrt(window_power / LPC_POWER))


@compiled
def lpc_predict(lpc: Any, ring: Any, end: Any, gain: Any) -> Any:
    """Return LPC's prediction of the next sample."""
    lpc_mean = float32(0.0)
    for j in range(lpc.shape[0]):
        lpc_mean += float32(lpc[j]) * ring[end - 2 * (j + 1)]
    return min(max(lpc_mean * gain, float32(-1.0)), float32(1.0))


@compiled
def lpc_features(lpc_mean: Any, lpc_stats: Any, gain: Any, out: Any) -> None:
    """Write the per-sample network's inputs that describe LPC's prediction, [3]."""
    out[0] = lpc_mean / gain
    out[1] = math.copysign(math.log1p(255 * abs(lpc_mean)) / math.log(256.0), lpc_mean)
    out[2] = lpc_stats[0] / 5 + 1


@compiled
def mixture_params(
    output: Any, n_learned: Any, taps: Any, lpc_mean: Any, ring: Any, end: Any, gain: Any, lpc_stats: Any, level: Any
) -> None:
    """Turn the head's output [3K] into mixture parameters; see :meth:`noizenet.model.mixture.MixtureHead.around`.

    The first `n_learned` components are centred on the learned prediction, the others on `lpc_mean`. `level` is the
    level class, or below 0 without coarse features.
    """
    K, order = output.shape[0] // 3, taps.shape[0]
    centre = float32(0.0)
    for j in range(order):
        centre += taps[j] * ring[end - 2 * (order - j)]
    centre *= gain
    log_error = lpc_stats[0]
    if level >= 0:  # scale the error from the level of the past to the level of the next step
        log_error += (LEVEL_LOW_DB + (level + 0.5) * LEVEL_STEP_DB) * NEPERS - lpc_stats[1]
    for k in range(K):
        log_scale = output[2 * K + k] + (log_error if k >= n_learned else 0.0)
        log_scale = min(max(log_scale, LOG_SCALE_LOW), LOG_SCALE_HIGH)
        output[2 * K + k] = log_scale
        output[K + k] = (lpc_mean if k >= n_learned else centre) + output[K + k] * math.exp(log_scale)


@compiled
def push(chosen: Any, features: Any, ring: Any, at: Any, recent: Any) -> None:
    """Push a class into the ring buffer (at index `at`) and into the latest classes."""
    length = ring.shape[0] // 4
    for lag in range(recent.shape[0] - 1, 0, -1):
        recent[lag] = recent[lag - 1]
    if recent.shape[0] > 0:
        recent[0] = chosen
    for j in range(2):
        ring[2 * at + j] = features[chosen, j]
        ring[2 * (at + length) + j] = features[chosen, j]


@compiled
def draw_mixture(output: Any, uniform: Any, temperature: Any, top_p: Any, edges: Any, p: Any) -> Any:
    """Draw a class from a mixture [3K]; see :func:`noizenet.model.mixture.draw`."""
    K = output.shape[0] // 3
    best = 0
    for k in range(1, K):
        if output[k] > output[best]:
            best = k
    if temperature == 0.0:
        return class_of(output[K + best], edges)
    total = 0.0
    for k in range(K):
        p[k] = math.exp((output[k] - output[best]) / temperature)
        total += p[k]
    if top_p < 1.0:
        mass, below, least = 0.0, 2.0 * total, 0.0
        while mass < top_p * total:  # add the next most probable component
            least = 0.0
            for k in range(K):
                if p[k] < below and p[k] > least:
                    least = p[k]
            if least == 0.0:
                break
            for k in range(K):
                if p[k] == least:
                    mass += p[k]
            below = least
        total = 0.0
        for k in range(K):
            if p[k] < least:
                p[k] = 0.0
            total += p[k]
    target, cumulative, chosen = uniform * total, 0.0, best
    for k in range(K):
        if p[k] > 0.0:
            chosen = k
            if cumulative + p[k] > target:
                break
            cumulative += p[k]
    rest = min(max((target - cumulative) / p[chosen], 1e-9), 1.0 - 1e-9)
    rest = 0.5 + (rest - 0.5) * top_p
    scale = temperature * math.exp(output[2 * K + chosen])
    return class_of(output[K + chosen] + scale * math.log(rest / (1.0 - rest)), edges)


@compiled
def class_of(value: Any, edges: Any) -> Any:
    """Return the class whose bin contains a value."""
    low, high = 0, edges.shape[0] - 2
    while low < high:
        middle = (low + high) // 2
        if value >= edges[middle + 1]:
            low = middle + 1
        else:
            high = middle
    return low


@compiled
def _nll_of_mixture(output: Any, chosen: Any, edges: Any) -> Any:
    """Return -log P of a class, in nats (at most about 18: float32 differences)."""
    K = output.shape[0] // 3
    peak, total, inside = output[0], 0.0, 0.0
    for k in range(1, K):
        peak = max(peak, output[k])
    for k in range(K):
        weight, inverse = math.exp(output[k] - peak), math.exp(-output[2 * K + k])
        a = float32((edges[chosen + 1] - output[K + k]) * inverse)
        b = float32((edges[chosen] - output[K + k]) * inverse)
        if b > float32(0.0):  # use the lower tail: near 1 the difference loses digits
            a, b = -b, -a
        total += weight
        inside += weight * max(sigmoid(a) - sigmoid(b), float32(0.0))
    return -math.log(max(inside / total, 1e-8))


@compiled
def run_tiered(
    cell: Any, mixture: Any, weights: Any, biases: Any, layout: Any, tiers: Any, context: Any,
    genre: Any, features: Any, tables: Any, base_taps: Any, edges: Any, previous: Any, coarse_table: Any,
    scales: Any, h: Any, c: Any, ring: Any, position: Any, taps: Any, recent: Any, condition: Any, coarse_drawn: Any,
    coarse: Any,
    taper: Any, hop: Any, n_learned: Any, lpc: Any, lpc_stats: Any, lpc_work: Any,
    forced: Any, uniforms: Any, noise: Any, temperature: Any, top_k: Any, top_p: Any,
    x: Any, z: Any, zh: Any, a: Any, b: Any, output: Any, raw_output: Any, nll_sum: Any, out: Any, record: Any,
) -> None:  # fmt: skip
    """Run ``len(out)`` samples.

    Parameters
    ----------
    cell, mixture : int, bool
        Kind of cell; whether the head is a mixture (else categorical).
    weights, biases, layout, scales : arrays
        As :class:`noizenet.kernels.products.Pack` lays them out.
    tiers, context : int [tiers, 2], int
        SAMPLES and HIDDEN of each tier; input window of each tier in steps.
    genre : float32 [tiers + 1 + M, D]
        Terms of the genre: added (with the biases) in each tier and in the per-sample network, and to the logits of
        each coarse feature.
    features : float32 [V, 2]
        Input features of each class.
    tables : float32 [E, V, C]
        Embeddings of the latest classes.
    base_taps : float32 [order]
        Taps of the learned linear prediction before adaptation, oldest sample first.
    edges : float32 [V + 1]
        Bin edges of the classes.
    previous, coarse_table : float32 [M, L, L], [M, tiers + 1, L, D]
        Tables of the coarse features, see :class:`noizenet.model.coarse.CoarseFeatures`; empty without them.
    h, c : float32 [tiers, H]
        States.
    ring, position : float32 [2 · 2R], int64 [2]
        Ring buffer of the latest R samples' features, written twice so that the latest n are always contiguous; write
        index, and number of samples generated so far.
    taps, recent : float32 [order], int64 [E]
        The current taps, oldest sample first; the latest classes, newest first.
    condition, coarse_drawn : float32 [tiers + 1, D], int64 [M]
        Terms of the coarse features in each layer, and their classes.
    coarse : float64 [n, M]
        For each step of the slowest tier, uniform numbers or (with `forced`) the classes of the coarse features.
    taper, hop, n_learned : float64 [window], int, int
        LPC's window, its hop, and the number of components that are centred on the learned prediction.
    lpc, lpc_stats : float64 [P], float64 [2]
        LPC's taps, newest sample first (empty without LPC); the log scale of its error, and the log level of the past.
    lpc_work : float64 [window + 2 P + 1]
        Scratch of LPC.
    forced, uniforms, noise, temperature, top_k, top_p, nll_sum, out, record
        As for :func:`noizenet.model.kernel.run_classes`.
    """
    count, order = tiers.shape[0], base_taps.shape[0]
    length = ring.shape[0] // 4
    bottom = count * TIER
    V = features.shape[0]
    C = layout[bottom + LATEST][ROWS]
    no_input = ring[:0]
    has_coarse = coarse_table.shape[2] > 0
    coarse_step = 0
    gain = float32(1.0) / float32(GAIN)
    for t in range(out.shape[0]):
        now = position[1]
        end = 2 * (position[0] + length)
        for k in range(count - 1, -1, -1):
            if now % tiers[k, SAMPLES] != 0:
                continue
            size = 2 * tiers[k, SAMPLES] * context
            units = tiers[k, HIDDEN]
            rows = layout[k * TIER : (k + 1) * TIER]
            if k < count - 1:
                part = now % tiers[k + 1, SAMPLES] // tiers[k, SAMPLES]
                above, proj_row = h[k + 1, : tiers[k + 1, HIDDEN]], layout[(k + 1) * TIER + OUT_PROJ]
            else:
                part, above, proj_row = 0, no_input, rows[OUT_PROJ]
            window = ring[end - size : end]
            if has_coarse and k == count - 1:
                for j in range(size):
                    a[j] = window[j]
                measure(window, tiers[k, SAMPLES], gain, a[size : size + MEASURES])
                window = a[: size + MEASURES]
            _step_tier(
                cell, weights, scales, biases, rows, part, proj_row, above, genre[k], condition[k], window,
                h[k, :units], c[k, :units], x, z, zh,
            )  # fmt: skip
            if has_coarse and k == count - 1:
                for s in range(MEASURES):
                    row = layout[bottom + COARSE_PROJ + s]
                    logits = z[: row[ROWS]]
                    begin(biases, row, 0, row[ROWS], logits)
                    add_product(weights, scales, row, 0, row[ROWS], h[k, :units], logits)
                    for j in range(row[ROWS]):
                        logits[j] += genre[count + 1 + s, j]
                        if s > 0:
                            logits[j] += previous[s, coarse_drawn[s - 1], j]
                    if forced.shape[0] > 0:
                        coarse_drawn[s] = np.int64(coarse[coarse_step, s])
                    else:
                        coarse_drawn[s] = draw_class(logits, coarse[coarse_step, s], temperature, 0, top_p)
                coarse_step += 1
                for layer in range(condition.shape[0]):
                    for j in range(condition.shape[1]):
                        condition[layer, j] = coarse_table[0, layer, coarse_drawn[0], j]
                        for s in range(1, MEASURES):
                            condition[layer, j] += coarse_table[s, layer, coarse_drawn[s], j]
            if k == 0 and order > 0:
                for j in range(order):
                    taps[j] = base_taps[j]
                if layout[bottom + ADAPT][ROWS] > 0:
                    add_product(weights, scales, layout[bottom + ADAPT], 0, order, h[0, :units], taps)

        part = now % tiers[0, SAMPLES]
        begin(biases, layout[OUT_PROJ], part, C, a)
        for j in range(C):
            a[j] += genre[count, j] + condition[count, j]
        add_product(weights, scales, layout[OUT_PROJ], part, C, h[0, : tiers[0, HIDDEN]], a)
        lpc_mean = float32(0.0)
        if lpc.shape[0] > 0:
            if now % hop == 0:
                adapt_lpc(ring[end - 2 * taper.shape[0] : end], taper, gain, lpc, lpc_work, lpc_stats)
            lpc_mean = lpc_predict(lpc, ring, end, gain)
            size = layout[bottom + LATEST][COLUMNS] - 3
            for j in range(size):
                x[j] = ring[end - size + j]
            lpc_features(lpc_mean, lpc_stats, gain, x[size : size + 3])
            add_product(weights, scales, layout[bottom + LATEST], 0, C, x[: size + 3], a)
        else:
            size = layout[bottom + LATEST][COLUMNS]
            add_product(weights, scales, layout[bottom + LATEST], 0, C, ring[end - size : end], a)
        for lag in range(tables.shape[0]):
            for j in range(C):
                a[j] += tables[lag, recent[lag], j]
        for j in range(C):
            a[j] = max(a[j], float32(0.0))
        for layer in range(bottom + LAYERS, layout.shape[0]):
            begin(biases, layout[layer], 0, C, b)
            add_product(weights, scales, layout[layer], 0, C, a, b)
            for j in range(C):
                a[j] = max(b[j], float32(0.0))
        begin(biases, layout[bottom + HEAD], 0, output.shape[0], output)
        add_product(weights, scales, layout[bottom + HEAD], 0, output.shape[0], a, output)

        if mixture:
            mixture_params(
                output, n_learned, taps, lpc_mean, ring, end, gain, lpc_stats, coarse_drawn[0] if has_coarse else -1
            )
        if record.shape[0] > 0:
            for j in range(output.shape[0]):
                record[t, j] = output[j]
        with_nll = now % NLL_EVERY == 0
        if with_nll:
            for j in range(output.shape[0]):
                raw_output[j] = output[j]
        if forced.shape[0] > 0:
            chosen = forced[t]
        elif mixture:
            chosen = draw_mixture(output, uniforms[t], temperature, top_p, edges, b)
        else:
            chosen = draw_class(output, uniforms[t], temperature, top_k, top_p)
        if with_nll:
            if mixture:
                nll_sum[0] += _nll_of_mixture(raw_output, chosen, edges)
            else:
                nll_sum[0] += nll(raw_output, chosen)
            nll_sum[1] += 1.0
        if noise.shape[0] > 0:
            chosen = min(max(chosen + noise[t], 0), V - 1)
        out[t] = chosen
        push(chosen, features, ring, position[0], recent)
        position[0] = (position[0] + 1) % length
        position[1] = now + 1
