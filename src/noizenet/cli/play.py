"""``noizenet play``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from noizenet.base import process
from noizenet.base.errors import UsageError
from noizenet.cli import controls as c
from noizenet.cli.output import print_message, print_notes, status_line

if TYPE_CHECKING:
    from noizenet.api import Playing


def play(
    model: Annotated[Path, typer.Argument(help="A model folder, a zip of one, or a bundled model's name.")],
    out: Annotated[str, typer.Option("--out", help="- writes 16-bit PCM to standard output.")] = "",
    genre: c.Genre = None,
    temperature: c.Temperature = None,
    top_p: c.TopP = None,
    genre_guidance: c.GenreGuidance = None,
    tempo: c.Tempo = None,
    beat_guidance: c.BeatGuidance = None,
    code_temperatures: c.CodeTemperatures = None,
    code_top_p: c.CodeTopP = None,
    top_k: c.TopK = None,
    prompt: c.Prompt = None,
    prompt_noise: c.PromptNoise = None,
    prompt_seconds: c.PromptSeconds = 5.0,
    inject_noise: c.Inject = None,
    seconds: Annotated[float | None, typer.Option(help="Length in seconds. Default: endless.")] = None,
    watch: c.Watch = "recover",
    precision: c.Precision = "fp32",
    seed: c.Seed = 0,
) -> None:
    """Play in real time, on the sound card or as a stream of PCM."""
    from noizenet import api

    if out not in ("", "-"):
        raise UsageError(f"--out {out}: only - (standard output) is allowed; 'noizenet generate' writes files")
    controls = c.make_controls(
        inject_noise, seconds=seconds, genre=genre, temperature=temperature, genre_guidance=genre_guidance,
        tempo=tempo, beat_guidance=beat_guidance,
        code_temperatures=code_temperatures, code_top_p=code_top_p, top_p=top_p,
        top_k=top_k, prompt=prompt, prompt_noise=prompt_noise, prompt_seconds=prompt_seconds, watch=watch,
        precision=precision, seed=seed,
    )  # fmt: skip
    pipe = process.binary_output() if out == "-" else None
    with status_line() as show:
        playing = api.play(model, controls, pipe, on_block=lambda p: show(describe(p)))
    print_notes(playing.remarks)
    print_message(describe(playing))


def describe(p: Playing) -> str:
    """Return the progress line: seconds played, speed, margin, buffer underruns and the monitor's report."""
    text = f"{p.seconds:.1f} s · {p.sample_rate} Hz · × {p.real_time_factor:.1f} real time · margin {p.margin:.0%}"
    if p.underruns:
        text += f" · buffer underruns: {p.underruns}, this computer is too slow for the model"
    elif p.real_time_factor and p.margin < 0:
        text += " · too slow for real time on this computer"
    if p.watch is not None and p.watch.causes:
        text += " · degenerate: " + ", ".join(f"{k} {v:.0f} s" for k, v in p.watch.causes.items())
    if p.watch is not None and p.watch.recoveries:
        text += f" · recovered {len(p.watch.recoveries)} ×"
    return text
