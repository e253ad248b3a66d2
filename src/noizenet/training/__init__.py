"""Rung 6: training of a network on windows of frames.

To add a recipe, add a TOML file to ``recipes/`` and a line to :data:`RECIPES`.
"""

from noizenet.base.registry import Registry

RECIPES = {
    "paper-rnn": "the paper's plain recurrent network, regression",
    "paper-lstm": "the paper's LSTM, regression",
    "paper-gru": "the paper's model with a gated recurrent unit",
    "paper-fft-rnn": "the paper's FFT frames",
    "paper-fft-lstm": "the paper's FFT frames, LSTM",
    "paper-fft-gru": "the paper's FFT frames, gated recurrent unit",
    "sample-lstm": "LSTM tiers over samples; each sample is drawn from a predicted distribution",
    "token-lstm": "LSTM over the codes of a learned codec; many times faster than real time",
}
"""Name → description; the file is ``recipes/NAME.toml``."""

OPTIMIZERS = Registry(
    "optimizer",
    {
        "adam": "noizenet.training.optimizers:adam",
        "adamw": "noizenet.training.optimizers:adamw",
        "sgd": "noizenet.training.optimizers:sgd",
        "adadelta": "noizenet.training.optimizers:adadelta",
    },
)

SCHEDULES = Registry(
    "learning-rate schedule",
    {
        "constant": "noizenet.training.schedules:constant",
        "cosine": "noizenet.training.schedules:cosine",
        "step": "noizenet.training.schedules:step",
        "plateau": "noizenet.training.schedules:plateau",
    },
)
