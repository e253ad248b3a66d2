"""Compiled loop of tiered networks: one stream, one thread, no allocation and no Python per sample."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

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


class TieredTables(NamedTuple):
    """Arrays of a tiered network besides its matrices.

    `tiers` int [tiers, 2]: SAMPLES and HIDDEN of each tier. `context` int: input window of each tier in steps. `genre`
    float32 [tiers + 1 + M, D]: terms of the genre, added (with the biases) in each tier and in the per-sample network,
    and to the logits of each coarse feature. `features` float32 [V, 2]: input features of each class. `tables` float32
    [E, V, C]: embeddings of the latest classes. `base_taps` float32 [order]: taps of the learned linear prediction
    before adaptation, oldest sample first. `edges` float32 [V + 1]: bin edges of the classes. `previous` float32
    [M, L, L] and `coarse` float32 [M, tiers + 1, L, D]: tables of the coarse features, see
    :class:`noizenet.model.coarse.CoarseFeatures`; empty without them. LPC: `taper` float64 [window], `hop` int, and
    `n_learned` int, the number of components that are centred on the learned prediction.
    """

    tiers: Any
    context: int
    genre: Any
    features: Any
    tables: Any
    base_taps: Any
    edges: Any
    previous: Any
    coarse: Any
    taper: Any
    hop: int
    n_learned: int


class TieredState(NamedTuple):
    """State of a stream.

    `h` and `c` float32 [tiers, H]. `ring` float32 [2 · 2R]: ring buffer of the latest R samples' features, written
    twice so that the latest n are always contiguous. `position` int64 [2]: write index, and number of samples so far.
    `taps` float32 [order]: the current taps, oldest sample first. `recent` int64 [E]: the latest classes, newest first.
    `condition` float32 [tiers + 1, D]: terms of the coarse features in each layer; `coarse_drawn` int64 [M]: their
    classes. `lpc` float64 [P]: LPC's taps, newest sample first (empty without LPC). `lpc_stats` float64 [2]: the log
    scale of LPC's error, and the log level of the past.
    """

    h: Any
    c: Any
    ring: Any
    position: Any
    taps: Any
    recent: Any
    condition: Any
    coarse_drawn: Any
    lpc: Any
    lpc_stats: Any


class TieredScratch(NamedTuple):
    """Scratch: x, z, zh, a, b [widest]; output, raw_output [O]; lpc_work float64 [window + 2 P + 1]."""

    x: Any
    z: Any
    zh: Any
    a: Any
    b: Any
    output: Any
    raw_output: Any
    lpc_work: Any


@compiled
def _step_tier(
    k: Any, now: Any, end: Any, gain: Any, cell: Any, packed: Any, net: Any, state: Any, scratch: Any
) -> None:
    """Run one step of tier k. The latest features end at `end` in the ring buffer."""
    x, z, zh, a = scratch.x, scratch.z, scratch.zh, scratch.a
    count, samples, units = net.tiers.shape[0], net.tiers[k, SAMPLES], net.tiers[k, HIDDEN]
    rows = packed.layout[k * TIER : (k + 1) * TIER]
    inputs, width, size = rows[FRAME][ROWS], rows[W_IH][ROWS], 2 * samples * net.context
    window = state.ring[end - size : end]
    if net.coarse.shape[2] > 0 and k == count - 1:
        for j in range(size):
            a[j] = window[j]
        measure(window, samples, gain, a[size : size + MEASURES])
        window = a[: size + MEASURES]
    for j in range(inputs):
        x[j] = net.genre[k, j] + state.condition[k, j]
    add_product(packed.weights, packed.scales, rows[FRAME], 0, inputs, window, x)
    if k < count - 1:
        part = now % net.tiers[k + 1, SAMPLES] // samples
        above, proj_row = state.h[k + 1, : net.tiers[k + 1, HIDDEN]], packed.layout[(k + 1) * TIER + OUT_PROJ]
        begin(packed.biases, proj_row, part, inputs, zh)
        add_product(packed.weights, packed.scales, proj_row, part, inputs, above, zh)
        for j in range(inputs):
            x[j] += zh[j]
    for j in range(inputs):
        x[j] = max(x[j], float32(0.0))
    begin(packed.biases, rows[W_IH], 0, width, z)
    add_product(packed.weights, packed.scales, rows[W_IH], 0, width, x[:inputs], z)
    recur(cell, packed, rows[W_HH], state.h[k, :units], state.c[k, :units], z, zh)


@compiled
def _draw_coarse(step: Any, packed: Any, net: Any, state: Any, draws: Any, sampling: Any, z: Any) -> None:
    """Draw (or, with `forced`, set) the coarse features of the slowest tier's next step, and compute their terms."""
    k = net.tiers.shape[0] - 1
    units, bottom, drawn, condition = net.tiers[k, HIDDEN], (k + 1) * TIER, state.coarse_drawn, state.condition
    for s in range(MEASURES):
        row = packed.layout[bottom + COARSE_PROJ + s]
        logits = z[: row[ROWS]]
        begin(packed.biases, row, 0, row[ROWS], logits)
        add_product(packed.weights, packed.scales, row, 0, row[ROWS], state.h[k, :units], logits)
        for j in range(row[ROWS]):
            logits[j] += net.genre[k + 2 + s, j]
            if s > 0:
                logits[j] += net.previous[s, drawn[s - 1], j]
        if draws.forced.shape[0] > 0:
            drawn[s] = np.int64(draws.coarse[step, s])
        else:
            drawn[s] = draw_class(logits, draws.coarse[step, s], sampling.temperature, 0, sampling.top_p)
    for layer in range(condition.shape[0]):
        for j in range(condition.shape[1]):
            condition[layer, j] = net.coarse[0, layer, drawn[0], j]
            for s in range(1, MEASURES):
                condition[layer, j] += net.coarse[s, layer, drawn[s], j]


