"""Command-line options made from :class:`noizenet.generation.controls.Controls`, which declares each control once."""

from __future__ import annotations

import dataclasses
import functools
import inspect
import typing
from collections.abc import Callable, Sequence
from typing import Annotated, Any

import typer

from noizenet.generation.controls import Controls, parse_injection, parse_numbers

HELP: dict[str, str] = {f.name: f.metadata["help"] for f in dataclasses.fields(Controls)}
"""Help text of every control, also for commands that have single ones."""
INJECT = Annotated[
    str | None,
    typer.Option("--inject-noise", help="Add noise to the fed-back frame, EVERY:AMOUNT (seconds, strength)."),
]


def with_controls(
    *, leave_out: Sequence[str] = (), **defaults: Any
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a command an option for each control; the command receives them as its parameter ``controls``.

    Parameters
    ----------
    leave_out : sequence of str
        Controls that the command does not have.
    **defaults
        Defaults that differ from those of :class:`Controls`.
    """
    options = _options(leave_out, defaults)

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        signature, hints = inspect.signature(command), typing.get_type_hints(command, include_extras=True)
        own = [p.replace(annotation=hints[n]) for n, p in signature.parameters.items() if n != "controls"]
        first = [p for p in own if p.default is inspect.Parameter.empty]
        last = [p for p in own if p.default is not inspect.Parameter.empty]

        @functools.wraps(command)
        def run(**values: Any) -> None:
            given = {option.name: values.pop(option.name) for option in options}
            command(**values, controls=_controls(given))

        parameters = [p.replace(kind=inspect.Parameter.KEYWORD_ONLY) for p in (*first, *options, *last)]
        del run.__dict__["__wrapped__"]
        run.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
        run.__annotations__ = {p.name: p.annotation for p in parameters}
        return run

    return decorate


def _options(leave_out: Sequence[str], defaults: dict[str, Any]) -> list[inspect.Parameter]:
    hints, found = typing.get_type_hints(Controls), []
    for field in dataclasses.fields(Controls):
        if not HELP[field.name] or field.name in leave_out:
            continue
        kind, default = hints[field.name], defaults.get(field.name, field.default)
        if typing.get_origin(kind) is tuple:  # numbers separated by commas
            kind, default = str | None, None
        flag = f"--{field.name.replace('_', '-')}"
        annotation: Any = Annotated[kind, typer.Option(flag, help=HELP[field.name])]
        found.append(_parameter(field.name, annotation, default))
    at = next((i for i, p in enumerate(found) if p.name == "watch"), len(found))
    return [*found[:at], _parameter("inject_noise", INJECT, None), *found[at:]]


def _parameter(name: str, annotation: Any, default: Any) -> inspect.Parameter:
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)


def _controls(given: dict[str, Any]) -> Controls:
    """Return the controls of command-line values."""
    injection = given.pop("inject_noise")
    every, amount = parse_injection(injection) if injection is not None else (0.0, 0.0)
    for name in ("code_temperatures", "code_top_p"):
        given[name] = () if given[name] is None else parse_numbers(name.replace("_", " "), given[name])
    return Controls(inject_every=every, inject_amount=amount, **given)
