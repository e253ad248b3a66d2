"""Looking at sound and judging it: echo, evaluation, views, aliveness."""

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

MOST_STREAMS, MOST_SECONDS = 100_000, 1e7
PLAYING_SHARE = 0.5


def reproduce(
    model: Model | Path | str, song: Path | str, out: Path | str, *, genre: str | None = None
) -> tuple[Reproduction, Path]:
    """Write the teacher-forced echo of a song to `out` and the persistence baseline beside it.

    Returns
    -------
    tuple of Reproduction and Path
        The errors of both, and where the baseline was written.
    """
    from noizenet.evaluation.echo import reproduce as run
    from noizenet.generation.genre import parse_path

    out, song = a_path(out, "out"), a_path(song, "song")
    beside = out.with_name(f"{out.stem}-persistence{out.suffix}")
    check_outputs([out, beside], [song, *inputs_of(model)])
    loaded = a_model(model)
    knows = loaded.architecture.genre_size > 0
    return run(loaded, song, out, beside, parse_path(genre, None, loaded.genres, knows, 0).at(0.0)), beside


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
    """Judge what a model plays, or a folder of sound files, by a corpus; write ``report.json`` and ``report.html``.

    Parameters
    ----------
    model : Model, Path or str, optional
        Plays `streams` streams of `seconds`, genre after genre, seed after seed, with no watch; they stay in
        ``OUT/streams``, a folder for each genre's number (``genres.json`` there tells which).
    corpus : Corpus, Path or str
    out : Path or str
    audio : Path or str, optional
        Judge this folder's files instead; a subfolder's name is the genre that its files are meant to be. The
        same files are taken as for building a corpus; `out` may lie below it and is left out.
    streams, seconds : int, float
    embedding : str
        ``tagger`` (fetched once, 29 MB) or ``crafted``.
    real_seconds : float
        How much is heard of each real track.
    seed : int
        Same seed, same report, but for what time costs.
    on_progress : callable, optional
        Called with what is being done and the share that is done.

    Returns
    -------
    dict
        What ``report.json`` holds.
    """
    from noizenet.evaluation import recording as recordings
    from noizenet.evaluation.run import Options
    from noizenet.evaluation.run import evaluate as run

    if (model is None) == (audio is None):
        raise UsageError("an evaluation judges either a model or a folder of audio: give one of them")
    if audio is not None:
        audio = a_path(audio, "audio")
    if not 1 <= a_number(streams, "streams", whole=True) <= MOST_STREAMS:
        raise UsageError(f"streams: {streams} is not between 1 and {MOST_STREAMS:,}")
    if audio is None and not a_number(seconds, "seconds") >= recordings.SHORTEST_S:
        raise UsageError(f"seconds: {seconds:g} is too short: metrics need at least {recordings.SHORTEST_S:g} s")
    if audio is None and seconds > MOST_SECONDS:
        raise UsageError(f"seconds: {seconds:g} are too many (at most {MOST_SECONDS:,.0f})")
    options = Options(embedding, a_number(real_seconds, "real seconds"), a_number(seed, "seed", whole=True))
    loaded, out = a_corpus(corpus), a_path(out, "out")
    check_outputs([out], [loaded.folder, audio, *inputs_of(model)])
    check_own_folder(out, "report", ["report.json"], ["report.html", "streams"])
    make_folder(out)  # if it cannot be, better known before the work than after
    player: Model | None = None
    cost: dict[str, Any] = {}
    if audio is not None:
        title, folder = f"{Path(audio).name}, judged", Path(audio)
    else:
        assert model is not None
        player = a_model(model)
        title, folder = "A model, judged", out / "streams"
        takes = _takes(player, folder, streams, seconds, seed)
        cost = _play_streams(player, takes, streams * seconds, _part(on_progress, 0.0, PLAYING_SHARE))
    if audio is not None:
        made, skipped = recordings.of_folder(folder, loaded.genres, exclude=out)
    else:  # by what was asked for, never by the files' names; what an earlier evaluation left is not this model's
        heard = [recordings.of_file(p, p.relative_to(folder).as_posix(), c.genre or "") for p, c in takes]
        made = [m for m in heard if isinstance(m, recordings.Recording)]
        skipped = [m for m in heard if not isinstance(m, recordings.Recording)]
    warnings = [f"{text}: its scores do not describe a model" for text in recordings.overlap(loaded, made)]
    warnings += [f"{m.name}: {text}" for m in made for text in m.issues]
    return run(
        title, loaded, made, out, options, model=player, cost=cost, warnings=warnings, skipped=skipped,
        on_progress=_part(on_progress, 0.0 if player is None else PLAYING_SHARE, 1.0),
    )  # fmt: skip


def _part(
    on_progress: Callable[[str, float], None] | None, first: float, last: float
) -> Callable[[str, float], None] | None:
    """Return what tells the progress of one phase as a part of the whole, so that it never goes back."""
    if on_progress is None:
        return None
    tell = on_progress
    return lambda what, share: tell(what, first + (last - first) * share)


def _takes(model: Model, folder: Path, streams: int, seconds: float, seed: int) -> list[tuple[Path, Controls]]:
    """Return what to play into which file: folders are genres by number, since a name may be no folder's name."""
    from noizenet.evaluation.recording import write_table

    told = model.genres if model.architecture.genre_size else []
    places = [f"{number:03d}" for number in range(len(told))] or ["any"]
    for place in places[:streams]:
        make_folder(folder / place)
    write_table(folder, dict(zip(places, told, strict=False)))
    return [
        (
            folder / places[i % len(places)] / f"{i:03d}.flac",
            Controls(seconds=seconds, seed=seed + i, genre=told[i % len(told)] if told else None, watch="off"),
        )
        for i in range(streams)
    ]


def _play_streams(
    model: Model,
    takes: Sequence[tuple[Path, Controls]],
    total: float,
    on_progress: Callable[[str, float], None] | None,
) -> dict[str, Any]:
    """Play; return what that cost."""
    import time

    import psutil

    from noizenet.base.energy import joule_meter

    joules, begun = joule_meter(), time.perf_counter()

    def told_of(made: float) -> None:
        if on_progress is not None:
            on_progress(f"playing: {made:,.0f} of {total:,.0f} s", made / total)

    generate_batch(model, takes, on_block=told_of)
    took, spent = time.perf_counter() - begun, joules()
    return {
        "generation_real_time": total / took,
        "joules_per_second": None if spent is None else spent / total,
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
    """Draw one recording, or several side by side; write PNG or SVG where `out` is given.

    What was repaired or lost of the files is appended to `notes`, where that is given.
    For the arrays behind a picture see :func:`noizenet.views.page.analyse`.
    """
    from noizenet.views.page import draw_page
    from noizenet.views.render import save_figure

    many = [sources] if isinstance(sources, (str, Path, Waveform)) or not isinstance(sources, Sequence) else sources
    many = [s if isinstance(s, Waveform) else a_path(s, "sources") for s in many]
    if not many:
        raise UsageError("sources: there is nothing to draw")
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
    """Judge whether a recording is alive; see :mod:`noizenet.evaluation.aliveness`."""
    if isinstance(source, Waveform):
        watch = Aliveness(source.sample_rate)
        watch.push(source.samples)
        return watch.finish()
    with AudioReader(a_path(source, "source")) as reader:
        watch = Aliveness(reader.info.sample_rate)
        for block in mono_blocks(reader):
            watch.push(block)
    return watch.finish()
