"""The linear decoder, cross-fitted: the default, and the ground on which others stand."""

from functools import reduce
from operator import add

import torch
from jaxtyping import Float, Int
from torch import Tensor

from seqprobe.estimators.information import temperature
from seqprobe.estimators.information.cross_fit import Scored, cross_fitted
from seqprobe.estimators.information.discriminant import Discriminant
from seqprobe.estimators.information.folds import Folds
from seqprobe.estimators.information.moments import Moments

_SCORES = 2**19
"""Scores held at once, so that they stay in the cache."""


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

    def losses(index: int, rows: Int[Tensor, " some"]) -> Tensor:
        decoder = fitted[index]
        scores = decoder.scores(states[rows])
        return temperature.mean_losses(scores, decoder.log_share, labels[rows])

    def told(index: int, rows: Int[Tensor, " some"], factor: Float[Tensor, " lags"]) -> Tensor:
        return _scored(fitted[index], factor, states[rows], labels[rows])

    return cross_fitted(losses, told, folds, seed)


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
