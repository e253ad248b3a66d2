"""Networks over frames of codes, for the comparison of cells and of conditioning inputs (see train.py)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

BOOKS, VALUES, RATE = 10, 256, 22050 / 1024
"""Codes per frame, values per code, frames per second."""
PHASES, POSITIONS = 32, 16
"""Beat phases, and beats in a phrase."""
LOOKBACK = (4.0, 8.0, 16.0)
"""Distances in beats of the lookback codes, which are inputs as the events of one and two bars ago are in Magenta's
Lookback RNN (E. Waite, 2016)."""

Options = Mapping[str, Any]
DEFAULT: dict[str, Any] = {
    "stack": "lstm,lstm", "hidden": 640, "embedding": 256, "norm": 0, "dropout": 0.2, "head": "sum", "depth_width": 256,
    "genre": 32, "bar": 0, "lookback": 0, "batch": 96, "window": 256, "segment": 4, "lr": 2e-3, "wd": 0.01,
    "warmup": 200, "clip": 1.0, "noise": 0.15, "genre_dropout": 0.15, "clock_dropout": 0.15, "look_dropout": 0.3,
    "balance": 0.5, "ema": 0.999, "shifts": 9, "heads": 4, "dk": 64, "dv": 128, "ffn": 2.0, "train": "all",
    "beta2": 0.99, "share": 0, "own": 0.0,
}  # fmt: skip


def onehot(codes: Tensor, dtype: torch.dtype) -> Tensor:
    """Return the one-hot encoding [..., K · V] of codes [..., K]; a code of -1 gives zeros."""
    out = torch.zeros(*codes.shape, VALUES, device=codes.device, dtype=dtype)
    out.scatter_(-1, codes.clamp(min=0)[..., None], (codes >= 0)[..., None].to(dtype))
    return out.flatten(-2)


class Lstm(nn.Module):
    """Long short-term memory (S. Hochreiter, J. Schmidhuber, 1997); the state [B, 2 · H] holds h and c."""

    def __init__(self, inputs: int, o: Options) -> None:
        super().__init__()
        self.h = o["hidden"]
        self.kernel = nn.LSTM(inputs, self.h, batch_first=True)
        self.size = 2 * self.h

    def forward(self, x: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """Map [B, T, I] and a state to [B, T, H] and the new state."""
        h, c = (s[None].contiguous().to(x.dtype) for s in state.split(self.h, 1))
        y, (h, c) = self.kernel(x, (h, c))
        return y, torch.cat([h[0], c[0]], 1).float()


class Mlstm(nn.Module):
    """A matrix memory per head: C ← f C + i v kᵀ, y = C q, with sigmoid gates, in chunks of 64 frames.

    The mLSTM of M. Beck et al., "xLSTM: Extended long short-term memory", NeurIPS 2024, with the sigmoid input gate of
    "Tiled flash linear attention" (2025), which needs neither a normaliser nor a stabiliser.
    """

    chunk = 64

    def __init__(self, inputs: int, o: Options) -> None:
        super().__init__()
        self.n, self.dk, self.dv = o["heads"], o["dk"], o["dv"]
        self.qk = nn.Linear(inputs, 2 * self.n * self.dk, bias=False)
        self.v = nn.Linear(inputs, self.n * self.dv, bias=False)
        self.gates = nn.Linear(inputs, 2 * self.n)
        self.o = nn.Linear(inputs, self.n * self.dv)
        self.norm = nn.GroupNorm(self.n, self.n * self.dv)
        self.out = nn.Linear(self.n * self.dv, o["hidden"], bias=False)
        with torch.no_grad():  # memory lengths from a few to some hundred frames
            self.gates.weight.mul_(0.3)
            self.gates.bias[: self.n] = -2.0
            self.gates.bias[self.n :] = torch.linspace(2.0, 6.5, self.n)
        self.size = self.n * self.dk * self.dv

    def forward(self, x: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """Map [B, T, I] and a state [B, heads · dv · dk] to [B, T, H] and the new state."""
        rows, frames, _ = x.shape
        n, size = self.n, self.chunk
        pad = -frames % size
        q, k = self.qk(x).view(rows, frames, 2, n, self.dk).unbind(2)
        v = self.v(x).view(rows, frames, n, self.dv)
        i, f = self.gates(x).float().view(rows, frames, 2, n).unbind(2)
        log_i, log_f = F.logsigmoid(i), F.logsigmoid(f)
        if pad:
            q, k, v = (F.pad(z, (0, 0, 0, 0, 0, pad)) for z in (q, k, v))
            log_i, log_f = F.pad(log_i, (0, 0, 0, pad), value=-60.0), F.pad(log_f, (0, 0, 0, pad))
        chunks = (frames + pad) // size
        q, k, v = (z.view(rows, chunks, size, n, -1).permute(1, 0, 3, 2, 4) for z in (q, k, v))  # chunk B head t d
        q = q * self.dk**-0.5
        log_i, log_f = (z.view(rows, chunks, size, n).permute(1, 0, 3, 2) for z in (log_i, log_f))
        since = log_f.cumsum(-1)
        past = torch.ones(size, size, device=x.device, dtype=torch.bool).tril()
        never = torch.full((), -80.0, device=x.device)
        decay = torch.where(past, since[..., :, None] - since[..., None, :] + log_i[..., None, :], never).exp()
        within = ((q @ k.transpose(-1, -2)).float() * decay).to(v.dtype) @ v
        left = (since[..., -1:] - since + log_i).exp()  # decay of each frame until the end of its chunk
        added = (v.transpose(-1, -2) @ (k * left[..., None].to(k.dtype))).float()  # chunk B head dv dk
        memory, before = state.view(rows, n, self.dv, self.dk), []
        kept = since[..., -1].exp()
        for s in range(chunks):
            before.append(memory)
            memory = kept[s][..., None, None] * memory + added[s]
        recalled = torch.stack(before).to(q.dtype).transpose(-1, -2)
        y = within + (q * since.exp()[..., None].to(q.dtype)) @ recalled
        y = y.permute(1, 0, 3, 2, 4).reshape(rows, frames + pad, n * self.dv)[:, :frames]
        y = self.norm(y.reshape(rows * frames, -1).float()).view(rows, frames, -1).to(x.dtype)
        return self.out(y * torch.sigmoid(self.o(x))), memory.reshape(rows, -1)


class MinGru(nn.Module):
    """h ← (1 - z) h + z g(x), gates depend only on the input (L. Feng et al., "Were RNNs all we needed?", 2024)."""

    def __init__(self, inputs: int, o: Options) -> None:
        super().__init__()
        self.size = o["hidden"]
        self.lin = nn.Linear(inputs, 3 * self.size)

    def forward(self, x: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """Map [B, T, I] and a state [B, H] to [B, T, H] and the new state, in log T steps."""
        z, g, u = self.lin(x).float().chunk(3, -1)
        z = torch.sigmoid(z)
        a, b = 1 - z, z * torch.where(g >= 0, g + 0.5, torch.sigmoid(g))
        reach = 1
        while reach < x.shape[1]:
            pa, pb = (
                F.pad(a[:, :-reach], (0, 0, reach, 0), value=1.0),
                F.pad(b[:, :-reach], (0, 0, reach, 0)),
            )
            b, a = b + a * pb, a * pa
            reach *= 2
        h = b + a * state[:, None]
        return (h * F.silu(u)).to(x.dtype), h[:, -1]


CELLS = {"lstm": Lstm, "mlstm": Mlstm, "mingru": MinGru}


class Layer(nn.Module):
    """A cell with a norm and a residual connection, and, for kinds that end in "+", a gated feed-forward network."""

    def __init__(self, kind: str, inputs: int, o: Options) -> None:
        super().__init__()
        kind, self.feed = kind.removesuffix("+"), kind.endswith("+")
        hidden = o["hidden"]
        self.residual = inputs == hidden
        self.norm = nn.LayerNorm(inputs) if o["norm"] or kind != "lstm" else nn.Identity()
        self.cell = CELLS[kind](inputs, o)
        self.drop = nn.Dropout(o["dropout"])
        if self.feed:
            width = int(hidden * o["ffn"])
            self.n2, self.up, self.down = nn.LayerNorm(hidden), nn.Linear(hidden, 2 * width), nn.Linear(width, hidden)

    def forward(self, x: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """Map [B, T, I] and a state to [B, T, H] and the new state."""
        y, state = self.cell(self.drop(self.norm(x)), state)
        y = x + y if self.residual else y
        if self.feed:
            a, b = self.up(self.n2(y)).chunk(2, -1)
            y = y + self.down(self.drop(F.silu(a) * b))
        return y, state


class Head(nn.Module):
    """K distributions over V values, each conditioned on the previous codes of the frame.

    `head` is ``sum`` (one layer per code), ``mlp`` (one more gated layer) or ``gru`` (a recurrent layer over the
    codes). With `share`, a code has one embedding for all later codes. With a `lookback` of 2 the lookback codes are
    also inputs of the head. Attribute names are keys of saved weights: `say` is the input projection, `given` the
    embeddings of previous codes, `colour` the genre projection, `beat` and `bar` embeddings of phase and position.
    """

    mask: Tensor

    def __init__(self, o: Options, genres: int) -> None:
        super().__init__()
        hidden, d, self.kind, self.share = o["hidden"], o["depth_width"], o["head"], o["share"]
        self.width = d
        self.genre = nn.Embedding(genres, o["genre"])
        self.colour = nn.Linear(o["genre"], BOOKS * d, bias=False)
        self.beat = silent(PHASES + 1, BOOKS * d)
        self.bar = silent(POSITIONS + 1, BOOKS * d) if o["bar"] else None
        self.out = nn.Parameter(torch.randn(BOOKS, d, VALUES) * d**-0.5)
        self.bias = nn.Parameter(torch.zeros(BOOKS, VALUES))
        self.say = nn.Linear(hidden, BOOKS * d)
        self.look = nn.Parameter(torch.zeros(len(LOOKBACK), BOOKS, VALUES, d)) if o["lookback"] > 1 else None
        to, scale = (1, 0.05) if self.share else (BOOKS, 0.02)
        self.given = nn.Parameter(torch.randn(BOOKS * VALUES, to, d) * scale)
        mask = (torch.arange(BOOKS)[:, None] < torch.arange(BOOKS)[None]).float()  # a code depends on those before it
        self.register_buffer("mask", mask.repeat_interleave(VALUES, 0)[:, :, None], persistent=False)
        if self.kind == "mlp":
            self.n = nn.Parameter(torch.ones(BOOKS, d))
            self.up = nn.Parameter(torch.randn(BOOKS, d, 2 * d) * d**-0.5)
            self.down = nn.Parameter(torch.randn(BOOKS, d, d) * d**-0.5 * 0.3)
        if self.kind == "gru":
            self.rec = nn.Linear(d, 3 * d)

    def forward(self, h: Tensor, codes: Tensor, mix: Tensor, ticks: Tensor, places: Tensor, back: Tensor) -> Tensor:
        """Return logits [B, T, K, V] from h [B, T, H], the frame's codes [B, T, K] and the conditioning inputs."""
        shape = h.shape[:2]
        x: Tensor = self.say(h) + self.colour(mix @ self.genre.weight)[:, None] + self.beat(ticks)
        if self.bar is not None:
            x = x + self.bar(places)
        x = x.view(*shape, BOOKS, self.width)
        if self.share:
            table = self.given.view(BOOKS, VALUES, self.width).to(h.dtype)
            layer_state = [F.embedding(codes[..., k].clamp(min=0), table[k]) for k in range(BOOKS - 1)]
            x = torch.cat([x[..., :1, :], x[..., 1:, :] + torch.stack(layer_state, -2).cumsum(-2)], -2)
        else:
            given = (self.given * self.mask).flatten(1).to(h.dtype)
            x = x + (onehot(codes, h.dtype) @ given).view(*shape, BOOKS, self.width)
        if self.look is not None:
            hot = onehot(back[..., None], h.dtype)  # B T lookbacks K V
            x = x + torch.einsum("btlkv,lkvd->btkd", hot, self.look.to(h.dtype))
        return torch.einsum("btkd,kdv->btkv", self.deep(x), self.out.to(x.dtype)) + self.bias

    def deep(self, x: Tensor) -> Tensor:
        """Return the hidden layer of the head, [B, T, K, D]."""
        if self.kind == "sum":
            return torch.relu(x)
        if self.kind == "mlp":
            n = F.rms_norm(x.float(), (self.width,)).to(x.dtype) * self.n
            a, b = torch.einsum("btkd,kde->btke", n, self.up).chunk(2, -1)
            return torch.relu(x + torch.einsum("btkd,kde->btke", F.silu(a) * b, self.down))
        s = torch.tanh(x[..., 0, :])
        outs = [s]
        for k in range(1, BOOKS):
            r, z, c = self.rec(s).chunk(3, -1)
            c = torch.tanh(x[..., k, :] + torch.sigmoid(r) * c)
            s = c + torch.sigmoid(z) * (s - c)
            outs.append(s)
        return torch.stack(outs, -2)


