"""Numeric precision of a training."""

from __future__ import annotations

import functools
import os

import torch

from noizenet.base.errors import UsageError
from noizenet.model import CELLS
from noizenet.model.cells.description import Cell
from noizenet.model.recurrent import RecurrentLayer
from noizenet.training.options import Config


def use_bf16(precision: str, config: Config) -> bool:
    """Return whether to train in bfloat16; "auto" chooses it for layers of 64 units or more of cells that gain by it.

    Raises
    ------
    UsageError
        If bfloat16 is requested and this processor does not support it for the cell.
    """
    m = config.model
    cell: Cell = CELLS.load(m.cell)
    if precision == "bf16" and not runs_bf16(m.cell):
        raise UsageError(
            f"training.precision: an {m.cell.upper()} does not run in bf16 on this processor; "
            "use --set training.precision=auto"
        )
    if precision != "auto":
        return precision == "bf16"
    units = min((h for _, h in m.tiers), default=m.hidden)
    return cell.bf16 and units >= 64 and m.head != "point" and has_bf16() and runs_bf16(m.cell)


def has_bf16() -> bool:
    """Return whether this processor multiplies bfloat16 natively and no environment variable disables it."""
    checks = [getattr(torch.cpu, name, None) for name in ("_is_avx512_bf16_supported", "_is_amx_tile_supported")]
    native = any(bool(check()) for check in checks if check is not None)
    allowed = (os.environ.get(f"{name}_MAX_CPU_ISA", "").upper() for name in ("ONEDNN", "DNNL"))
    capped = any(isa not in ("", "ALL", "DEFAULT") and not any(x in isa for x in _WITH_BF16) for isa in allowed)
    return native and not capped and "AVX512" in torch.backends.cpu.get_cpu_capability()


_WITH_BF16 = ("BF16", "AMX", "FP16", "AVX10")


@functools.cache
def runs_bf16(cell: str) -> bool:
    """Return whether a cell runs in bfloat16 forward and backward, found by trying.

    oneDNN's LSTM refuses it on processors without AVX-512, and no flag of torch reports that.
    """
    with torch.random.fork_rng(devices=[]), torch.enable_grad():
        layer = RecurrentLayer(cell, 16, 16)
        try:
            with torch.autocast("cpu", dtype=torch.bfloat16):
                y, _ = layer(torch.zeros(2, 4, 16), layer.zero_state(2))
            y.float().sum().backward()
        except RuntimeError:
            return False
    return True
