"""Rung 3: collections of labelled recordings, prepared for training.

A corpus is a folder::

    corpus.json     format, sample rate, channels, genres, source, licence, citation, how it was split
    tracks.csv      one line a track: genre, artist, title, split, length, levels, content hash
    problems.csv    every file that was not taken as it is, and why
    duplicates.csv  the tracks that are the same recording by sound, group by group
    audio/          16-bit WAV files named by the hash of their source, rate and channels

A new kind of source is one module with a class like :class:`noizenet.corpus.source.Source` and one line here.
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
