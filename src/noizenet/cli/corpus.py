"""``noizenet corpus demo|build|fetch|show``."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from noizenet.base.errors import InterruptedRunError, UsageError
from noizenet.cli.output import print_json, print_message, print_table, progress_bar

if TYPE_CHECKING:
    from noizenet.corpus.corpus import Corpus

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
Rate = Annotated[int, typer.Option("--sample-rate", help="Hz.")]
Channels = Annotated[int, typer.Option("--channels", help="1 mono, 2 stereo.")]
Workers = Annotated[
    int,
    typer.Option("--workers", help="Processes; 0: one a core, at least two. With 1, a decoder's crash ends the run."),
]
SHOWN_PROBLEMS = 12


def demo(
    out: Annotated[Path, typer.Argument(help="The corpus folder to make.")],
    minutes: Annotated[float, typer.Option(help="Total length of the songs.")] = 8.0,
    seed: Annotated[int, typer.Option(help="Random seed: the same seed gives the same songs.")] = 0,
    sample_rate: Rate = 22_050,
    json: Json = False,
) -> None:
    """Make a corpus of synthetic songs in labelled genres, without a download."""
    from noizenet.api import demo_corpus

    with progress_bar("rendering songs") as update:
        corpus = demo_corpus(
            out, minutes=minutes, seed=seed, sample_rate=sample_rate,
            on_song=lambda done, total: update(done, total, f"{done} of {total} songs"),
        )  # fmt: skip
    _report(corpus, json)


def build(
    source: Annotated[Path, typer.Argument(help="Folder with a subfolder for each genre, flat folder, or FMA tree.")],
    out: Annotated[Path, typer.Argument(help="The corpus folder to make or complete.")],
    layout: Annotated[str, typer.Option(help="auto, fma or folders.")] = "auto",
    sample_rate: Rate = 22_050,
    channels: Channels = 1,
    min_seconds: Annotated[float, typer.Option(help="Shorter recordings are skipped.")] = 1.0,
    workers: Workers = 0,
    seed: Annotated[int, typer.Option(help="Random seed of the split into train, validation and test.")] = 0,
    json: Json = False,
) -> None:
    """Prepare recordings for training: decode, resample, split by artist or track."""
    from noizenet.api import build_corpus

    if workers < 0:
        raise UsageError(f"workers: {workers} is not a number of processes; give 1 or more, or 0 for one per core")
    with _resumable("prepared recordings are kept"), progress_bar("preparing recordings") as update:
        corpus = build_corpus(
            source, out, layout=layout, sample_rate=sample_rate, channels=channels, min_seconds=min_seconds,
            workers=workers or None, seed=seed, progress=_progress(update),
        )  # fmt: skip
    _report(corpus, json)


def fetch(
    name: Annotated[str, typer.Argument(help="fma-small, fma-medium, fma-large or fma-full.")],
    out: Annotated[Path, typer.Argument(help="The corpus folder to make or complete.")],
    sample_rate: Rate = 22_050,
    channels: Channels = 1,
    keep_archives: Annotated[bool, typer.Option(help="Keep the zip files after unpacking.")] = False,
    base_url: Annotated[str, typer.Option(help="URL of the folder of the archives.")] = "",
    json: Json = False,
) -> None:
    """Download a dataset of the Free Music Archive (resumable, with checksums) and build it."""
    from noizenet.api import fetch_corpus

    extra: dict[str, Any] = {"base_url": base_url.rstrip("/")} if base_url else {}
    with _resumable("downloaded files are kept"), progress_bar("downloading") as update:
        corpus = fetch_corpus(
            name, out, sample_rate=sample_rate, channels=channels, keep_archives=keep_archives,
            transfer=lambda file, done, total: update(done, total, f"{file}: {done / 1e6:,.0f}/{total / 1e6:,.0f} MB"),
            progress=_progress(update), **extra,
        )  # fmt: skip
    _report(corpus, json)


def show(
    corpus: Annotated[Path, typer.Argument(help="A corpus folder.")],
    json: Json = False,
) -> None:
    """Show the tracks of a corpus and the files that were left out."""
    from noizenet.api import load_corpus

    _report(load_corpus(corpus), json)


@contextlib.contextmanager
def _resumable(kept: str) -> Iterator[None]:
    try:
        yield
    except KeyboardInterrupt as error:
        raise InterruptedRunError(f"interrupted; {kept}, run the same command to resume") from error


def _progress(update: Any) -> Any:
    def on_file(done: int, total: int, seconds: float) -> None:
        update(done, total, f"{done} of {total} files, {seconds / 60:.0f} min of audio")

    return on_file


def summary(corpus: Corpus) -> dict[str, Any]:
    """Return a JSON-compatible summary: genres with tracks and minutes of each split, problems, duplicates."""
    from noizenet.corpus.arrange import read_duplicates
    from noizenet.corpus.build import read_problems
    from noizenet.corpus.split import SPLITS

    tracks: Counter[tuple[str, str]] = Counter()
    minutes: Counter[tuple[str, str]] = Counter()
    for t in corpus.tracks:
        tracks[t.genre, t.split] += 1
        minutes[t.genre, t.split] += t.seconds / 60  # type: ignore[assignment]
    problems = read_problems(corpus.folder)
    return {
        "corpus": str(corpus.folder),
        "sample_rate": corpus.sample_rate,
        "channels": corpus.channels,
        "tracks": len(corpus.tracks),
        "hours": round(corpus.seconds() / 3600, 4),
        "genres": {
            g: {
                "split_by": corpus.about.get("split_by", {}).get(g, ""),
                **{s: {"tracks": tracks[g, s], "minutes": round(minutes[g, s], 2)} for s in SPLITS},
            }
            for g in corpus.genres
        },
        "problems": [{"path": p.path, "reason": p.reason, "action": p.action} for p in problems],
        "duplicates": [asdict(d) for d in read_duplicates(corpus.folder)],
        "licence": corpus.about.get("licence", ""),
        "citation": corpus.about.get("citation", ""),
    }


def _report(corpus: Corpus, json: bool) -> None:
    found = summary(corpus)
    if json:
        print_json(found)
        return
    rows = []
    for genre, parts in found["genres"].items():
        cells = [f"{parts[s]['tracks']} ({parts[s]['minutes']:.1f} min)" for s in ("train", "validation", "test")]
        rows.append([genre, *cells, parts["split_by"]])
    title = (
        f"{found['corpus']}: {found['tracks']} tracks, {found['hours']:.2f} hours, "
        f"{found['sample_rate']} Hz, {'mono' if found['channels'] == 1 else 'stereo'}"
    )
    print_table(title, ["genre", "train", "validation", "test", "split by"], rows)
    _report_problems(found["problems"], corpus)
    _report_duplicates(found["duplicates"], corpus)
    if len(corpus.tracks) < 3:
        print_message("With fewer than 3 tracks some splits are empty; add recordings.")


def _report_duplicates(duplicates: list[dict[str, Any]], corpus: Corpus) -> None:
    """Print the number of groups of duplicates, and of groups that a predefined split divides."""
    if not duplicates:
        return
    splits: dict[int, set[str]] = {}
    for d in duplicates:
        splits.setdefault(d["group"], set()).add(d["split"])
    divided = [group for group, names in splits.items() if len(names) > 1]
    groups = f"{len(splits)} group{'s' * (len(splits) > 1)} of the same recording ({len(duplicates)} tracks)"
    path = corpus.folder / "duplicates.csv"
    if not divided:
        print_message(f"{groups}; each is kept on one side of the split: {path}")
        return
    first = ", ".join(f"{d['source']} ({d['split']})" for d in duplicates if d["group"] == divided[0])
    print_message(
        f"{groups}: {path}. The dataset's predefined split puts {len(divided)} of them on more than one side, "
        f"so that some held-out recordings are also training data: {first}"
    )


def _report_problems(problems: list[dict[str, str]], corpus: Corpus) -> None:
    """Print how many files had problems, and the first of them with their reasons."""
    if not problems:
        return
    counts = Counter(p["action"] for p in problems)
    totals = ", ".join(f"{n} {action}" for action, n in sorted(counts.items()))
    print_message(f"{totals}; reasons: {corpus.folder / 'problems.csv'}")
    # Losses come first; a dozen ignored pictures would hide them.
    order = {action: i for i, action in enumerate(("kept in part", "cut", "skipped", "repaired", "ignored"))}
    ranked = sorted(problems, key=lambda p: order.get(p["action"], len(order)))
    for p in ranked[:SHOWN_PROBLEMS]:
        print_message(f"  {p['action']}: {p['path']}: {p['reason']}")
    if len(problems) > SHOWN_PROBLEMS:
        print_message(f"  … and {len(problems) - SHOWN_PROBLEMS} more")
    for line in _common_reasons(problems, corpus):
        print_message(line)


def _common_reasons(problems: list[dict[str, str]], corpus: Corpus) -> list[str]:
    """Return a sentence for each of the most common reasons for skipped recordings."""
    from noizenet.corpus.prepare import SAME_AS, TOO_SHORT

    skipped = [p for p in problems if p["action"] == "skipped"]
    of = len(corpus.tracks) + len(skipped)
    short = sum(p["reason"].startswith(TOO_SHORT) for p in skipped)
    same = sum(p["reason"].startswith(SAME_AS) for p in skipped)
    lines = []
    if short:
        least = corpus.about.get("min_seconds")
        than = f"{least:g} s" if isinstance(least, (int, float)) else "the minimum length"
        lines.append(f"{short} of {of} recordings are shorter than {than}; --min-seconds sets the minimum length.")
    if same:
        lines.append(f"{same} of {of} recordings are byte-for-byte copies of others.")
    return lines
