"""Rung 4: recurrent networks over frames. This package does not handle audio.

A new cell is one module with a :class:`~noizenet.model.cells.Cell` and one line here; generation with it also needs a
branch in :mod:`noizenet.model.numeric`. The contract tests compare it with ``torch.nn``.
"""

from noizenet.base.registry import Registry

CELLS = Registry(
    "cell",
    {
        "rnn": "noizenet.model.cells:RnnCell",
        "lstm": "noizenet.model.cells:LstmCell",
        "gru": "noizenet.model.cells:GruCell",
    },
)

HEADS = Registry(
    "head",
    {
        "point": "noizenet.model.heads:PointHead",
        "categorical": "noizenet.model.heads:CategoricalHead",
        "mixture": "noizenet.model.mixture:MixtureHead",
        "depth": "noizenet.model.tokens:DepthHead",
    },
)
