"""A mixture of logistic distributions over the values of ordered classes.

After T. Salimans et al., "PixelCNN++" (ICLR 2017), §2.1: each class v has a value. Its bin extends half way to its
neighbours (the outermost to infinity), and its probability is the mass of the mixture in the bin:

    P(v) = Σ_k π_k (σ((hi_v - μ_k) / s_k) - σ((lo_v - μ_k) / s_k))

so that bits per sample are exact and comparable with a categorical head's on the same classes, for 256 classes and
for 65,536 alike. The bins need not be equal: mu-law's are narrow near zero.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from noizenet.model.architecture import Architecture
from noizenet.model.features import LOG_SCALE_HIGH, LOG_SCALE_LOW, edges_of
from noizenet.model.heads import Head
from noizenet.model.sampling import Sampling


class MixtureHead(Head):
    """K logistic components around a given centre.

    The output [..., 3K] holds K weights' logits, K means and K logarithms of scales; the linear layer
    gives the means as offsets from the centre in units of the scale.
    """

    edges: Tensor

    def __init__(self, inputs: int, architecture: Architecture) -> None:
        super().__init__(inputs, architecture)
        k = self.mixtures = architecture.options.mixtures
        self.register_buffer("edges", torch.zeros(architecture.levels + 1), persistent=False)
        with torch.no_grad():
            self.linear.weight.mul_(0.3)
            self.linear.bias.zero_()
            self.linear.bias[2 * k :] = torch.linspace(-6, -3, k)
        self.set_values(torch.linspace(-1, 1, architecture.levels))

    def set_values(self, values: Tensor) -> None:
        """Set the value of each class, [V], increasing."""
        self.edges = torch.from_numpy(edges_of(values.cpu().numpy())).to(values.device)

    def around(self, h: Tensor, centre: Tensor, scale: Tensor | float = 0.0) -> Tensor:
        """Return the output [..., 3K] for features h [..., H] around `centre` [..., K or 1], in float32.

        `scale` [..., K] is added to the layer's log scales.
        """
        k = self.mixtures
        logits, offsets, log_scales = torch.split(self.linear(h.float()), k, -1)
        log_scales = (log_scales + scale).clamp(LOG_SCALE_LOW, LOG_SCALE_HIGH)
        # Detached: otherwise the scale also gets the gradient of the mean, and training is less stable.
        means = centre + offsets * log_scales.detach().exp()
        return torch.cat([logits, means, log_scales], -1)

    def loss(self, output: Tensor, target: Tensor) -> Tensor:
        """Return the mean negative logarithm of the targets' probabilities, classes [B, T, 1], in nats per frame."""
        return -self.log_probability(output, target[..., 0].long()).mean()

    def log_probability(self, output: Tensor, classes: Tensor) -> Tensor:
        """Return log P of classes [...] under outputs [..., 3K].

        With a = (hi - μ) / s and b = (lo - μ) / s: σ(a) - σ(b) = σ(a) σ(-b) (1 - e^(b - a)), whose logarithm keeps
        its precision for bins far from the mean.
        """
        logits, means, log_scales = torch.split(output.float(), self.mixtures, -1)
        inverse = torch.exp(-log_scales)
        low, high = self.edges[classes][..., None], self.edges[classes + 1][..., None]
        width = ((high - low).clamp(max=100) * inverse).clamp(min=1e-6)
        bins = (
            F.logsigmoid((high - means) * inverse)
            + F.logsigmoid((means - low) * inverse)
            + torch.log(-torch.expm1(-width))
        )
        return torch.logsumexp(torch.log_softmax(logits, -1) + bins, -1)

    def sample(self, output: Tensor, generator: torch.Generator, sampling: Sampling) -> Tensor:
        """Draw classes [B, 1], by :func:`draw`."""
        uniform = torch.rand(output.shape[:-1], generator=generator, dtype=torch.float64)
        return draw(output, uniform, sampling, self.edges)[..., None]

    def mean(self, output: Tensor, values: Tensor) -> Tensor:
        """Return the mixture's mean, within the range of the values."""
        logits, means, _ = torch.split(output.float(), self.mixtures, -1)
        inside = means.clamp(float(values.min()), float(values.max()))
        expected: Tensor = (torch.softmax(logits, -1) * inside).sum(-1, keepdim=True)
        return expected


def draw(output: Tensor, uniform: Tensor, sampling: Sampling, edges: Tensor) -> Tensor:
    """Draw classes from mixtures: the reference for the compiled kernel.

    One uniform number chooses the component; its remainder, rescaled to [0, 1), goes through the component's inverse
    distribution function. Temperature divides the weights' logits and multiplies the scales (0: the mean of the most
    probable component). Top-p keeps the most probable components that together have this probability, and the central
    part of each.

    Parameters
    ----------
    output : Tensor
        [..., 3K].
    uniform : Tensor
        [...], in [0, 1).
    sampling : Sampling
    edges : Tensor
        [V + 1], bin edges.
    """
    logits, means, log_scales = output.double().chunk(3, -1)
    if sampling.temperature == 0:
        value = means.gather(-1, logits.argmax(-1, keepdim=True))[..., 0]
        return _class_of(value, edges)
    p = torch.softmax(logits / sampling.temperature, -1)
    if sampling.top_p < 1:
        ordered, order = torch.sort(p, dim=-1, descending=True, stable=True)
        kept = torch.where(ordered.cumsum(-1) - ordered < sampling.top_p, ordered, 0.0)
        p = torch.zeros_like(p).scatter(-1, order, kept)
        p = p / p.sum(-1, keepdim=True)
    cumulative = p.cumsum(-1)
    chosen = (cumulative <= uniform[..., None]).sum(-1, keepdim=True).clamp(max=p.shape[-1] - 1)
    weight, upper = p.gather(-1, chosen)[..., 0], cumulative.gather(-1, chosen)[..., 0]
    remainder = ((uniform - (upper - weight)) / weight).clamp(1e-9, 1 - 1e-9)
    remainder = 0.5 + (remainder - 0.5) * sampling.top_p
    scale = sampling.temperature * log_scales.gather(-1, chosen)[..., 0].exp()
    return _class_of(means.gather(-1, chosen)[..., 0] + scale * torch.logit(remainder), edges)


def _class_of(value: Tensor, edges: Tensor) -> Tensor:
    return torch.searchsorted(edges[1:-1].double(), value, right=True)
