"""The compiled inner loop of tiered networks: one stream, one thread, no allocation and no Python per sample."""

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
from noizenet.model.numeric import SURPRISE_EVERY, draw_class, nll, recur

# Rows of the layout, TIER of them for each tier, fastest first; then the per-sample network's.
FRAME, W_IH, W_HH, SPEAK, TIER = range(5)
ADAPT, SAY = 0, 1
LATEST, HEAD, LAYERS = range(SAY + len(COARSE), SAY + len(COARSE) + 3)

# Columns of the tiers' table.
SAMPLES, HIDDEN = range(2)

MEASURES, LEVEL_LOW_DB, LEVEL_STEP_DB = len(COARSE), LEVEL.low_db, LEVEL.step_db


@compiled
def _step_tier(
    cell: Any, weights: Any, scales: Any, biases: Any, rows: Any, part: Any, speaker: Any, above: Any,
    genre: Any, condition: Any, window: Any, h: Any, c: Any, x: Any, z: Any, zh: Any,
) -> None:  # fmt: skip
    """Take one step of one tier. `speaker` is the layout row of what the tier above (output `above`) tells it."""
    inputs = rows[FRAME][ROWS]
    for j in range(inputs):
        x[j] = genre[j] + condition[j]
    add_product(weights, scales, rows[FRAME], 0, inputs, window, x)
    if above.shape[0] > 0:
        begin(biases, speaker, part, inputs, zh)
        add_product(weights, scales, speaker, part, inputs, above, zh)
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
    """Write the scaled sketch of the window's latest samples; see :mod:`noizenet.model.coarse`."""
    first = window.shape[0] - 2 * count
    power, change, bend = 0.0, 0.0, 0.0
    last, slope = 0.0, 0.0
    for j in range(count):
        v = window[first + 2 * j] * gain
        power += v * v
        d = v - last
        if j > 0:
            change += d * d
        if j > 1:
            bend += (d - slope) * (d - slope)
        last, slope = v, d
    power = power / count + 1e-9
    change = change / (count - 1) + 1e-12
    bend = bend / max(count - 2, 1) + 1e-12
    out[0] = 10 * math.log10(power) / 30 + 1
    out[1] = 10 * math.log10(change / power) / 15 + 1
    out[2] = 10 * math.log10(bend / change) / 15 + 1


@compiled
def adapt_lpc(window: Any, taper: Any, gain: Any, lpc: Any, seen: Any, error: Any) -> None:
    """Set LPC's taps (newest first), its error's log scale and the log level from the latest samples.

    See :func:`noizenet.model.lpc.predictors`; `window` holds pairs of features as in the ring.
    """
    n, order = taper.shape[0], lpc.shape[0]
    r, old = seen[n : n + order + 1], seen[n + order + 1 : n + 2 * order + 1]
    for j in range(n):
        seen[j] = window[2 * j] * gain * taper[j]
    for lag in range(order + 1):
        late, early = seen[lag:n], seen[: n - lag]
        total = 0.0
        for j in range(n - lag):
            total += late[j] * early[j]
        r[lag] = total
    left = r[0] * (1 + LPC_FLOOR) + 1e-9
    whole = left
    for m in range(order):
        k = r[m + 1]
        for i in range(m):
            k -= lpc[i] * r[m - i]
        k /= left
        for i in range(m):
            old[i] = lpc[i]
        for i in range(m):
            lpc[i] = old[i] - k * old[m - 1 - i]
        lpc[m] = k
        left *= 1 - k * k
    error[0] = math.log(max(math.sqrt(left / LPC_POWER * 3.0) / math.pi, SMALLEST_SCALE))
    error[1] = math.log(math.sqrt(whole / LPC_POWER))


@compiled
def lpc_predict(lpc: Any, ring: Any, end: Any, gain: Any) -> Any:
    """Return LPC's prediction of the next sample."""
    guess = float32(0.0)
    for j in range(lpc.shape[0]):
        guess += float32(lpc[j]) * ring[end - 2 * (j + 1)]
    return min(max(guess * gain, float32(-1.0)), float32(1.0))


@compiled
def describe(guess: Any, error: Any, gain: Any, out: Any) -> None:
    """Write what the per-sample network is told of LPC's prediction, [3]."""
    out[0] = guess / gain
    out[1] = math.copysign(math.log1p(255 * abs(guess)) / math.log(256.0), guess)
    out[2] = error[0] / 5 + 1


@compiled
def place_mixture(
    output: Any, own: Any, taps: Any, guess: Any, ring: Any, end: Any, gain: Any, error: Any, level: Any
) -> None:
    """Turn the head's numbers [3K] into a mixture's; see :meth:`noizenet.model.mixture.MixtureHead.around`.

    `own` distributions lie around the learned prediction, the others around `guess`. `level` is the sketch's class,
    below 0 without one.
    """
    K, order = output.shape[0] // 3, taps.shape[0]
    centre = float32(0.0)
    for j in range(order):
        centre += taps[j] * ring[end - 2 * (order - j)]
    centre *= gain
    size_of_error = error[0]
    if level >= 0:  # as large as the error was in relation to the past, at the level to come
        size_of_error += (LEVEL_LOW_DB + (level + 0.5) * LEVEL_STEP_DB) * NEPERS - error[1]
    for k in range(K):
        log_scale = output[2 * K + k] + (size_of_error if k >= own else 0.0)
        log_scale = min(max(log_scale, LOG_SCALE_LOW), LOG_SCALE_HIGH)
        output[2 * K + k] = log_scale
        output[K + k] = (guess if k >= own else centre) + output[K + k] * math.exp(log_scale)


