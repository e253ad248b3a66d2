"""Every figure is drawn and not empty, and the same seed gives the same bytes."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import matplotlib.image
import numpy as np
import pytest

from noizenet.figures import FIGURES
from noizenet.views.render import new_figure, save_figure


@pytest.mark.parametrize("name", FIGURES)
def test_a_figure_is_not_empty_and_is_reproducible(name: str, tmp_path: Path) -> None:
    pictures = []
    for i in range(2):
        figure = new_figure(6, 4.5)
        FIGURES.load(name)(figure)
        save_figure(figure, tmp_path / f"{i}.png", dpi=50)
        pictures.append((tmp_path / f"{i}.png").read_bytes())
    assert pictures[0] == pictures[1]
    pixels = matplotlib.image.imread(tmp_path / "0.png")[..., :3]
    assert (np.ptp(pixels.reshape(-1, 3), axis=0) > 0.5).all()
    assert (pixels < 0.9).any(-1).mean() > 0.01


def test_the_command_draws_all(token_model: Path, tmp_path: Path, cli: Callable[..., tuple[int, str, str]]) -> None:
    code, out, _ = cli("figures", tmp_path / "out", "--model", token_model, "--json")
    assert code == 0
    files = [Path(f) for f in json.loads(out)["files"]]
    assert len(files) == len(FIGURES) + 4 + 5 + 2  # views of sound, sounds, gates
    assert all(f.stat().st_size > 2_000 for f in files)
    assert {f.name[:2] for f in files} >= {f"{n:02}" for n in range(1, 11)}
