"""A demonstration in a few minutes: a corpus, two trainings, generated music, and one page that presents them.

    python examples/demo.py [OUT] [--corpus FOLDER] [--minutes M]

Without ``--corpus`` procedural songs are used. The page, OUT/demo.html, is self-contained.
"""

from __future__ import annotations

import argparse
import base64
import contextlib
import errno
import html
import io
import json
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import noizenet
from noizenet.audio.read import read
from noizenet.training.log import read_metrics
from noizenet.views.curves import draw_curves

SECONDS = 20.0
RATE_HZ = 11_025  # half the usual rate, so that two minutes of training cover twice the music
SETTINGS = {
    "paper-lstm": (),
    # Smaller tiers, and more and shorter steps, for a training of two minutes.
    "sample-lstm": (
        "model.tiers=[[4, 96], [32, 128], [256, 128]]", "training.batch=16", "training.window=512",
        "training.segment_seconds=2",
    ),
}  # fmt: skip
RECIPES = ("paper-lstm", "sample-lstm")
FLAGSHIP = "token-lstm"
SHARES = {"paper-lstm": 0.25, "sample-lstm": 0.75}  # of the training time


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path, nargs="?", default=Path("demo-out"))
    parser.add_argument("--corpus", type=Path, help="a corpus folder (default: procedural songs)")
    parser.add_argument("--minutes", type=float, default=2.8, help="training time of both models together")
    options = parser.parse_args()
    out: Path = options.out
    if out.exists() and not (out / "demo.json").exists() and any(out.iterdir()):
        sys.exit(f"{out}: holds other files; choose another folder")
    out.resolve().parent.mkdir(parents=True, exist_ok=True)
    # Written to a temporary folder and renamed when complete, so that concurrent or interrupted demos do no harm.
    temporary = Path(tempfile.mkdtemp(prefix=f".{out.name}-", dir=out.resolve().parent))
    started = time.perf_counter()
    try:
        facts = build(temporary, options.corpus, options.minutes)
        facts["minutes"] = (time.perf_counter() - started) / 60
        (temporary / "demo.json").write_text(json.dumps(facts, indent=2, default=str) + "\n")
        temporary.chmod(0o755)
        publish(temporary, out)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    print(f"\nDone in {facts['minutes']:.1f} minutes. Open this page in a browser:\n{(out / 'demo.html').resolve()}")
    print("\nPlay it yourself, on a web page: .venv/bin/noizenet studio")


def publish(temporary: Path, out: Path) -> None:
    """Rename a finished folder to `out` and remove the previous one."""
    previous = Path(tempfile.mkdtemp(prefix=f".{out.name}-old-", dir=temporary.parent))
    while True:
        with contextlib.suppress(FileNotFoundError):
            out.rename(previous / "demo")
        try:
            temporary.rename(out)
            break
        except OSError as error:  # another demo has just created the folder
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                raise
            shutil.rmtree(previous / "demo", ignore_errors=True)
    shutil.rmtree(previous, ignore_errors=True)


def build(out: Path, folder: Path | None, minutes: float) -> dict[str, Any]:
    """Train, generate and write the page; return the measurements."""
    flagship = play_flagship(out)
    if folder is None:
        print_step("making procedural songs")
        corpus = noizenet.demo_corpus(out / "corpus", minutes=12, sample_rate=RATE_HZ)
    else:
        corpus = noizenet.load_corpus(folder)
    candidates = corpus.split("test") or corpus.tracks
    held_out = next((t for t in candidates if t.genre == "techno"), candidates[0])  # its beat is visible in the views
    real = read(corpus.audio_path(held_out)).mono().cut(2, 2 + SECONDS)
    noizenet.write(out / "real.wav", real)
    facts: dict[str, Any] = {
        "flagship": flagship,
        "corpus": {"tracks": len(corpus.tracks), "hours": corpus.seconds() / 3600, "genres": corpus.genres},
    }
    for recipe in RECIPES:
        print_step(f"training {recipe}")
        model = noizenet.train(
            corpus,
            out / recipe,
            model=recipe,
            set=SETTINGS[recipe],
            minutes=minutes * SHARES[recipe],
            command=" ".join(["python", *sys.argv]),
            on_progress=show,
        )
        facts[recipe] = {"training": model.training["metrics"], "weights": model.network.parameter_count()}
    print_step("playing")
    facts["paper-lstm"]["generated"] = play(out, "paper-lstm", "", noizenet.Controls(SECONDS, prompt=out / "real.wav"))
    for genre in corpus.genres:
        facts["sample-lstm"][genre] = play(out, "sample-lstm", f"-{genre}", noizenet.Controls(SECONDS, genre=genre))
    echo, _ = noizenet.reproduce(out / "paper-lstm", out / "real.wav", out / "echo.wav")
    facts["echo"] = {"model": echo.model, "persistence": echo.persistence}
    facts["real"] = noizenet.aliveness(real).to_dict()
    print_step("drawing")
    sampled = out / f"sample-lstm-{held_out.genre}.wav"
    columns = [out / "real.wav", out / "paper-lstm.wav", sampled]
    names = [f"real ({held_out.genre}, held out)", "paper-lstm, free-running", f"sample-lstm, {held_out.genre}"]
    noizenet.view(columns, out / "views.png", names=names)
    (out / "demo.html").write_text(page(out, corpus, facts, held_out.genre), encoding="utf-8")
    return facts


