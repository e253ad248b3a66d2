"""A network of recurrent tiers at decreasing rates over samples, with a small network per sample at the bottom.

The slowest tier steps for example once in 64 samples. Each tier conditions the next faster one, and the fastest
conditions the per-sample network, whose inputs also include the latest samples. Nothing recurrent runs at the sample
rate, so training is parallel over time and generation is cheap.

With a mixture head, half of the mixture's components are centred on a linear prediction of the next sample from the
latest ones, whose taps the fastest tier sets at each of its steps. The other half are centred on a backward-adaptive
prediction (:mod:`noizenet.model.lpc`).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from noizenet.model.architecture import Architecture
from noizenet.model.coarse import CoarseFeatures, coarse_classes, log_rms, measure, normalize
from noizenet.model.features import GAIN, LPC_WINDOW
from noizenet.model.lpc import predictors
from noizenet.model.mixture import MixtureHead
from noizenet.model.network import Network, make_head
from noizenet.model.tiers import Tier


class TieredNetwork(Network):
    """Recurrent tiers over classes that have values.

    Parameters
    ----------
    architecture : Architecture
        With ``options.tiers``.
    values : Tensor, optional
        The value of each class, increasing, [V], in [-1, 1]; evenly spaced by default.

    Notes
    -----
    The state [B, N] holds every tier's [S, H] from the fastest to the slowest, then the latest classes, oldest
    first. -1 means "before the start", where the first input frame is repeated.
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
        self.latest = nn.Linear(a.latest_size, o.width)
        self.tables = nn.ModuleList(nn.Embedding(a.levels, o.width) for _ in range(o.embedded))
        for table in self.tables:
            assert isinstance(table, nn.Embedding)
            nn.init.normal_(table.weight, 0, 0.05)
        self.genre_proj = nn.Linear(a.genre_size, o.width, bias=False) if a.genre_size else None
        self.layers = nn.ModuleList(nn.Linear(o.width, o.width) for _ in range(o.depth))
        self.dropout = nn.Dropout(o.dropout)
        self.head = make_head(a, o.width)
        if a.lpc:
            with torch.no_grad():  # log scales relative to LPC's error
                k = o.mixtures - a.n_learned_mixtures
                self.head.linear.bias[-k:] = torch.linspace(-0.7, 0.7, k)
        if self.order:
            self.taps = nn.Parameter(torch.zeros(self.order))
            with torch.no_grad():
                self.taps[-1] = 1.0  # initial prediction: the last sample
            if o.prediction == "adaptive":
                self.adapt: nn.Linear | None = nn.Linear(o.tiers[0][1], self.order)
                nn.init.zeros_(self.adapt.weight)
                nn.init.zeros_(self.adapt.bias)
            else:
                self.adapt = None
        self.register_load_state_dict_post_hook(lambda module, _: module.use_values())  # type: ignore[no-untyped-call]
        self.use_values()

    def use_values(self) -> None:
        """Pass the classes' values to the head."""
        if isinstance(self.head, MixtureHead):
            self.head.set_values(self.values)

    def tier_list(self) -> list[Tier]:
        """Return the tiers, fastest first."""
        return [t for t in self.tiers if isinstance(t, Tier)]

    def hidden_layers(self) -> list[nn.Linear]:
        """Return the per-sample network's layers after the first."""
        return [layer for layer in self.layers if isinstance(layer, nn.Linear)]

    def start_state(self, batch: int) -> Tensor:
        """Return the learned initial state."""
        parts = [t.start.reshape(1, -1).expand(batch, -1) for t in self.tier_list()]
        return torch.cat([*parts, self.values.new_full((batch, self.history), -1.0)], 1)

    def forward(
        self, frames: Tensor, mix: Tensor, state: Tensor, targets: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Predict from whole sequences of classes [B, T, 1]; T is a multiple of the slowest tier's step.

        A network with coarse features needs the frame after each, `targets` [B, T, 1].
        """
        output, after, _ = self._run(frames, mix, state, targets)
        return output, after

    def compute_loss(
        self, frames: Tensor, targets: Tensor, mix: Tensor, state: Tensor, beat_phase: Tensor | None = None,
        phrase_beat: Tensor | None = None, lookback_codes: Tensor | None = None,
    ) -> tuple[Tensor, Tensor, Tensor]:  # fmt: skip
        """Return the exact NLL of samples and coarse features in nats per sample, the outputs and the state after."""
        output, after, coarse_nll = self._run(frames, mix, state, targets)
        with torch.autocast(output.device.type, enabled=False):
            return self.head.loss(output, targets) + coarse_nll / self.frame_multiple, output, after

    def _run(self, frames: Tensor, mix: Tensor, state: Tensor, targets: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
        if frames.shape[1] % self.frame_multiple:
            raise ValueError(f"{frames.shape[1]} frames: not a multiple of the slowest tier's {self.frame_multiple}")
        o, count = self.architecture.options, frames.shape[1]
        inner, before = self._split(state)
        classes = frames[..., 0].long()
        before = torch.where(before < 0, classes[:, :1], before.long())
        classes = torch.cat([before, classes], 1)
        samples = self.values[classes]
        features = sample_features(samples)
        genre = mix @ self.genre.weight if self.genre is not None else None

        condition, y, after = None, samples, []
        coarse, coarse_nll = None, samples.new_zeros(())
        for k in reversed(range(len(inner))):
            tier = self.tier_list()[k]
            size = 2 * tier.samples
            if condition is not None:
                inputs = self._windows(features, size * o.tier_context, size, count)
            else:
                tier_samples = random_tilt(samples, o.random_tilt) if self.training else samples
                inputs = self._windows(sample_features(tier_samples), size * o.tier_context, size, count)
                if self.coarse is not None:
                    before_each = self._windows(tier_samples, self.frame_multiple, self.frame_multiple, count)
                    inputs = torch.cat([inputs, normalize(measure(before_each))], -1)
            y, condition, new = tier(inputs, condition, genre, inner[k])
            y, condition = self.dropout(y), self.dropout(condition)
            after.append(new)
            if self.coarse is not None:
                if coarse is None:
                    coarse = self.coarse_classes(targets)
                    coarse_nll = self.coarse.compute_loss(
                        y, coarse, mix if genre is not None else mix.sum(1, keepdim=True)
                    )
                target_layer = k - 1 if k else len(inner) - 1
                split = condition.reshape(len(condition), coarse.shape[1], -1, condition.shape[-1])
                condition = (split + self.coarse.embed(target_layer, coarse)[:, :, None]).reshape(condition.shape)

        inputs = self._windows(features, 2 * o.lookback, 2, count)
        lpc_mean = log_scale = samples[:, :0]
        if self.architecture.lpc:
            lpc_mean, log_scale, level = self._lpc(samples, count)
            inputs = torch.cat([inputs, torch.stack([GAIN * lpc_mean, compand(lpc_mean), log_scale / 5 + 1], -1)], -1)
            if coarse is not None:  # scale the error from the level of the past to the next step's
                log_scale = log_scale - level + log_rms(coarse[..., 0]).repeat_interleave(self.frame_multiple, 1)
        h = self.latest(inputs) + condition
        for lag, table in enumerate(self.tables):
            h = h + table(classes[:, self.history - lag : self.history - lag + count])
        if self.genre_proj is not None:
            h = h + self.genre_proj(genre)[:, None]
        h = torch.relu(h)
        for layer in self.hidden_layers():
            h = torch.relu(layer(h))
        output = self._predict(h, y, samples, count, lpc_mean, log_scale)
        new_history = classes[:, classes.shape[1] - self.history :].float()
        parts = [s.permute(1, 0, 2).flatten(1).float() for s in reversed(after)]
        return output, torch.cat([*parts, new_history], 1), coarse_nll

    def coarse_classes(self, targets: Tensor | None) -> Tensor:
        """Return the coarse classes [B, n, 3] of target classes [B, n · step, 1]."""
        if targets is None:
            raise ValueError("a network with coarse features is conditioned on those of the next samples: give targets")
        return coarse_classes(self.values[targets[..., 0].long()], self.frame_multiple)

    def _lpc(self, samples: Tensor, count: int) -> tuple[Tensor, Tensor, Tensor]:
        """Return LPC's prediction of every sample, its error's log scale, and the past's log level, all [B, T]."""
        hop, order = self.architecture.lpc_hop, self.architecture.lpc
        with torch.no_grad(), torch.autocast(samples.device.type, enabled=False):
            taps, log_scale, level = predictors(self._windows(samples, LPC_WINDOW, hop, count), order)
            lpc_mean = self._filter(samples, taps, count).clamp(-1, 1)
            return lpc_mean, log_scale.repeat_interleave(hop, 1), level.repeat_interleave(hop, 1)

    def _predict(
        self, h: Tensor, y: Tensor, samples: Tensor, count: int, lpc_mean: Tensor, log_scale: Tensor
    ) -> Tensor:
        if not isinstance(self.head, MixtureHead):
            logits: Tensor = self.head(h)
            return logits
        with torch.autocast(h.device.type, enabled=False):  # predicting 16-bit samples needs float32
            a = self.architecture
            centre = samples.new_zeros((len(samples), count))
            if self.order:
                taps = self.taps.expand(len(samples), 1, -1)
                if self.adapt is not None:
                    taps = taps + self.adapt(y.float())
                centre = self._filter(samples, taps, count)
            if not a.lpc:
                return self.head.around(h, centre[..., None])
            learned, adapted = a.n_learned_mixtures, a.options.mixtures - a.n_learned_mixtures
            centres = torch.cat(
                [centre[..., None].expand(-1, -1, learned), lpc_mean[..., None].expand(-1, -1, adapted)], -1
            )
            zero_scale = torch.zeros_like(centre)[..., None].expand(-1, -1, learned)
            return self.head.around(
                h, centres, torch.cat([zero_scale, log_scale[..., None].expand(-1, -1, adapted)], -1)
            )

    def _filter(self, samples: Tensor, taps: Tensor, count: int) -> Tensor:
        """Return linear predictions [B, T] from n sets of taps [B, n, P], each used for T / n samples."""
        latest = self._windows(samples, taps.shape[-1], 1, count)
        latest = latest.reshape(len(samples), taps.shape[1], -1, taps.shape[-1])
        return (latest @ taps[..., None]).reshape(len(samples), count)

    def _windows(self, sequence: Tensor, size: int, hop: int, count: int) -> Tensor:
        """Return the latest `size` values before each step, [B, steps, size]; `hop` values per step."""
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


def sample_features(samples: Tensor) -> Tensor:
    """Return the input features of samples [B, N], two of each: [B, 2 N]."""
    return torch.stack([GAIN * samples, compand(samples)], -1).flatten(1)


def compand(samples: Tensor) -> Tensor:
    """Return samples in [-1, 1] companded with mu-law, which expands quiet ones."""
    return torch.sign(samples) * torch.log1p(255 * samples.abs()) / math.log(256)


def random_tilt(samples: Tensor, spread: float) -> Tensor:
    """Return samples [B, N] with a random spectral tilt for each row; the power of each row is unchanged.

    The tilt is normally distributed, with a standard deviation of `spread` nepers per octave. A tier with such inputs
    cannot copy brightness and sharpness from its past: its prediction also depends on the genre, to which it returns in
    generation. (Random levels of the inputs made it return to levels 5 to 10 dB too low.)
    """
    if spread == 0:
        return samples
    count = samples.shape[1]
    octaves = torch.log2(torch.fft.rfftfreq(count, device=samples.device).clamp(1 / 512, 1 / 2) * 16)
    slope = spread * torch.randn(len(samples), 1, device=samples.device)
    tilted: Tensor = torch.fft.irfft(torch.fft.rfft(samples) * torch.exp(slope * octaves), n=count)
    power = [x.square().mean(1, keepdim=True) + 1e-9 for x in (samples, tilted)]
    return tilted * torch.sqrt(power[0] / power[1])
