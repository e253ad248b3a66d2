"""Backward-adaptive linear prediction of the next sample from the last thousand samples.

The autocorrelation method with the Levinson-Durbin recursion (J. Makhoul, "Linear Prediction: A Tutorial Review", Proc.
IEEE 63(4), 1975), over past samples, so that no taps have to be stored or learned. It adapts to any sound within
milliseconds, which learned weights cannot. The network models the residual (as in J.-M. Valin, J. Skoglund, "LPCNet",
ICASSP 2019).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from noizenet.model.features import LPC_FLOOR, LPC_POWER, LPC_WINDOW, SMALLEST_SCALE, lpc_taper


def predictors(past: Tensor, order: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return the taps of the linear predictor of segments of samples, the scale of its error, and their level.

    Parameters
    ----------
    past : Tensor
        [..., LPC_WINDOW], oldest first.
    order : int
        P.

    Returns
    -------
    tuple of Tensor
        Taps [..., P], oldest sample first; the logarithm [...] of the scale of a logistic distribution with the
        error's variance; the logarithm [...] of the root mean square of the past. float32.
    """
    taper = torch.from_numpy(lpc_taper()).to(past.device)
    windowed = past.double() * taper
    spectrum = torch.fft.rfft(windowed, 2 * LPC_WINDOW)
    r = torch.fft.irfft(spectrum.abs().square(), 2 * LPC_WINDOW)[..., : order + 1]
    first = r[..., 0] * (1 + LPC_FLOOR) + 1e-9
    error, taps = first, r[..., :0]
    for m in range(order):  # newest sample first here
        k = (r[..., m + 1] - (taps * r[..., 1 : m + 1].flip(-1)).sum(-1)) / error
        taps = torch.cat([taps - k[..., None] * taps.flip(-1), k[..., None]], -1)
        error = error * (1 - k.square())
    variance = error / LPC_POWER
    scale = (variance.sqrt() * math.sqrt(3) / math.pi).clamp(min=SMALLEST_SCALE)
    level = (first / LPC_POWER).sqrt()
    return taps.flip(-1).float(), scale.log().float(), level.log().float()
