"""Rung 6: speed and memory, as ratios measured side by side in one run. Targets stand beside the measurements."""
