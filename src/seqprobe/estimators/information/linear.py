"""The linear decoder, cross-fitted: the default, and the ground on which others stand."""

from functools import reduce
from operator import add
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from seqprobe.estimators.information import temperature
from seqprobe.estimators.information.discriminant import Discriminant
from seqprobe.estimators.information.folds import Folds
from seqprobe.estimators.information.moments import Moments

_SCORES = 2**19
"""Scores held at once, so that they stay in the cache."""


class Scored(NamedTuple):
    """Log-likelihoods of the labels in nats: of rows held out, and the mean of rows seen.

    `near`: an estimate of the information by nearest neighbours, in nats, where there is one.
    """

    held_out: Float[Tensor, "rows lags"]
    seen: Float[Tensor, " lags"]
    near: Float[Tensor, " lags"] | None = None


def linear(
    states: Float[Tensor, "rows width"],
    labels: Int[Tensor, "rows lags"],
    classes: int,
    folds: Folds,
    seed: int = 0,
) -> Scored:
    """Discriminants of four folds score the fifth, at the temperature of the others."""
    each = [Moments.of(states[part], labels[part], classes) for part in folds.parts]
    total = reduce(add, each)
    fitted = [Discriminant.fit(total - own) for own in each]
    losses = torch.stack(
        [
            _losses(d, states, labels, folds.some(i, temperature.ROWS, seed))
            for i, d in enumerate(fitted)
        ]
    )
    held_out = states.new_empty(labels.shape)
    for index, (decoder, part) in enumerate(zip(fitted, folds.parts, strict=True)):
        factor = temperature.best(losses.sum(0) - losses[index])
        held_out[part] = _scored(decoder, factor, states[part], labels[part])
    seen = folds.parts[1]
    factor = temperature.best(losses.sum(0))
    return Scored(held_out, _scored(fitted[0], factor, states[seen], labels[seen]).mean(0))


def _losses(
    decoder: Discriminant,
    states: Float[Tensor, "rows width"],
    labels: Int[Tensor, "rows lags"],
    rows: Int[Tensor, " some"],
) -> Float[Tensor, "temperatures lags"]:
    return temperature.mean_losses(decoder.scores(states[rows]), decoder.log_share, labels[rows])


def _scored(
    decoder: Discriminant,
    factor: Float[Tensor, " lags"],
    states: Float[Tensor, "rows width"],
    labels: Int[Tensor, "rows lags"],
) -> Float[Tensor, "rows lags"]:
    """A few rows at a time: all scores at once would be larger than all states, and slower."""
    some = max(1, _SCORES // decoder.bias.numel())
    parts = zip(states.split(some), labels.split(some), strict=True)
    told = [
        temperature.log_likelihood(decoder.scores(h), factor, decoder.log_share, x)
        for h, x in parts
    ]
    return torch.cat(told)
