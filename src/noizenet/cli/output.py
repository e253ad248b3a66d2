"""Where words go: results to standard output, progress and errors to standard error."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskProgressColumn, TextColumn, TimeRemainingColumn
from rich.table import Table

from noizenet.base.plain import to_json

LEAST_WIDTH, USUAL_WIDTH, MOST_WIDTH = 40, 80, 1000
"""Columns. Where a terminal or COLUMNS says less than the least, the usual ones are written for, as where there is no
terminal: text would be set letter below letter, and a terminal breaks lines itself."""


def results() -> Console:
    """Return the console for results."""
    return _fitted(Console(highlight=False))


def messages() -> Console:
    """Return the console for progress and remarks."""
    return _fitted(Console(stderr=True, highlight=False))


def _fitted(console: Console) -> Console:
    if console.width < LEAST_WIDTH:
        console.width = USUAL_WIDTH
    elif console.width > MOST_WIDTH:
        console.width = MOST_WIDTH
    return console


def is_live(console: Console) -> bool:
    """Tell whether lines can be written over: on a terminal that is wide enough for one."""
    return console.is_terminal and Console(file=console.file).width >= LEAST_WIDTH


def say(text: str) -> None:
    """Print a remark; file names with brackets in them stay as they are."""
    with suppress(OSError):  # standard error is full or gone: without it nothing is lost but words
        messages().print(text, markup=False)


def remark(texts: Sequence[str]) -> None:
    """Print what a user should know of what they gave."""
    for text in texts:
        say(f"note: {text}")


def print_json(value: Any) -> None:
    """Print one JSON object on standard output; null stands for a number that is not finite."""
    text = to_json(value)
    try:
        text.encode(sys.stdout.encoding or "ascii")
    except UnicodeEncodeError:  # JSON has escapes of its own; those of the stream would not be JSON
        text = json.dumps(json.loads(text))
    sys.stdout.write(text + "\n")


def print_table(title: str, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Print a table of results; numbers are set right."""
    table = Table(
        title=title or None, title_justify="left", header_style="bold", box=SIMPLE_HEAD, show_header=any(columns),
        pad_edge=False,
    )  # fmt: skip
    for i, column in enumerate(columns):
        numeric = all(isinstance(r[i], (int, float)) for r in rows) and rows
        table.add_column(column, justify="right" if numeric else "left", overflow="fold")
    for row in rows:
        table.add_row(*[_escape(str(v)) for v in row])
    results().print(table)


@contextmanager
def bar(what: str) -> Iterator[Any]:
    """Show a progress bar; yields ``update(done, total, text)``."""
    console = messages()
    columns = (
        SpinnerColumn(), TextColumn("{task.description}"), BarColumn(bar_width=24), TaskProgressColumn(),
        TimeRemainingColumn(compact=True), TextColumn("{task.fields[text]}", markup=False),
    )  # fmt: skip
    with Progress(*columns, console=console, transient=True, disable=not is_live(console)) as progress:
        task = progress.add_task(what, total=None, text="")

        def update(done: float, total: float, text: str = "") -> None:
            progress.update(task, completed=done, total=total or None, text=text)

        yield update


@contextmanager
def status_line() -> Iterator[Any]:
    """Show one line that is written over again and again; yields ``show(text)``. Only on a terminal."""
    console = messages()
    if not is_live(console):
        yield lambda text: None
        return
    with console.status("", spinner="dots") as status:
        yield lambda text: status.update(_escape(text))


def _escape(text: str) -> str:
    from rich.markup import escape

    return escape(text)
