"""Convert weights saved by train.py to a model folder.

    python convert.py OUT/NAME.pt MODEL --tempi '{"jazz": [120.0, 96.5], …}'

NAME.jsonl must be next to NAME.pt. Only stacks of LSTM layers with the heads ``sum`` and ``mlp`` can be converted.
Weights are stored as float16; the representation is ``fullband`` with the bundled codec noizenet-2.
"""

from __future__ import annotations

import argparse
import csv
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from noizenet.base.errors import NoizenetError, UsageError
from noizenet.model.architecture import Architecture, ModelOptions
from noizenet.model.weights import Weights, expected_shapes
from noizenet.representation.base import Representation, create
from noizenet.store import card
from noizenet.store.model import Model, save

GENRES = ["acoustic", "ambient", "dance", "electronic", "jazz", "metal", "orchestral", "pop", "rock"]
"""In the order of train.py's genre indices."""
STYLES = Path(__file__).parent / "styles.tsv"
LOOKBACK, PHRASE, PHASES = (4, 8, 16), 16, 32
"""The same values as in network.py."""

F32 = NDArray[np.float32]
State = Mapping[str, F32]


def options_of(o: Mapping[str, Any]) -> ModelOptions:
    """Return the model options that correspond to options of train.py.

    Raises
    ------
    UsageError
        If there are none.
    """
    layers = o["stack"].split(",")
    if set(layers) != {"lstm"} or o["norm"] or o["head"] not in ("sum", "mlp") or o["embedding"] == o["hidden"]:
        raise UsageError(
            f"stack={o['stack']} norm={o['norm']} head={o['head']} embedding={o['embedding']}: only stacks of lstm "
            "without norms, heads sum and mlp, and embeddings of another size than the layers can be converted"
        )
    return ModelOptions(
        cell="lstm", layers=len(layers), hidden=o["hidden"], dropout=o["dropout"], head="depth", residual=True,
        embedding=o["embedding"], depth_width=o["depth_width"], genre_embedding=o["genre"], clock=PHASES,
        phrase=PHRASE if o["bar"] else 0, lookback_beats=LOOKBACK if o["lookback"] else (),
        depth_shared=bool(o["share"]), depth_block="gated" if o["head"] == "mlp" else "none",
    )  # fmt: skip


def arrays_of(state: State, a: Architecture) -> dict[str, F32]:
    """Return the arrays of a TokenNetwork from those of network.Network."""
    o, books, levels, width = a.options, range(a.dim), a.levels, a.options.depth_width
    arrays = {"genre.weight": state["head.genre.weight"], "phase_embedding.weight": state["clock.weight"]}
    arrays["start"] = state["start"].reshape(o.layers, 2, o.hidden)
    for i in range(o.layers):
        for part in ("weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0"):
            arrays[f"stack.cells.{i}.kernel.{part}"] = state[f"layers.{i}.cell.kernel.{part}"]
    code_embeddings = state["head.given"].reshape(a.dim, levels, -1, width)
    in_proj = {name: state[f"head.say.{name}"].reshape(a.dim, width, -1) for name in ("weight", "bias")}
    genre_proj = state["head.colour.weight"].reshape(a.dim, width, -1)
    for k in books:
        arrays[f"codes.{k}.weight"] = state["codes"].reshape(a.dim, levels, -1)[k]
        arrays[f"head.in_proj.{k}.weight"], arrays[f"head.in_proj.{k}.bias"] = (
            in_proj["weight"][k],
            in_proj["bias"][k, :, 0],
        )
        arrays[f"head.genre_proj.{k}.weight"] = genre_proj[k]
        arrays[f"head.out_proj.{k}.weight"], arrays[f"head.out_proj.{k}.bias"] = (
            state["head.out"][k].T, state["head.bias"][k],
        )  # fmt: skip
        arrays[f"head.phase_embedding.{k}.weight"] = state["head.beat.weight"].reshape(PHASES + 1, a.dim, width)[:, k]
        if o.phrase:
            arrays[f"head.phrase_embedding.{k}.weight"] = state["head.bar.weight"].reshape(PHRASE + 1, a.dim, width)[
                :, k
            ]
        if o.depth_block == "gated":
            arrays[f"head.norm.{k}"] = state["head.n"][k]
            arrays |= {f"head.{part}.{k}.weight": state[f"head.{part}"][k].T for part in ("up", "down")}
        for j in range(k if not o.depth_shared else 0):
            arrays[f"head.code_embeddings.{k * (k - 1) // 2 + j}.weight"] = code_embeddings[j, :, k]
    for j in range(a.dim - 1 if o.depth_shared else 0):
        arrays[f"head.code_embeddings.{j}.weight"] = code_embeddings[j, :, 0]
    if o.phrase:
        arrays["phrase_embedding.weight"] = state["bar.weight"]
    if o.lookback_beats:
        arrays["lookback.weight"] = state["back.weight"]
        none = np.zeros((len(LOOKBACK), a.dim, levels, width), np.float32)  # if the head has no lookback input
        look = np.pad(state.get("head.look", none), ((0, 0), (0, 0), (1, 0), (0, 0)))  # row 0: no code
        arrays |= {f"head.lookback.{i}.weight": t for i, t in enumerate(look.reshape(-1, levels + 1, width))}
    return {name: np.ascontiguousarray(x, np.float32) for name, x in arrays.items()}


