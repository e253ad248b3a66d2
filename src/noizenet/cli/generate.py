"""``noizenet generate``."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from noizenet.base import process
from noizenet.cli import controls as c
from noizenet.cli.output import bar, print_json, print_table, remark, say

if TYPE_CHECKING:
    from noizenet.api import Generated


def generate(
    model: Annotated[Path, typer.Argument(help="A model folder, a zip of one, or a bundled model's name.")],
    out: Annotated[Path, typer.Argument(help="OUT.wav, .flac or .ogg; - for 16-bit PCM on standard output.")],
    seconds: Annotated[float, typer.Option(help="Length.")] = 10.0,
    genre: c.Genre = None,
    morph: Annotated[str | None, typer.Option(help='From one genre to another: "A>B".')] = None,
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
    include_prompt: Annotated[
        bool,
        typer.Option(
            "--include-prompt",
            help="Put the prompt in front, as the model's representation renders it (not the recording itself).",
        ),
    ] = False,
    inject_noise: c.Inject = None,
    watch: c.Watch = "report",
    precision: c.Precision = "fp32",
    seed: c.Seed = 0,
    count: Annotated[
        int, typer.Option(help="How many pieces, with seeds one after another; made together, each faster.")
    ] = 1,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Write new music to a file or to standard output."""
    from noizenet import api
    from noizenet.audio.write import write_pcm
    from noizenet.base.errors import InterruptedRunError, UsageError

    controls = c.make_controls(
        inject_noise, seconds=seconds, genre=genre, morph=morph, temperature=temperature, genre_guidance=genre_guidance,
        tempo=tempo, beat_guidance=beat_guidance,
        code_temperatures=code_temperatures, code_top_p=code_top_p,
        top_p=top_p, top_k=top_k, prompt=prompt, prompt_noise=prompt_noise, prompt_seconds=prompt_seconds,
        include_prompt=include_prompt, watch=watch, precision=precision, seed=seed,
    )  # fmt: skip
    if not 1 <= count <= 1000:
        raise UsageError(f"count: {count} is not between 1 and 1,000")
    if str(out) == "-":
        if count > 1:
            raise UsageError("count: standard output takes one piece; give a file's name")
        pipe = process.binary_output()
        blocks = api.stream(model, controls)
        say(f"16-bit PCM, {blocks.sample_rate} Hz, {blocks.channels} channel(s)")
        remark(blocks.remarks)
        write_pcm(pipe, blocks)
        return
    takes = [(out, controls)]
    if count > 1:
        digits = len(str(count))
        takes = [
            (out.with_name(f"{out.stem}-{i + 1:0{digits}d}{out.suffix}"), replace(controls, seed=seed + i))
            for i in range(count)
        ]
    total = seconds * count
    try:
        with bar("playing") as update:
            found = api.generate_batch(
                model, takes, on_block=lambda s: update(min(s, total), total, f"{s:.1f} of {total:g} s")
            )
    except KeyboardInterrupt as error:
        raise InterruptedRunError(str(error) or "interrupted; nothing was written") from error
    for one in found:
        remark(one.remarks)
    if json:
        whole = [_plain(one, take.seed) for one, (_, take) in zip(found, takes, strict=True)]
        print_json(whole[0] if count == 1 else {"pieces": whole})
        return
    if count > 1:
        rows = [
            [
                one.path.name,
                one.genre or "–",
                f"{one.tempo:.0f}" if one.tempo else "–",
                f"{one.seconds:.1f}",
                _verdict(one),
            ]
            for one in found
        ]
        print_table(
            f"{count} pieces, × {found[0].real_time_factor:.1f} together",
            ["", "genre", "beats/min", "seconds", "alive"],
            rows,
        )
        return
    _show(found[0], picked=not (genre or morph))


def _plain(made: Generated, seed: int) -> dict[str, Any]:
    """Return what one piece is, as plain data."""
    return {
        "path": str(made.path), "seconds": made.seconds, "genre": made.genre, "seed": seed, "tempo": made.tempo,
        "real_time_factor": round(made.real_time_factor, 3), "clipped": made.clipped,
        "aliveness": made.aliveness.to_dict(), "watch": made.watch.to_dict() if made.watch is not None else None,
        "remarks": made.remarks,
    }  # fmt: skip


def _verdict(made: Generated) -> str:
    alive = made.aliveness
    if not alive.judged:
        return "too short to tell"
    if alive.death_s is None:
        return "yes"
    return f"dead from {alive.death_s:.1f} s on ({', '.join(alive.causes)})"


def _show(made: Generated, *, picked: bool) -> None:
    """Print the table of one piece."""
    alive = made.aliveness
    rows: list[list[object]] = [
        ["seconds", f"{made.seconds:.2f}"],
        ["real time", f"× {made.real_time_factor:.2f}"],
    ]
    if made.genre:
        rows.append(["genre", made.genre + ("  (picked by the seed)" if picked else "")])
    if made.tempo:
        rows.append(["tempo", f"{made.tempo:.0f} beats a minute"])
    if alive.judged:
        rows.append(["alive", f"{alive.alive:.1%}" if alive.death_s is not None else "100 %"])
    rows.append(["verdict", _verdict(made)])
    if made.watch is not None and made.watch.causes.get("likelihood"):
        rows.append(["far from the training music", f"{made.watch.causes['likelihood']:.0f} s, by its likelihood"])
    if made.watch is not None and made.watch.rescues:
        rows.append(["rescued", ", ".join(f"at {s:.0f} s" for s in made.watch.rescues)])
    if made.clipped:
        rows.append(["limited to full scale", f"{made.clipped} samples"])
    print_table(str(made.path), ["", ""], rows)