@compiled
def _adapt_taps(packed: Any, net: Any, state: Any) -> None:
    """Compute the learned prediction's taps from the fastest tier's state."""
    order, row = net.base_taps.shape[0], packed.layout[net.tiers.shape[0] * TIER + ADAPT]
    for j in range(order):
        state.taps[j] = net.base_taps[j]
    if row[ROWS] > 0:
        add_product(packed.weights, packed.scales, row, 0, order, state.h[0, : net.tiers[0, HIDDEN]], state.taps)


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


class TieredDraws(NamedTuple):
    """As :class:`noizenet.model.numeric.Draws`, for samples [n].

    `coarse` float64 [m, M] holds, for each step of the slowest tier, uniform numbers or (with `forced`) the classes of
    the coarse features.
    """

    forced: Any
    uniforms: Any
    noise: Any
    coarse: Any


@compiled
def _sample_network(now: Any, end: Any, gain: Any, packed: Any, net: Any, state: Any, scratch: Any) -> Any:
    """Run the per-sample network into `output`; return LPC's prediction."""
    weights, scales, biases, layout = packed.weights, packed.scales, packed.biases, packed.layout
    count, ring, a, b, x, output = net.tiers.shape[0], state.ring, scratch.a, scratch.b, scratch.x, scratch.output
    bottom = count * TIER
    latest, head = layout[bottom + LATEST], layout[bottom + HEAD]
    C, size = latest[ROWS], latest[COLUMNS]
    part = now % net.tiers[0, SAMPLES]
    begin(biases, layout[OUT_PROJ], part, C, a)
    for j in range(C):
        a[j] += net.genre[count, j] + state.condition[count, j]
    add_product(weights, scales, layout[OUT_PROJ], part, C, state.h[0, : net.tiers[0, HIDDEN]], a)
    lpc_mean = float32(0.0)
    if state.lpc.shape[0] > 0:
        if now % net.hop == 0:
            past = ring[end - 2 * net.taper.shape[0] : end]
            adapt_lpc(past, net.taper, gain, state.lpc, scratch.lpc_work, state.lpc_stats)
        lpc_mean = lpc_predict(state.lpc, ring, end, gain)
        size -= 3
        for j in range(size):
            x[j] = ring[end - size + j]
        lpc_features(lpc_mean, state.lpc_stats, gain, x[size : size + 3])
        add_product(weights, scales, latest, 0, C, x[: size + 3], a)
    else:
        add_product(weights, scales, latest, 0, C, ring[end - size : end], a)
    for lag in range(net.tables.shape[0]):
        for j in range(C):
            a[j] += net.tables[lag, state.recent[lag], j]
    for j in range(C):
        a[j] = max(a[j], float32(0.0))
    for layer in range(bottom + LAYERS, layout.shape[0]):
        begin(biases, layout[layer], 0, C, b)
        add_product(weights, scales, layout[layer], 0, C, a, b)
        for j in range(C):
            a[j] = max(b[j], float32(0.0))
    begin(biases, head, 0, output.shape[0], output)
    add_product(weights, scales, head, 0, output.shape[0], a, output)
    return lpc_mean


