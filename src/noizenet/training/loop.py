"""The training loop: steps, divergence checks, validation, checkpoints, best weights and calibration."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from torch import Tensor

from noizenet.base.errors import TrainingError, UsageError
from noizenet.base.seeds import derive_seed
from noizenet.corpus.corpus import Corpus, Track
from noizenet.model.architecture import Architecture
from noizenet.model.factory import make_network
from noizenet.model.network import Network
from noizenet.representation.base import Representation, create
from noizenet.store.model import ABOUT, Model, load
from noizenet.training import OPTIMIZERS, SCHEDULES, checkpoint
from noizenet.training.adapting import load_initial_weights
from noizenet.training.calibration_phase import calibrate_best, fit_calibration
from noizenet.training.collection import check_collection, check_sound
from noizenet.training.fitting import fitted
from noizenet.training.folder import check_run_folder, run_folder
from noizenet.training.guard import DivergenceGuard
from noizenet.training.log import MetricsLog
from noizenet.training.options import Config
from noizenet.training.plan import VALIDATION_SHARE, Budget, Plan, Progress
from noizenet.training.precision import use_bf16
from noizenet.training.resume import has_checkpoint, restore, write_checkpoint
from noizenet.training.sources import BeatOptions
from noizenet.training.step import StepResult, train_step
from noizenet.training.stopping import Interrupted, stop_requests
from noizenet.training.storing import store
from noizenet.training.threads import ThreadCount
from noizenet.training.validation import Validation
from noizenet.training.windows import WindowReader

LOG_EVERY_S = 0.5
FORWARD_COST = 0.4
"""Cost of a forward pass without training, relative to a training step."""
FIT_STEP = 3
"""The step whose duration is used to fit validation and calibration to the budget; the first steps are slower."""


class Trainer:
    """One training run in a folder.

    Parameters
    ----------
    corpus : Corpus
    folder : Path
        The run folder, which becomes the model folder.
    config : Config
    budget : Budget
    seed : int
    command : str
        For the model card.
    on_progress : callable, optional
        Called with :class:`Progress` about twice a second.
    stop : threading.Event, optional
        Set to stop the run.
    resumes : bool
        Whether to resume the folder's run; another run is refused before anything is encoded.
    threads : ThreadCount, optional
        Adapts the number of threads at each step.
    """

    def __init__(
        self,
        corpus: Corpus,
        folder: Path,
        config: Config,
        budget: Budget,
        seed: int,
        command: str = "",
        on_progress: Callable[[Progress], None] | None = None,
        stop: threading.Event | None = None,
        *,
        resumes: bool = False,
        threads: ThreadCount | None = None,
    ) -> None:
        self._threads = threads
        self.corpus, self.folder, self.config, self.budget, self.seed = corpus, folder, config, budget, seed
        self._command, self._on_progress = command, on_progress
        self.stop = stop or threading.Event()
        self.messages: list[str] = []
        self.history: list[float] = []
        self.step = 0
        o, m = config.training, config.model
        self.calibrates = bool(o.calibration_seconds and config.model.tiers and config.model.coarse_features)
        self.plan = Plan(budget, calibrates=self.calibrates)
        train, held_out = self._tracks()
        base = create(config.representation, sample_rate=corpus.sample_rate, channels=corpus.channels)
        self.representation: Representation = fitted(base, corpus, train)
        self.architecture = Architecture(m, base.kind, base.levels, base.dim, len(corpus.genres))
        if resumes and not has_checkpoint(self):
            self.messages.append(f"{folder}: holds no run to resume; a new run starts")
        self._check_tracks(train)
        self.network = self._make_network()
        self.reader, self.validation = self._make_readers(train, held_out)
        self.optimizer: torch.optim.Optimizer = OPTIMIZERS.load(o.optimizer)(self.network.parameters(), o)
        self.guard = DivergenceGuard(self.network, self.optimizer, o.warmup_steps)
        self.bf16 = use_bf16(o.precision, config)
        self.validate_every = o.validate_every or self.validation_interval()
        self.state = self.network.start_state(o.batch).detach()
        self.best: dict[str, Tensor] = {}
        self.best_metrics: dict[str, float] = {}
        self.calibration: dict[str, dict[str, list[float]]] = {}
        self.calibrated_metrics: dict[str, float] = {}
        self.elapsed = self.calibrated_s = 0.0
        self._reported_at = 0.0
        self._saved_at = 0.0
        self._stored_step: float | None = None

    def _tracks(self) -> tuple[list[Track], list[Track]]:
        """Return the tracks to train on and those to validate on.

        Raises
        ------
        TrainingError, UsageError
            If there are none.
        """
        train, held_out = self.corpus.split("train"), self.corpus.split("validation")
        if not train:
            raise TrainingError(
                f"{self.corpus.folder}: no track to train on; add recordings and build the corpus again"
            )
        if self.config.training.validate and not held_out:
            raise UsageError(
                f"{self.corpus.folder}: with {len(self.corpus.tracks)} track(s) none can be held out for validation; "
                "add recordings, or train without validation: --set training.validate=false"
            )
        return train, held_out

    def _check_tracks(self, train: Sequence[Track]) -> None:
        """Collect remarks on the corpus before the reader, which would report silent tracks as too short."""
        remarks = [check_collection(self.corpus, train)] if self.architecture.tokens else []
        remarks.append(check_sound(self.corpus, self.representation))
        if self.config.training.gain_jitter and not self.config.model.tiers:
            remarks.append("training.gain_jitter has no effect: only networks with tiers use it")
        self.messages += [remark for remark in remarks if remark]

    def _make_network(self) -> Network:
        o = self.config.training
        torch.manual_seed(derive_seed(self.seed, "weights"))
        network = make_network(self.architecture, self.representation.values()).train()
        if o.init_from:
            load_initial_weights(load(o.init_from), network, self.representation, self.corpus.genres)
        if o.window % network.frame_multiple:
            raise UsageError(
                f"training.window: {o.window} is not a multiple of "
                f"{network.frame_multiple}, the frames per step of the slowest tier"
            )
        return network

    def _make_readers(
        self, train: Sequence[Track], held_out: Sequence[Track]
    ) -> tuple[WindowReader, Validation | None]:
        """Encode the tracks; return what reads them for training, and for validation."""
        o, m, corpus = self.config.training, self.config.model, self.corpus
        read = corpus.seconds("train") * (2 * o.transpose + 1)
        of_all = read / (read + corpus.seconds("validation") * o.validate)
        beat = BeatOptions(m.clock, m.phrase, m.lookback_beats)
        reader = WindowReader(
            corpus, train, self.representation,
            batch=o.batch, window=o.window, segment_seconds=o.segment_seconds, seed=self.seed, balance=o.balance,
            transpose=o.transpose, beat=beat, on_track=lambda share: self._report_encoding(share * of_all),
        )  # fmt: skip
        if not o.validate:
            return reader, None
        validation = Validation(
            corpus, held_out, self.representation, window=o.window, seconds=o.validation_seconds,
            seed=derive_seed(self.seed, "validation"), beat=beat,
            on_track=lambda share: self._report_encoding(of_all + share * (1 - of_all)),
        )  # fmt: skip
        return reader, validation

    def run(self, *, resume: bool) -> Model:
        """Train until the budget is spent and return the best model.

        Raises
        ------
        Interrupted
            After SIGINT or SIGTERM; the run can be resumed.
        TrainingError
            If the loss still diverges after several recoveries.
        """
        saved = checkpoint.read(self.folder) if resume else None
        if saved is not None:
            restore(self, *saved)
        else:
            self.plan.start_training()
        log = MetricsLog(self.folder, self.step if saved else -1, tensorboard=self.config.training.tensorboard)
        self.elapsed = self._saved_at = self._reported_at = self.plan.elapsed()
        recent: list[float] = []
        shown_step = self.step
        while (self._training_done() < 1.0 or not self.step) and not self._stops_early():
            if self.stop.is_set():
                self._write_checkpoint()
                self.store()
                log.finish()
                raise Interrupted
            self._step(recent, log)
            if self.step % self.validate_every == 0:
                self._validate(log)
            self.elapsed = self.plan.elapsed()
            if recent and self.elapsed - self._reported_at >= LOG_EVERY_S:
                self._report_steps(recent, self.step - shown_step, log)
                recent, shown_step = [], self.step
            if self.elapsed - self._saved_at >= self.config.training.checkpoint_seconds:
                self._write_checkpoint()
                self._store_best()
        if recent:
            self._report_steps(recent, self.step - shown_step, log)
        if self.step % self.validate_every or not self.history:
            self._validate(log)
        self.elapsed = self.plan.elapsed()
        self._write_checkpoint()
        if self.calibrates:
            calibrate_best(self, log)
        model = self.store()
        log.finish()
        return model

    def _step(self, recent: list[float], log: MetricsLog) -> None:
        """Train on one batch; on a problem, restore the last good weights."""
        self._set_learning_rate()
        started = self.plan.elapsed()
        if self._threads is not None:
            self._threads.adapt()
        result = self.learn()
        problem = self.guard.check(result.loss, result.gradient_norm, result.chance)
        self.step += 1
        if problem:
            self._recover(problem, log)
        else:
            self.state = result.state
            recent.append(result.loss)
        self.elapsed = self.plan.elapsed()
        duration = self.elapsed - started
        self.plan.step_s += (0.2 if self.plan.step_s else 1.0) * (duration - self.plan.step_s)
        if self.step == FIT_STEP and self.plan.requested_s < math.inf:
            self._fit_validation(duration)
            fit_calibration(self)

    def _fit_validation(self, step_s: float) -> None:
        """Limit validations to their share of the minutes, by reading less of each segment."""
        if self.validation is None:
            return
        o = self.config.training
        cost = FORWARD_COST * step_s * self.validation.frames / (o.batch * o.window)
        fits = VALIDATION_SHARE * self.plan.requested_s / cost
        self.validation.limit(math.floor(min(1.0, fits) * self.validation.batches))
        self.validate_every = o.validate_every or self.validation_interval()
        self.plan.validation_s = FORWARD_COST * step_s * self.validation.frames / (o.batch * o.window)

    def _report_encoding(self, share: float) -> None:
        if self.stop.is_set():
            raise Interrupted
        left, plan = self.plan.encoding(share)
        done, whole_left = self.plan.run_share(0.0)
        left = whole_left if self.plan.total_s < math.inf else left
        self.report_phase(done, left, "encoding", f"{share:.0%} of the tracks", plan)

    def report_phase(self, done: float, left: float, phase: str, note: str, plan: str = "") -> None:
        """Report on a phase other than training."""
        if self._on_progress is not None:
            validation_loss = self.history[-1] if self.history else None
            message = "\n".join(self.messages)
            self.messages.clear()
            self._on_progress(
                Progress(self.step, done, math.nan, validation_loss, 0.0, left, message, note, phase, plan)
            )

    def learn(self) -> StepResult:
        """Train on the reader's next batch; the caller has to take over the state of the result."""
        return train_step(
            self.network, self.optimizer, self.reader.next(), self.state, self.config.training, bf16=self.bf16
        )

    def validation_interval(self) -> int:
        """Return the steps between validations for which they take about a twentieth of the time."""
        if self.validation is None:
            return 1000
        o = self.config.training
        return max(10, round(20 * FORWARD_COST * self.validation.frames / (o.batch * o.window)))

    def _training_done(self) -> float:
        if self.budget.minutes is not None:
            return self.plan.training_share(self.elapsed)
        return self.step / max(1, round((self.budget.epochs or 0) * self.reader.steps_per_epoch))

    def _stops_early(self) -> bool:
        patience = self.config.training.patience
        if not patience or len(self.history) <= patience:
            return False
        return min(self.history[-patience:]) >= min(self.history[:-patience])

    def _set_learning_rate(self) -> None:
        o = self.config.training
        factor = SCHEDULES.load(o.schedule)(self._training_done(), self.history)
        warmup = min(1.0, (self.step + 1) / (o.warmup_steps + 1))
        for group in self.optimizer.param_groups:
            group["lr"] = (
                o.learning_rate * (o.init_lr_scale if o.init_from else 1.0) * factor * warmup * self.guard.scale
            )

    def _recover(self, problem: str, log: MetricsLog) -> None:
        self.guard.recover(self.network, self.optimizer, problem)
        self.state = self.network.start_state(len(self.state)).detach()
        message = f"step {self.step}: {problem}; restored the last good weights, learning rate × {self.guard.scale:g}"
        self.messages.append(message)
        log.add(self.step, {"event": message})

    def _validate(self, log: MetricsLog) -> None:
        self.guard.snapshot(self.network, self.optimizer)
        if self.validation is None:
            return
        started = self.plan.elapsed()
        self.report_phase(*self.plan.run_share(self._training_done()), "validation", f"step {self.step:,}")
        metrics = self.validation.measure(self.network, bf16=self.bf16)
        self.plan.validation_s = self.plan.elapsed() - started
        self.history.append(metrics["loss"])
        log.add(
            self.step,
            {f"validation_{k}": v for k, v in metrics.items()} | {"seconds": round(self.elapsed, 3)},
        )
        best = min(self.history)
        if metrics["loss"] <= best + self.config.training.tolerance * abs(best):
            self.best = {k: v.detach().clone() for k, v in self.network.state_dict().items()}
            self.best_metrics = {**metrics, "step": self.step}

    def _report_steps(self, recent: list[float], steps: int, log: MetricsLog) -> None:
        o = self.config.training
        loss = sum(recent) / len(recent)
        rate = steps * o.batch * o.window / self.representation.frame_rate / max(1e-9, self.elapsed - self._reported_at)
        self._reported_at = self.elapsed
        log.add(
            self.step,
            {
                "loss": loss, "learning_rate": float(self.optimizer.param_groups[0]["lr"]),
                "audio_rate": rate, "seconds": round(self.elapsed, 3),
            },
        )  # fmt: skip
        if self._on_progress is None:
            return
        done, left = self.plan.run_share(min(1.0, self._training_done()))
        message = "\n".join(self.messages)
        self.messages.clear()
        validation_loss = self.history[-1] if self.history else None
        self._on_progress(Progress(self.step, done, loss, validation_loss, rate, left, message))

    def best_weights(self) -> dict[str, Tensor]:
        """Return the best weights so far, or the latest without a validation."""
        return self.best or self.network.state_dict()

    def _write_checkpoint(self) -> None:
        write_checkpoint(self)
        self._saved_at = self.elapsed

    def _store_best(self) -> None:
        """Write the model folder during training if there are better weights, so that the model can be used."""
        if self.best_metrics and self.best_metrics["step"] != self._stored_step:
            self._stored_step = self.best_metrics["step"]
            self.store()

    def store(self) -> Model:
        """Write the model folder of the best weights so far."""
        return store(self, self.best_weights(), self._command)


