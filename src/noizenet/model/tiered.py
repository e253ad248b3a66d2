"""A network of recurrent tiers at falling rates over samples, with a small network per sample at the bottom.

The slowest tier steps once in, say, 64 samples and tells the faster one where the music stands; the fastest
tells the per-sample network, which also sees the latest samples themselves. Nothing recurrent runs at the sample
rate: that is what makes training parallel over time and playing cheap.

Under a mixture head lies a linear prediction of the next sample from the last few. Its taps come from the fastest
tier (a filter that the network sets anew at each step of that tier); the mixture describes what it leaves over. Half of
the mixture lies around another prediction, which the past alone gives (:mod:`noizenet.model.lpc`): learned and adapted,
each sample takes what fits.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from noizenet.model.architecture import Architecture
from noizenet.model.coarse import CoarseFeatures, coarse_of, log_rms, measure, scale
from noizenet.model.features import GAIN, LPC_WINDOW
from noizenet.model.lpc import predictors
from noizenet.model.mixture import MixtureHead
from noizenet.model.network import Network, make_head
from noizenet.model.tiers import Tier


class TieredNetwork(Network):
    """Tiers over classes that stand for numbers.

    Parameters
    ----------
    architecture : Architecture
        With ``options.tiers``.
    values : Tensor, optional
        What each class stands for, rising, [V], in [-1, 1]; evenly spread by default.

    Notes
    -----
    The state [B, N] holds every tier's [S, H] from the fastest to the slowest, then the latest classes, oldest
    first; -1 stands for "before the start", where the first frame given is taken to have lasted for ever.
    """

    values: Tensor

    def __init__(self, architecture: Architecture, values: Tensor | None = None) -> None:
        super().__init__()
        self.architecture = a = architecture
        o = a.options
        self.frame_multiple = o.tiers[-1][0]
        self.order, self.history = a.order, a.history
        self.register_buffer("values", torch.zeros(a.levels))
        self.values.copy_(torch.linspace(-1, 1, a.levels) if values is None else values)
        self.genre = nn.Embedding(a.genres, a.genre_size) if a.genre_size else None
        if self.genre is not None:
            nn.init.normal_(self.genre.weight, 0, 0.3)
        self.tiers = nn.ModuleList(Tier(o.cell, shape, o.tier_inputs, a.genre_size) for shape in a.tiers)
        self.coarse = CoarseFeatures(o.tiers[-1][1], a.condition_sizes, a.n_bias_rows) if o.coarse_features else None
        self.latest = nn.Linear(a.latest, o.width)
        self.tables = nn.ModuleList(nn.Embedding(a.levels, o.width) for _ in range(o.embedded))
        for table in self.tables:
            assert isinstance(table, nn.Embedding)
            nn.init.normal_(table.weight, 0, 0.05)
        self.genre_proj = nn.Linear(a.genre_size, o.width, bias=False) if a.genre_size else None
        self.layers = nn.ModuleList(nn.Linear(o.width, o.width) for _ in range(o.depth))
        self.dropout = nn.Dropout(o.dropout)
        self.head = make_head(a, o.width)
        if a.lpc:
            with torch.no_grad():  # scales relative to the error that LPC had
                k = o.mixtures - a.own_mixtures
                self.head.linear.bias[-k:] = torch.linspace(-0.7, 0.7, k)
        if self.order:
            self.taps = nn.Parameter(torch.zeros(self.order))
            with torch.no_grad():
                self.taps[-1] = 1.0  # begin by repeating the last sample
            if o.prediction == "adaptive":
                self.adapt: nn.Linear | None = nn.Linear(o.tiers[0][1], self.order)
                nn.init.zeros_(self.adapt.weight)
                nn.init.zeros_(self.adapt.bias)
            else:
                self.adapt = None
        self.register_load_state_dict_post_hook(lambda module, _: module.use_values())  # type: ignore[no-untyped-call]
        self.use_values()

    def use_values(self) -> None:
        """Hand the classes' numbers on to the head."""
        if isinstance(self.head, MixtureHead):
            self.head.set_values(self.values)

    def tier_list(self) -> list[Tier]:
        """Return the tiers, fastest first."""
        return [t for t in self.tiers if isinstance(t, Tier)]

    def deeper(self) -> list[nn.Linear]:
        """Return the per-sample network's layers after the first."""
        return [layer for layer in self.layers if isinstance(layer, nn.Linear)]

    def start_state(self, batch: int) -> Tensor:
        """Return the learned state of a track's start."""
        parts = [t.start.reshape(1, -1).expand(batch, -1) for t in self.tier_list()]
        return torch.cat([*parts, self.values.new_full((batch, self.history), -1.0)], 1)

    def forward(
        self, frames: Tensor, mix: Tensor, state: Tensor, targets: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Predict from whole sequences of classes [B, T, 1]; T is a multiple of the slowest tier's step.

        A network that sketches must be told what follows each frame, `targets` [B, T, 1].
        """
        output, after, _ = self._run(frames, mix, state, targets)
        return output, after

    def compute_loss(
        self, frames: Tensor, targets: Tensor, mix: Tensor, state: Tensor, beat_phase: Tensor | None = None,
        phrase_beat: Tensor | None = None, lookback_codes: Tensor | None = None,
    ) -> tuple[Tensor, Tensor, Tensor]:  # fmt: skip
        """Return the exact cost of samples and sketches in nats per sample, the outputs and the state after."""
        output, after, cost = self._run(frames, mix, state, targets)
        with torch.autocast(output.device.type, enabled=False):
            return self.head.loss(output, targets) + cost / self.frame_multiple, output, after

    def _run(self, frames: Tensor, mix: Tensor, state: Tensor, targets: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
        if frames.shape[1] % self.frame_multiple:
            raise ValueError(f"{frames.shape[1]} frames: not a multiple of the slowest tier's {self.frame_multiple}")
        o, count = self.architecture.options, frames.shape[1]
        inner, before = self._split(state)
        classes = frames[..., 0].long()
        before = torch.where(before < 0, classes[:, :1], before.long())
        classes = torch.cat([before, classes], 1)
        samples = self.values[classes]
        features = describe(samples)
        genre = mix @ self.genre.weight if self.genre is not None else None

        told, y, after = None, samples, []
        coarse, cost = None, samples.new_zeros(())
        for k in reversed(range(len(inner))):
            tier = self.tier_list()[k]
            size = 2 * tier.samples
            if told is not None:
                heard = self._windows(features, size * o.tier_context, size, count)
            else:
                past = random_tilt(samples, o.random_tilt) if self.training else samples
                heard = self._windows(describe(past), size * o.tier_context, size, count)
                if self.coarse is not None:
                    before_each = self._windows(past, self.frame_multiple, self.frame_multiple, count)
                    heard = torch.cat([heard, scale(measure(before_each))], -1)
            y, told, new = tier(heard, told, genre, inner[k])
            y, told = self.dropout(y), self.dropout(told)
            after.append(new)
            if self.coarse is not None:
                if coarse is None:
                    coarse = self.coarse_of(targets)
                    cost = self.coarse.compute_loss(y, coarse, mix if genre is not None else mix.sum(1, keepdim=True))
                told_to = k - 1 if k else len(inner) - 1
                split = told.reshape(len(told), coarse.shape[1], -1, told.shape[-1])
                told = (split + self.coarse.embed(told_to, coarse)[:, :, None]).reshape(told.shape)

        heard = self._windows(features, 2 * o.lookback, 2, count)
        guess = log_scale = samples[:, :0]
        if self.architecture.lpc:
            guess, log_scale, level = self._lpc(samples, count)
            heard = torch.cat([heard, torch.stack([GAIN * guess, compand(guess), log_scale / 5 + 1], -1)], -1)
            if coarse is not None:  # as large as the error was in relation to the past, at the level to come
                log_scale = log_scale - level + log_rms(coarse[..., 0]).repeat_interleave(self.frame_multiple, 1)
        h = self.latest(heard) + told
        for lag, table in enumerate(self.tables):
            h = h + table(classes[:, self.history - lag : self.history - lag + count])
        if self.genre_proj is not None:
            h = h + self.genre_proj(genre)[:, None]
        h = torch.relu(h)
        for layer in self.deeper():
            h = torch.relu(layer(h))
        output = self._predict(h, y, samples, count, guess, log_scale)
        last = classes[:, classes.shape[1] - self.history :].float()
        parts = [s.permute(1, 0, 2).flatten(1).float() for s in reversed(after)]
        return output, torch.cat([*parts, last], 1), cost

    def coarse_of(self, targets: Tensor | None) -> Tensor:
        """Return the sketch classes [B, n, 3] of samples to come, classes [B, n · step, 1]."""
        if targets is None:
            raise ValueError("a network that sketches predicts only beside the samples that follow: give targets")
        return coarse_of(self.values[targets[..., 0].long()], self.frame_multiple)

    def _lpc(self, samples: Tensor, count: int) -> tuple[Tensor, Tensor, Tensor]:
        """Return the past's own prediction of every sample, its error's log scale, and its log level, all [B, T]."""
        hop, order = self.architecture.lpc_hop, self.architecture.lpc
        with torch.no_grad(), torch.autocast(samples.device.type, enabled=False):
            taps, log_scale, level = predictors(self._windows(samples, LPC_WINDOW, hop, count), order)
            guess = self._filter(samples, taps, count).clamp(-1, 1)
            return guess, log_scale.repeat_interleave(hop, 1), level.repeat_interleave(hop, 1)

    def _predict(self, h: Tensor, y: Tensor, samples: Tensor, count: int, guess: Tensor, log_scale: Tensor) -> Tensor:
        if not isinstance(self.head, MixtureHead):
            plain: Tensor = self.head(h)
            return plain
        with torch.autocast(h.device.type, enabled=False):  # a prediction to 16 bits needs them
            a = self.architecture
            centre = samples.new_zeros((len(samples), count))
            if self.order:
                taps = self.taps.expand(len(samples), 1, -1)
                if self.adapt is not None:
                    taps = taps + self.adapt(y.float())
                centre = self._filter(samples, taps, count)
            if not a.lpc:
                return self.head.around(h, centre[..., None])
            own, other = a.own_mixtures, a.options.mixtures - a.own_mixtures
            centres = torch.cat([centre[..., None].expand(-1, -1, own), guess[..., None].expand(-1, -1, other)], -1)
            flat = torch.zeros_like(centre)[..., None].expand(-1, -1, own)
            return self.head.around(h, centres, torch.cat([flat, log_scale[..., None].expand(-1, -1, other)], -1))

    def _filter(self, samples: Tensor, taps: Tensor, count: int) -> Tensor:
        """Return linear predictions [B, T]: of n sets of taps [B, n, P], each serves T / n samples."""
        latest = self._windows(samples, taps.shape[-1], 1, count)
        latest = latest.reshape(len(samples), taps.shape[1], -1, taps.shape[-1])
        return (latest @ taps[..., None]).reshape(len(samples), count)

    def _windows(self, sequence: Tensor, size: int, hop: int, count: int) -> Tensor:
        """Return the latest `size` numbers before each step, [B, steps, size]; `hop` numbers a step."""
        per_sample = sequence.shape[1] // (self.history + count)
        first = (self.history + 1) * per_sample - size
        return sequence[:, first:].unfold(1, size, hop)[:, : count * per_sample // hop]

    def _split(self, state: Tensor) -> tuple[list[Tensor], Tensor]:
        """Return every tier's [S, B, H] and the latest classes [B, history]."""
        parts, at = [], 0
        for tier in self.tier_list():
            size = tier.start.numel()
            parts.append(state[:, at : at + size].reshape(len(state), *tier.start.shape).transpose(0, 1))
            at += size
        return parts, state[:, at:]


def describe(samples: Tensor) -> Tensor:
    """Return what the tiers hear of samples [B, N]: two numbers of each, [B, 2 N]."""
    return torch.stack([GAIN * samples, compand(samples)], -1).flatten(1)


def compand(samples: Tensor) -> Tensor:
    """Return mu-law's curve of samples in [-1, 1]: what is quiet is seen as under a glass."""
    return torch.sign(samples) * torch.log1p(255 * samples.abs()) / math.log(256)


def random_tilt(samples: Tensor, spread: float) -> Tensor:
    """Return samples [B, N] of which each row went through an equaliser of its own, as loud as it was.

    Its slope is normal, with a standard deviation of `spread` nepers an octave. A tier that hears its past so cannot go
    by it alone: it draws brightness and sharpness also from what it knows of the genre, and finds back to that when it
    plays. (Misheard levels made it find back to levels 5 to 10 dB too low: music dwells where it is, loud or soft.)
    """
    if spread == 0:
        return samples
    count = samples.shape[1]
    octaves = torch.log2(torch.fft.rfftfreq(count, device=samples.device).clamp(1 / 512, 1 / 2) * 16)
    slope = spread * torch.randn(len(samples), 1, device=samples.device)
    heard: Tensor = torch.fft.irfft(torch.fft.rfft(samples) * torch.exp(slope * octaves), n=count)
    power = [x.square().mean(1, keepdim=True) + 1e-9 for x in (samples, heard)]
    return heard * torch.sqrt(power[0] / power[1])
