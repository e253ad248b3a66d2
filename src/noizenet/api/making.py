"""Corpora, training, export and figures."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from noizenet.api.arguments import a_corpus, a_model, a_path
from noizenet.api.models import inputs_of
from noizenet.api.playing import stream
from noizenet.base.bundled import DEFAULT_MODEL
from noizenet.base.files import check_outputs, check_own_folder
from noizenet.corpus.build import build
from noizenet.corpus.corpus import Corpus
from noizenet.generation.controls import Controls

if TYPE_CHECKING:
    from noizenet.store.model import Model
    from noizenet.training.plan import Progress

DEFAULT_MINUTES = 10.0


def build_corpus(source: Path | str, out: Path | str, **options: Any) -> Corpus:
    """Build a corpus from recordings; see :func:`noizenet.corpus.build.build` for the options."""
    return build(a_path(source, "source"), a_path(out, "out"), **options)


def demo_corpus(out: Path | str, **options: Any) -> Corpus:
    """Build the synthetic corpus; see :func:`noizenet.corpus.synthetic.build_synthetic` for the options."""
    from noizenet.corpus.synthetic import build_synthetic

    return build_synthetic(a_path(out, "out"), **options)


def fetch_corpus(name: str, out: Path | str, **options: Any) -> Corpus:
    """Download an FMA subset and build it; see :func:`noizenet.corpus.fetch.fetch_fma` for the options."""
    from noizenet.corpus.fetch import fetch_fma

    return fetch_fma(name, a_path(out, "out"), **options)


def load_corpus(folder: Path | str) -> Corpus:
    """Open a corpus folder."""
    return a_corpus(folder)


def train(
    corpus: Corpus | Path | str,
    out: Path | str,
    *,
    model: str = "token-lstm",
    config: Path | str | None = None,
    set: Sequence[str] = (),
    minutes: float | None = None,
    epochs: float | None = None,
    seed: int = 0,
    resume: bool = False,
    command: str = "",
    on_progress: Callable[[Progress], None] | None = None,
) -> Model:
    """Train a model on a corpus.

    Parameters
    ----------
    corpus : Corpus, Path or str
    out : Path or str
        The model folder to write.
    model : str
        Name of a recipe.
    config : Path or str, optional
        TOML file whose values override the recipe's.
    set : sequence of str
        ``section.key=value``; overrides both.
    minutes, epochs : float, optional
        Budget; the default is ten minutes.
    seed : int
        Random seed.
    resume : bool
        Continue an interrupted training from its checkpoint.
    command : str
        Command line, for the model card.
    on_progress : callable, optional
        Called with the progress of the training.

    Returns
    -------
    Model
    """
    from noizenet.training.loop import train as run
    from noizenet.training.options import configure
    from noizenet.training.plan import Budget

    if minutes is None and epochs is None:
        minutes = DEFAULT_MINUTES
    chosen = configure(model, Path(config) if config is not None else None, tuple(set))
    opened, out = a_corpus(corpus), a_path(out, "out")
    check_outputs([out], [opened.folder, config])
    return run(
        opened, out, chosen, Budget(minutes, epochs), seed=seed, resume=resume, command=command,
        on_progress=on_progress,
    )  # fmt: skip


def export_onnx(model: Model | Path | str, folder: Path | str) -> list[Path]:
    """Write a token model as ONNX graphs; see :func:`noizenet.export.onnx.export_onnx`."""
    from noizenet.export.onnx import export_onnx as export

    folder = a_path(folder, "folder")
    check_outputs([folder], inputs_of(model))
    return export(a_model(model), folder)


def figures(out: Path | str, model: Model | Path | str = DEFAULT_MODEL, *, seed: int = 0) -> list[Path]:
    """Draw the paper's figures; those of audio are views of eight seconds that `model` generates.

    The audio examples of lessons 11 and 12 are written too and, if the model is an LSTM over codes, the values of its
    gates over time.
    """
    from noizenet.audio.waveform import concatenate
    from noizenet.figures import FIGURES
    from noizenet.figures.draw import draw_figures
    from noizenet.figures.gates import has_lstm_gates, write_gates
    from noizenet.figures.sounds import write_sounds

    out = a_path(out, "out")
    check_outputs([out], inputs_of(model))
    check_own_folder(out, "figures", [f"{next(iter(FIGURES))}.svg"])
    opened = a_model(model)
    music = concatenate(list(stream(opened, Controls(seconds=8.0, seed=seed))))
    files = draw_figures(out, music) + write_sounds(music, Path(out))
    return files + write_gates(opened, music, Path(out)) if has_lstm_gates(opened) else files
