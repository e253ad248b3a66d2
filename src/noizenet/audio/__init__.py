"""Rung 2: sound as numbers — a waveform with its rate, reading, resampling, writing, units, basic DSP."""
