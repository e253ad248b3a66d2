"""FMA's published baseline: 518 librosa features per track, the official split, a support-vector classifier.

M. Defferrard, K. Benzi, P. Vandergheynst, X. Bresson, "FMA: a dataset for music analysis", ISMIR 2017, section 4:
seven statistics of eleven features over a clip. The features are published with the dataset (``features.csv``);
:func:`features` computes the same columns from audio, so that the same classifier can be applied to generated music.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from noizenet.audio.waveform import Waveform
from noizenet.base.errors import CorpusError, UsageError
from noizenet.corpus.fma import SUBSETS
from noizenet.corpus.fma_tables import read_tracks

if TYPE_CHECKING:
    import pandas as pd

SIZES = {
    "chroma_cens": 12, "chroma_cqt": 12, "chroma_stft": 12, "mfcc": 20, "rmse": 1, "spectral_bandwidth": 1,
    "spectral_centroid": 1, "spectral_contrast": 7, "spectral_rolloff": 1, "tonnetz": 6, "zcr": 1,
}  # fmt: skip
"""Rows of each feature; ``features.csv`` has them in this order."""

STATISTICS = ("kurtosis", "max", "mean", "median", "min", "skew", "std")
N_FFT, HOP, OCTAVES = 2048, 512, 7


@dataclass(frozen=True)
class Baseline:
    """Accuracy of the classifier on the official test tracks by feature set, and the numbers of tracks."""

    subset: str
    train_tracks: int
    test_tracks: int
    accuracy: dict[str, float]


def columns() -> pd.MultiIndex:
    """Return the names of the 518 columns: feature, statistic, number."""
    import pandas as pd

    names = [(f, s, f"{i:02d}") for f, size in SIZES.items() for s in STATISTICS for i in range(1, size + 1)]
    return pd.MultiIndex.from_tuples(names, names=("feature", "statistics", "number"))


def features(sound: Waveform) -> pd.Series:
    """Return a clip's 518 features under FMA's names.

    Parameters
    ----------
    sound : Waveform
        Is mixed to mono. FMA's features are of clips of 30 seconds at their original rates.
    """
    from noizenet.kernels.cache import load_librosa

    librosa = load_librosa()
    import pandas as pd
    from scipy import stats

    from noizenet.audio.waveform import mix_channels

    x, sr = mix_channels(sound.samples, 1)[:, 0], sound.sample_rate
    stft = np.abs(librosa.stft(x, n_fft=N_FFT, hop_length=HOP))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # silence has no tuning and no pitch
        cqt = np.abs(librosa.cqt(x, sr=sr, hop_length=HOP, bins_per_octave=12, n_bins=12 * OCTAVES, tuning=None))
        cens = librosa.feature.chroma_cens(C=cqt, n_chroma=12, n_octaves=OCTAVES, bins_per_octave=12)
        rows: dict[str, NDArray[np.floating]] = {
            "chroma_cens": cens,
            "chroma_cqt": librosa.feature.chroma_cqt(C=cqt, n_chroma=12, n_octaves=OCTAVES, bins_per_octave=12),
            "chroma_stft": librosa.feature.chroma_stft(S=stft**2, sr=sr, n_chroma=12),
            "mfcc": librosa.feature.mfcc(
                S=librosa.power_to_db(librosa.feature.melspectrogram(sr=sr, S=stft**2)), n_mfcc=20
            ),
            "rmse": librosa.feature.rms(S=stft),
            "spectral_bandwidth": librosa.feature.spectral_bandwidth(S=stft, sr=sr),
            "spectral_centroid": librosa.feature.spectral_centroid(S=stft, sr=sr),
            "spectral_contrast": librosa.feature.spectral_contrast(S=stft, sr=sr, n_bands=6),
            "spectral_rolloff": librosa.feature.spectral_rolloff(S=stft, sr=sr),
            "tonnetz": librosa.feature.tonnetz(chroma=cens),
            "zcr": librosa.feature.zero_crossing_rate(x, frame_length=N_FFT, hop_length=HOP),
        }
        numbers = []
        for name in SIZES:
            r = rows[name].astype(np.float64)
            by_name = {
                "kurtosis": stats.kurtosis(r, axis=1), "max": r.max(1), "mean": r.mean(1), "median": np.median(r, 1),
                "min": r.min(1), "skew": stats.skew(r, axis=1), "std": r.std(1),
            }  # fmt: skip
            numbers += [by_name[s] for s in STATISTICS]
    return pd.Series(np.nan_to_num(np.concatenate(numbers)), index=columns())


def read_features(path: Path) -> pd.DataFrame:
    """Read ``features.csv``, indexed by track number.

    Raises
    ------
    CorpusError
        If the file is not FMA's.
    """
    import pandas as pd

    try:
        table = pd.read_csv(path, index_col=0, header=[0, 1, 2])
    except (ValueError, UnicodeDecodeError, OSError) as error:
        raise CorpusError(f"{path}: not FMA's features.csv ({error}); download fma_metadata.zip again") from error
    missing = [c for c in columns() if c not in table.columns]
    if missing:
        raise CorpusError(
            f"{path}: not FMA's features.csv (no column {'.'.join(missing[0])}); download fma_metadata.zip again"
        )
    return table[columns()]


def baseline(metadata: Path, subset: str = "small") -> Baseline:
    """Train on the official training tracks and test on the official test tracks, feature set by feature set.

    Parameters
    ----------
    metadata : Path
        The folder that ``fma_metadata.zip`` unpacks to: ``tracks.csv`` and ``features.csv``.
    subset : str
        ``small``, ``medium``, ``large`` or ``full``; each holds the ones before it.

    Raises
    ------
    UsageError
        For an unknown subset, or one without tracks.
    """
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler
    from sklearn.svm import SVC

    if subset not in SUBSETS:
        raise UsageError(f"subset: {subset!r} is none of {', '.join(SUBSETS)}")
    tracks, table = read_tracks(metadata / "tracks.csv"), read_features(metadata / "features.csv")
    chosen = tracks[tracks.subset.isin(SUBSETS[: SUBSETS.index(subset) + 1]) & (tracks.genre != "")]
    chosen = chosen[chosen.index.isin(table.index)]
    train, test = (chosen[chosen.split == s] for s in ("training", "test"))
    if train.genre.nunique() < 2 or not len(test):
        raise UsageError(f"{metadata}: the subset {subset} has too few tracks of both splits for a classifier")
    accuracy = {}
    for name in (*SIZES, "all"):
        part = table if name == "all" else table[[name]]
        classifier = make_pipeline(StandardScaler(), SVC(kernel="rbf"))
        classifier.fit(part.loc[train.index].to_numpy(), train.genre)
        accuracy[name] = float(classifier.score(part.loc[test.index].to_numpy(), test.genre))
    return Baseline(subset, len(train), len(test), accuracy)
