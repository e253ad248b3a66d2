"""The only door: everything that the command line does, as functions.

The layers below never import each other sideways; where one needs another's work (generation is watched by
evaluation, say), it is passed a function here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from noizenet.audio.card import Card
from noizenet.audio.read import AudioReader, read
from noizenet.audio.waveform import Waveform, mix_channels
from noizenet.audio.write import AudioWriter, write, write_pcm
from noizenet.base.errors import UsageError
from noizenet.base.files import make_folder
from noizenet.corpus.build import build
from noizenet.corpus.corpus import Corpus
from noizenet.evaluation.aliveness import Aliveness, Report, cause_of_death
from noizenet.generation.controls import Controls
from noizenet.generation.genre import spell_mix

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from noizenet.evaluation.echo import Reproduction
    from noizenet.generation.keeper import WatchReport
    from noizenet.generation.stream import Stream
    from noizenet.store.model import Model
    from noizenet.training.loop import Progress

__all__ = [
    "Controls",
    "Corpus",
    "Generated",
    "Playing",
    "Waveform",
    "aliveness",
    "build_corpus",
    "bundled_models",
    "demo_corpus",
    "evaluate",
    "export_onnx",
    "fetch_corpus",
    "figures",
    "generate",
    "load_corpus",
    "load_model",
    "play",
    "read",
    "reproduce",
    "stream",
    "train",
    "view",
    "write",
]

DEFAULT_MINUTES = 10.0


def __getattr__(name: str) -> Any:
    if name == "Model":  # loads torch: only when it is asked for
        from noizenet.store.model import Model

        return Model
    raise AttributeError(f"module 'noizenet.api' has no attribute {name!r}")


@dataclass(frozen=True)
class Generated:
    """What :func:`generate` has written."""

    path: Path
    seconds: float
    genre: str
    real_time_factor: float
    clipped: int
    aliveness: Report
    watch: WatchReport | None
    remarks: list[str]


@dataclass
class Playing:
    """How live playing stands: seconds given away, pace of making, gaps of the card, and what the watch saw."""

    sample_rate: int
    channels: int
    seconds: float = 0.0
    real_time_factor: float = 0.0
    margin: float = 0.0
    underruns: int = 0
    watch: WatchReport | None = None
    remarks: list[str] = field(default_factory=list)


def build_corpus(source: Path | str, out: Path | str, **options: Any) -> Corpus:
    """Build a corpus from recordings; see :func:`noizenet.corpus.build.build` for the options."""
    return build(source, out, **options)


def demo_corpus(out: Path | str, **options: Any) -> Corpus:
    """Build the synthetic corpus; see :func:`noizenet.corpus.synthetic.build_synthetic` for the options."""
    from noizenet.corpus.synthetic import build_synthetic

    return build_synthetic(out, **options)


def fetch_corpus(name: str, out: Path | str, **options: Any) -> Corpus:
    """Download an FMA subset and build it; see :func:`noizenet.corpus.fetch.fetch_fma` for the options."""
    from noizenet.corpus.fetch import fetch_fma

    return fetch_fma(name, out, **options)


def load_corpus(folder: Path | str) -> Corpus:
    """Open a corpus folder."""
    return Corpus(folder)


def bundled_models() -> dict[str, Path]:
    """Return the folders of the models that come with the package, by name."""
    from noizenet.store.bundled import bundled_models as found

    return found()


def load_model(source: Path | str) -> Model:
    """Read a model folder or zip; nothing in it is executed."""
    from noizenet.store.model import load

    return load(source)


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
        The model folder.
    model : str
        A recipe's name.
    config : Path or str, optional
        TOML file laid over the recipe.
    set : sequence of str
        ``section.key=value``, laid over that.
    minutes, epochs : float, optional
        Budget; ten minutes where neither is given.
    seed : int
    resume : bool
    command : str
        For the model card.
    on_progress : callable, optional

    Returns
    -------
    Model
    """
    from noizenet.training.loop import Budget
    from noizenet.training.loop import train as run
    from noizenet.training.options import configure

    if minutes is None and epochs is None:
        minutes = DEFAULT_MINUTES
    chosen = configure(model, Path(config) if config is not None else None, tuple(set))
    opened = corpus if isinstance(corpus, Corpus) else Corpus(corpus)
    return run(
        opened, out, chosen, Budget(minutes, epochs), seed=seed, resume=resume, command=command,
        on_progress=on_progress,
    )  # fmt: skip


