"""Rung 3: plots of audio and of training. Each view computes arrays and then draws them."""

from noizenet.base.registry import Registry

VIEWS = Registry(
    "view",
    {
        "waveform": "noizenet.views.waveform:WaveformView",
        "envelope": "noizenet.views.envelope:EnvelopeView",
        "spectrogram": "noizenet.views.spectrogram:SpectrogramView",
    },
)
