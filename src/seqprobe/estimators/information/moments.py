"""Sufficient statistics of the closed-form decoders; batches, folds and ranks simply add."""

from dataclasses import dataclass
from typing import TypeVar

import torch
from jaxtyping import Float, Float64, Int
from torch import Tensor
from torch.nn import functional as F

_ROWS = 2048
S = TypeVar("S", bound="Sums")


@dataclass(frozen=True)
class Sums:
    """Sums over rows, field by field: those of two batches add, and those of one are taken off."""

    def __add__(self: S, other: S) -> S:
        pairs = zip(self.__dict__.values(), other.__dict__.values(), strict=True)
        return type(self)(*(a + b for a, b in pairs))

    def __sub__(self: S, other: S) -> S:
        pairs = zip(self.__dict__.values(), other.__dict__.values(), strict=True)
        return type(self)(*(a - b for a, b in pairs))


@dataclass(frozen=True)
class Moments(Sums):
    """Sums over rows of states and their labels; each row has one label per lag.

    Products are taken in the precision of the states, a few rows at a time, and summed in double
    precision: redundant features leave the Gram matrix nearly singular.
    """

    count: int
    total: Float64[Tensor, " width"]
    gram: Float64[Tensor, "width width"]
    class_totals: Float[Tensor, "lags classes width"]
    class_counts: Float[Tensor, "lags classes"]

    @classmethod
    def of(
        cls, states: Float[Tensor, "rows width"], labels: Int[Tensor, "rows lags"], classes: int
    ) -> "Moments":
        """Of a batch."""
        gram = states.new_zeros(states.shape[1], states.shape[1], dtype=torch.float64)
        for some in states.split(_ROWS):
            gram += some.T @ some
        totals, counts = class_sums(states, labels, classes)
        return cls(len(states), states.double().sum(0), gram, totals, counts)

    @property
    def mean(self) -> Float[Tensor, " width"]:
        """Of the states."""
        return (self.total / self.count).to(self.class_totals)

    @property
    def covariance(self) -> Float64[Tensor, "width width"]:
        """Of the states."""
        mean = self.total / self.count
        return self.gram / self.count - torch.outer(mean, mean)

    @property
    def shares(self) -> Float[Tensor, "lags classes"]:
        """How often each class occurs; half a row is added, so that none has no chance at all."""
        smoothed = self.class_counts + 0.5
        return smoothed / smoothed.sum(-1, keepdim=True)


def class_sums(
    states: Float[Tensor, "rows width"], labels: Int[Tensor, "rows lags"], classes: int
) -> tuple[Float[Tensor, "lags classes width"], Float[Tensor, "lags classes"]]:
    """States summed over the rows of each class, and the number of these rows.

    All lags in one go: rows are sorted by lag and class, and each run of them is a bag.
    """
    lags = labels.shape[1]
    bags = (labels + torch.arange(lags, device=labels.device) * classes).flatten()
    counts = bags.bincount(minlength=lags * classes)
    rows = bags.argsort(stable=True) // lags
    starts = counts.cumsum(0) - counts
    totals = F.embedding_bag(rows, states, starts, mode="sum")
    return totals.unflatten(0, (lags, classes)), counts.view(lags, classes).to(states)
