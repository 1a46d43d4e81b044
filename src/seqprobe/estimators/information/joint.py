"""Decode several past symbols together, each one given those that are decoded before it.

A state superposes what it keeps: to a decoder of one symbol the others are noise. Decoding them one
after the other takes that noise away, as a receiver does that cancels the interference of other
senders (Multiuser Detection, Verdu, 1998). With the true symbols before it known, the losses add
up to what the state says about the whole past (chain rule); with a few likely guesses instead,
summed over, each loss is that of a decoder of the state alone.

The features are the states and then the symbols in their order, so that one Cholesky factor of
all of them holds the factor of every prefix, and whitened class sums are rows of it.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import reduce
from operator import add
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F

from seqprobe.estimators.information import temperature
from seqprobe.estimators.information.cross_fit import Scored, cross_fitted
from seqprobe.estimators.information.discriminant import canonical, cholesky
from seqprobe.estimators.information.folds import Folds
from seqprobe.estimators.information.moments import Moments

GUESSES = 8
_SCORES = 2**24


@dataclass(frozen=True)
class Chain:
    """One linear decoder per symbol, of the state and of the symbols before it."""

    mean: Float[Tensor, " width"]
    weight: Float[Tensor, "lags classes width"]
    bias: Float[Tensor, "lags classes"]
    log_share: Float[Tensor, "lags classes"]
    before: Float[Tensor, "lags classes lags classes"]
    """What a class of an earlier symbol adds to the classes of a later one."""

    @classmethod
    def fit(cls, moments: Moments, classes: int, width: int) -> "Chain":
        """From the moments of `features`."""
        root, mean, free = (
            cholesky(moments.covariance).to(moments.class_totals),
            moments.mean,
            classes - 1,
        )
        share = _shares(moments, free, width).to(mean)
        weights = root.new_zeros(len(share), classes, len(root))
        bias = torch.zeros_like(share)
        for lag, chances in enumerate(share):
            known = width + lag * free
            rows = root[known : known + free, :known]
            whitened = torch.cat([rows, -rows.sum(0, keepdim=True)]) / chances.sqrt()[:, None]
            mix, bias[lag] = canonical(whitened, chances, known / moments.count)
            weights[lag, :, :known] = torch.linalg.solve_triangular(
                root[:known, :known], mix @ whitened, upper=False, left=False
            )
        symbols = F.pad(weights[..., width:].unflatten(2, (len(share), free)), (0, 1))
        return cls(
            mean[:width],
            weights[..., :width],
            bias - weights[..., width:] @ mean[width:],
            share.log(),
            symbols.permute(2, 3, 0, 1).contiguous(),
        )

    def scores(self, states: Float[Tensor, "rows width"]) -> Float[Tensor, "rows lags classes"]:
        """What the state says, before anything is known of other symbols."""
        flat = (states - self.mean) @ self.weight.flatten(0, 1).T
        scores: Tensor = flat.unflatten(-1, self.bias.shape) + self.bias
        return scores

    def added(self, lag: int, symbols: Int[Tensor, "rows lags"]) -> Float[Tensor, "rows classes"]:
        """What the symbols before one add to its scores."""
        if not lag:
            return self.bias.new_zeros(len(symbols), self.bias.shape[1])
        first = torch.arange(lag, device=symbols.device) * self.bias.shape[1]
        table = self.before[:lag, :, lag].flatten(0, 1)
        bags: Tensor = F.embedding_bag(symbols[:, :lag] + first, table, mode="sum")
        return bags

    def informed(
        self, states: Float[Tensor, "rows width"], labels: Int[Tensor, "rows lags"]
    ) -> Float[Tensor, "rows lags classes"]:
        """Scores with the true symbols before each one known."""
        classes = self.bias.shape[1]
        symbols = F.one_hot(labels, classes).flatten(1).to(states)
        added = symbols @ self.before.flatten(2).flatten(0, 1)
        both: Tensor = self.scores(states) + added.unflatten(1, self.bias.shape)
        return both

    def marginal(
        self,
        states: Float[Tensor, "rows width"],
        factor: Float[Tensor, " lags"],
        labels: Int[Tensor, "rows lags"],
    ) -> Float[Tensor, "rows lags"]:
        """Log-likelihood of each label, given the state alone.

        The symbols before it are summed over, as far as they are among the likeliest guesses.
        """
        scores, guesses, told = self.scores(states), _Guesses.none(states), []
        for lag in range(labels.shape[1]):
            added = self.added(lag, guesses.symbols.flatten(0, 1)).unflatten(
                0, guesses.chances.shape
            )
            logits = (scores[:, None, lag] + added) * factor[lag] + self.log_share[lag]
            joint = guesses.chances[..., None] + logits.log_softmax(-1)
            told.append(joint.logsumexp(1).gather(1, labels[:, lag : lag + 1]))
            guesses = guesses.extended(joint)
        return torch.cat(told, dim=1)


class _Guesses(NamedTuple):
    """What the symbols so far may have been, with their log-probabilities."""

    symbols: Int[Tensor, "rows guesses lags"]
    chances: Float[Tensor, "rows guesses"]

    @classmethod
    def none(cls, states: Float[Tensor, "rows width"]) -> "_Guesses":
        rows = len(states)
        symbols = torch.zeros(rows, 1, 0, dtype=torch.long, device=states.device)
        return cls(symbols, states.new_zeros(rows, 1))

    def extended(self, joint: Float[Tensor, "rows guesses classes"]) -> "_Guesses":
        """The likeliest ones, one symbol longer."""
        flat, classes = joint.flatten(1), joint.shape[2]
        chances, chosen = flat.topk(min(GUESSES, flat.shape[1]), dim=1)
        parents = chosen // classes
        before = self.symbols.gather(1, parents[..., None].expand(-1, -1, self.symbols.shape[2]))
        symbols = torch.cat([before, (chosen % classes)[..., None]], dim=2)
        return _Guesses(symbols, chances.log_softmax(1))


def joint(
    states: Float[Tensor, "rows width"],
    labels: Int[Tensor, "rows lags"],
    classes: int,
    folds: Folds,
    seed: int = 0,
) -> Scored:
    """Likelihoods of each label given the state alone; lags in the order of decoding."""
    return _scored(_marginal, states, labels, classes, folds, seed)


def recall(
    states: Float[Tensor, "rows width"],
    labels: Int[Tensor, "rows lags"],
    classes: int,
    folds: Folds,
    seed: int = 0,
) -> Scored:
    """Likelihoods of each label given the state and the true labels before it."""
    return _scored(_informed, states, labels, classes, folds, seed)


Reader = Callable[[Chain, Tensor, Tensor, Tensor], Tensor]


def _marginal(chain: Chain, states: Tensor, factor: Tensor, labels: Tensor) -> Tensor:
    return chain.marginal(states, factor, labels)


def _informed(chain: Chain, states: Tensor, factor: Tensor, labels: Tensor) -> Tensor:
    scores = chain.informed(states, labels)
    return temperature.log_likelihood(scores, factor, chain.log_share, labels)


def _scored(
    reader: Reader,
    states: Float[Tensor, "rows width"],
    labels: Int[Tensor, "rows lags"],
    classes: int,
    folds: Folds,
    seed: int,
) -> Scored:
    each = [
        Moments.of(features(states[part], labels[part], classes), labels[part, :0], classes)
        for part in folds.parts
    ]
    total = reduce(add, each)
    chains = [Chain.fit(total - own, classes, states.shape[1]) for own in each]
    some = max(1, _SCORES // (GUESSES * classes * labels.shape[1]))

    def losses(index: int, rows: Int[Tensor, " some"]) -> Tensor:
        scores = chains[index].informed(states[rows], labels[rows])
        return temperature.mean_losses(scores, chains[index].log_share, labels[rows])

    def told(index: int, rows: Int[Tensor, " some"], factor: Float[Tensor, " lags"]) -> Tensor:
        parts = zip(states[rows].split(some), labels[rows].split(some), strict=True)
        return torch.cat([reader(chains[index], h, factor, x) for h, x in parts])

    return cross_fitted(losses, told, folds, seed)


def features(
    states: Float[Tensor, "rows width"], labels: Int[Tensor, "rows lags"], classes: int
) -> Float[Tensor, "rows features"]:
    """The states, then each label as one-hot numbers; the last class is all zeros."""
    symbols = F.one_hot(labels, classes)[..., :-1].flatten(1).to(states)
    return torch.cat([states, symbols], dim=1)


def _shares(moments: Moments, free: int, width: int) -> Float[Tensor, "lags classes"]:
    """How often each class occurs, from the sums of the one-hot features."""
    counts = moments.total[width:].unflatten(0, (-1, free))
    last = moments.count - counts.sum(1, keepdim=True)
    smoothed = torch.cat([counts, last], dim=1) + 0.5
    return smoothed / smoothed.sum(1, keepdim=True)