def train(
    corpus: Corpus,
    folder: Path | str,
    config: Config,
    budget: Budget,
    *,
    seed: int = 0,
    resume: bool = False,
    command: str = "",
    on_progress: Callable[[Progress], None] | None = None,
) -> Model:
    """Train a network on a corpus into a model folder.

    With ``Budget(epochs=…)`` a run that was interrupted or killed and is resumed ends with bit for bit the weights of
    an uninterrupted one (same machine, same threads). With ``Budget(minutes=…)`` the number of steps and the progress
    of the schedule depend on the clock, and the number of threads on the load of the machine unless the configuration
    sets it; so such a run is only nearly repeatable.

    Parameters
    ----------
    corpus : Corpus
    folder : Path or str
        Must not hold a model yet, unless `resume`.
    config : Config
    budget : Budget
        Time and epochs count from the start of the run, over all resumes. Minutes include encoding and calibration.
    seed : int
    resume : bool
        Resume from the folder's checkpoint; without one, start a new run.
    command : str
        For the model card.
    on_progress : callable, optional

    Returns
    -------
    Model
        With the weights that were best on held-out tracks.

    Raises
    ------
    UsageError
        If the folder holds a model already, or belongs to another run.
    TrainingError, LockedError, DiskFullError, Interrupted
    """
    folder = Path(folder)
    taken = next((n for n in (ABOUT, checkpoint.NAME) if (folder / n).exists()), None)
    if taken and not resume:
        raise UsageError(f"{folder}: holds a model already ({taken}); continue with --resume or choose another folder")
    check_run_folder(folder)
    n_threads = config.training.threads
    threads = ThreadCount(n_threads, adaptive=not n_threads and budget.minutes is not None)
    with run_folder(folder), torch.random.fork_rng(devices=[]), stop_requests() as stop, threads:
        try:
            trainer = Trainer(
                corpus, folder, config, budget, seed, command, on_progress, stop, resumes=resume, threads=threads
            )
            return trainer.run(resume=resume)
        finally:
            corpus.close()