@compiled
def push(chosen: Any, features: Any, ring: Any, at: Any, recent: Any) -> None:
    """Take a new class into the ring (at its place `at`) and among the latest classes."""
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
        kept, below, least = 0.0, 2.0 * total, 0.0
        while kept < top_p * total:  # add the next likeliest
            least = 0.0
            for k in range(K):
                if p[k] < below and p[k] > least:
                    least = p[k]
            if least == 0.0:
                break
            for k in range(K):
                if p[k] == least:
                    kept += p[k]
            below = least
        total = 0.0
        for k in range(K):
            if p[k] < least:
                p[k] = 0.0
            total += p[k]
    want, reached, chosen = uniform * total, 0.0, best
    for k in range(K):
        if p[k] > 0.0:
            chosen = k
            if reached + p[k] > want:
                break
            reached += p[k]
    rest = min(max((want - reached) / p[chosen], 1e-9), 1.0 - 1e-9)
    rest = 0.5 + (rest - 0.5) * top_p
    scale = temperature * math.exp(output[2 * K + chosen])
    return class_of(output[K + chosen] + scale * math.log(rest / (1.0 - rest)), edges)


@compiled
def class_of(value: Any, edges: Any) -> Any:
    """Return the class whose bin holds a value."""
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
    """Return -log P of a class, in nats (never more than about 18: float32 differences)."""
    K = output.shape[0] // 3
    peak, total, inside = output[0], 0.0, 0.0
    for k in range(1, K):
        peak = max(peak, output[k])
    for k in range(K):
        weight, inverse = math.exp(output[k] - peak), math.exp(-output[2 * K + k])
        a = float32((edges[chosen + 1] - output[K + k]) * inverse)
        b = float32((edges[chosen] - output[K + k]) * inverse)
        if b > float32(0.0):  # differences of small numbers are exact, of numbers near 1 they are not
            a, b = -b, -a
        total += weight
        inside += weight * max(sigmoid(a) - sigmoid(b), float32(0.0))
    return -math.log(max(inside / total, 1e-8))


