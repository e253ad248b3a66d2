"""Train a network over frames of codes on one device, with all data in its memory.

    python train.py DATA OUT --name NAME --seconds S --set key=value …

Every line of OUT/NAME.jsonl is a measurement; OUT/NAME.pt (with --save) holds the averaged weights as float16.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from data import VALIDATION, Data, Inputs, Rows, corrupt
from network import BOOKS, DEFAULT, RATE, VALUES, Network, Options
from play import play
from torch import Tensor, nn

MAX_FRAMES = 6000
"""Frames read of each held-out track."""


@torch.no_grad()
def validate(network: Network, data: Data, *, old: bool) -> dict[str, Any]:
    """Return bits per second of the held-out tracks of the first generation (or the others), with genre and beat."""
    network.eval()
    pieces = [p for p in data.pieces if p.split == VALIDATION and not p.shift and p.old == old]
    device, window = data.device, 512
    starts = torch.tensor([p.start for p in pieces], device=device)
    frames = torch.tensor([min(MAX_FRAMES, p.frames - 1) for p in pieces], device=device)
    genre = torch.tensor([p.genre for p in pieces], device=device)
    mix = F.one_hot(genre, data.genres).float()
    state = network.start[None].expand(len(pieces), -1)
    total_loss, count = torch.zeros(len(pieces), BOOKS, device=device), torch.zeros(len(pieces), device=device)
    for at in range(0, int(frames.max()), window):
        width = min(window, int(frames.max()) - at)
        index = starts[:, None] + at + torch.arange(width + 1, device=device)[None]
        inputs = data.gather(index.clamp(max=len(data.codes) - 1))
        with autocast(device):
            codes_in, targets = inputs.codes[:, :-1], inputs.codes[:, 1:]
            logits, state = network(codes_in, inputs.ticks, inputs.places, inputs.back, mix, state, targets)
        losses = F.cross_entropy(logits.float().flatten(0, 2), targets.flatten(), reduction="none")
        valid = at + torch.arange(width, device=device)[None] < frames[:, None]
        total_loss += (losses.view(len(pieces), width, BOOKS) * valid[..., None]).sum(1)
        count += valid.sum(1)
    network.train()
    bits = total_loss / math.log(2) * RATE
    each = bits.sum(0) / count.sum()
    genres = {int(g): round(float(bits[genre == g][:, :8].sum() / count[genre == g].sum()), 1) for g in genre.unique()}
    return {
        "first8": float(each[:8].sum()), "all": float(each.sum()), "codes": [round(float(x), 2) for x in each],
        "genres": genres, "hours": round(float(count.sum()) / RATE / 3600, 3),
    }  # fmt: skip


def autocast(device: str) -> Any:
    """Return an autocast context: bfloat16 on an accelerator."""
    return torch.autocast(device, dtype=torch.bfloat16, enabled=device == "cuda")


def sampled_inputs(
    network: Network, codes_in: Tensor, inputs: Inputs, mix: Tensor, before: Tensor, share: float
) -> Tensor:
    """Return inputs in which a share of the frames is sampled from the network (parallel scheduled sampling)."""
    targets = inputs.codes[:, 1:]
    with torch.no_grad(), autocast(str(codes_in.device.type)):
        predicted, _ = network(codes_in, inputs.ticks, inputs.places, inputs.back, mix, before, targets)
        drawn = torch.empty_like(targets)
        for k in range(BOOKS):
            one = predicted[:, :, k].float()
            drawn[:, :, k] = (one - torch.empty_like(one).exponential_().log()).argmax(-1)
    rows, frames = codes_in.shape[0], codes_in.shape[1] - 1
    chosen = torch.rand(rows, frames, 1, device=codes_in.device) < share * torch.rand(
        rows, 1, 1, device=codes_in.device
    )
    return torch.cat([codes_in[:, :1], torch.where(chosen, drawn[:, :-1], codes_in[:, 1:])], 1)


class Training:
    """A network, its optimizer and the moving average of its weights."""

    def __init__(self, data: Data, o: Options, seed: int) -> None:
        self.data, self.o = data, o
        self.rows = Rows(data, o, seed)
        self.network = Network(o, data.genres).to(data.device)
        self.mean = {k: v.detach().clone() for k, v in self.network.state_dict().items()}
        wide = [p for p in self.network.parameters() if p.ndim > 1]
        flat = [p for p in self.network.parameters() if p.ndim <= 1]
        groups = [{"params": wide, "weight_decay": o["wd"]}, {"params": flat, "weight_decay": 0.0}]
        betas = (0.9, o["beta2"])
        self.optimizer = torch.optim.AdamW(groups, lr=o["lr"], betas=betas, fused=data.device == "cuda")
        self.state = self.network.start.detach()[None].expand(o["batch"], -1).clone()
        self.steps = 0

    @property
    def weights(self) -> int:
        """Number of weights in use; embeddings for codes that do not come later are masked."""
        unused = 0 if self.o["share"] else VALUES * self.o["depth_width"] * BOOKS * (BOOKS + 1) // 2
        return sum(p.numel() for p in self.network.parameters()) - unused

    def step(self, done: float) -> Tensor:
        """Train on one window of every row, after the share `done` of the budget; return the loss in nats per frame."""
        o, network, device = self.o, self.network, self.data.device
        rate = o["lr"] * min(1.0, (self.steps + 1) / o["warmup"])
        for group in self.optimizer.param_groups:
            group["lr"] = rate * (0.02 + 0.49 * (1 + math.cos(math.pi * min(1.0, done))))
        inputs, genres, fresh = self.rows.next()
        rows = len(genres)
        codes_in = corrupt(inputs.codes[:, :-1], o["noise"])
        back = inputs.back
        if o["lookback"]:
            dropped = torch.rand(rows, 1, 1, 1, device=device) < o["look_dropout"]
            back = torch.where(dropped, torch.full_like(back, -1), corrupt(back, o["noise"]))
        mix = F.one_hot(genres, self.data.genres).float()
        mix = mix * (torch.rand(rows, 1, device=device) >= o["genre_dropout"])
        timed = (torch.rand(rows, 1, device=device) >= o["clock_dropout"]).long()
        inputs = inputs._replace(ticks=inputs.ticks * timed, places=inputs.places * timed, back=back)
        before = torch.where(fresh[:, None], network.start[None].expand_as(self.state), self.state)
        if o["own"]:
            codes_in = sampled_inputs(network, codes_in, inputs, mix, before, o["own"])
        with autocast(device):
            logits, after = network(codes_in, inputs.ticks, inputs.places, back, mix, before, inputs.codes[:, 1:])
        loss = F.cross_entropy(logits.float().flatten(0, 2), inputs.codes[:, 1:].flatten()) * BOOKS
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(network.parameters(), o["clip"])
        self.optimizer.step()
        self.state = after.detach()
        with torch.no_grad():
            now = network.state_dict()
            share = 1 - min(o["ema"], (1 + self.steps) / (10 + self.steps))
            torch._foreach_lerp_(list(self.mean.values()), [now[k] for k in self.mean], share)
        self.steps += 1
        return loss.detach()

    def measured(self) -> dict[str, Any]:
        """Return the validation of the averaged weights."""
        current = {k: v.clone() for k, v in self.network.state_dict().items()}
        self.network.load_state_dict(self.mean)
        row = {"old": validate(self.network, self.data, old=True), "new": validate(self.network, self.data, old=False)}
        self.network.load_state_dict(current)
        return row


def main() -> None:
    """Run the training."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--name", default="network")
    parser.add_argument("--seconds", type=float, default=60, help="length of the run, including loading")
    parser.add_argument("--steps", type=int, default=0, help="number of steps, instead of --seconds")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--every", type=float, default=60, help="seconds between measurements")
    parser.add_argument("--save", action="store_true")
    parser.add_argument("--play", default="", help="streams per genre,seconds,temperature:guidance:pulse:min-p/…")
    parser.add_argument("--set", nargs="*", default=[])
    a = parser.parse_args()
    o = dict(DEFAULT)
    for key, value in (pair.split("=", 1) for pair in a.set):
        o[key] = type(DEFAULT[key])(value)
    started, device = time.time(), "cuda" if torch.cuda.is_available() else "cpu"
    torch.manual_seed(a.seed)
    torch.backends.cuda.matmul.allow_tf32 = True
    training = Training(Data(a.data, device, o["shifts"]), o, a.seed)
    a.out.mkdir(parents=True, exist_ok=True)

    def log_line(**values: Any) -> None:
        line = json.dumps({"name": a.name, **values})
        with (a.out / f"{a.name}.jsonl").open("a") as log:
            log.write(line + "\n")
        print(line, flush=True)

    def done() -> float:
        return training.steps / a.steps if a.steps else (time.time() - started) / a.seconds

    rows = training.rows
    where = torch.cuda.get_device_name() if device == "cuda" else "cpu"
    log_line(
        weights=training.weights, frames=rows.frames, hours=round(rows.frames / RATE / 3600, 2), options=o,
        seed=a.seed, torch=torch.__version__, device=where, loaded=round(time.time() - started, 1),
    )  # fmt: skip
    shown, first, total, count = time.time(), time.time(), torch.zeros((), device=device), 0
    while done() < 1:
        total += training.step(done())
        count += 1
        if time.time() - shown > a.every or done() >= 1:
            shown = time.time()
            loss = float(total) / count / math.log(2) * RATE
            total.zero_()
            count = 0
            log_line(
                seconds=round(time.time() - started, 1), step=training.steps, loss=loss,
                read_hours=round(rows.read / RATE / 3600, 1), passes=round(rows.read / rows.frames, 2),
                **training.measured(),
            )  # fmt: skip
            if a.save:
                torch.save({k: v.half() for k, v in training.mean.items()}, a.out / f"{a.name}.new")
                (a.out / f"{a.name}.new").replace(a.out / f"{a.name}.pt")
    rate = round(rows.read / (time.time() - first))
    if a.play:
        training.network.load_state_dict(training.mean)
        streams, seconds, ways = a.play.split(",")
        genres = [g for g in range(training.data.genres) for _ in range(int(streams))]
        for way in ways.split("/"):
            codes, pace = play(training.network, training.data, genres, int(float(seconds) * RATE), a.seed, way)
            path = a.out / f"{a.name}.{way.replace(':', '_')}.npz"
            np.savez_compressed(path, codes=codes, pace=pace, genres=np.array(genres))
    peak = round(torch.cuda.max_memory_allocated() / 2**30, 2) if device == "cuda" else 0
    log_line(
        finished=True,
        step=training.steps,
        seconds=round(time.time() - started, 1),
        frames_per_second=rate,
        peak_gb=peak,
    )


if __name__ == "__main__":
    main()
