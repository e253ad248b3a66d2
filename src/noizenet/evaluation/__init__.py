"""Rung 6: evaluation of generated audio.

Each metric declares its unit, its better direction and its source, and is tested on cases with a known answer.
"""

from noizenet.base.registry import Registry

EMBEDDINGS = {"tagger": "tagged", "crafted": "crafted"}
"""Name of an embedding → the attribute of :class:`~noizenet.evaluation.features.Features` that holds it."""

_MUSIC, _MODEL = "noizenet.evaluation.metrics", "noizenet.evaluation.model_metrics"
METRICS = Registry(
    "metric",
    {
        "alive": f"{_MUSIC}:ALIVE",
        "frechet-tagger": f"{_MUSIC}:FRECHET_TAGGER",
        "kernel-tagger": f"{_MUSIC}:KERNEL_TAGGER",
        "frechet-crafted": f"{_MUSIC}:FRECHET_CRAFTED",
        "kernel-crafted": f"{_MUSIC}:KERNEL_CRAFTED",
        "genre": f"{_MUSIC}:GENRE",
        "copying": f"{_MUSIC}:COPYING",
        "onset-rate": f"{_MUSIC}:ONSET_RATE",
        "tempo-clarity": f"{_MUSIC}:TEMPO_CLARITY",
        "key-clarity": f"{_MUSIC}:KEY_CLARITY",
        "loudness-range": f"{_MUSIC}:LOUDNESS_RANGE",
        "spectral-centroid": f"{_MUSIC}:CENTROID",
        "self-similarity-1": f"{_MUSIC}:SIMILARITY_1",
        "self-similarity-4": f"{_MUSIC}:SIMILARITY_4",
        "self-similarity-16": f"{_MUSIC}:SIMILARITY_16",
        "self-similarity-64": f"{_MUSIC}:SIMILARITY_64",
        "level-drift": f"{_MUSIC}:LEVEL_DRIFT",
        "centroid-drift": f"{_MUSIC}:CENTROID_DRIFT",
        "likelihood": f"{_MODEL}:LIKELIHOOD",
        "echo": f"{_MODEL}:ECHO",
        "playing-speed": f"{_MODEL}:PLAYING_SPEED",
        "training-speed": f"{_MODEL}:TRAINING_SPEED",
        "memory": f"{_MODEL}:MEMORY",
        "model-size": f"{_MODEL}:MODEL_SIZE",
        "energy": f"{_MODEL}:ENERGY",
    },
)
