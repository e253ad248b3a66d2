"""Training of the codec: random crops, a budget in CPU time or steps, and a checkpoint."""

from __future__ import annotations

import hashlib
import math
import threading
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from noizenet.audio.write import from_pcm16
from noizenet.base.errors import TrainingError, UsageError
from noizenet.base.files import check_own_folder, folder_lock, make_folder, remove_stale
from noizenet.corpus.corpus import Corpus, Track
from noizenet.representation.codec_weights import ABOUT, ARRAYS, CodecShape, save_codec
from noizenet.training import checkpoint
from noizenet.training.codec import CodecNetwork
from noizenet.training.guard import DivergenceGuard
from noizenet.training.stopping import Interrupted, stop_requests

CROP_S = 1.5
WARMUP_STEPS, CLIP = 50, 1.0
GOOD_EVERY = 200
"""Steps between snapshots of the last good weights."""


class Crops:
    """Random crops of tracks with a random gain; genres are weighted by the square root of their length."""

    def __init__(self, corpus: Corpus, tracks: list[Track], seed: int) -> None:
        self._corpus, self._rng = corpus, np.random.default_rng(seed)
        self.length = round(CROP_S * corpus.sample_rate)
        self._tracks = [t for t in tracks if t.frames > self.length]
        if not self._tracks:
            raise TrainingError(f"no track is longer than a crop of {CROP_S} s; add longer recordings")
        frames = {g: sum(t.frames for t in self._tracks if t.genre == g) for g in corpus.genres}
        weights = np.array([t.frames / math.sqrt(frames[t.genre]) for t in self._tracks])
        self._weights = weights / weights.sum()

    def next(self, count: int) -> Tensor:
        """Return crops [count, N]."""
        chosen = self._rng.choice(len(self._tracks), count, p=self._weights)
        rows = []
        for i in chosen:
            track = self._tracks[i]
            start = int(self._rng.integers(0, track.frames - self.length))
            rows.append(from_pcm16(self._corpus.read(track, start, self.length)).mean(1))
        gains = np.exp(0.2 * self._rng.standard_normal((count, 1))).astype(np.float32)
        return torch.from_numpy(np.clip(np.stack(rows) * gains, -1, 1))

    def state(self) -> dict[str, Any]:
        """Return the state of the random number generator."""
        return dict(self._rng.bit_generator.state)

    def restore(self, state: dict[str, Any]) -> None:
        """Restore what :meth:`state` returned."""
        self._rng.bit_generator.state = state


