"""Rung 6: generation with a trained network: controls, prompts, streams and the monitor of streams."""

from noizenet.base.registry import Registry

PROMPT_NOISES = Registry(
    "prompt noise",
    {
        "normal": "noizenet.generation.noise:normal",
        "perlin": "noizenet.generation.noise:perlin",
    },
)
