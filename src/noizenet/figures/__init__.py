"""Rung 6: the paper's figures, drawn from the course's computations or from generated music.

A new figure is one function ``(Figure) -> None`` and one line here.
"""

from noizenet.base.registry import Registry

FIGURES = Registry(
    "figure",
    {
        "01-perceptron": "noizenet.figures.networks:perceptron",
        "02-layers": "noizenet.figures.networks:layers",
        "03-descent": "noizenet.figures.theory:descent",
        "04-step": "noizenet.figures.theory:step",
        "05-relu": "noizenet.figures.theory:relu",
        "05b-activations": "noizenet.figures.theory:activations",
        "05c-errors": "noizenet.figures.theory:errors",
        "05d-backprop": "noizenet.figures.theory:backprop",
        "06-rnn": "noizenet.figures.networks:rnn",
        "07-lstm": "noizenet.figures.networks:lstm",
        "11-vanishing": "noizenet.figures.theory:vanishing",
        "12-generating": "noizenet.figures.theory:generating",
    },
)
"""File name → drawing function. Figures 8 to 10 are views of audio: see :mod:`noizenet.figures.draw`."""
