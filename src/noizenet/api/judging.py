"""Analysis of audio and evaluation of models: reproduction, evaluation, views, aliveness."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from noizenet.api.arguments import a_corpus, a_model, a_number, a_path
from noizenet.api.models import inputs_of
from noizenet.api.playing import generate_batch
from noizenet.audio.read import AudioReader, mono_blocks
from noizenet.audio.waveform import Waveform
from noizenet.base.errors import UsageError
from noizenet.base.files import check_outputs, check_own_folder, make_folder
from noizenet.corpus.corpus import Corpus
from noizenet.evaluation.aliveness import Aliveness, Report
from noizenet.generation.controls import Controls

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from noizenet.evaluation.echo import Reproduction
    from noizenet.store.model import Model

MAX_STREAMS, MAX_SECONDS = 100_000, 1e7
GENERATION_SHARE = 0.5


def reproduce(
    model: Model | Path | str, song: Path | str, out: Path | str, *, genre: str | None = None
) -> tuple[Reproduction, Path]:
    """Write the teacher-forced one-step predictions of a recording to `out`, and the persistence baseline next to it.

    Returns
    -------
    tuple of Reproduction and Path
        The errors of both, and the path of the baseline.
    """
    from noizenet.evaluation.echo import reproduce as run
    from noizenet.generation.genre import parse_schedule

    out, song = a_path(out, "out"), a_path(song, "song")
    baseline = out.with_name(f"{out.stem}-persistence{out.suffix}")
    check_outputs([out, baseline], [song, *inputs_of(model)])
    loaded = a_model(model)
    conditioned = loaded.architecture.genre_size > 0
    mix = parse_schedule(genre, None, loaded.genres, conditioned, 0).at(0.0)
    return run(loaded, song, out, baseline, mix), baseline


def evaluate(
    model: Model | Path | str | None,
    corpus: Corpus | Path | str,
    out: Path | str,
    *,
    audio: Path | str | None = None,
    streams: int = 24,
    seconds: float = 60.0,
    embedding: str = "tagger",
    real_seconds: float = 60.0,
    seed: int = 0,
    on_progress: Callable[[str, float], None] | None = None,
) -> dict[str, Any]:
    """Compare generated music with a corpus of real music; write ``report.json`` and ``report.html``.

    Parameters
    ----------
    model : Model, Path or str, optional
        Model to evaluate. It generates `streams` streams of `seconds` without a monitor, with genres in rotation and
        consecutive random seeds. They stay in ``OUT/streams``, in one folder for each genre's index (see
        ``genres.json`` there).
    corpus : Corpus, Path or str
    out : Path or str
        Folder of the report.
    audio : Path or str, optional
        Folder of audio files to evaluate instead of a model. The name of a subfolder is the intended genre of its
        files. The same files are read as for building a corpus. `out` may lie in this folder and is excluded.
    streams, seconds : int, float
    embedding : str
        ``tagger`` (downloaded once, 29 MB) or ``crafted``.
    real_seconds : float
        Seconds analysed of each real track.
    seed : int
        Random seed. The same seed gives the same report, except for the measured costs.
    on_progress : callable, optional
        Called with the current step and the completed share in [0, 1].

    Returns
    -------
    dict
        The content of ``report.json``.

    Raises
    ------
    UsageError
        For wrong arguments, among them both or neither of `model` and `audio`.
    """
    from noizenet.evaluation import recording as recordings
    from noizenet.evaluation.run import Options
    from noizenet.evaluation.run import evaluate as run

    if (model is None) == (audio is None):
        raise UsageError("evaluate: give either model or audio")
    if audio is not None:
        audio = a_path(audio, "audio")
    if not 1 <= a_number(streams, "streams", whole=True) <= MAX_STREAMS:
        raise UsageError(f"streams: {streams} is not between 1 and {MAX_STREAMS:,}")
    if audio is None and not a_number(seconds, "seconds") >= recordings.SHORTEST_S:
        raise UsageError(f"seconds: {seconds:g} is too short; the metrics need at least {recordings.SHORTEST_S:g} s")
    if audio is None and seconds > MAX_SECONDS:
        raise UsageError(f"seconds: {seconds:g} is too long (at most {MAX_SECONDS:,.0f})")
    options = Options(embedding, a_number(real_seconds, "real seconds"), a_number(seed, "seed", whole=True))
    loaded, out = a_corpus(corpus), a_path(out, "out")
    check_outputs([out], [loaded.folder, audio, *inputs_of(model)])
    check_own_folder(out, "report", ["report.json"], ["report.html", "streams"])
    make_folder(out)  # fails early if it cannot be made
    evaluated: Model | None = None
    cost: dict[str, Any] = {}
    if audio is not None:
        title, folder = f"Evaluation of {Path(audio).name}", Path(audio)
    else:
        assert model is not None
        evaluated = a_model(model)
        title, folder = "Evaluation of a model", out / "streams"
        takes = _takes(evaluated, folder, streams, seconds, seed)
        cost = _generate_streams(
            evaluated, takes, streams * seconds, _scaled_progress(on_progress, 0.0, GENERATION_SHARE)
        )
    if audio is not None:
        made, skipped = recordings.of_folder(folder, loaded.genres, exclude=out)
    else:  # only this call's streams: the folder may contain those of an earlier evaluation
        loaded_streams = [recordings.of_file(p, p.relative_to(folder).as_posix(), c.genre or "") for p, c in takes]
        made = [m for m in loaded_streams if isinstance(m, recordings.Recording)]
        skipped = [m for m in loaded_streams if not isinstance(m, recordings.Recording)]
    warnings = [f"{text}: its metrics do not describe a model" for text in recordings.overlap(loaded, made)]
    warnings += [f"{m.name}: {text}" for m in made for text in m.issues]
    return run(
        title, loaded, made, out, options, model=evaluated, cost=cost, warnings=warnings, skipped=skipped,
        on_progress=_scaled_progress(on_progress, 0.0 if evaluated is None else GENERATION_SHARE, 1.0),
    )  # fmt: skip


def _scaled_progress(
    on_progress: Callable[[str, float], None] | None, first: float, last: float
) -> Callable[[str, float], None] | None:
    """Return a callback that maps the progress [0, 1] of one phase to [first, last] of the whole."""
    if on_progress is None:
        return None
    report = on_progress
    return lambda step, share: report(step, first + (last - first) * share)


def _takes(model: Model, folder: Path, streams: int, seconds: float, seed: int) -> list[tuple[Path, Controls]]:
    """Return the file and controls of each stream; folders are named by index, as a genre may be no valid name."""
    from noizenet.evaluation.recording import write_table

    genres = model.genres if model.architecture.genre_size else []
    subfolders = [f"{number:03d}" for number in range(len(genres))] or ["any"]
    for subfolder in subfolders[:streams]:
        make_folder(folder / subfolder)
    write_table(folder, dict(zip(subfolders, genres, strict=False)))
    return [
        (
            folder / subfolders[i % len(subfolders)] / f"{i:03d}.flac",
            Controls(seconds=seconds, seed=seed + i, genre=genres[i % len(genres)] if genres else None, watch="off"),
        )
        for i in range(streams)
    ]


def _generate_streams(
    model: Model,
    takes: Sequence[tuple[Path, Controls]],
    total: float,
    on_progress: Callable[[str, float], None] | None,
) -> dict[str, Any]:
    """Generate the streams; return the costs: speed, energy, memory and the training's metrics."""
    import time

    import psutil

    from noizenet.evaluation.energy import joule_meter

    joules, started = joule_meter(), time.perf_counter()

    def on_block(made: float) -> None:
        if on_progress is not None:
            on_progress(f"generating: {made:,.0f} of {total:,.0f} s", made / total)

    generate_batch(model, takes, on_block=on_block)
    elapsed, energy = time.perf_counter() - started, joules()
    return {
        "generation_real_time": total / elapsed,
        "joules_per_second": None if energy is None else energy / total,
        "rss_mb": psutil.Process().memory_info().rss / 1e6,
        "model_bytes": sum(a.nbytes for a in model.weights.arrays.values()),
        "training": model.training.get("metrics", {}),
    }


