"""Everything that is compiled at first use, compiled ahead."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from noizenet.base.compiled import State

RECIPES = ("sample-lstm", "paper-lstm", "paper-fft-lstm")
"""One for each kind of network; token networks are covered by the model that comes with the package."""


def compile_kernels() -> State:
    """Run each loop once, for a moment, so that no later start has to compile it; return how the cache then stands.

    Covered is what playing, watching, training and judging with numbers of 32 bits need. Other precisions are compiled
    when they are first asked for.
    """
    for step in (_compile_librosa, _compile_playing, _compile_networks, _compile_watching):
        step()
    return kernel_cache()


def kernel_cache() -> State:
    """Return how the cache of compiled loops stands."""
    from noizenet.kernels.cache import store

    return store().state()


def _compile_librosa() -> None:
    from noizenet.kernels.cache import load_beat_tracker

    load_beat_tracker()


def _compile_playing() -> None:
    from noizenet.api.models import bundled_models
    from noizenet.api.playing import stream
    from noizenet.generation.controls import Controls
    from noizenet.generation.stream import Stream
    from noizenet.store.model import load

    for folder in bundled_models().values():
        next(stream(folder, Controls(seconds=0.2)))
        pair = Stream.many(load(folder), [Controls(seconds=0.2, seed=seed) for seed in (0, 1)])
        next(Stream.generate_batch(pair))


def _compile_networks() -> None:
    """Play networks of random weights; what their sizes are does not matter."""
    from noizenet.model.architecture import Architecture
    from noizenet.model.batch import step_batch
    from noizenet.model.network import make_network
    from noizenet.model.stepper import Stepper
    from noizenet.model.weights import Weights
    from noizenet.representation.base import create
    from noizenet.training.options import configure

    for recipe in RECIPES:
        config = configure(recipe, None, ())
        representation = create(config.representation, sample_rate=22_050, channels=1)
        architecture = Architecture(config.model, representation.kind, representation.levels, representation.dim, 2)
        weights = Weights.of(make_network(architecture))
        stepper = Stepper(weights, representation.silence())
        frames = stepper.run(64)
        stepper.prefill(frames)
        stepper.predict(frames)
        if architecture.options.tiers:
            step_batch([stepper, stepper.fork()], 64)


def _compile_watching() -> None:
    """Hear noise as an evaluation does."""
    import numpy as np

    from noizenet.audio.beats import find_beats
    from noizenet.evaluation.features import SEGMENT, extract_features
    from noizenet.evaluation.tagger import RATE_HZ

    noise = np.random.default_rng(0).standard_normal(2 * SEGMENT).astype(np.float32) * np.float32(0.1)
    extract_features("noise", "", [noise], RATE_HZ, None)
    find_beats(noise, RATE_HZ)
