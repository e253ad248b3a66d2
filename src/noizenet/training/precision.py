"""Which numbers a training computes with."""

from __future__ import annotations

import functools
import os

import torch

from noizenet.base.errors import UsageError
from noizenet.training.options import Config


def use_bf16(precision: str, config: Config) -> bool:
    """Decide whether to run in bfloat16: "auto" takes it for LSTMs of 64 units or more on processors that have it.

    Raises
    ------
    UsageError
        If bfloat16 is asked for and the network's cells do not run in it here.
    """
    m = config.model
    if precision == "bf16" and not runs_bf16(m.cell):
        raise UsageError(
            f"training.precision: an {m.cell.upper()} does not run in bf16 on this processor; "
            "use --set training.precision=auto"
        )
    if precision != "auto":
        return precision == "bf16"
    units = min((h for _, h in m.tiers), default=m.hidden)
    return m.cell == "lstm" and units >= 64 and m.head != "point" and has_bf16() and runs_bf16(m.cell)


def has_bf16() -> bool:
    """Tell whether this processor multiplies bfloat16 natively, and the libraries are allowed to."""
    checks = [getattr(torch.cpu, name, None) for name in ("_is_avx512_bf16_supported", "_is_amx_tile_supported")]
    native = any(bool(check()) for check in checks if check is not None)
    allowed = (os.environ.get(f"{name}_MAX_CPU_ISA", "").upper() for name in ("ONEDNN", "DNNL"))
    capped = any(isa not in ("", "ALL", "DEFAULT") and not any(x in isa for x in _WITH_BF16) for isa in allowed)
    return native and not capped and "AVX512" in torch.backends.cpu.get_cpu_capability()


_WITH_BF16 = ("BF16", "AMX", "FP16", "AVX10")


@functools.cache
def runs_bf16(cell: str) -> bool:
    """Tell whether one step of a cell, forward and backward, runs in bfloat16, by running one of it.

    oneDNN's LSTM refuses it on processors without AVX-512, and no flag of torch says so.
    """
    with torch.random.fork_rng(devices=[]), torch.enable_grad():
        layer = getattr(torch.nn, cell.upper())(16, 16, batch_first=True)
        try:
            with torch.autocast("cpu", dtype=torch.bfloat16):
                y, _ = layer(torch.zeros(2, 4, 16))
            y.float().sum().backward()
        except RuntimeError:
            return False
    return True
