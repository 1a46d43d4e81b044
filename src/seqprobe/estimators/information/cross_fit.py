"""Score each fold by the decoder of the others, at the temperature that suits the others best."""

from collections.abc import Callable
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from seqprobe.estimators.information import temperature
from seqprobe.estimators.information.folds import Folds

Losses = Callable[[int, Tensor], Tensor]
Told = Callable[[int, Tensor, Tensor], Tensor]


class Scored(NamedTuple):
    """Log-likelihoods of the labels in nats: of rows held out, and the mean of rows seen.

    `near`: an estimate of the information by nearest neighbours, in nats, where there is one.
    """

    held_out: Float[Tensor, "rows lags"]
    seen: Float[Tensor, " lags"]
    near: Float[Tensor, " lags"] | None = None


def cross_fitted(losses: Losses, told: Told, folds: Folds, seed: int) -> Scored:
    """Of decoders numbered by the fold that each did not see.

    `losses` takes a decoder and rows, and gives the mean loss at each temperature; `told` takes
    the temperature of each lag as well, and gives the log-likelihoods of the labels.
    """
    few = [folds.some(index, temperature.ROWS, seed) for index in range(len(folds))]
    each = torch.stack([losses(index, rows) for index, rows in enumerate(few)])
    total = each.sum(0)
    held_out = total.new_empty(sum(map(len, folds.parts)), total.shape[1])
    for index, part in enumerate(folds.parts):
        held_out[part] = told(index, part, temperature.best(total - each[index]))
    return Scored(held_out, told(0, folds.parts[1], temperature.best(total)).mean(0))
