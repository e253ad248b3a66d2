"""Figures of the course: a loss surface, activation functions, gradients over time, free runs of a string, losses."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from noizenet.course import activations as activation_lesson
from noizenet.course import backprop as backprop_lesson
from noizenet.course import descent as optimizers
from noizenet.course import errors as losses
from noizenet.course import generating as generating_lesson
from noizenet.course import vanishing as vanishing_lesson
from noizenet.course.feedforward import Network
from noizenet.views.render import ACCENT, MUTED, WAVE

START = (1.1, 0.6)


def descent(figure: Figure) -> None:
    """Figure 3: sin x + sin y, and the paths of four optimizers."""
    axes = figure.add_subplot()
    x = np.linspace(-4, 3, 200)
    grid = np.stack(np.meshgrid(x, x), -1)
    contours = axes.contourf(x, x, optimizers.surface(grid), levels=24, cmap="Blues_r")
    figure.colorbar(contours, ax=axes, label="sin x + sin y")
    paths = {
        "descent": (optimizers.descend(optimizers.surface_gradient, START, 0.3, 40), ACCENT),
        "momentum": (optimizers.roll(optimizers.surface_gradient, START, 0.1, 60), "#e9c46a"),
        "Nesterov": (optimizers.roll(optimizers.surface_gradient, START, 0.1, 60, ahead=True), "#2a9d8f"),
        "Adam": (optimizers.adam(optimizers.surface_gradient, START, 0.2, 60), "#f4f1de"),
    }
    for name, (path, colour) in paths.items():
        axes.plot(*path.T, "o-", ms=2.5, lw=1.2, color=colour, label=name)
    axes.plot(*START, "k*", ms=10)
    axes.set(
        xlabel="x", ylabel="y", title="Gradient descent on sin x + sin y", xlim=(-4, 3), ylim=(-4, 3), aspect="equal"
    )
    axes.legend(loc="lower right", fontsize=8)


def step(figure: Figure) -> None:
    """Figure 4: Heaviside's step."""
    _function(figure.add_subplot(), "binary step", activation_lesson.step, None)


def relu(figure: Figure) -> None:
    """Figure 5: the rectified linear unit."""
    _function(figure.add_subplot(), "ReLU", activation_lesson.relu, activation_lesson.relu_slope)


def activations(figure: Figure) -> None:
    """Draw sigmoid, tanh and softmax, with the derivatives of the first two."""
    axes = figure.subplots(1, 3)
    _function(axes[0], "sigmoid", activation_lesson.sigmoid, activation_lesson.sigmoid_slope)
    _function(axes[1], "tanh", activation_lesson.tanh, activation_lesson.tanh_slope)
    x = np.linspace(-4, 4, 200)
    probabilities = activation_lesson.softmax(np.stack([x, np.zeros_like(x), np.ones_like(x)], -1))
    for k, (colour, name) in enumerate(((WAVE, "x"), (ACCENT, "0"), (MUTED, "1"))):
        axes[2].plot(x, probabilities[:, k], color=colour, label=f"probability of the number {name}")
    axes[2].set(title="softmax of (x, 0, 1)", xlabel="x")
    axes[2].legend(frameon=False, fontsize=7)
    axes[2].grid(alpha=0.25)


def _function(
    axes: Axes, name: str, function: Callable[..., np.ndarray], slope: Callable[..., np.ndarray] | None
) -> None:
    x = np.linspace(-4, 4, 801)
    axes.plot(x, function(x), color=WAVE, label="f(x)")
    if slope is not None:
        axes.plot(x, slope(x), color=ACCENT, ls="--", lw=1.2, label="derivative f'(x)")
        axes.legend(frameon=False, fontsize=8)
    axes.set(title=name, xlabel="x")
    axes.grid(alpha=0.25)


def vanishing(figure: Figure) -> None:
    """Draw the gradient's length, step by step into the past, for several spectral radii."""
    axes = figure.add_subplot()
    for radius, left in vanishing_lesson.measure([0.5, 0.9, 0.99, 1.0, 1.1]).items():
        axes.plot(left, label=f"ρ = {radius:g}")
    axes.set_yscale("log")
    axes.set(
        xlabel="steps into the past", ylabel="length of the gradient", ylim=(1e-12, 1e6),
        title="Gradients through a recurrent network vanish or explode",
    )  # fmt: skip
    axes.legend(frameon=False)
    axes.grid(alpha=0.25)


def generating(figure: Figure) -> None:
    """Draw free runs of a string: with the predicted mean, which decays, and with samples, which do not."""
    true = generating_lesson.String.tuned(220, 8_000)
    original = true.play(8_000)
    learned = generating_lesson.fit(original)
    start = (float(original[-2]), float(original[-1]))
    mean_run, sampled_run = learned.play(8_000, sample=False, start=start), learned.play(8_000, seed=1, start=start)
    names = (
        "original",
        "free-running, the mean at each step (mean square error)",
        "free-running, sampled from the distribution",
    )
    runs = dict(zip(names, (original, mean_run, sampled_run), strict=True))
    rows = figure.subplots(3, 1, sharex=True, sharey=True)
    for axes, (name, run), colour in zip(rows, runs.items(), (MUTED, ACCENT, WAVE), strict=True):
        axes.plot(np.arange(len(run)) / 8_000, run, color=colour, lw=0.4)
        axes.set_title(name, fontsize=9, loc="left")
        axes.grid(alpha=0.25)
    rows[-1].set_xlabel("time (s)")


def errors(figure: Figure) -> None:
    """Draw the loss of each constant prediction, for a target that is a swing up or down."""
    left, right = figure.subplots(1, 2, sharex=True)
    g = np.random.default_rng(0)
    truth = np.where(g.random(4000) < 0.7, 1.0, -1.0) + g.normal(0, 0.15, 4000)
    left.hist(truth, bins=60, color=WAVE)
    left.set(title="distribution of the target", xlabel="value", yticks=[])
    guesses = np.linspace(-1.5, 1.5, 301)
    for name, measure, colour in (("MSE", losses.mse, ACCENT), ("MAE", losses.mae, WAVE)):
        found = [measure(truth, np.full_like(truth, s)) for s in guesses]
        best = int(np.argmin(found))
        right.plot(guesses, found, color=colour, label=f"{name}, least at {guesses[best]:.2f}")
        right.plot(guesses[best], found[best], "o", color=colour)
    right.set(title="loss of a constant prediction", xlabel="prediction")
    right.legend(fontsize=8)


def backprop(figure: Figure) -> None:
    """Draw the loss of networks of 2, 4 and 1 neurons that learn XOR by back-propagation."""
    axes = figure.add_subplot()
    corners, targets = np.array([[0, 0], [0, 1], [1, 0], [1, 1]], float), np.array([[0], [1], [1], [0]], float)
    for seed in range(5):
        network = Network.random([2, 4, 1], activation_lesson.tanh, seed)
        axes.semilogy(backprop_lesson.learn(network, corners, targets, 0.3, 1500), lw=1, label=f"seed {seed}")
    axes.set(xlabel="epoch", ylabel="mean square error (loss)", title="Back-propagation learns XOR")
    axes.legend(fontsize=8)
