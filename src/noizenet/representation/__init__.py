"""Rung 3: encoding of audio into frames that a network can predict, and decoding.

A new representation is one module with a :class:`~noizenet.representation.base.Representation` and one line here;
the contract tests in ``tests/test_representations.py`` then check it against its declared bound.
"""

from noizenet.base.registry import Registry

REPRESENTATIONS = Registry(
    "representation",
    {
        "mu-law": "noizenet.representation.mulaw:MuLaw",
        "linear": "noizenet.representation.linear:Linear",
        "z-score": "noizenet.representation.scaled:ZScore",
        "min-max": "noizenet.representation.scaled:MinMax",
        "fft": "noizenet.representation.fft:FftFrames",
        "log-magnitude": "noizenet.representation.logmagnitude:LogMagnitude",
        "codec": "noizenet.representation.codec:CodecTokens",
        "fullband": "noizenet.representation.fullband:FullbandTokens",
        "hub-codec": "noizenet.representation.hubcodec:HubCodec",
    },
)
