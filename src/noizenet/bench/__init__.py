"""Rung 8: benchmarks of speed and memory, as ratios to a baseline measured in the same run, with their targets."""
