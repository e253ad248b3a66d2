"""A token model as ONNX graphs, for other programs and other machines.

Three graphs and a description: ``stack.onnx`` (the last frame's codes and the state → what the layers say, the state
after), ``depth.onnx`` (what they say, the codes of the frame so far and the genre mix → the logits of all codes: run it
once a code; a mix of zeros is any genre, for guidance). Of a network with a clock both also take `tick` [B], where in a
beat the frame to come is (1 to the clock's number of phases, or 0 to tell nothing), and where it has been trained so
`place` [B], in which beat of a phrase (1 to 16, or 0), and `lookback_codes` [B, L, K], the codes of so many beats
before (-1: none). Where the codec is ours there is also ``decoder.onnx`` (codes in a window → log-magnitudes and their
spread). Sampling and phases are left to the program.
"""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from noizenet.base.errors import UsageError
from noizenet.base.files import atomic_path, check_own_folder, make_folder, write_text
from noizenet.model.tokens import TokenNetwork
from noizenet.representation.codec import CodecTokens
from noizenet.store.model import Model
from noizenet.training.codec import CodecNetwork


class _Stack(nn.Module):
    def __init__(self, network: TokenNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(
        self, codes: Tensor, state: Tensor, tick: Tensor | None = None, place: Tensor | None = None,
        lookback_codes: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:  # fmt: skip
        n = self.network
        h, after = n.stack.step(n.embed_inputs(codes, tick, place, lookback_codes), n.stack.queues(state))
        return h, n.stack.flat(after)


class _Depth(nn.Module):
    def __init__(self, network: TokenNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(
        self, h: Tensor, codes: Tensor, mix: Tensor, tick: Tensor | None = None, place: Tensor | None = None,
        lookback_codes: Tensor | None = None,
    ) -> Tensor:  # fmt: skip
        told = self.network.embed_genre(mix)
        logits: Tensor = self.network.head(h, codes, told if told is None else told[:, 0], tick, place, lookback_codes)
        return logits


class _Decoder(nn.Module):
    """One frame from the codes around it."""

    def __init__(self, network: CodecNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(self, codes: Tensor) -> tuple[Tensor, Tensor]:
        s = self.network.shape
        parts = [self.network.book[k][codes[..., k]] for k in range(s.codebooks)]
        latent = torch.cat(parts, -1) if s.quantiser == "product" else torch.stack(parts).sum(0)
        middle, spread = self.network.say(latent.flatten(1)[:, None])
        return middle, torch.exp(spread)


def export_onnx(model: Model, folder: Path | str) -> list[Path]:
    """Write a token model's graphs and ``model.json``; return the files.

    Raises
    ------
    UsageError
        If the model has no codes, or the package onnx is not installed.
    """
    network = model.network
    if not isinstance(network, TokenNetwork):
        raise UsageError("only models over codes are exported: train one with --model token-lstm")
    try:
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise UsageError("exporting needs the packages onnx and onnxscript: pip install 'noizenet[onnx]'") from error
    check_own_folder(Path(folder), "exported model", ["stack.onnx"])
    folder, a = make_folder(Path(folder)), model.architecture
    state, codes = network.start_state(1).detach(), torch.zeros(1, a.dim, dtype=torch.int64)
    mix = torch.full((1, max(1, a.genres)), 1 / max(1, a.genres))
    o, one = a.options, torch.ones(1, dtype=torch.int64)
    beat = {"tick": one} if o.clock else {}
    beat |= {"place": one} if o.phrase else {}
    beat |= {"back": torch.zeros(1, len(o.lookback_beats), a.dim, dtype=torch.int64)} if o.lookback_beats else {}
    inputs = {"codes": codes, "state": state, **beat}
    files = [_write(_Stack(network), inputs, ["h", "state_after"], folder / "stack.onnx")]
    inputs = {"h": torch.zeros(1, o.hidden), "codes": codes, "mix": mix, **beat}
    files.append(_write(_Depth(network), inputs, ["logits"], folder / "depth.onnx"))
    about: dict[str, Any] = {
        "genres": model.genres, "codebooks": a.dim, "levels": a.levels, "start_state": state[0].tolist(),
        "clock": o.clock, "phrase": o.phrase, "lookback_beats": list(o.lookback_beats),
        "first_codes": model.representation.silence()[0].tolist(),
        "representation": model.representation.to_dict(),
    }  # fmt: skip
    if isinstance(model.representation, CodecTokens):
        shape = model.representation.weights.shape
        decoder = CodecNetwork.of(model.representation.weights)
        window = torch.zeros(1, shape.decoder_past + 1 + shape.decoder_ahead, shape.codebooks, dtype=torch.int64)
        outputs = ["log_magnitudes", "spread"]
        files.append(_write(_Decoder(decoder), {"codes": window}, outputs, folder / "decoder.onnx"))
        about["decoder"] = {"past": shape.decoder_past, "ahead": shape.decoder_ahead, "n_fft": shape.n_fft,
                            "hop": shape.hop, "spectra": shape.spectra, "floor": shape.floor}  # fmt: skip
    write_text(folder / "model.json", json.dumps(about, indent=1))
    return [*files, folder / "model.json"]


def _write(module: nn.Module, inputs: dict[str, Tensor], outputs: list[str], path: Path) -> Path:
    """Export with a batch of any size."""
    batch = torch.export.Dim("batch")
    twice = {k: torch.cat([x, x]) for k, x in inputs.items()}  # a batch of one would be taken for a constant
    with torch.inference_mode(), atomic_path(path) as part, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter's own, about torch's insides
        program = torch.onnx.export(
            module.eval(), (), kwargs=twice, input_names=list(inputs), output_names=outputs, verbose=False,
            dynamic_shapes={k: {0: batch} for k in inputs}, dynamo=True,
        )  # fmt: skip
        assert program is not None
        program.save(str(part), external_data=False)
    return path
