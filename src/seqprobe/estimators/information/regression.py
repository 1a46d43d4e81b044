"""Bits about real-valued inputs, for all lags at once: linear prediction in closed form.

For jointly normal inputs and states this is all the information; for others a lower bound, as long
as the inputs are standard normal, which is known by design.
"""

import math
from dataclasses import dataclass
from functools import reduce
from operator import add

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from seqprobe.estimators.information.decoded import DecodedBits
from seqprobe.estimators.information.decoder import standardised
from seqprobe.estimators.information.discriminant import cholesky, whiten
from seqprobe.estimators.information.folds import Folds
from seqprobe.estimators.information.moments import Sums
from seqprobe.estimators.information.refusals import of_states


def normal_bits(
    states: Float[Tensor, "sequences steps width"],
    inputs: Float[Tensor, "sequences steps lags features"],
    *,
    seed: int = 0,
) -> DecodedBits:
    """Cross-fitted information between states and independent standard normal inputs, in bits.

    Canonical correlations r of the state and the input at each lag give
    -1/2 sum log2(1 - r^2) (Relations between two sets of variates, Hotelling, 1936); r^2 is
    adjusted for the number of rows. The bound is the gain in held-out log-density.
    """
    sequences, steps, lags, features = inputs.shape
    unusable = (of_states(states),) * lags
    held_out = null = np.full((sequences, lags), np.nan)
    near = held_out[0]
    if not unusable[0]:
        both = torch.cat([inputs, inputs.roll(1, dims=0)], dim=2).flatten(0, 1)
        gains, adjusted = _gains(standardised(states).double(), both.double(), steps, seed)
        each = gains.unflatten(0, (sequences, steps)).mean(1).cpu().numpy() / math.log(2)
        held_out, null = each[:, :lags], each[:, lags:]
        near = adjusted[:lags].cpu().numpy() / math.log(2)
    return DecodedBits(
        held_out,
        null,
        np.full(lags, np.nan),
        near,
        np.full(lags, np.inf),
        counted=False,
        rows=sequences * steps * 4 // 5,
        parameters=features * (states.shape[2] + 1),
        seed=seed,
        unusable=unusable,
    )


def _gains(
    states: Float[Tensor, "rows width"],
    inputs: Float[Tensor, "rows lags features"],
    steps: int,
    seed: int,
) -> tuple[Float[Tensor, "rows lags"], Float[Tensor, " lags"]]:
    """In nats: what the prediction gains in each row, and the information if all is normal."""
    folds = Folds.of(len(states) // steps, steps, seed, states.device)
    each = [_Products.of(states[part], inputs[part]) for part in folds.parts]
    total = reduce(add, each)
    gains = states.new_empty(inputs.shape[:2])
    for own, part in zip(each, folds.parts, strict=True):
        gains[part] = _Prediction.fit(total - own).gain(states[part], inputs[part])
    return gains, -0.5 * _Prediction.fit(total).spread.log().sum(-1)


@dataclass(frozen=True)
class _Products(Sums):
    """Of products of states and inputs."""

    count: int
    total: Float[Tensor, " width"]
    inputs: Float[Tensor, "lags features"]
    gram: Float[Tensor, "width width"]
    cross: Float[Tensor, "lags features width"]
    squares: Float[Tensor, "lags features features"]

    @classmethod
    def of(
        cls, states: Float[Tensor, "rows width"], inputs: Float[Tensor, "rows lags features"]
    ) -> "_Products":
        cross = (inputs.flatten(1).T @ states).unflatten(0, inputs.shape[1:])
        squares = torch.einsum("rlf,rlg->lfg", inputs, inputs)
        return cls(len(states), states.sum(0), inputs.sum(0), states.T @ states, cross, squares)


@dataclass(frozen=True)
class _Prediction:
    """Of each canonical coordinate of the input, and how far off it is, squared.

    Inputs are measured by their own covariance in these rows: near a correlation of 1 even a
    variance that is off by a hundredth would count.
    """

    mean: Float[Tensor, " width"]
    weight: Float[Tensor, "lags features width"]
    axes: Float[Tensor, "lags features features"]
    spread: Float[Tensor, "lags features"]
    log_scale: Float[Tensor, " lags"]

    @classmethod
    def fit(cls, products: _Products) -> "_Prediction":
        """By the Cholesky factor of the states; chance correlations are taken off.

        The spread is never below that of the residuals: where states hold the inputs to the last
        digit, correlations of 1 are beyond what the sums of products can tell.
        """
        mean, count = products.total / products.count, products.count
        covariance = products.gram / count - torch.outer(mean, mean)
        root = cholesky(covariance)
        scale = torch.linalg.cholesky(products.squares / count)
        cross = torch.linalg.solve_triangular(scale, products.cross / count, upper=False)
        whitened = whiten(root, cross)
        squared, axes = torch.linalg.eigh(whitened @ whitened.mT)
        squared, noise = squared.clamp(1e-12, 1 - 1e-9), min(len(mean) / count, 0.99)
        adjusted = ((squared - noise) / (1 - noise)).clamp(0)
        shrunk = (adjusted / squared)[..., None] * (axes.mT @ whitened)
        weight = whiten(root.T.contiguous(), shrunk, upper=True)
        turned = torch.linalg.solve_triangular(scale.mT, axes, upper=True)
        middle = (products.inputs / count)[..., None] * mean
        apart = torch.einsum("lfw,lfg->lgw", products.cross / count - middle, turned)
        told = 2 * (weight * apart).sum(-1) - ((weight @ covariance) * weight).sum(-1)
        spread = (1 - adjusted).maximum((1 - told) / (1 - noise)).clamp(min=1e-9)
        return cls(mean, weight, turned, spread, scale.diagonal(dim1=1, dim2=2).log().sum(-1))

    def gain(
        self, states: Float[Tensor, "rows width"], inputs: Float[Tensor, "rows lags features"]
    ) -> Float[Tensor, "rows lags"]:
        """Log-density of the inputs given the states, less that without them."""
        coordinates = torch.einsum("rlf,lfg->rlg", inputs, self.axes)
        told = ((states - self.mean) @ self.weight.flatten(0, 1).T).view_as(coordinates)
        error = (coordinates - told).square() / self.spread
        before = inputs.square().sum(-1)
        return 0.5 * (before - (self.spread.log() + error).sum(-1)) - self.log_scale
