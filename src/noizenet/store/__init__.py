"""Rung 5: models on disk, as safetensors and JSON; loading executes no code."""
