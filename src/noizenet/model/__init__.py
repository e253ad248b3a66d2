"""Rung 4: recurrent networks over frames. This package does not handle audio.

A new cell is one file with a :class:`~noizenet.model.cells.description.Cell`, and one line here. The contract tests run
over all cells.
"""

from noizenet.base.registry import Registry

CELLS = Registry(
    "cell",
    {
        "rnn": "noizenet.model.cells.rnn:RNN",
        "lstm": "noizenet.model.cells.lstm:LSTM",
        "gru": "noizenet.model.cells.gru:GRU",
        "mingru": "noizenet.model.cells.mingru:MINGRU",
    },
)

PRECISIONS = ("fp32", "bf16", "int8")
"""Precisions of the packed matrices in generation."""

HEADS = Registry(
    "head",
    {
        "point": "noizenet.model.heads:PointHead",
        "categorical": "noizenet.model.heads:CategoricalHead",
        "mixture": "noizenet.model.mixture:MixtureHead",
        "depth": "noizenet.model.tokens:DepthHead",
    },
)