class CodecTrainer:
    """Training of a codec in a folder; parameters as for :func:`train_codec`."""

    def __init__(
        self, corpus: Corpus, folder: Path, network: CodecNetwork, *, batch: int, learning_rate: float, seed: int
    ) -> None:
        self.corpus, self.folder, self.network = corpus, folder, network.train()
        self.batch, self.learning_rate, self.seed = batch, learning_rate, seed
        self.crops = Crops(corpus, corpus.split("train"), seed)
        self.optimizer = torch.optim.AdamW(network.parameters(), lr=learning_rate, betas=(0.9, 0.99), weight_decay=1e-4)
        self.guard = DivergenceGuard(network, self.optimizer, WARMUP_STEPS)
        self.spent, self.steps = 0.0, 0
        self.recent = {"bins": 0.0, "bands": 0.0}
        self.messages: list[str] = []

    def step(self, done: float) -> None:
        """Train on one batch of crops; on a problem, restore the last good weights."""
        rate = self.learning_rate * min(1, (self.steps + 1) / WARMUP_STEPS) * (0.51 + 0.49 * math.cos(math.pi * done))
        for group in self.optimizer.param_groups:
            group["lr"] = rate * self.guard.scale
        loss, parts = self.network.loss(self.crops.next(self.batch))
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        norm = float(nn.utils.clip_grad_norm_(self.network.parameters(), CLIP))
        self.steps += 1
        if problem := self.guard.check(float(loss.detach()), norm):
            self.guard.recover(self.network, self.optimizer, problem)
            self.messages.append(f"step {self.steps}: {problem}; restored the last good weights")
            return
        self.optimizer.step()
        self.recent = {k: 0.98 * self.recent[k] + 0.02 * v for k, v in parts.items()} if self.steps > 50 else parts
        if self.steps % GOOD_EVERY == 0:
            self.guard.snapshot(self.network, self.optimizer)

    def _identity(self) -> dict[str, Any]:
        content = hashlib.sha256("".join(sorted(t.content + t.split for t in self.corpus.tracks)).encode()).hexdigest()
        return {
            "kind": type(self.network).__name__, "corpus": content, "seed": self.seed,
            "shape": asdict(self.network.shape), "batch": self.batch, "learning_rate": self.learning_rate,
        }  # fmt: skip

    def save(self) -> None:
        """Write the checkpoint."""
        moments, groups = checkpoint.flatten_optimizer(self.optimizer.state_dict(), "optimizer.")
        good, good_groups = checkpoint.flatten_optimizer(self.guard.moments, "good_optimizer.")
        tensors = {f"network.{k}": v for k, v in self.network.state_dict().items()}
        tensors |= {f"good.{k}": v for k, v in self.guard.weights.items()}
        tensors |= moments | good | {"torch_random": torch.get_rng_state()}
        numbers = {
            "identity": self._identity(), "spent": self.spent, "step": self.steps, "crops": self.crops.state(),
            "recent": self.recent, "guard": self.guard.state(), "groups": groups, "good_groups": good_groups,
        }  # fmt: skip
        checkpoint.write(self.folder, tensors, numbers)

    def restore(self, tensors: dict[str, Tensor], numbers: dict[str, Any]) -> None:
        """Resume from a checkpoint.

        Raises
        ------
        UsageError
            If it belongs to another run.
        """
        checkpoint.check_identity(self.folder, self._identity(), numbers.get("identity", {}))
        own = self.network.state_dict()
        moments = checkpoint.restored_optimizer(self.optimizer, tensors, numbers["groups"], "optimizer.")
        good = checkpoint.restored_optimizer(self.optimizer, tensors, numbers["good_groups"], "good_optimizer.")
        self.guard.weights = checkpoint.check_tensors("good", own, checkpoint.part(tensors, "good."))
        self.network.load_state_dict(checkpoint.check_tensors("network", own, checkpoint.part(tensors, "network.")))
        self.optimizer.load_state_dict(moments)
        self.guard.moments = good
        self.guard.restore(numbers["guard"])
        self.crops.restore(numbers["crops"])
        torch.set_rng_state(tensors["torch_random"])
        self.spent, self.steps, self.recent = float(numbers["spent"]), int(numbers["step"]), dict(numbers["recent"])

    def run(
        self,
        share: Callable[[float, int], float],
        stop: threading.Event,
        checkpoint_seconds: float,
        on_progress: Callable[[str, float], None] | None,
    ) -> None:
        """Train until `share` of the seconds and steps spent reaches 1."""
        begun, saved_at, done = time.process_time() - self.spent, self.spent, share(self.spent, self.steps)
        while done < 1:
            self.step(done)
            self.spent = time.process_time() - begun
            done = share(self.spent, self.steps)
            if stop.is_set():
                self.save()
                raise Interrupted
            if self.spent - saved_at >= checkpoint_seconds or done >= 1:
                saved_at = self.spent
                self.save()
            if on_progress is not None and (self.messages or self.steps % 50 == 0):
                bins, bands = self.recent["bins"], self.recent["bands"]
                text = f"step {self.steps}: bins {bins:.3f}, bands {bands:.3f} nepers"
                on_progress("\n".join([*self.messages, text]), min(1.0, done))
                self.messages.clear()


