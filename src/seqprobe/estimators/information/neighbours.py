"""What the nearest states were labelled with: for codes that no linear decoder reads.

One search serves all lags. It is done along the principal axes, where distances mean something.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from seqprobe.estimators.information.folds import Folds
from seqprobe.estimators.seeded import seeded

AXES, NEIGHBOURS, REFERENCES = 32, 64, 10_000
BANDWIDTHS = (0.02, 0.1, 0.5)
_ROWS = 512


@dataclass(frozen=True)
class Neighbours:
    """Likelihoods of the labels for each bandwidth, and an estimate in nats; no bound."""

    held_out: Float[Tensor, "bandwidths rows lags"]
    estimate: Float[Tensor, " lags"]


def neighbours(
    states: Float[Tensor, "rows width"],
    labels: Int[Tensor, "rows lags"],
    classes: int,
    folds: Folds,
    few: Int[Tensor, " few"] | None = None,
    seed: int = 0,
) -> Neighbours:
    """Look up each row among the rows of the other folds; or only a few rows of the first fold.

    Rows that are not looked up have likelihood 0.
    """
    told = states.new_zeros(len(BANDWIDTHS), *labels.shape)
    closeness = []
    for index, part in enumerate(folds.parts if few is None else [few]):
        others = folds.others(index)
        some = torch.randperm(len(others), generator=torch.Generator().manual_seed(seed))
        others = others[some[:REFERENCES].to(others.device)]
        known = _Known.of(states[others], labels[others], classes)
        for rows in part.split(_ROWS):
            told[:, rows], near = known.about(states[rows], labels[rows])
            closeness.append(near)
    return Neighbours(told, torch.cat(closeness).mean(0))


@dataclass(frozen=True)
class _Known:
    """Labelled states to compare with."""

    mean: Float[Tensor, " width"]
    axes: Float[Tensor, "width axes"]
    points: Float[Tensor, "references axes"]
    labels: Int[Tensor, "references lags"]
    shares: Float[Tensor, "lags classes"]

    @classmethod
    def of(
        cls, states: Float[Tensor, "rows width"], labels: Int[Tensor, "rows lags"], classes: int
    ) -> "_Known":
        mean = states.mean(0)
        centred = states - mean
        with seeded(0):
            axes = torch.svd_lowrank(centred.cpu(), q=min(AXES, *centred.shape))[2].to(centred)
        counts = torch.stack([lag.bincount(minlength=classes) for lag in labels.T])
        return cls(mean, axes, centred @ axes, labels.to(torch.int32), (counts + 1) / len(labels))

    def about(
        self, states: Float[Tensor, "rows width"], labels: Int[Tensor, "rows lags"]
    ) -> tuple[Float[Tensor, "bandwidths rows lags"], Float[Tensor, "rows lags"]]:
        """The share of weight on neighbours of the same label; and the terms of the estimate."""
        distances, nearest = self._nearest(states)
        same = self.labels[nearest] == labels[:, None].to(torch.int32)
        scale = distances[:, 1:9].mean().clamp(min=1e-12)
        away = (distances - distances[:, :1]) / scale
        weights = torch.stack([(-away / width).softmax(1) for width in BANDWIDTHS])
        told = torch.einsum("brn,rnl->brl", weights, same.to(weights))
        return told, self._closeness(same, labels)

    def _nearest(
        self, states: Float[Tensor, "rows width"]
    ) -> tuple[Float[Tensor, "rows neighbours"], Int[Tensor, "rows neighbours"]]:
        """Squared distances and numbers of the nearest points, from the nearest on."""
        queries = (states - self.mean) @ self.axes
        squares = torch.cdist(queries, self.points).square()
        nearest: tuple[Tensor, Tensor] = squares.topk(
            min(NEIGHBOURS, len(self.points)), largest=False
        )
        return nearest

    def _closeness(
        self, same: Bool[Tensor, "rows neighbours lags"], labels: Int[Tensor, "rows lags"]
    ) -> Float[Tensor, "rows lags"]:
        """How much nearer the nearest one of the same label is than it would be by chance.

        Its rank m among n points, n_y of them so labelled, gives digamma(n) + digamma(1)
        - digamma(n_y) - digamma(m) (Mutual Information between Discrete and Continuous Data Sets,
        Ross, 2014). Where none is found, as many points again are added as chance asks for.
        """
        share = self.shares.T[labels, torch.arange(labels.shape[1], device=labels.device)]
        beyond = same.shape[1] + 1 / share
        rank = torch.where(same.any(1), same.to(torch.uint8).argmax(1) + 1, beyond)
        count = len(self.labels)
        known = torch.digamma(torch.tensor(float(count))) + torch.digamma(torch.tensor(1.0))
        terms: Tensor = known.to(share) - torch.digamma(share * count) - torch.digamma(rank)
        return terms
