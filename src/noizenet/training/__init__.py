"""Rung 6: windows of frames in, a trained network out.

A new recipe is one TOML file in ``recipes/`` and one line here.
"""

from noizenet.base.registry import Registry

RECIPES = {
    "paper-rnn": "the paper's plain recurrent network, regression",
    "paper-lstm": "the paper's LSTM, regression",
    "paper-gru": "the same with a gated recurrent unit",
    "paper-fft-rnn": "the paper's FFT frames",
    "paper-fft-lstm": "the paper's FFT frames, LSTM",
    "paper-fft-gru": "the paper's FFT frames, gated recurrent unit",
    "sample-lstm": "a distribution, sampled: it lives",
    "token-lstm": "the codes of a learned codec: hears seconds, plays many times faster than real time",
}
"""Name → what it is; the file is ``recipes/NAME.toml``."""

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
