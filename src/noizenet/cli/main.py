"""Entry point: builds the application, runs one command, and turns errors into one line and an exit code."""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import sys
from collections.abc import Sequence
from typing import Annotated

import typer

from noizenet._version import __version__
from noizenet.base import process
from noizenet.base.errors import NoizenetError
from noizenet.base.renamed import modern_arguments
from noizenet.cli import COMMANDS, compiling
from noizenet.cli.output import print_notes

# Base class of Typer's usage errors; the module that defines it depends on Typer's version.
_TyperUsageError: type[Exception] = next(c for c in typer.BadParameter.__mro__ if c.__name__ == "ClickException")

SUCCESS, FAILURE, USAGE_ERROR, INTERRUPTED = 0, 1, 2, 130


NO_MEMORY = "there is not enough memory; close other programs or process less at once"
NO_ROOM = ("failed to map segment", "cannot allocate memory", "Cannot allocate memory")
"""Messages of the dynamic loader for a library that does not fit into memory."""


def build_app(command_line: Sequence[str] = ()) -> typer.Typer:
    """Return the Typer application with the commands of :data:`noizenet.cli.COMMANDS` that a command line may mean.

    If it begins with a command, only that command's module is imported; otherwise all are.
    """
    app = typer.Typer(
        name="noizenet",
        help="Learn music from recordings and play new music, live, on an ordinary computer.",
        no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None,
    )  # fmt: skip
    groups: dict[str, typer.Typer] = {}

    @app.callback()
    def _root(
        version: Annotated[
            bool,
            typer.Option("--version", help="Print the version and exit.", is_eager=True, callback=_print_version),
        ] = False,
    ) -> None:
        pass

    meant = [name for name in COMMANDS if name.split(" ")[0] in command_line[:1]]
    for name in meant or COMMANDS:
        group, _, command = name.rpartition(" ")
        target = app
        if group:
            if group not in groups:
                groups[group] = typer.Typer(no_args_is_help=True, help=f"Make, download or show a {group}.")
                app.add_typer(groups[group], name=group)
            target = groups[group]
        target.command(command)(COMMANDS.load(name))
    return app


def main(arguments: list[str] | None = None) -> int:
    """Run the command line and return its exit code.

    Parameters
    ----------
    arguments : list of str, optional
        ``sys.argv`` by default.

    Returns
    -------
    int
        0 success, 1 failure, 2 usage error, 130 interrupted.
    """
    streams = sys.stdout, sys.stderr
    try:
        arguments, remarks = modern_arguments(sys.argv[1:] if arguments is None else arguments)
        print_notes(remarks)
        result = build_app(arguments)(args=arguments, standalone_mode=False)
        if result == INTERRUPTED:  # some versions of Typer return this code after Ctrl-C, without a message
            return _print_error("interrupted", INTERRUPTED)
        return result if isinstance(result, int) else SUCCESS
    except NoizenetError as error:
        return _print_error(str(error), error.exit_code)
    except typer.Exit as error:
        return int(error.exit_code)
    except (KeyboardInterrupt, typer.Abort) as error:
        return _print_error(str(error) or "interrupted", INTERRUPTED)
    except _TyperUsageError as error:
        if type(error).__name__ == "NoArgsIsHelpError":
            sys.stderr.write(f"{error}\n")
            return USAGE_ERROR
        text = str(getattr(error, "format_message", error.__str__)()).rstrip(".")
        return _print_error(f"{text}; see noizenet --help", USAGE_ERROR)
    except BrokenPipeError:
        process.finish_streams()
        return SUCCESS
    except SystemExit as error:  # raised by Typer when the reader of a pipe has closed it, which is no failure
        if not isinstance(error.__context__, BrokenPipeError):
            raise
        sys.stdout, sys.stderr = streams
        process.finish_streams()
        return SUCCESS
    except OSError as error:
        if _debugging():
            raise
        return _print_os_error(error)
    except MemoryError:
        if _debugging():
            raise
        return _print_error(NO_MEMORY, FAILURE)
    except Exception as error:
        if _debugging():
            raise
        if isinstance(error, ImportError) and any(sign in str(error) for sign in NO_ROOM):
            return _print_error(NO_MEMORY, FAILURE)
        return _print_error(
            f"unexpected {type(error).__name__}: {error} (a bug in noizenet; NOIZENET_DEBUG=1 shows where)",
            FAILURE,
        )


def run() -> None:
    """Entry point of the ``noizenet`` script: set up the process, run :func:`main`, exit."""
    process.set_openmp_waiting()
    process.handle_termination_signals()
    process.open_missing_streams()
    process.escape_unprintable()
    compiling.report_progress()
    logging.getLogger("matplotlib").setLevel(logging.ERROR)  # hides messages about its font cache
    problem = process.memory_limit_problem()
    code = _print_error(problem, FAILURE) if problem else main()
    if code == INTERRUPTED and process.termination_signal():
        code = 128 + process.termination_signal()  # the convention of shells: 143 for SIGTERM
    error = process.finish_streams()
    if error is not None and error.errno != errno.EPIPE and code == SUCCESS:
        code = _print_os_error(error, "standard output: ")
    sys.exit(code)


def _print_error(text: str, code: int) -> int:
    line = " ".join(text.split())
    with contextlib.suppress(OSError):  # a full or closed standard error leaves the exit code
        sys.stderr.write(f"noizenet: {line}\n")
        sys.stderr.flush()
    return code


def _print_os_error(error: OSError, name: str = "") -> int:
    """Print an error of the operating system and return the exit code."""
    name = f"{error.filename}: " if error.filename else name
    if not name and error.errno == errno.ENOENT and not _has_working_folder():
        return _print_error("the working directory no longer exists; change to one that exists", FAILURE)
    if not name and process.finish_streams() is not None:
        name = "standard output: "
    if not name and process.is_full(error):  # errors of output files have a name
        name = "standard output or a temporary file: "
    if process.is_full(error):
        return _print_error(f"{name}the disk is full; free some space and run the command again", FAILURE)
    return _print_error(f"{name}{error.strerror or error}", FAILURE)


def _has_working_folder() -> bool:
    try:
        return bool(os.getcwd())  # noqa: PTH109
    except OSError:
        return False


def _debugging() -> bool:
    return bool(os.environ.get("NOIZENET_DEBUG"))


def _print_version(value: bool) -> None:
    if value:
        sys.stdout.write(f"noizenet {__version__}\n")
        raise typer.Exit


if __name__ == "__main__":
    run()