def train_codec(
    corpus: Corpus,
    folder: Path,
    shape: CodecShape,
    *,
    minutes: float | None = None,
    steps: int | None = None,
    batch: int = 16,
    learning_rate: float = 1e-3,
    seed: int = 0,
    command: str = "",
    checkpoint_seconds: float = 120.0,
    on_progress: Callable[[str, float], None] | None = None,
    make: type[CodecNetwork] = CodecNetwork,
) -> CodecNetwork:
    """Train a codec and write its folder.

    A run that was stopped or killed resumes from its last checkpoint; with `steps` it ends with the same bytes as an
    uninterrupted run (same machine, same threads).

    Parameters
    ----------
    corpus : Corpus
        At the codec's sample rate.
    folder : Path
        The codec's folder.
    shape : CodecShape
    minutes : float, optional
        CPU time to train, meant for one thread. Give exactly one of `minutes` and `steps`; both count from the start of
        the run, over all resumes.
    steps : int, optional
        Batches to train.
    batch : int
        Crops of 1.5 s per step.
    learning_rate : float
    seed : int
    command : str
        For the card.
    checkpoint_seconds : float
        CPU time between checkpoints.
    on_progress : callable, optional
        Called with a line of text (or several) and the share done.
    make : type
        The class of the network; ``examples/codecs.py`` compares variants.

    Raises
    ------
    UsageError
        If the sample rates of corpus and codec differ, or the folder holds another run.
    TrainingError, LockedError, DiskFullError, Interrupted
    """
    if (minutes is None) == (steps is None):
        raise UsageError("give either minutes or steps")
    if corpus.sample_rate != shape.sample_rate:
        raise UsageError(
            f"the corpus is at {corpus.sample_rate} Hz, the codec at {shape.sample_rate} Hz; build the corpus again "
            f"with --sample-rate {shape.sample_rate}"
        )

    def share(spent: float, step: int) -> float:
        return step / steps if steps is not None else spent / (60 * (minutes or 1e-9))

    check_own_folder(Path(folder), "codec", [ABOUT, checkpoint.NAME], [ARRAYS])
    folder = make_folder(Path(folder))
    with folder_lock(folder, "codec"), torch.random.fork_rng(devices=[]), stop_requests() as stop:
        remove_stale(folder)
        torch.manual_seed(seed)
        trainer = CodecTrainer(corpus, folder, make(shape), batch=batch, learning_rate=learning_rate, seed=seed)
        if (found := checkpoint.read(folder)) is not None:
            with checkpoint.restoring(folder):
                trainer.restore(*found)
        trainer.run(share, stop, checkpoint_seconds, on_progress)
        about = {
            "command": command, "seed": seed, "cpu_minutes": trainer.spent / 60, "steps": trainer.steps,
            "loss": trainer.recent, "hours_read": trainer.steps * batch * CROP_S / 3600,
            "hours": corpus.seconds("train") / 3600, "content": sorted(t.content for t in corpus.split("train")),
            "shape": asdict(shape),
        }  # fmt: skip
        save_codec(shape, trainer.network.eval().arrays(), about, folder, _card(corpus, about))
        return trainer.network


def _card(corpus: Corpus, about: dict[str, Any]) -> str:
    tracks = corpus.split("train")
    return f"""# A codec

Codes for music at {corpus.sample_rate:,} Hz mono, trained on {len(tracks)} tracks ({about["hours"]:.1f} hours;
genres: {", ".join(corpus.genres)}) for {about["cpu_minutes"]:.0f} minutes of one core ({about["steps"]:,} steps,
{about["hours_read"]:.1f} hours of crops read), seed {about["seed"]}.

- Licences of the recordings: {corpus.about.get("licence") or "see the corpus"}
- Command: `{about["command"]}`
- Last losses in training, nepers: bins {about["loss"]["bins"]:.3f}, bands {about["loss"]["bands"]:.3f}
"""
