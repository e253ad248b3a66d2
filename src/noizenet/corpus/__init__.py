"""Rung 3: collections of labelled recordings, prepared for training.

A corpus is a folder::

    corpus.json     format, sample rate, channels, genres, source, licence, citation, split unit
    tracks.csv      one row per track: genre, artist, title, split, length, levels, content hash
    problems.csv    one row per file that was skipped, repaired or ignored, with the reason
    duplicates.csv  groups of tracks that hold the same recording, found by their audio
    audio/          16-bit WAV files named by the hash of their source, rate and channels

To add a kind of source, write a class that implements :class:`noizenet.corpus.source.Source` and register it below.
"""

from noizenet.base.registry import Registry

CORPORA = Registry(
    "corpus layout",
    {
        "folders": "noizenet.corpus.folder:FolderSource",
        "fma": "noizenet.corpus.fma:FmaSource",
        "synthetic": "noizenet.corpus.synthetic:SyntheticSource",
    },
)