def play_flagship(out: Path) -> dict[str, Any]:
    """Generate with the bundled model in each of its genres; return the measurements."""
    print_step(f"playing the bundled {FLAGSHIP}")
    found = {}
    for genre in noizenet.load_model(FLAGSHIP).genres:
        generated = noizenet.generate(
            FLAGSHIP, out / f"{FLAGSHIP}-{genre}.wav", noizenet.Controls(SECONDS, genre=genre)
        )
        found[genre] = {"real_time_factor": generated.real_time_factor, **generated.aliveness.to_dict()}
        print(f"  {FLAGSHIP}-{genre}.wav: {generated.real_time_factor:.0f} × real time", flush=True)
    return found


def show(p: Any) -> None:
    """Show the progress of a training: a live line on a terminal, nothing in a log."""
    if sys.stdout.isatty():
        print(f"\r  step {p.step:,}, loss {p.loss:.4g}, {p.seconds_left:.0f} s left   ", end="", flush=True)


def play(out: Path, recipe: str, suffix: str, controls: noizenet.Controls) -> dict[str, Any]:
    """Generate one recording and return its measurements."""
    generated = noizenet.generate(out / recipe, out / f"{recipe}{suffix}.wav", controls)
    return {"real_time_factor": generated.real_time_factor, **generated.aliveness.to_dict()}


