"""A token model as ONNX graphs, for other programs and other machines.

Three graphs and a description:

- ``stack.onnx``: the last frame's codes and the state → the hidden output of the layers and the next state;
- ``depth.onnx``: the hidden output, the codes of the frame so far and the genre mix → the logits of all codes. Run it
  once per code; a mix of zeros is unconditional, for guidance;
- ``decoder.onnx``, for codecs of noizenet: a window of codes → log-magnitudes and their spread.

For networks with a clock the first two also take `tick` [B], the beat phase of the next frame (1 to the clock's number
of phases; 0: none); with phrases `place` [B], the beat of the phrase (1 to 16; 0: none); with lookbacks `back`
[B, L, K], the codes of so many beats before (-1: none). The program that runs the graphs samples the codes and finds
the phases of the spectra.
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

INPUT_NAMES = {"beat_phase": "tick", "phrase_beat": "place", "lookback_codes": "back"}
"""Parameter of the modules → input of the graphs, where they differ."""


class _Stack(nn.Module):
    def __init__(self, network: TokenNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(
        self, codes: Tensor, state: Tensor, beat_phase: Tensor | None = None, phrase_beat: Tensor | None = None,
        lookback_codes: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:  # fmt: skip
        n = self.network
        h, after = n.stack.step(n.embed_inputs(codes, beat_phase, phrase_beat, lookback_codes), n.stack.queues(state))
        return h, n.stack.flat(after)


class _Depth(nn.Module):
    def __init__(self, network: TokenNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(
        self, h: Tensor, codes: Tensor, mix: Tensor, beat_phase: Tensor | None = None,
        phrase_beat: Tensor | None = None, lookback_codes: Tensor | None = None,
    ) -> Tensor:  # fmt: skip
        genre = self.network.embed_genre(mix)
        genre = genre if genre is None else genre[:, 0]
        logits: Tensor = self.network.head(h, codes, genre, beat_phase, phrase_beat, lookback_codes)
        return logits


class _Decoder(nn.Module):
    """One frame from the codes of its window."""

    def __init__(self, network: CodecNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(self, codes: Tensor) -> tuple[Tensor, Tensor]:
        s = self.network.shape
        parts = [self.network.book[k][codes[..., k]] for k in range(s.codebooks)]
        latent = torch.cat(parts, -1) if s.quantiser == "product" else torch.stack(parts).sum(0)
        log_magnitudes, spread = self.network.decode_windows(latent.flatten(1)[:, None])
        return log_magnitudes, torch.exp(spread)


def export_onnx(model: Model, folder: Path | str) -> list[Path]:
    """Write a token model's graphs and ``model.json``; return the files.

    Raises
    ------
    UsageError
        If the model is no token model, or the packages onnx and onnxscript are not installed.
    """
    network = model.network
    if not isinstance(network, TokenNetwork):
        raise UsageError("only token models can be exported; train one with --model token-lstm")
    try:
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise UsageError("export needs the packages onnx and onnxscript: pip install 'noizenet[onnx]'") from error
    check_own_folder(Path(folder), "exported model", ["stack.onnx"])
    folder, a = make_folder(Path(folder)), model.architecture
    state, codes = network.start_state(1).detach(), torch.zeros(1, a.dim, dtype=torch.int64)
    mix = torch.full((1, max(1, a.genres)), 1 / max(1, a.genres))
    o, one = a.options, torch.ones(1, dtype=torch.int64)
    beat = {"beat_phase": one} if o.clock else {}
    beat |= {"phrase_beat": one} if o.phrase else {}
    beat |= (
        {"lookback_codes": torch.zeros(1, len(o.lookback_beats), a.dim, dtype=torch.int64)} if o.lookback_beats else {}
    )
    inputs = {"codes": codes, "state": state, **beat}
    files = [_write(_Stack(network), inputs, ["h", "state_after"], folder / "stack.onnx")]
    inputs = {"h": torch.zeros(1, o.hidden), "codes": codes, "mix": mix, **beat}
    files.append(_write(_Depth(network), inputs, ["logits"], folder / "depth.onnx"))
    description: dict[str, Any] = {
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
        description["decoder"] = {"past": shape.decoder_past, "ahead": shape.decoder_ahead, "n_fft": shape.n_fft,
                            "hop": shape.hop, "spectra": shape.spectra, "floor": shape.floor}  # fmt: skip
    write_text(folder / "model.json", json.dumps(description, indent=1))
    return [*files, folder / "model.json"]


def _write(module: nn.Module, inputs: dict[str, Tensor], outputs: list[str], path: Path) -> Path:
    """Export with a batch of any size."""
    batch = torch.export.Dim("batch")
    twice = {k: torch.cat([x, x]) for k, x in inputs.items()}  # a batch of one would be exported as a constant
    with torch.inference_mode(), atomic_path(path) as part, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the exporter, about internals of torch
        program = torch.onnx.export(
            module.eval(), (), kwargs=twice, input_names=[INPUT_NAMES.get(k, k) for k in inputs],
            output_names=outputs, verbose=False, dynamic_shapes={k: {0: batch} for k in inputs}, dynamo=True,
        )  # fmt: skip
        assert program is not None
        program.save(str(part), external_data=False)
    return path
