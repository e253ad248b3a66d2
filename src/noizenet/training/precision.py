"""Which numbers a training computes with."""

from __future__ import annotations

import torch

from noizenet.training.options import Config


def use_bf16(precision: str, config: Config) -> bool:
    """Decide whether to run in bfloat16: "auto" takes it for LSTMs of 64 units or more on processors that have it."""
    if precision != "auto":
        return precision == "bf16"
    m = config.model
    units = min((h for _, h in m.tiers), default=m.hidden)
    return m.cell == "lstm" and units >= 64 and m.head != "point" and has_bf16()


def has_bf16() -> bool:
    """Tell whether this processor multiplies bfloat16 natively."""
    checks = [getattr(torch.cpu, name, None) for name in ("_is_avx512_bf16_supported", "_is_amx_tile_supported")]
    return any(bool(check()) for check in checks if check is not None)
