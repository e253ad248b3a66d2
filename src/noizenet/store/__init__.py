"""Rung 5: a model on disk. Weights are safetensors, everything else JSON; loading never executes code."""
