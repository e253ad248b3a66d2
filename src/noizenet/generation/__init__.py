"""Rung 6: a trained network plays: seeds, controls, one stream for everything, and the teacher-forced echo."""

from noizenet.base.registry import Registry

PROMPT_NOISES = Registry(
    "noise seed",
    {
        "normal": "noizenet.generation.noise:normal",
        "perlin": "noizenet.generation.noise:perlin",
    },
)