def view(
    sources: Path | str | Waveform | Sequence[Path | str | Waveform],
    out: Path | str | None = None,
    *,
    kind: str = "all",
    scale: str = "log",
    names: Sequence[str] = (),
    notes: list[str] | None = None,
) -> Figure:
    """Draw one recording, or several side by side, and write a PNG or SVG file if `out` is given.

    Repaired and lost parts of the files are appended to `notes` if it is given. For the data of a figure see
    :func:`noizenet.views.page.analyse`.
    """
    from noizenet.views.page import draw_page
    from noizenet.views.render import save_figure

    many = [sources] if isinstance(sources, (str, Path, Waveform)) or not isinstance(sources, Sequence) else sources
    many = [s if isinstance(s, Waveform) else a_path(s, "sources") for s in many]
    if not many:
        raise UsageError("sources: is empty; give at least one recording")
    if isinstance(names, (str, bytes)) or not isinstance(names, Sequence) or (names and len(names) != len(many)):
        raise UsageError(f"names: expected {len(many)} names, one for each source")
    if out is not None:
        out = a_path(out, "out")
        check_outputs([out], [s for s in many if isinstance(s, (str, Path))])
    figure = draw_page(many, kind, scale=scale, names=names, notes=notes)
    if out is not None:
        save_figure(figure, out)
    return figure


def aliveness(source: Path | str | Waveform) -> Report:
    """Detect degenerate parts of a recording; see :mod:`noizenet.evaluation.aliveness`."""
    if isinstance(source, Waveform):
        detector = Aliveness(source.sample_rate)
        detector.push(source.samples)
        return detector.finish()
    with AudioReader(a_path(source, "source")) as reader:
        detector = Aliveness(reader.info.sample_rate)
        for block in mono_blocks(reader):
            detector.push(block)
    return detector.finish()