def measured(rows: Sequence[Mapping[str, Any]], representation: Representation) -> dict[str, Any]:
    """Return the last measurement of a training as a model's metrics."""
    last = next((row for row in reversed(rows) if "new" in row), None)
    parts = [] if last is None else [row for row in (last["old"], last["new"]) if row["hours"] > 0]
    hours = sum(row["hours"] for row in parts)
    if last is None or not hours or not math.isfinite(sum(row["all"] for row in parts)):
        return {}
    bits = sum(row["all"] * row["hours"] for row in parts) / hours
    return {
        "steps": last["step"], "minutes": last["seconds"] / 60, "audio_hours": last["read_hours"],
        "best_validation_bits_per_second": bits,
        "best_validation_bits_per_frame": bits / representation.frame_rate,
    }  # fmt: skip


def trained_on() -> dict[str, Any]:
    """Return a description of the training tracks in styles.tsv; transposed versions are counted once."""
    with STYLES.open(encoding="utf-8", newline="") as table:
        tracks = [r for r in csv.DictReader(table, delimiter="\t") if r["split"] == "train"]
    return {
        "licence": "as the packages' copyright files say; see the card", "train_tracks": len(tracks),
        "train_hours": sum(float(r["seconds"]) for r in tracks) / 3600, "content": sorted(r["content"] for r in tracks),
    }  # fmt: skip


def convert(weights: Path, tempi: Mapping[str, Sequence[float]]) -> Model:
    """Return the model of saved weights.

    Parameters
    ----------
    weights : Path
        ``NAME.pt``; the first line of ``NAME.jsonl`` next to it holds the options.
    tempi : mapping
        Genre → tempi of its tracks, in beats per minute.

    Raises
    ------
    UsageError
        If the network cannot be converted or does not match its options.
    """
    rows = [json.loads(line) for line in weights.with_suffix(".jsonl").read_text().splitlines()]
    options = options_of(rows[0]["options"])
    representation = create({"name": "fullband", "codec": "noizenet-2"}, sample_rate=44_100, channels=2)
    representation = representation.fit(())  # records the versions of the codec and the codebook
    architecture = Architecture(options, "classes", representation.levels, representation.dim, len(GENRES))
    saved = torch.load(weights, map_location="cpu", weights_only=True)
    arrays = arrays_of({k: v.float().numpy() for k, v in saved.items()}, architecture)
    shapes = expected_shapes(architecture)
    wrong = sorted(set(shapes.items()) ^ {(k, v.shape) for k, v in arrays.items()})
    if wrong:
        raise UsageError(f"{weights}: does not match its options, first at {wrong[0][0]!r}")
    if unknown := sorted(set(tempi) - set(GENRES)):
        raise UsageError(f"tempi: {unknown[0]!r} is not one of {', '.join(GENRES)}")
    record = {
        "recipe": "token-lstm", "genres": GENRES, "seed": rows[0].get("seed"),
        "metrics": measured(rows, representation), "corpus": trained_on(),
        "tempi": {g: [float(t) for t in tempi.get(g, [])] for g in GENRES},
    }  # fmt: skip
    return Model(Weights(architecture, arrays), representation, GENRES, record)


def main() -> None:
    """Run the conversion."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("weights", type=Path, help="NAME.pt")
    parser.add_argument("model", type=Path, help="the folder to write")
    parser.add_argument(
        "--tempi", type=json.loads, default={}, help="tempi of each genre's tracks in beats per minute, as JSON"
    )
    a = parser.parse_args()
    try:
        model = convert(a.weights, a.tempi)
        count = sum(x.size for x in model.weights.arrays.values())
        save(model, a.model, card.render(model.training, count), half=True)
    except NoizenetError as error:
        parser.error(str(error))
    print(f"{a.model}: {count:,} weights")


if __name__ == "__main__":
    main()
