"""A decoder of tokens through their embedding: width x embedding numbers, for any vocabulary.

The state and the embedded token are taken for jointly normal. Along each pair of canonical axes,
with the values a and b of state and token and the correlation r between them, the log-likelihood
ratio of the token is then (r a b - r^2 b^2 / 2) / (1 - r^2), up to a constant
(Relations between two sets of variates, Hotelling, 1936).

With one-hot numbers as embedding this is linear discriminant analysis.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Float64, Int
from torch import Tensor

from seqprobe.estimators.information.discriminant import cholesky
from seqprobe.estimators.information.moments import Moments, Sums

CLOSEST = 1 - 1e-4
_ROWS = 2048


@dataclass(frozen=True)
class Whitener:
    """The mean of states and the Cholesky factor of their covariance, the same for all lags."""

    mean: Float64[Tensor, " width"]
    root: Float[Tensor, "width width"]

    @classmethod
    def of(cls, moments: Moments) -> "Whitener":
        """Of the moments of states."""
        root = cholesky(moments.covariance).to(moments.class_totals)
        return cls(moments.total / moments.count, root)


@dataclass(frozen=True)
class Pairs(Sums):
    """Sums over rows of embedded tokens and of their products, with each other and with states."""

    count: int
    total: Float64[Tensor, " embedding"]
    gram: Float64[Tensor, "embedding embedding"]
    cross: Float64[Tensor, "width embedding"]
    tokens: Int[Tensor, " vocab"]

    @classmethod
    def of(
        cls,
        states: Float[Tensor, "rows width"],
        tokens: Int[Tensor, " rows"],
        embedding: Float[Tensor, "vocab embedding"],
    ) -> "Pairs":
        """Of a batch, a few rows at a time."""
        size = embedding.shape[1]
        gram = states.new_zeros(size, size, dtype=torch.float64)
        cross = states.new_zeros(states.shape[1], size, dtype=torch.float64)
        total = states.new_zeros(size, dtype=torch.float64)
        for h, x in zip(states.split(_ROWS), tokens.split(_ROWS), strict=True):
            embedded = embedding[x]
            gram += embedded.T @ embedded
            cross += h.T @ embedded
            total += embedded.double().sum(0)
        return cls(len(states), total, gram, cross, tokens.bincount(minlength=len(embedding)))


@dataclass(frozen=True)
class Tied:
    """Log-likelihood ratios of all tokens, linear in the state."""

    mean: Float[Tensor, " width"]
    weight: Float[Tensor, "width axes"]
    tokens: Float[Tensor, "vocab axes"]
    bias: Float[Tensor, " vocab"]
    log_share: Float[Tensor, " vocab"]

    @classmethod
    def fit(
        cls,
        states: Whitener,
        pairs: Pairs,
        embedding: Float[Tensor, "vocab embedding"],
        share: Float64[Tensor, " vocab"],
    ) -> "Tied":
        """By canonical correlations, shrunk for the number of rows.

        Chance alone gives them a square of about (width + embedding) / rows.
        """
        mean = pairs.total / pairs.count
        root = cholesky(pairs.gram / pairs.count - torch.outer(mean, mean))
        cross = pairs.cross / pairs.count - torch.outer(states.mean, mean)
        half = torch.linalg.solve_triangular(states.root, cross.to(embedding), upper=False)
        both = torch.linalg.solve_triangular(root.T, half.double(), upper=True, left=False)
        squared, axes = torch.linalg.eigh(both.T @ both)
        shrunk, gain, found = _shrunk(squared, sum(cross.shape) / pairs.count)
        axes, shrunk = axes[:, found], shrunk[found]
        turned = (both @ axes * gain[found]).to(embedding)
        weight = torch.linalg.solve_triangular(states.root.T, turned, upper=True)
        readout = torch.linalg.solve_triangular(root.T, axes, upper=True).to(embedding)
        tokens = (embedding - mean.to(embedding)) @ readout
        bias = -0.5 * tokens.square() @ (shrunk / (1 - shrunk)).to(embedding)
        return cls(states.mean.to(embedding), weight, tokens, bias, share.log().to(embedding))

    def scores(self, states: Float[Tensor, "rows width"]) -> Float[Tensor, "rows vocab"]:
        """Of each token, up to a constant; the share of the token is not yet in them."""
        scores: Tensor = torch.addmm(self.bias, (states - self.mean) @ self.weight, self.tokens.T)
        return scores


def _shrunk(
    squared: Float64[Tensor, " axes"], noise: float
) -> tuple[Float64[Tensor, " axes"], Float64[Tensor, " axes"], Tensor]:
    """What chance alone gives taken off squared correlations; r / (1 - r^2) per found r; which.

    Axes without any correlation left are dropped.
    """
    squared, noise = squared.clamp(1e-12, 1 - 1e-7), min(noise, 0.99)
    shrunk = ((squared - noise) / (1 - noise)).clamp(0, CLOSEST)
    return shrunk, (shrunk / squared).sqrt() / (1 - shrunk), shrunk > 0