@compiled
def run_tiered(
    cell: Any, mixture: Any, packed: Any, net: Any, state: Any, draws: Any, sampling: Any, scratch: Any, outputs: Any
) -> None:
    """Run ``len(out)`` samples.

    Parameters
    ----------
    cell : CellKind
    mixture : bool
        Whether the head is a mixture (else categorical).
    packed : Packed
    net : TieredTables
    state : TieredState
    draws : TieredDraws
        `forced`, `uniforms` and `noise` as for :func:`noizenet.model.kernel.run_classes`.
    sampling : SamplingNumbers
    scratch : TieredScratch
    outputs : Outputs
        `out` [n], `record` [n or 0, O].
    """
    count, ring, output, raw_output = net.tiers.shape[0], state.ring, scratch.output, scratch.raw_output
    length, V, n_outputs = ring.shape[0] // 4, net.features.shape[0], output.shape[0]
    has_coarse, coarse_step = net.coarse.shape[2] > 0, 0
    gain = float32(1.0) / float32(GAIN)
    for t in range(outputs.out.shape[0]):
        now, end = state.position[1], 2 * (state.position[0] + length)
        for k in range(count - 1, -1, -1):
            if now % net.tiers[k, SAMPLES] != 0:
                continue
            _step_tier(k, now, end, gain, cell, packed, net, state, scratch)
            if has_coarse and k == count - 1:
                _draw_coarse(coarse_step, packed, net, state, draws, sampling, scratch.z)
                coarse_step += 1
            if k == 0 and net.base_taps.shape[0] > 0:
                _adapt_taps(packed, net, state)
        lpc_mean = _sample_network(now, end, gain, packed, net, state, scratch)
        if mixture:
            level = state.coarse_drawn[0] if has_coarse else -1
            mixture_params(output, net.n_learned, state.taps, lpc_mean, ring, end, gain, state.lpc_stats, level)
        if outputs.record.shape[0] > 0:
            for j in range(n_outputs):
                outputs.record[t, j] = output[j]
        with_nll = now % NLL_EVERY == 0
        if with_nll:
            for j in range(n_outputs):
                raw_output[j] = output[j]
        if draws.forced.shape[0] > 0:
            chosen = draws.forced[t]
        elif mixture:
            chosen = draw_mixture(output, draws.uniforms[t], sampling.temperature, sampling.top_p, net.edges, scratch.b)
        else:
            chosen = draw_class(output, draws.uniforms[t], sampling.temperature, sampling.top_k, sampling.top_p)
        if with_nll:
            outputs.nll_sum[0] += _nll_of_mixture(raw_output, chosen, net.edges) if mixture else nll(raw_output, chosen)
            outputs.nll_sum[1] += 1.0
        if draws.noise.shape[0] > 0:
            chosen = min(max(chosen + draws.noise[t], 0), V - 1)
        outputs.out[t] = chosen
        push(chosen, net.features, ring, state.position[0], state.recent)
        state.position[0] = (state.position[0] + 1) % length
        state.position[1] = now + 1
