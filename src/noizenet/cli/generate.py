"""``noizenet generate``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from noizenet.cli import controls as c
from noizenet.cli.output import bar, print_json, print_table, remark, say


def generate(
    model: Annotated[Path, typer.Argument(help="A model folder, a zip of one, or a bundled model's name.")],
    out: Annotated[Path, typer.Argument(help="OUT.wav, .flac or .ogg; - for 16-bit PCM on standard output.")],
    seconds: Annotated[float, typer.Option(help="Length.")] = 10.0,
    genre: c.Genre = None,
    morph: Annotated[str | None, typer.Option(help='From one genre to another: "A>B".')] = None,
    temperature: c.Temperature = None,
    top_p: c.TopP = None,
    guidance: c.Guidance = None,
    top_k: c.TopK = None,
    seed_audio: c.SeedAudio = None,
    seed_noise: c.SeedNoise = None,
    seed_seconds: c.SeedSeconds = 5.0,
    include_seed: Annotated[bool, typer.Option("--include-seed", help="Put what was heard first in front.")] = False,
    inject_noise: c.Inject = None,
    watch: c.Watch = "report",
    precision: c.Precision = "fp32",
    seed: c.Seed = 0,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Write new music to a file or to standard output."""
    from noizenet import api
    from noizenet.audio.write import write_pcm

    controls = c.make_controls(
        inject_noise, seconds=seconds, genre=genre, morph=morph, temperature=temperature, guidance=guidance,
        top_p=top_p, top_k=top_k, seed_audio=seed_audio, seed_noise=seed_noise, seed_seconds=seed_seconds,
        include_seed=include_seed, watch=watch, precision=precision, seed=seed,
    )  # fmt: skip
    if str(out) == "-":
        blocks = api.stream(model, controls)
        say(f"16-bit PCM, {blocks.sample_rate} Hz, {blocks.channels} channel(s)")
        remark(blocks.remarks)
        write_pcm(sys.stdout.buffer, blocks)
        return
    with bar("playing") as update:
        made = api.generate(model, out, controls, on_block=lambda s: update(s, seconds, f"{s:.1f} of {seconds:g} s"))
    remark(made.remarks)
    alive = made.aliveness
    if json:
        print_json(
            {
                "path": str(made.path), "seconds": made.seconds, "genre": made.genre, "seed": seed,
                "real_time_factor": round(made.real_time_factor, 3), "clipped": made.clipped,
                "aliveness": alive.to_dict(), "watch": made.watch.to_dict() if made.watch is not None else None,
                "remarks": made.remarks,
            }
        )  # fmt: skip
        return
    verdict = "yes" if alive.death_s is None else f"dead from {alive.death_s:.1f} s on ({', '.join(alive.causes)})"
    rows: list[list[object]] = [
        ["seconds", f"{made.seconds:.2f}"],
        ["real time", f"× {made.real_time_factor:.2f}"],
    ]
    if made.genre:
        rows.append(["genre", made.genre + ("" if genre or morph else "  (picked by the seed)")])
    rows += [["alive", f"{alive.alive:.1%}" if alive.death_s is not None else "100 %"], ["verdict", verdict]]
    if made.watch is not None and made.watch.causes.get("likelihood"):
        rows.append(["far from the training music", f"{made.watch.causes['likelihood']:.0f} s, by its likelihood"])
    if made.watch is not None and made.watch.rescues:
        rows.append(["rescued", ", ".join(f"at {s:.0f} s" for s in made.watch.rescues)])
    if made.clipped:
        rows.append(["limited to full scale", f"{made.clipped} samples"])
    print_table(str(made.path), ["", ""], rows)
