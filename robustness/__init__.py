"""Robustness harness (``make robust``): fuzzing, fault injection and long runs; results in docs/reliability.md."""
