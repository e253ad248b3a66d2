"""``noizenet train``."""

from __future__ import annotations

import math
import shlex
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from noizenet.base.errors import InterruptedRunError
from noizenet.cli.output import is_live, messages, print_json, print_message, print_table

if TYPE_CHECKING:
    from noizenet.training.plan import Progress

MESSAGE_INTERVAL_S = 15.0


def train(
    corpus: Annotated[Path, typer.Argument(help="A corpus folder.")],
    out: Annotated[Path, typer.Argument(help="The model folder to make.")],
    model: Annotated[str, typer.Option(help="A recipe; 'noizenet models' lists them.")] = "token-lstm",
    config: Annotated[Path | None, typer.Option(help="TOML file that overrides the recipe.")] = None,
    set_: Annotated[
        list[str] | None, typer.Option("--set", help="section.key=value; overrides both; may be repeated.")
    ] = None,
    minutes: Annotated[
        float | None, typer.Option(help="Time for encoding, training and calibration (10 by default).")
    ] = None,
    epochs: Annotated[float | None, typer.Option(help="Epochs over the corpus, instead of --minutes.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Continue an interrupted run.")] = False,
    seed: Annotated[int, typer.Option(help="Random seed.")] = 0,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Train a recurrent network on a corpus."""
    from noizenet.api import train as run

    if minutes is not None and epochs is not None:
        raise typer.BadParameter("give either --minutes or --epochs, not both")
    display = _Display()
    try:
        with display:
            trained = run(
                corpus, out, model=model, config=config, set=tuple(set_ or ()), minutes=minutes, epochs=epochs,
                seed=seed, resume=resume, command=shlex.join(["noizenet", *sys.argv[1:]]), on_progress=display.update,
            )  # fmt: skip
    except KeyboardInterrupt as error:
        raise InterruptedRunError(
            f"interrupted; the model so far is in {out}, run the same command with --resume to continue"
        ) from error
    metrics = trained.training["metrics"]
    skipped = trained.training["corpus"]["skipped_short_tracks"]
    if json:
        print_json({"model": str(out), "recipe": model, "seed": seed, **metrics, "skipped_short_tracks": skipped})
        return
    rows = [[k.replace("_", " "), f"{v:.5g}" if isinstance(v, float) else v] for k, v in metrics.items()]
    print_table(f"{out}: {model}, {trained.network.parameter_count():,} weights", ["measure", "value"], rows)
    if skipped:
        print_message(f"{len(skipped)} tracks shorter than one window were skipped: {', '.join(skipped[:5])}")
    print_message(
        f"Try it: noizenet generate {shlex.quote(str(out))} new.wav --seconds 30    Curves: {out / 'curves.png'}"
    )


class _Display:
    """Progress of a training: a progress bar on a terminal, a line now and then elsewhere."""

    def __init__(self) -> None:
        from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn

        console = messages()
        self._live = is_live(console)
        columns = (
            TextColumn("{task.fields[phase]}"), BarColumn(bar_width=20), TaskProgressColumn(),
            TextColumn("{task.fields[text]}", markup=False),
        )  # fmt: skip
        self._progress = Progress(*columns, console=console, transient=True, disable=not self._live)
        self._task = self._progress.add_task("", total=1.0, phase="training", text="starting …")
        self._last = -math.inf
        self._phase = ""

    def __enter__(self) -> _Display:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def update(self, p: Progress) -> None:
        text = _describe(p)
        for line in filter(None, p.message.split("\n")):
            self._progress.console.print(f"warning: {line}", markup=False)
        if p.plan:
            self._progress.console.print(p.plan, markup=False)
        self._progress.update(self._task, completed=p.done, phase=p.phase, text=text)
        if self._live or p.phase == "validation":
            return
        if p.phase != self._phase or time.monotonic() - self._last >= MESSAGE_INTERVAL_S:
            self._last, self._phase = time.monotonic(), p.phase
            print_message(f"{p.done:4.0%}  {p.phase}: {text}")


def _describe(p: Progress) -> str:
    """Return the text of a progress line."""
    from noizenet.audio.units import format_seconds

    left = f"  {format_seconds(p.seconds_left)} left" if math.isfinite(p.seconds_left) else ""
    if p.note:
        return f"{p.note}{left}"
    held = f", held-out {p.validation:.4g}" if p.validation is not None else ""
    return f"step {p.step:,}  loss {p.loss:.4g}{held}  {p.audio_rate:.1f} s of audio/s{left}"