def silent(count: int, size: int) -> nn.Embedding:
    """Return a zero-initialised embedding whose row 0 stays zero."""
    table = nn.Embedding(count, size, padding_idx=0)
    nn.init.zeros_(table.weight)
    return table


class Network(nn.Module):
    """Maps codes to distributions of the next frame's codes."""

    def __init__(self, o: Options, genres: int) -> None:
        super().__init__()
        self.o, width = o, o["embedding"]
        self.codes = nn.Parameter(torch.randn(BOOKS * VALUES, width) * BOOKS**-0.5)
        self.clock = silent(PHASES + 1, width)
        self.bar = silent(POSITIONS + 1, width) if o["bar"] else None
        self.back = nn.Linear(len(LOOKBACK) * width, width, bias=False) if o["lookback"] else None
        kinds = o["stack"].split(",")
        first = kinds[0] != "lstm"
        self.enter = nn.Linear(width, o["hidden"]) if first else nn.Identity()
        sizes = [o["hidden"] if first else width] + [o["hidden"]] * (len(kinds) - 1)
        self.layers = nn.ModuleList(Layer(k, s, o) for k, s in zip(kinds, sizes, strict=True))
        self.sizes = [layer.cell.size for layer in self.layers]  # type: ignore[union-attr, misc]
        self.start = nn.Parameter(torch.zeros(sum(self.sizes)))
        self.drop = nn.Dropout(o["dropout"])
        self.last = nn.LayerNorm(o["hidden"]) if o["norm"] or kinds[-1] != "lstm" else nn.Identity()
        self.head = Head(o, genres)

    def hidden(
        self, codes: Tensor, ticks: Tensor, places: Tensor, back: Tensor, state: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Return the output of the stack [B, T, H] and its new state [B, S].

        `codes` [B, T, K] are the inputs; `ticks`, `places` [B, T] and `back` [B, T, lookbacks, K] describe the next
        frame.
        """
        kind = torch.bfloat16 if codes.is_cuda else torch.float32
        table = self.codes.to(kind)
        x = onehot(codes, kind) @ table + self.clock(ticks)
        if self.bar is not None:
            x = x + self.bar(places)
        if self.back is not None:
            x = x + self.back((onehot(back, kind) @ table).flatten(-2))
        x, after = self.enter(x), []
        for layer, layer_state in zip(self.layers, state.split(self.sizes, 1), strict=True):
            x, s = layer(x, layer_state)
            after.append(s)
        return self.last(x), torch.cat(after, 1)

    def forward(
        self, codes: Tensor, ticks: Tensor, places: Tensor, back: Tensor, mix: Tensor, state: Tensor, targets: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Return logits [B, T, K, V] and the new state."""
        h, after = self.hidden(codes, ticks, places, back, state)
        return self.head(self.drop(h), targets, mix, ticks, places, back), after
