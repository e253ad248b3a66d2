"""Command-line options that ``generate`` and ``play`` share."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from noizenet.generation.controls import Controls

Genre = Annotated[str | None, typer.Option("--genre", help='A genre, or a mix: "A:0.7,B:0.3".')]
Temperature = Annotated[
    float | None,
    typer.Option("--temperature", help="Sampling temperature: higher is more random. Default: the model's."),
]
TopP = Annotated[
    float | None, typer.Option("--top-p", help="Sample from the most probable classes up to this total probability.")
]
TopK = Annotated[int | None, typer.Option("--top-k", help="Sample from the k most probable classes.")]
GenreGuidance = Annotated[
    float | None,
    typer.Option("--genre-guidance", help="Guidance scale of the genre, 0 (none) to 20. Default: the model's."),
]
Tempo = Annotated[
    float | None,
    typer.Option("--tempo", help="Beats a minute, 0 for no beat. Default: that of the prompt or genre."),
]
BeatGuidance = Annotated[
    float | None,
    typer.Option("--beat-guidance", help="Guidance scale of the beat, 0 (none) to 20. Default: the model's."),
]
CodeTemperatures = Annotated[
    str | None,
    typer.Option("--code-temperatures", help="A factor of the temperature for each code of a frame: 1,1,0.9,…"),
]
CodeTopP = Annotated[str | None, typer.Option("--code-top-p", help="A top-p for each code of a frame: 1,0.95,…")]
Prompt = Annotated[Path | None, typer.Option("--prompt", help="A recording to continue.")]
PromptNoise = Annotated[str | None, typer.Option("--prompt-noise", help="Continue noise: normal or perlin.")]
PromptSeconds = Annotated[float, typer.Option("--prompt-seconds", help="Length of the prompt, in seconds.")]
Inject = Annotated[
    str | None,
    typer.Option("--inject-noise", help="Add noise to the fed-back frame, EVERY:AMOUNT (seconds, strength)."),
]
Watch = Annotated[str, typer.Option("--watch", help="Monitor of degenerate output: off, report or recover.")]
Precision = Annotated[str, typer.Option("--precision", help="Precision of the weights: fp32, bf16 or int8.")]
Seed = Annotated[int, typer.Option("--seed", help="Random seed: the same seed gives the same samples.")]


def make_controls(inject: str | None = None, **values: Any) -> Controls:
    """Return the controls of command-line values."""
    from noizenet.generation.controls import Controls, parse_injection, parse_numbers

    for name in ("code_temperatures", "code_top_p"):
        text = values.pop(name, None)
        values[name] = () if text is None else parse_numbers(name.replace("_", " "), text)

    every, amount = parse_injection(inject) if inject is not None else (0.0, 0.0)
    return Controls(inject_every=every, inject_amount=amount, **values)
