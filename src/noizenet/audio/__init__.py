"""Rung 2: audio — a waveform with its sample rate, reading, resampling, writing, units, basic DSP."""
