"""Rung 3: pictures of sound and of training. Each view is data first (arrays), then a drawing of it."""

from noizenet.base.registry import Registry

VIEWS = Registry(
    "view",
    {
        "waveform": "noizenet.views.waveform:WaveformView",
        "envelope": "noizenet.views.envelope:EnvelopeView",
        "spectrogram": "noizenet.views.spectrogram:SpectrogramView",
    },
)
