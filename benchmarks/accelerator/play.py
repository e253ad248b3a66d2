"""Generate codes with a trained network on the training device, many streams as one batch."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from data import Data
from network import BOOKS, LOOKBACK, PHASES, POSITIONS, Network
from torch import Tensor


@torch.no_grad()
def play(
    network: Network, data: Data, genres: list[int], frames: int, seed: int, way: str
) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Generate one stream for each of `genres`, at the tempo of one of the genre's training pieces.

    Parameters
    ----------
    network : Network
    data : Data
    genres : list of int
    frames : int
    seed : int
    way : str
        ``temperature:guidance:pulse:min-p``; guidance and pulse are the scales of genre and beat guidance.

    Returns
    -------
    codes : ndarray, uint8 [S, frames, K]
    pace : ndarray [S]
        Frames per beat; 0 without a beat.
    """
    temperature, guidance, pulse, least = map(float, way.split(":"))
    network.eval()
    device, streams = data.device, len(genres)
    rng = np.random.default_rng(seed)
    torch.manual_seed(seed)
    paces = data.paces()
    picked = [paces[g][int(rng.integers(len(paces[g])))] for g in genres]
    pace = torch.tensor([p for p, _ in picked], device=device)
    current = data.codes[torch.tensor([start for _, start in picked], device=device)].long()
    mix = F.one_hot(torch.tensor(genres, device=device), data.genres).float()
    state = network.start.detach()[None].expand(streams, -1)
    out = torch.zeros(streams, frames, BOOKS, dtype=torch.long, device=device)
    clocked, rows = pace > 0, torch.arange(streams, device=device)
    with torch.autocast(device, dtype=torch.bfloat16, enabled=device == "cuda"):
        for t in range(frames):
            beat = torch.where(clocked, (t + 0.5) / pace.clamp(min=1e-3), torch.zeros_like(pace))
            tick = torch.where(clocked, 1 + (beat % 1 * PHASES).long(), 0)[:, None]
            place = torch.where(clocked, 1 + beat.long() % POSITIONS, 0)[:, None]
            back = torch.full((streams, 1, len(LOOKBACK), BOOKS), -1, device=device)
            for i, beats in enumerate(LOOKBACK if network.o["lookback"] else ()):
                ago = t - (beats * pace).round().long()
                there = (clocked & (ago >= 0))[:, None]
                back[:, 0, i] = torch.where(there, out[rows, ago.clamp(min=0)], back[:, 0, i])
            h, state = network.hidden(current[:, None], tick, place, back, state)
            current = _frame(network, h, mix, tick, place, back, clocked, (temperature, guidance, pulse, least))
            out[:, t] = current
    network.train()
    return out.cpu().numpy().astype(np.uint8), pace.cpu().numpy()


def _frame(
    network: Network, h: Tensor, mix: Tensor, tick: Tensor, place: Tensor, back: Tensor, clocked: Tensor,
    way: tuple[float, float, float, float],
) -> Tensor:  # fmt: skip
    """Draw the codes [S, K] of one frame, with logits conditioned, without genre, and without beat in one batch."""
    temperature, guidance, pulse, least = way
    streams, none, no_tick = len(h), torch.zeros_like(mix), torch.zeros_like(tick)
    h3, mix3 = torch.cat([h, h, h]), torch.cat([mix, none, mix])
    tick3, place3 = torch.cat([tick, tick, no_tick]), torch.cat([place, place, no_tick])
    back3, codes = back.repeat(3, 1, 1, 1), torch.full((streams, 1, BOOKS), -1, device=h.device)
    for k in range(BOOKS):
        logits3 = network.head(h3, codes.repeat(3, 1, 1), mix3, tick3, place3, back3)[:, 0, k].float()
        conditional, without_genre, without_beat = logits3.split(streams)
        logits = (
            conditional
            + guidance * (conditional - without_genre)
            + pulse * (conditional - without_beat) * clocked[:, None]
        )
        p = torch.softmax(logits / temperature, -1)
        p = torch.where(p < least * p.amax(-1, keepdim=True), torch.zeros_like(p), p)
        codes[:, 0, k] = torch.multinomial(p, 1)[:, 0]
    return codes[:, 0]
