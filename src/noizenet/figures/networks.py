"""Figures of networks: a perceptron's line, weights as lines of layers, an unrolled RNN, an LSTM's gates."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Circle, FancyArrowPatch, FancyBboxPatch, PathPatch
from matplotlib.path import Path

from noizenet.course import feedforward
from noizenet.course import layers as layers_lesson
from noizenet.course import perceptron as perceptron_lesson
from noizenet.views.render import ACCENT, EDGE, MUTED, WAVE

BOX = "#e8f1f8"


def perceptron(figure: Figure) -> None:
    """Figure 1: inputs, weights, sum and step function; and the learned decision boundary."""
    left, right = figure.subplots(1, 2)
    _blank(left, "A perceptron", (-0.2, 4.4), (-0.4, 3.4))
    for i, name in enumerate(("x₁", "x₂", "x₃")):
        y = 2.8 - 1.3 * i
        _node(left, 0.3, y, name)
        _arrow(left, (0.55, y), (1.8, 1.55), f"w{'₁₂₃'[i]}")
    _node(left, 2.05, 1.5, "Σ + b")
    _arrow(left, (2.35, 1.5), (2.9, 1.5))
    left.add_patch(FancyBboxPatch((2.95, 1.2), 0.6, 0.6, boxstyle="round,pad=0.05", fc=BOX, ec=EDGE))
    left.plot([3.0, 3.25, 3.25, 3.5], [1.3, 1.3, 1.7, 1.7], color=ACCENT)
    _arrow(left, (3.62, 1.5), (4.2, 1.5))
    left.text(4.0, 1.7, "0 or 1", fontsize=9, ha="center")
    g = np.random.default_rng(3)
    points = g.uniform(-1, 1, (80, 2))
    sides = points @ [1.0, 0.7] - 0.1
    points, answers = points[np.abs(sides) > 0.12], (sides[np.abs(sides) > 0.12] > 0).astype(int)
    w, b, mistakes = perceptron_lesson.learn(points, answers)
    for k, colour in enumerate((ACCENT, WAVE)):
        right.plot(*points[answers == k].T, "o", ms=4, color=colour)
    across = np.array([-1.0, 1.0])
    right.plot(across, -(w[0] * across + b) / w[1], color=EDGE, lw=1.5)
    right.set(
        xlim=(-1, 1), ylim=(-1, 1), xlabel="x₁", ylabel="x₂", aspect="equal",
        title=f"its decision boundary, after {sum(mistakes)} mistakes",
    )  # fmt: skip


def layers(figure: Figure) -> None:
    """Figure 2: a multi-layer perceptron; a thicker line is a larger weight (red: negative)."""
    axes = figure.add_subplot()
    sizes = (4, 6, 5, 2)
    network = feedforward.Network.random(sizes, np.tanh, seed=4)
    _blank(axes, "A multi-layer perceptron", (-0.6, 3.6 * 1.5), (-0.2, 6.4))
    positions = [[(1.5 * i, 3 + (n - 1) / 2 - j) for j in range(n)] for i, n in enumerate(sizes)]
    for i, weights in enumerate(network.weights):
        thick = layers_lesson.thickness(weights)
        for j, (x1, y1) in enumerate(positions[i + 1]):
            for k, (x0, y0) in enumerate(positions[i]):
                colour = WAVE if weights[j, k] > 0 else ACCENT
                axes.plot([x0, x1], [y0, y1], color=colour, lw=thick[j, k], alpha=0.7, zorder=0)
    for column in positions:
        for x, y in column:
            _node(axes, x, y, "", 0.22)
    for i, name in enumerate(("inputs", "hidden", "hidden", "outputs")):
        axes.text(1.5 * i, 0.0, name, ha="center", fontsize=9, color=MUTED)


def rnn(figure: Figure) -> None:
    """Figure 6: a recurrent network, and the same network unrolled over time."""
    axes = figure.add_subplot()
    _blank(axes, "A recurrent network, unrolled", (-0.8, 9.2), (-0.6, 3.2))
    _cell(axes, 0, "x", "h", "ŷ")
    loop = [(0.3, 2.0), (0.9, 2.4), (0.9, 0.6), (0.32, 0.98)]  # out at the top, back in below
    axes.add_patch(
        PathPatch(Path(loop, [Path.MOVETO, Path.CURVE4, Path.CURVE4, Path.CURVE4]), fc="none", ec=EDGE, zorder=3)
    )
    _arrow(axes, (0.42, 0.93), (0.28, 1.02))
    axes.text(1.05, 1.35, "=", fontsize=20)
    for i, t in enumerate(("t-1", "t", "t+1")):
        x = 3 + 2.4 * i
        _cell(axes, x, f"$x_{{{t}}}$", f"$h_{{{t}}}$", f"$ŷ_{{{t}}}$")
        _arrow(axes, (x - (1.75 if i else 1.3), 1.5), (x - 0.55, 1.5), "$W_{hh}$")
    _arrow(axes, (8.35, 1.5), (9.1, 1.5))


def lstm(figure: Figure) -> None:
    """Figure 7: the LSTM cell; the upper line is the cell state c, the lower one the hidden state h."""
    axes = figure.add_subplot()
    _blank(axes, "The LSTM's four gates", (-1.2, 9.6), (-1.2, 5.4))
    axes.plot([-1.0, 9.2], [4.5, 4.5], color=EDGE, lw=2.5)
    axes.text(-1.1, 4.75, "$c_{t-1}$", fontsize=11)
    axes.text(8.9, 4.75, "$c_t$", fontsize=11)
    axes.plot([-1.0, 7.0], [0.6, 0.6], color=EDGE, lw=1.5)
    axes.text(-1.1, 0.8, "$h_{t-1}$", fontsize=11)
    _arrow(axes, (0.2, -0.9), (0.2, 0.6))
    axes.text(0.35, -0.8, "$x_t$", fontsize=11)
    for x, name in ((1.2, "σ  f"), (3.0, "σ  i"), (4.6, "tanh  g"), (7.0, "σ  o")):
        _arrow(axes, (x, 0.6), (x, 1.35))
        _box(axes, x, 1.7, name)
    _arrow(axes, (1.2, 2.05), (1.2, 4.3))
    _operation(axes, 1.2, 4.5, "×")
    _arrow(axes, (3.0, 2.05), (3.6, 2.95))
    _arrow(axes, (4.6, 2.05), (4.0, 2.95))
    _operation(axes, 3.8, 3.1, "×")
    _arrow(axes, (3.8, 3.3), (3.8, 4.3))
    _operation(axes, 3.8, 4.5, "+")
    _arrow(axes, (8.2, 4.5), (8.2, 3.5))
    _box(axes, 8.2, 3.15, "tanh")
    _arrow(axes, (8.2, 2.8), (8.2, 2.0))
    _operation(axes, 8.2, 1.8, "×")
    _arrow(axes, (7.45, 1.7), (8.0, 1.78))
    axes.plot([8.2, 8.2], [1.6, 0.6], color=EDGE, lw=1.5)
    _arrow(axes, (8.2, 0.6), (9.3, 0.6))
    axes.text(8.9, 0.8, "$h_t$", fontsize=11)
    for x, y, name in ((1.2, -0.2, "forget gate"), (3.8, -0.2, "learn gate (input)"), (3.8, 5.0, "remember gate"),
                       (7.6, -0.2, "use gate (output)")):  # fmt: skip
        axes.text(x, y, name, ha="center", fontsize=10, color=ACCENT)


def _blank(axes: Axes, title: str, x: tuple[float, float], y: tuple[float, float]) -> None:
    axes.set(title=title, xlim=x, ylim=y, aspect="equal")
    axes.axis("off")


def _node(axes: Axes, x: float, y: float, text: str, radius: float = 0.26) -> None:
    axes.add_patch(Circle((x, y), radius, fc=BOX, ec=EDGE, zorder=2))
    axes.text(x, y, text, ha="center", va="center", fontsize=8, zorder=3)


def _box(axes: Axes, x: float, y: float, text: str) -> None:
    axes.add_patch(FancyBboxPatch((x - 0.4, y - 0.25), 0.8, 0.5, boxstyle="round,pad=0.08", fc=BOX, ec=EDGE, zorder=2))
    axes.text(x, y, text, ha="center", va="center", fontsize=8, zorder=3)


def _operation(axes: Axes, x: float, y: float, text: str) -> None:
    axes.add_patch(Circle((x, y), 0.2, fc="#ffe9e2", ec=ACCENT, zorder=2))
    axes.text(x, y, text, ha="center", va="center", fontsize=11, zorder=3)


def _arrow(axes: Axes, start: tuple[float, float], end: tuple[float, float], text: str = "") -> None:
    axes.add_patch(FancyArrowPatch(start, end, arrowstyle="->", mutation_scale=10, color=EDGE, shrinkA=0, shrinkB=0))
    if text:
        axes.text((start[0] + end[0]) / 2, (start[1] + end[1]) / 2 + 0.15, text, fontsize=8, ha="center")


def _cell(axes: Axes, x: float, below: str, state: str, above: str) -> None:
    axes.add_patch(FancyBboxPatch((x - 0.4, 1.15), 0.8, 0.7, boxstyle="round,pad=0.1", fc=BOX, ec=EDGE))
    axes.text(x, 1.5, state, ha="center", va="center", fontsize=10)
    _arrow(axes, (x, 0.2), (x, 1.0))
    axes.text(x, -0.15, below, ha="center", fontsize=10)
    _arrow(axes, (x, 2.0), (x, 2.7))
    axes.text(x, 2.8, above, ha="center", fontsize=10)
