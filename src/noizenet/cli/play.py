"""``noizenet play``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from noizenet.base.errors import NoizenetError, UsageError
from noizenet.cli import controls as c
from noizenet.cli.output import say


def play(
    model: Annotated[Path, typer.Argument(help="A model folder or a zip of one.")],
    out: Annotated[str, typer.Option("--out", help="- writes 16-bit PCM to standard output.")] = "",
    genre: c.Genre = None,
    temperature: c.Temperature = None,
    top_p: c.TopP = None,
    top_k: c.TopK = None,
    seed_audio: c.SeedAudio = None,
    seed_noise: c.SeedNoise = None,
    seed_seconds: c.SeedSeconds = 5.0,
    inject_noise: c.Inject = None,
    seed: c.Seed = 0,
) -> None:
    """Play without end, on the sound card or as PCM on standard output."""
    from noizenet import api
    from noizenet.audio.write import write_pcm

    if out not in ("", "-"):
        raise UsageError(f"--out {out}: only - (standard output) is possible; 'noizenet generate' writes files")
    controls = c.make_controls(
        inject_noise, seconds=None, genre=genre, temperature=temperature, top_p=top_p, top_k=top_k,
        seed_audio=seed_audio, seed_noise=seed_noise, seed_seconds=seed_seconds, seed=seed,
    )  # fmt: skip
    blocks = api.stream(model, controls)
    say(f"{blocks.sample_rate} Hz, {blocks.channels} channel(s), 16 bit; Ctrl-C ends it")
    if out == "-":
        write_pcm(sys.stdout.buffer, blocks)
        return
    try:
        import sounddevice
    except (ImportError, OSError) as error:
        raise UsageError(
            "playing on the sound card needs sounddevice: pip install 'noizenet[play]' (and the PortAudio library), "
            "or pipe: noizenet play MODEL --out - | aplay -f S16_LE -r 22050"
        ) from error
    try:
        with sounddevice.OutputStream(samplerate=blocks.sample_rate, channels=blocks.channels, dtype="float32") as card:
            for block in blocks:
                if card.write(block.samples.reshape(len(block), -1)):
                    say("the sound card ran dry: this machine is too slow for the model")
    except sounddevice.PortAudioError as error:
        raise NoizenetError(f"the sound card cannot be used ({error}); use --out - and a player") from error
