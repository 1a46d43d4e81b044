"""What noise real-valued outputs are read with, and whether they say the next inputs."""

import math
from typing import Literal

import torch
from jaxtyping import Float
from scipy import stats
from torch import Tensor

from seqprobe.contracts import Readout

EXPLAINED, LEVEL = 0.01, 0.99
ROUNDING = 64

Says = Literal["next", "values"]


def readout(
    inputs: Float[Tensor, "sequences time features"],
    outputs: Float[Tensor, "sequences time outputs"],
    says: Says | None = None,
) -> Readout:
    """Of the second halves of some sequences, so that what comes first has been read.

    Outputs that say the next inputs have the root mean square of their errors for noise, others
    their own standard deviation; never less than rounding makes. `says`: what outputs are, where
    it is known; else they say the next inputs if they explain a hundredth of the variance of
    these, to a confidence of 99 %. Fewer outputs than features say those that they come nearest
    to in every second sequence, and are judged by the others.
    """
    half = inputs.shape[1] // 2
    following, told = inputs[:, half + 1 :].double(), outputs[:, half:-1].double()
    floor = ROUNDING * torch.finfo(outputs.dtype).eps * told.abs().amax((0, 1))
    columns = _columns(following, told)
    if says != "values" and columns:
        judges = slice(None) if len(columns) == inputs.shape[2] else slice(1, None, 2)
        explained, low = _explained(following[judges][..., columns], told[judges])
        if says == "next" or low > EXPLAINED:
            errors = (following[..., columns] - told).square().mean((0, 1)).sqrt()
            return Readout(errors.maximum(floor), tuple(columns), explained)
    return Readout(told.flatten(0, 1).std(0, correction=0).maximum(floor))


def _columns(
    following: Float[Tensor, "sequences time features"],
    told: Float[Tensor, "sequences time outputs"],
) -> list[int]:
    """The feature that each output may say; none where there are more outputs than features."""
    features, outputs = following.shape[2], told.shape[2]
    if outputs >= features:
        return list(range(features)) if outputs == features else []
    scale = following.flatten(0, 1).var(0, correction=0)
    apart = (following[::2, :, None] - told[::2, ..., None]).square().mean((0, 1)) / scale
    return apart.where(scale > 0, torch.inf).argmin(1).tolist()


def _explained(
    following: Float[Tensor, "sequences time outputs"],
    told: Float[Tensor, "sequences time outputs"],
) -> tuple[float, float]:
    """The share of the variance, on average over outputs, and its lower confidence limit.

    Features that never change do not count.
    """
    around = (following - following.mean((0, 1))).square()
    scale = around.mean((0, 1))
    scale = scale.where(scale > 0, torch.inf)
    gained = ((around - (following - told).square()).mean(1) / scale).mean(1)
    if (count := len(gained)) < 2:
        return float(gained.sum()), -math.inf
    width = stats.t.ppf(LEVEL, count - 1) * gained.std() / count**0.5
    return float(gained.mean()), float(gained.mean() - width)
