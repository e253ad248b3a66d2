"""Assemble the commands, run one, turn errors into one line and an exit code."""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import sys
from typing import Annotated

import typer

from noizenet._version import __version__
from noizenet.base import process
from noizenet.base.errors import NoizenetError
from noizenet.base.renamed import modern_arguments
from noizenet.cli import COMMANDS, compiling
from noizenet.cli.output import remark

# Typer's own base of "wrong use"; where it is defined depends on Typer's version.
_WrongUse: type[Exception] = next(c for c in typer.BadParameter.__mro__ if c.__name__ == "ClickException")

DONE, FAILED, WRONG_USE, INTERRUPTED = 0, 1, 2, 130


NO_MEMORY = "there is not enough memory for this; close other programs or ask for less at once"
NO_ROOM = ("failed to map segment", "cannot allocate memory", "Cannot allocate memory")
"""What the dynamic loader says where a library does not fit into memory."""


def build_app() -> typer.Typer:
    """Return the Typer application with every command of :data:`noizenet.cli.COMMANDS`."""
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
            typer.Option("--version", help="Print the version and leave.", is_eager=True, callback=_print_version),
        ] = False,
    ) -> None:
        pass

    for name in COMMANDS:
        group, _, command = name.rpartition(" ")
        target = app
        if group:
            if group not in groups:
                groups[group] = typer.Typer(no_args_is_help=True, help=f"Make, fetch and look at a {group}.")
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
        0 done, 1 failed, 2 wrong use, 130 interrupted.
    """
    streams = sys.stdout, sys.stderr
    try:
        arguments, remarks = modern_arguments(sys.argv[1:] if arguments is None else arguments)
        remark(remarks)
        result = build_app()(args=arguments, standalone_mode=False)
        if result == INTERRUPTED:  # some versions of Typer turn Ctrl-C into this number, without a word
            return _complain("interrupted", INTERRUPTED)
        return result if isinstance(result, int) else DONE
    except NoizenetError as error:
        return _complain(str(error), error.exit_code)
    except typer.Exit as error:
        return int(error.exit_code)
    except (KeyboardInterrupt, typer.Abort) as error:
        return _complain(str(error) or "interrupted", INTERRUPTED)
    except _WrongUse as error:
        if type(error).__name__ == "NoArgsIsHelpError":
            sys.stderr.write(f"{error}\n")
            return WRONG_USE
        text = str(getattr(error, "format_message", error.__str__)()).rstrip(".")
        return _complain(f"{text}; see noizenet --help", WRONG_USE)
    except BrokenPipeError:
        process.finish_streams()
        return DONE
    except SystemExit as error:  # Typer's answer to a pipe whose reader has gone; to us that is no failure
        if not isinstance(error.__context__, BrokenPipeError):
            raise
        sys.stdout, sys.stderr = streams
        process.finish_streams()
        return DONE
    except OSError as error:
        if _debugging():
            raise
        return _explain(error)
    except MemoryError:
        if _debugging():
            raise
        return _complain(NO_MEMORY, FAILED)
    except Exception as error:
        if _debugging():
            raise
        if isinstance(error, ImportError) and any(sign in str(error) for sign in NO_ROOM):
            return _complain(NO_MEMORY, FAILED)
        return _complain(
            f"unexpected {type(error).__name__}: {error} (a bug in noizenet; NOIZENET_DEBUG=1 shows where)",
            FAILED,
        )


def run() -> None:
    """Entry point of the ``noizenet`` script: sets up the process, runs :func:`main`, ends the process."""
    process.set_openmp_waiting()
    process.handle_termination_signals()
    process.open_missing_streams()
    process.escape_unprintable()
    compiling.tell()
    logging.getLogger("matplotlib").setLevel(logging.ERROR)  # where it keeps its list of fonts is no news to a user
    problem = process.memory_limit_problem()
    code = _complain(problem, FAILED) if problem else main()
    if code == INTERRUPTED and process.termination_signal():
        code = 128 + process.termination_signal()  # as shells tell it: 143 for SIGTERM
    trouble = process.finish_streams()
    if trouble is not None and trouble.errno != errno.EPIPE and code == DONE:
        code = _explain(trouble, "standard output: ")
    sys.exit(code)


def _complain(text: str, code: int) -> int:
    line = " ".join(text.split())
    with contextlib.suppress(OSError):  # standard error is full or gone: the exit code still tells
        sys.stderr.write(f"noizenet: {line}\n")
        sys.stderr.flush()
    return code


def _explain(error: OSError, name: str = "") -> int:
    """Complain of what the operating system refused."""
    name = f"{error.filename}: " if error.filename else name
    if not name and error.errno == errno.ENOENT and not _has_working_folder():
        return _complain("the working directory is gone; change to one that exists", FAILED)
    if not name and process.finish_streams() is not None:
        name = "standard output: "
    if not name and process.is_full(error):  # files of ours are named
        name = "standard output or a temporary file: "
    if process.is_full(error):
        return _complain(f"{name}the disk is full; free some space and run the command again", FAILED)
    return _complain(f"{name}{error.strerror or error}", FAILED)


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
