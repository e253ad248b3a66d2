"""Rung 7: speed and memory, as ratios measured side by side in one run. Targets stand beside the measurements."""
