"""Training compared with a bare torch loop of the same shapes."""

from __future__ import annotations

import tempfile
from functools import partial
from pathlib import Path

import torch
from torch import nn

from noizenet.bench.figure import Measurement, time_call
from noizenet.corpus.corpus import Corpus
from noizenet.corpus.synthetic import build_synthetic
from noizenet.training.loop import train
from noizenet.training.options import Config, configure
from noizenet.training.plan import Budget
from noizenet.training.precision import use_bf16
from noizenet.training.step import autocast

STEPS = 150
ONE_LSTM = (
    "model.tiers=[]", "model.head=categorical", "training.batch=16", "training.window=128",
    "training.learning_rate=0.006", "training.segment_seconds=4",
)  # fmt: skip
"""Options that turn the sample-lstm recipe into one LSTM at the sample rate, which plain torch can train too."""


def measure(rounds: int) -> list[Measurement]:
    """Measure one LSTM over samples; noizenet also reads the corpus, monitors, logs and saves checkpoints."""
    import statistics

    config = configure("sample-lstm", None, (*ONE_LSTM, "training.validate=false"))
    ratios, rates = [], []
    with tempfile.TemporaryDirectory(prefix="noizenet-bench-") as temporary:
        corpus = build_synthetic(Path(temporary) / "corpus", minutes=6)
        o = config.training
        windows = sum(t.frames // o.window for t in corpus.split("train")) // o.batch
        for i in range(rounds):
            folder = Path(temporary) / f"run-{i}"
            baseline = time_call(lambda: _bare(STEPS))
            ours = time_call(partial(_ours, corpus.folder, folder, config, Budget(epochs=STEPS / windows)))
            ratios.append(baseline / ours)
            rates.append(STEPS * o.batch * o.window / 22_050 / ours)
    detail = f"{statistics.median(rates):.1f} s of sound a second, {torch.get_num_threads()} threads"
    return [Measurement("training ÷ bare torch.nn.LSTM loop", statistics.median(ratios), "×", 0.9, detail=detail)]


def _ours(corpus: Path, folder: Path, config: Config, budget: Budget) -> None:
    train(Corpus(corpus), folder, config, budget)


def _bare(steps: int) -> None:
    """Train with minimal code: random classes, embedding, LSTM, linear, Adam, clipping."""
    config = configure("sample-lstm", None, ONE_LSTM)
    m, o = config.model, config.training
    frame = nn.Embedding(256, m.embedding)
    genre = nn.Embedding(4, m.genre_embedding)
    lstm = nn.LSTM(m.embedding + m.genre_embedding, m.hidden, batch_first=True)
    head = nn.Linear(m.hidden, 256)
    parameters = [p for module in (frame, genre, lstm, head) for p in module.parameters()]
    optimizer = torch.optim.Adam(parameters, lr=o.learning_rate)
    data = torch.randint(0, 256, (o.batch, 64 * o.window + 1))
    names = torch.randint(0, 4, (o.batch,))
    state = (torch.zeros(1, o.batch, m.hidden), torch.zeros(1, o.batch, m.hidden))
    bf16 = use_bf16(o.precision, config)
    for step in range(steps):
        offset = step % 64 * o.window
        x = data[:, offset : offset + o.window + 1]
        with autocast(bf16):
            joined = torch.cat([frame(x[:, :-1]), genre(names)[:, None].expand(-1, o.window, -1)], -1)
            y, (h, c) = lstm(joined, state)
            logits = head(y)
        state = (h.detach().float(), c.detach().float())
        loss = nn.functional.cross_entropy(logits.float().flatten(0, 1), x[:, 1:].flatten())
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(parameters, o.clip)
        optimizer.step()
        loss.item()
