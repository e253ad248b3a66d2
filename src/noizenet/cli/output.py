"""Console output: results go to standard output, progress and messages to standard error."""

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

MIN_WIDTH, DEFAULT_WIDTH, MAX_WIDTH = 40, 80, 1000
"""Columns. The default is used for narrower terminals too, which break lines themselves, and without a terminal;
otherwise tables would be set with one letter a line."""


def results() -> Console:
    """Return the console for results."""
    return _fitted(Console(highlight=False))


def messages() -> Console:
    """Return the console for progress and messages."""
    return _fitted(Console(stderr=True, highlight=False))


def _fitted(console: Console) -> Console:
    if console.width < MIN_WIDTH:
        console.width = DEFAULT_WIDTH
    elif console.width > MAX_WIDTH:
        console.width = MAX_WIDTH
    return console


def is_live(console: Console) -> bool:
    """Return whether lines can be overwritten: on a terminal of sufficient width."""
    return console.is_terminal and Console(file=console.file).width >= MIN_WIDTH


def print_message(text: str) -> None:
    """Print a message on standard error, without interpreting brackets as markup."""
    with suppress(OSError):  # a full or closed standard error does not stop the command
        messages().print(text, markup=False)


def print_notes(texts: Sequence[str]) -> None:
    """Print one note a line on standard error."""
    for text in texts:
        print_message(f"note: {text}")


def print_json(value: Any) -> None:
    """Print one JSON object on standard output; numbers that are not finite become null."""
    text = to_json(value)
    try:
        text.encode(sys.stdout.encoding or "ascii")
    except UnicodeEncodeError:  # JSON's escapes instead of the stream's, which are not valid JSON
        text = json.dumps(json.loads(text))
    sys.stdout.write(text + "\n")


def print_table(title: str, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Print a table of results; columns of numbers are aligned right."""
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
def progress_bar(label: str) -> Iterator[Any]:
    """Show a progress bar; yields ``update(done, total, text)``."""
    console = messages()
    columns = (
        SpinnerColumn(), TextColumn("{task.description}"), BarColumn(bar_width=24), TaskProgressColumn(),
        TimeRemainingColumn(compact=True), TextColumn("{task.fields[text]}", markup=False),
    )  # fmt: skip
    with Progress(*columns, console=console, transient=True, disable=not is_live(console)) as progress:
        task = progress.add_task(label, total=None, text="")

        def update(done: float, total: float, text: str = "") -> None:
            progress.update(task, completed=done, total=total or None, text=text)

        yield update


@contextmanager
def status_line() -> Iterator[Any]:
    """Show one line that is overwritten, on terminals only; yields ``show(text)``."""
    console = messages()
    if not is_live(console):
        yield lambda text: None
        return
    with console.status("", spinner="dots") as status:
        yield lambda text: status.update(_escape(text))


def _escape(text: str) -> str:
    from rich.markup import escape

    return escape(text)
