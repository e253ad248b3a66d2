"""Options that ``generate`` and ``play`` share."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from noizenet.generation.controls import Controls

Genre = Annotated[str | None, typer.Option("--genre", help='A genre, or a mix: "A:0.7,B:0.3".')]
Temperature = Annotated[
    float | None,
    typer.Option("--temperature", help="Sampling: lower is safer, higher wilder; by default the model's own."),
]
TopP = Annotated[float | None, typer.Option("--top-p", help="Sampling: keep the likeliest classes up to this sum.")]
TopK = Annotated[int | None, typer.Option("--top-k", help="Sampling: keep the k likeliest classes.")]
GenreGuidance = Annotated[
    float | None,
    typer.Option(
        "--genre-guidance", help="Guidance scale of the genre, 0 to 20; by default the model's own, 0 for none."
    ),
]
Tempo = Annotated[
    float | None,
    typer.Option("--tempo", help="Beats a minute; by default the tempo of a piece of the genre, 0 sets no beat."),
]
BeatGuidance = Annotated[
    float | None,
    typer.Option(
        "--beat-guidance", help="Guidance scale of the beat, 0 to 20; by default the model's own, 0 for none."
    ),
]
CodeTemperatures = Annotated[
    str | None,
    typer.Option("--code-temperatures", help="One factor of the temperature for each code of a frame: 1,1,0.9,…"),
]
CodeTopP = Annotated[str | None, typer.Option("--code-top-p", help="One top-p for each code of a frame: 1,0.95,…")]
Prompt = Annotated[Path | None, typer.Option("--prompt", help="A recording to continue.")]
PromptNoise = Annotated[str | None, typer.Option("--prompt-noise", help="Continue noise: normal or perlin.")]
PromptSeconds = Annotated[float, typer.Option("--prompt-seconds", help="Length of the prompt, in seconds.")]
Inject = Annotated[str | None, typer.Option("--inject-noise", help="EVERY:AMOUNT, seconds and strength.")]
Watch = Annotated[str, typer.Option("--watch", help="Monitor of degenerate output: off, report or recover.")]
Precision = Annotated[str, typer.Option("--precision", help="Weights while playing: fp32, bf16 or int8.")]
Seed = Annotated[int, typer.Option("--seed", help="Random seed: the same seed gives the same samples.")]


def make_controls(inject: str | None = None, **values: Any) -> Controls:
    """Turn command-line values into controls."""
    from noizenet.generation.controls import Controls, parse_injection, parse_numbers

    for name in ("code_temperatures", "code_top_p"):
        text = values.pop(name, None)
        values[name] = () if text is None else parse_numbers(name.replace("_", " "), text)

    every, amount = parse_injection(inject) if inject is not None else (0.0, 0.0)
    return Controls(inject_every=every, inject_amount=amount, **values)
