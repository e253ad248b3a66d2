"""Compilation of all kernels ahead of their first use."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from noizenet.base.compiled import State

RECIPES = ("sample-lstm", "paper-lstm", "paper-fft-lstm")
"""One recipe for each kind of network; bundled models cover token networks."""


def compile_kernels() -> State:
    """Run each kernel once, so that later starts need not compile it; return the state of the cache.

    This covers generation, the monitor, training and evaluation in fp32. Kernels of other precisions are compiled at
    their first use.
    """
    for step in (_compile_librosa, _compile_generation, _compile_networks, _compile_evaluation):
        step()
    return kernel_cache()


def kernel_cache() -> State:
    """Return the state of the cache of compiled kernels."""
    from noizenet.kernels.cache import store

    return store().state()


def _compile_librosa() -> None:
    from noizenet.kernels.cache import load_beat_tracker

    load_beat_tracker()


def _compile_generation() -> None:
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
    """Generate with networks of random weights; their sizes do not matter."""
    from noizenet.model.architecture import Architecture
    from noizenet.model.batch import step_batch
    from noizenet.model.factory import make_network
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


def _compile_evaluation() -> None:
    """Extract the features and beats of noise."""
    import numpy as np

    from noizenet.audio.beats import find_beats
    from noizenet.evaluation.features import SEGMENT, extract_features
    from noizenet.evaluation.tagger import RATE_HZ

    noise = np.random.default_rng(0).standard_normal(2 * SEGMENT).astype(np.float32) * np.float32(0.1)
    extract_features("noise", "", [noise], RATE_HZ, None)
    find_beats(noise, RATE_HZ)