def export_onnx(model: Model | Path | str, folder: Path | str) -> list[Path]:
    """Write a token model as ONNX graphs; see :func:`noizenet.training.onnx.export_onnx`."""
    from noizenet.training.onnx import export_onnx as export

    return export(load_model(model) if isinstance(model, (str, Path)) else model, folder)


def figures(out: Path | str, model: Model | Path | str = "token-lstm", *, seed: int = 0) -> list[Path]:
    """Draw the paper's figures; those of sound are views of eight seconds that `model` plays."""
    from noizenet.audio.waveform import concatenate
    from noizenet.figures.draw import draw_figures

    return draw_figures(out, concatenate(list(stream(model, Controls(seconds=8.0, seed=seed)))))


def stream(model: Model | Path | str, controls: Controls) -> Stream:
    """Play: an iterator of waveform blocks, endless where ``controls.seconds`` is None."""
    from noizenet.generation.stream import Stream

    return Stream(load_model(model) if isinstance(model, (str, Path)) else model, controls, cause_of_death)


def play(
    model: Model | Path | str,
    controls: Controls,
    pipe: IO[bytes] | None = None,
    *,
    on_block: Callable[[Playing], None] | None = None,
) -> Playing:
    """Play live: on the sound card, or as 16-bit little-endian PCM into `pipe`.

    Blocks are made up to two seconds ahead in a thread of their own.

    Parameters
    ----------
    model : Model, Path or str
    controls : Controls
        Without a length, this returns only by an exception (Ctrl-C) or when the pipe's reader has gone.
    pipe : binary file, optional
    on_block : callable, optional
        Called after each block with how it stands.

    Returns
    -------
    Playing
    """
    from noizenet.generation.ahead import Ahead

    blocks = stream(model, controls)
    ahead = Ahead(blocks)
    state = Playing(blocks.sample_rate, blocks.channels, remarks=blocks.remarks)

    def passing() -> Iterator[Waveform]:
        for block in ahead:
            yield block
            state.seconds += len(block) / blocks.sample_rate
            state.real_time_factor, state.margin = ahead.pace.real_time_factor, ahead.pace.margin
            state.watch = blocks.watch
            if on_block is not None:
                on_block(state)

    try:
        if pipe is not None:
            write_pcm(pipe, passing())
            return state
        with Card(blocks.sample_rate, blocks.channels) as card:
            for block in passing():
                card.write(block.samples.reshape(len(block), -1))
                state.underruns = card.underruns
        return state
    finally:
        ahead.close()