def page(out: Path, corpus: noizenet.Corpus, facts: dict[str, Any], genre: str) -> str:
    """Return the page as one HTML file with embedded Ogg audio and PNG images."""
    players = [
        (
            f"{FLAGSHIP}: {g}",
            "bundled model of codec tokens with six genres; not trained here",
            f"{FLAGSHIP}-{g}.wav",
        )
        for g in facts["flagship"]
    ]
    players.append(("Real music", f"a held-out song of the corpus ({genre})", "real.wav"))
    players.append(("paper-lstm", "the paper's regression model, continuing that song: it collapses", "paper-lstm.wav"))
    players += [("sample-lstm", f"sampled from a distribution, {g}", f"sample-lstm-{g}.wav") for g in corpus.genres]
    players.append(
        (
            "Echo of paper-lstm",
            "teacher forcing: the true sample is fed in at every step, so it sounds good but proves little",
            "echo.wav",
        )
    )
    sounds = "".join(
        f'<div class="card"><h3>{html.escape(t)}</h3><p>{html.escape(d)}</p>'
        f'<audio controls preload="none" src="{sound(out / f)}"></audio></div>'
        for t, d, f in players
    )
    curves = "".join(f"<figure>{picture(draw_curves(read_metrics(out / r), r))}</figure>" for r in RECIPES)
    views = base64.b64encode((out / "views.png").read_bytes()).decode()
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>noizenet: the demo</title>
<style>
:root {{ color-scheme: light dark; --line: #8885; }}
body {{ font: 16px/1.5 system-ui, sans-serif; max-width: 72rem; margin: 2rem auto; padding: 0 1rem; }}
img {{ width: 100%; height: auto; background: #fff; border-radius: 6px; }}
figure {{ margin: 0; }}
.grid {{ display: grid; gap: 1rem; grid-template-columns: repeat(auto-fill, minmax(18rem, 1fr)); }}
.card {{ border: 1px solid var(--line); border-radius: 8px; padding: .8rem 1rem; }}
.card h3, .card p {{ margin: 0 0 .4rem; }} audio {{ width: 100%; }}
.scroll {{ overflow-x: auto; }} table {{ border-collapse: collapse; width: 100%; }}
td, th {{ border-bottom: 1px solid var(--line); padding: .3rem .6rem; text-align: left; }}
td.n {{ text-align: right; font-variant-numeric: tabular-nums; }}
</style></head><body>
<h1>noizenet: from songs to new music</h1>
<p>Learned from {len(corpus.split("train"))} songs ({corpus.seconds("train") / 60:.1f} minutes) on this computer.
The first model is the paper's; in free-running generation it collapses into silence, a constant or an exact loop. The
second predicts a distribution and samples from it.</p>
<h2>Listen</h2><div class="grid">{sounds}</div>
<h2>Look</h2><figure><img alt="Waveform, envelope and spectrogram of real, paper and sampled music, side by side"
src="data:image/png;base64,{views}"></figure>
<h2>Training</h2><div class="grid" style="grid-template-columns: repeat(auto-fit, minmax(24rem, 1fr))">{curves}</div>
<h2>Measurements</h2><div class="scroll">{metrics_table(corpus, facts)}</div>
<p>Errors of the echo on samples (full scale 1), mean square: paper-lstm {facts["echo"]["model"]["mse"]:.3g},
repeating the last sample {facts["echo"]["persistence"]["mse"]:.3g}.</p>
</body></html>
"""


def metrics_table(corpus: noizenet.Corpus, facts: dict[str, Any]) -> str:
    """Return the table of measurements."""
    rows = [["real music (held out)", "", "", "", *aliveness_cells(facts["real"]), ""]]
    paper, sample = facts["paper-lstm"], facts["sample-lstm"]
    t = paper["training"]
    error = f"MSE {t['best_validation_mse']:.4g} (persistence {t['best_validation_persistence_mse']:.4g})"
    rows.append(row("paper-lstm", paper, error, paper["generated"]))
    bits = f"{sample['training']['best_validation_bits_per_frame']:.2f} bits/sample"
    rows += [row(f"sample-lstm, {g}", sample, bits, sample[g]) for g in corpus.genres]
    head = ["", "weights", "training", "held-out", "healthy", "degenerate from", "speed"]
    cells = "".join(f"<th>{h}</th>" for h in head)
    body = "".join("<tr>" + "".join(f"<td>{html.escape(str(c))}</td>" for c in r) + "</tr>" for r in rows)
    return f"<table><thead><tr>{cells}</tr></thead><tbody>{body}</tbody></table>"


def row(name: str, model: dict[str, Any], error: str, generated: dict[str, Any]) -> list[str]:
    """Return one row of the table."""
    t = model["training"]
    speed = f"× {generated['real_time_factor']:.1f} real time"
    return [
        name,
        f"{model['weights']:,}",
        f"{t['minutes']:.1f} min, {t['steps']:,} steps",
        error,
        *aliveness_cells(generated),
        speed,
    ]


def aliveness_cells(alive: dict[str, Any]) -> list[str]:
    """Return the healthy share and the time from which the output is degenerate."""
    death = alive["death_s"]
    causes = ", ".join(alive["causes"])
    return [f"{alive['alive']:.0%}", "never" if death is None else f"{death:.0f} s ({causes})"]


def sound(path: Path) -> str:
    """Return an audio file as a data URL, Ogg Vorbis."""
    ogg = path.with_suffix(".ogg")
    noizenet.write(ogg, noizenet.read(path))
    data = base64.b64encode(ogg.read_bytes()).decode()
    ogg.unlink()
    return f"data:audio/ogg;base64,{data}"


def picture(figure: Any) -> str:
    """Return a figure as an image element."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110)
    return f'<img alt="Loss over time" src="data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}">'


def print_step(text: str) -> None:
    """Print the current step."""
    print(f"\n{text} …", flush=True)


if __name__ == "__main__":
    main()
