"""Normal scores: ranks turned into quantiles of the normal law, column by column.

Mutual information does not change under monotone maps of single columns, so heavy tails and odd
scales can be taken off first. Nonparanormal: Semiparametric Estimation of High Dimensional
Undirected Graphs (Liu et al., 2009).
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float64
from torch import Tensor


@dataclass(frozen=True)
class NormalScores:
    """Where new values fall among the ones that were fitted."""

    ordered: Float64[Tensor, "width samples"]

    @classmethod
    def fit(cls, rows: Float64[Tensor, "samples width"]) -> "NormalScores":
        return cls(rows.T.contiguous().sort(dim=1).values)

    def __call__(self, rows: Float64[Tensor, "rows width"]) -> Float64[Tensor, "rows width"]:
        """Equal values get the middle of their ranks."""
        columns = rows.T.contiguous()
        below = torch.searchsorted(self.ordered, columns)
        up_to = torch.searchsorted(self.ordered, columns, right=True)
        quantile = (below + up_to + 1) / 2 / (self.ordered.shape[1] + 1)
        scores: Tensor = torch.special.ndtri(quantile.double())
        return scores.T.contiguous()


def normal_scores(rows: Float64[Tensor, "samples width"]) -> Float64[Tensor, "samples width"]:
    """The rows by their own ranks."""
    return NormalScores.fit(rows)(rows)


def standardised(rows: Float64[Tensor, "samples width"]) -> Float64[Tensor, "samples width"]:
    """Every column with mean 0 and variance 1."""
    return (rows - rows.mean(0)) / rows.std(0, correction=0)