@compiled
def run_tiered(
    cell: Any, mixture: Any, weights: Any, biases: Any, layout: Any, tiers: Any, context: Any,
    genre: Any, features: Any, tables: Any, fixed: Any, edges: Any, given: Any, coarse_table: Any,
    scales: Any, h: Any, c: Any, ring: Any, place: Any, taps: Any, recent: Any, condition: Any, coarse_drawn: Any,
    coarse: Any,
    taper: Any, hop: Any, own: Any, lpc: Any, error: Any, seen: Any,
    forced: Any, uniforms: Any, noise: Any, temperature: Any, top_k: Any, top_p: Any,
    x: Any, z: Any, zh: Any, a: Any, b: Any, output: Any, plain: Any, nll_sum: Any, out: Any, record: Any,
) -> None:  # fmt: skip
    """Run ``len(out)`` samples.

    Parameters
    ----------
    cell, mixture : int, bool
        Kind of cell; whether the head is a mixture or categorical.
    weights, biases, layout, scales : arrays
        As :class:`noizenet.model.numeric.Pack` lays them out.
    tiers, context : int [tiers, 2], int
        SAMPLES and HIDDEN of each; steps' worth of samples that each sees.
    genre : float32 [tiers + 1 + M, D]
        What the genre adds: with the biases in each tier and in the per-sample network, and to each measure's logits.
    features : float32 [V, 2]
        What describes each class.
    tables : float32 [E, V, C]
        Look-up tables of the latest samples.
    fixed : float32 [order]
        The linear prediction's own taps, oldest sample first.
    given, coarse_table : float32 [M, L, L], [M, tiers + 1, L, D]
        The sketch's tables, see :class:`noizenet.model.coarse.CoarseFeatures`; empty where there is none.
    h, c : float32 [tiers, H]
        States.
    ring, place : float32 [2 · 2R], int64 [2]
        The latest R samples' features, written twice so that the latest n always lie in one piece; where the
        next goes, and the number of samples made so far.
    taps, recent : float32 [order], int64 [E]
        The taps in use, oldest sample first; the latest classes, newest first.
    condition, coarse_drawn : float32 [tiers + 1, D], int64 [M]
        What the sketch adds in each layer, and the sketch itself.
    coarse : float64 [n, M]
        For each of the slowest tier's steps, uniform numbers, or (where `forced`) the sketch's classes.
    taper, hop, own : float64 [window], int, int
        The weights of the past for LPC, how long it is kept, how many distributions lie around the own prediction.
    lpc, error : float64 [P], float64 [2]
        LPC's taps, newest sample first (empty where there is none); the log scale of its error, and the log level of
        the past.
    seen : float64 [window + 2 P + 1]
        Room to work in.
    forced, uniforms, jumps, temperature, top_k, top_p, surprise, out, record
        As for :func:`noizenet.model.kernel.run_classes`.
    """
    count, order = tiers.shape[0], fixed.shape[0]
    length = ring.shape[0] // 4
    bottom = count * TIER
    V = features.shape[0]
    C = layout[bottom + LATEST][ROWS]
    nobody = ring[:0]
    has_coarse = coarse_table.shape[2] > 0
    drawn = 0
    gain = float32(1.0) / float32(GAIN)
    for t in range(out.shape[0]):
        now = place[1]
        end = 2 * (place[0] + length)
        for k in range(count - 1, -1, -1):
            if now % tiers[k, SAMPLES] != 0:
                continue
            size = 2 * tiers[k, SAMPLES] * context
            units = tiers[k, HIDDEN]
            rows = layout[k * TIER : (k + 1) * TIER]
            if k < count - 1:
                part = now % tiers[k + 1, SAMPLES] // tiers[k, SAMPLES]
                above, speaker = h[k + 1, : tiers[k + 1, HIDDEN]], layout[(k + 1) * TIER + SPEAK]
            else:
                part, above, speaker = 0, nobody, rows[SPEAK]
            window = ring[end - size : end]
            if has_coarse and k == count - 1:
                for j in range(size):
                    a[j] = window[j]
                measure(window, tiers[k, SAMPLES], gain, a[size : size + MEASURES])
                window = a[: size + MEASURES]
            _step_tier(
                cell, weights, scales, biases, rows, part, speaker, above, genre[k], condition[k], window,
                h[k, :units], c[k, :units], x, z, zh,
            )  # fmt: skip
            if has_coarse and k == count - 1:
                for s in range(MEASURES):
                    row = layout[bottom + SAY + s]
                    logits = z[: row[ROWS]]
                    begin(biases, row, 0, row[ROWS], logits)
                    add_product(weights, scales, row, 0, row[ROWS], h[k, :units], logits)
                    for j in range(row[ROWS]):
                        logits[j] += genre[count + 1 + s, j]
                        if s > 0:
                            logits[j] += given[s, coarse_drawn[s - 1], j]
                    if forced.shape[0] > 0:
                        coarse_drawn[s] = np.int64(coarse[drawn, s])
                    else:
                        coarse_drawn[s] = draw_class(logits, coarse[drawn, s], temperature, 0, top_p)
                drawn += 1
                for layer in range(condition.shape[0]):
                    for j in range(condition.shape[1]):
                        condition[layer, j] = coarse_table[0, layer, coarse_drawn[0], j]
                        for s in range(1, MEASURES):
                            condition[layer, j] += coarse_table[s, layer, coarse_drawn[s], j]
            if k == 0 and order > 0:
                for j in range(order):
                    taps[j] = fixed[j]
                if layout[bottom + ADAPT][ROWS] > 0:
                    add_product(weights, scales, layout[bottom + ADAPT], 0, order, h[0, :units], taps)

        part = now % tiers[0, SAMPLES]
        begin(biases, layout[SPEAK], part, C, a)
        for j in range(C):
            a[j] += genre[count, j] + condition[count, j]
        add_product(weights, scales, layout[SPEAK], part, C, h[0, : tiers[0, HIDDEN]], a)
        guess = float32(0.0)
        if lpc.shape[0] > 0:
            if now % hop == 0:
                adapt_lpc(ring[end - 2 * taper.shape[0] : end], taper, gain, lpc, seen, error)
            guess = lpc_predict(lpc, ring, end, gain)
            size = layout[bottom + LATEST][COLUMNS] - 3
            for j in range(size):
                x[j] = ring[end - size + j]
            describe(guess, error, gain, x[size : size + 3])
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
            place_mixture(output, own, taps, guess, ring, end, gain, error, coarse_drawn[0] if has_coarse else -1)
        if record.shape[0] > 0:
            for j in range(output.shape[0]):
                record[t, j] = output[j]
        watched = now % SURPRISE_EVERY == 0
        if watched:
            for j in range(output.shape[0]):
                plain[j] = output[j]
        if forced.shape[0] > 0:
            chosen = forced[t]
        elif mixture:
            chosen = draw_mixture(output, uniforms[t], temperature, top_p, edges, b)
        else:
            chosen = draw_class(output, uniforms[t], temperature, top_k, top_p)
        if watched:
            if mixture:
                nll_sum[0] += _nll_of_mixture(plain, chosen, edges)
            else:
                nll_sum[0] += nll(plain, chosen)
            nll_sum[1] += 1.0
        if noise.shape[0] > 0:
            chosen = min(max(chosen + noise[t], 0), V - 1)
        out[t] = chosen
        push(chosen, features, ring, place[0], recent)
        place[0] = (place[0] + 1) % length
        place[1] = now + 1
