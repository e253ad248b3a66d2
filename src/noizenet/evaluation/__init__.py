"""Rung 5: what generated sound is worth.

A measure says its unit and its better direction, and is tested on cases whose answer is known.
"""

from noizenet.base.registry import Registry

METRICS = Registry(
    "measure",
    {
        "alive": "noizenet.evaluation.aliveness:Aliveness",
    },
)