def generate(
    model: Model | Path | str,
    out: Path | str,
    controls: Controls,
    *,
    on_block: Callable[[float], None] | None = None,
) -> Generated:
    """Write new music to a file.

    Parameters
    ----------
    model : Model, Path or str
    out : Path or str
        ``.wav``, ``.flac`` or ``.ogg``; appears only when complete.
    controls : Controls
        With a length.
    on_block : callable, optional
        Called with the seconds made so far.

    Returns
    -------
    Generated
    """
    import time

    if controls.seconds is None:
        raise UsageError("a file needs a length: give seconds")
    blocks = stream(model, controls)
    expected = round((controls.seconds + controls.seed_seconds) * blocks.sample_rate)
    watch = Aliveness(blocks.sample_rate)
    begun = time.perf_counter()
    with AudioWriter(out, blocks.sample_rate, blocks.channels, expected) as writer:
        for block in blocks:
            writer.write(block.samples)
            watch.push(block.samples)
            if on_block is not None:
                on_block(writer.frames / blocks.sample_rate)
    seconds = writer.frames / blocks.sample_rate
    genre = " > ".join(spell_mix(m, blocks.genres) for m in blocks.path.mixes) if blocks.conditioned else ""
    return Generated(
        Path(out),
        seconds,
        genre,
        seconds / max(1e-9, time.perf_counter() - begun),
        writer.clipped,
        watch.finish(),
        blocks.watch,
        blocks.remarks,
    )


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

    out = Path(out)
    beside = out.with_name(f"{out.stem}-persistence{out.suffix}")
    loaded = load_model(model) if isinstance(model, (str, Path)) else model
    knows = loaded.architecture.genre_size > 0
    return run(loaded, Path(song), out, beside, parse_path(genre, None, loaded.genres, knows, 0).at(0.0)), beside


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
        ``OUT/streams``.
    corpus : Corpus, Path or str
    out : Path or str
    audio : Path or str, optional
        Judge this folder's files instead; a subfolder's name is the genre that its files are meant to be.
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
    from noizenet.evaluation import material
    from noizenet.evaluation.run import Options
    from noizenet.evaluation.run import evaluate as run

    if (model is None) == (audio is None):
        raise UsageError("an evaluation judges either a model or a folder of audio: give one of them")
    if streams < 1:
        raise UsageError(f"streams: {streams} is not 1 or more")
    if audio is None and not seconds >= material.SHORTEST_S:
        raise UsageError(f"seconds: {seconds:g} are too few: measures hear {material.SHORTEST_S:g} s at once")
    options = Options(embedding, real_seconds, seed)
    loaded, out = load_corpus(corpus) if isinstance(corpus, (str, Path)) else corpus, Path(out)
    make_folder(out)  # if it cannot be, better known before the work than after
    player: Model | None = None
    cost: dict[str, Any] = {}
    if audio is not None:
        title, folder = f"{Path(audio).name}, judged", Path(audio)
    else:
        assert model is not None
        player = load_model(model) if isinstance(model, (str, Path)) else model
        title, folder = "A model, judged", out / "streams"
        cost = _play_streams(player, folder, streams, seconds, seed, on_progress)
    made, skipped = material.of_folder(folder, loaded.genres)
    if audio is None:  # files of an earlier evaluation, of more streams or other genres, are not this model's
        made = [m for m in made if m.name in cost["streams"]]
    warnings = [f"{text}: what it scores says nothing of a model" for text in material.overlap(loaded, folder, made)]
    return run(
        title, loaded, made, out, options, model=player, cost=cost, warnings=warnings, skipped=skipped,
        on_progress=on_progress,
    )  # fmt: skip


def _play_streams(
    model: Model,
    folder: Path,
    streams: int,
    seconds: float,
    seed: int,
    on_progress: Callable[[str, float], None] | None,
) -> dict[str, Any]:
    """Write streams to GENRE/NNN.flac; return what that cost."""
    import time

    import psutil

    from noizenet.base.energy import joule_meter

    joules, begun = joule_meter(), time.perf_counter()
    told = model.genres if model.architecture.genre_size else []
    names = list[str]()
    for i in range(streams):
        genre = told[i % len(told)] if told else None
        path = folder / (genre or "any") / f"{i:03d}.flac"
        names.append(str(path.relative_to(folder)))
        path.parent.mkdir(parents=True, exist_ok=True)
        generate(model, path, Controls(seconds=seconds, seed=seed + i, genre=genre, watch="off"))
        if on_progress is not None:
            on_progress(f"playing {path.parent.name} {i:03d}", (i + 1) / streams)
    took, spent = time.perf_counter() - begun, joules()
    return {
        "streams": names,
        "generation_real_time": streams * seconds / took,
        "joules_per_second": None if spent is None else spent / (streams * seconds),
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
) -> Figure:
    """Draw one recording, or several side by side; write PNG or SVG where `out` is given.

    For the arrays behind a picture see :func:`noizenet.views.page.analyse`.
    """
    from noizenet.views.page import draw_page
    from noizenet.views.render import save_figure

    many = [sources] if isinstance(sources, (str, Path, Waveform)) else list(sources)
    figure = draw_page(many, kind, scale=scale, names=names)
    if out is not None:
        save_figure(figure, out)
    return figure


def aliveness(source: Path | str | Waveform) -> Report:
    """Judge whether a recording is alive; see :mod:`noizenet.evaluation.aliveness`."""
    if isinstance(source, Waveform):
        watch = Aliveness(source.sample_rate)
        watch.push(source.samples)
        return watch.finish()
    with AudioReader(source) as reader:
        watch = Aliveness(reader.info.sample_rate)
        for block in reader.blocks():
            watch.push(mix_channels(block, 1)[:, 0])
    return watch.finish()
