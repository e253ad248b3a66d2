"""FMA's published features and baseline, on files in the published format."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from noizenet.audio.waveform import Waveform
from noizenet.base.errors import CorpusError, UsageError
from noizenet.evaluation.fma import SIZES, baseline, columns, features, read_features

SCRIPT = Path(__file__).parent.parent / "examples" / "fma_baseline.py"


@pytest.fixture(scope="module")
def metadata(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two genres that differ in their MFCCs only; the test split of the small subset has 20 tracks."""
    folder = tmp_path_factory.mktemp("fma_metadata")
    g = np.random.default_rng(0)
    rows = ["album,artist,artist,set,set,track,track,track", "title,id,name,split,subset,genre_top,license,title"]
    lines = ["," + rows[0], "," + rows[1], "track_id,,,,,,,,"]
    numbers = []
    for i in range(120):
        genre = ("Rock", "Folk")[i % 2]
        split = "training" if i < 90 else "validation" if i < 100 else "test"
        lines.append(f"{i + 2},A,{i},B,{split},{'small' if i % 40 else 'large'},{genre},CC,T")
        x = g.normal(size=518)
        x[columns().get_level_values(0) == "mfcc"] += 3 * (genre == "Rock")
        numbers.append(x)
    (folder / "tracks.csv").write_text("\n".join(lines) + "\n")
    table = pd.DataFrame(numbers, index=pd.Index(range(2, 122), name="track_id"), columns=columns())
    table.to_csv(folder / "features.csv")
    return folder


def test_there_are_518_columns_in_the_published_order() -> None:
    names = columns()
    assert len(names) == len(set(names)) == 518
    assert names[0] == ("chroma_cens", "kurtosis", "01")
    assert names[-1] == ("zcr", "std", "01")
    assert sum(SIZES.values()) == 74


def test_the_features_of_a_tone_are_known() -> None:
    rate = 22_050
    tone = np.sin(2 * np.pi * 440 * np.arange(5 * rate) / rate).astype(np.float32)
    found = features(Waveform(tone, rate))
    assert list(found.index) == list(columns())
    assert np.isfinite(found).all()
    assert found["spectral_centroid", "median", "01"] == pytest.approx(440, rel=0.05)
    assert found["zcr", "median", "01"] == pytest.approx(2 * 440 / rate, rel=0.05)
    assert found["rmse", "median", "01"] == pytest.approx(np.sqrt(0.5 * 3 / 8), rel=0.01)  # of a Hann-windowed sine
    for kind in ("chroma_cens", "chroma_cqt", "chroma_stft"):
        assert found[kind, "mean"].to_numpy().argmax() == 9, kind  # A
    assert np.isfinite(features(Waveform(np.zeros(rate, np.float32), rate))).all()


def test_the_baseline_uses_the_official_split(metadata: Path) -> None:
    found = baseline(metadata, "small")
    assert (found.train_tracks, found.test_tracks) == (87, 20)  # three of the training tracks are in "large" only
    assert found.accuracy["mfcc"] == 1
    assert found.accuracy["zcr"] < 0.9
    assert baseline(metadata, "large").train_tracks == 90
    with pytest.raises(UsageError, match="small"):
        baseline(metadata, "tiny")


def test_other_files_are_rejected(metadata: Path, tmp_path: Path) -> None:
    (tmp_path / "features.csv").write_text("a,b\n1,2\n")
    with pytest.raises(CorpusError, match=r"features\.csv"):
        read_features(tmp_path / "features.csv")
    done = subprocess.run([sys.executable, SCRIPT, tmp_path], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "tracks.csv" in done.stderr
    assert "Traceback" not in done.stderr
    done = subprocess.run([sys.executable, SCRIPT, metadata], capture_output=True, text=True, check=True)
    assert "87 training and 20 test tracks" in done.stdout
    assert "| mfcc | 100.0% |" in done.stdout
