"""What a network is shown of each side: ranks and sizes, both without outliers."""

from dataclasses import dataclass

import torch
from jaxtyping import Float32, Float64
from torch import Tensor

from seqprobe.estimators.information.scores import NormalScores

_ONE_SIGMA = 0.6827


@dataclass(frozen=True)
class Features:
    """Normal scores, and the values themselves on a robust scale; and how large each of them is.

    Scores alone would hide what turns columns into each other, as on a spiral.
    """

    ranks: NormalScores
    middle: Float64[Tensor, " width"]
    spread: Float64[Tensor, " width"]

    @classmethod
    def fit(cls, rows: Float64[Tensor, "samples width"]) -> "Features":
        """The spread is half the range of the middle 68 %."""
        middle = rows.median(0).values
        apart = (rows - middle).abs()
        spread = apart.kthvalue(max(int(_ONE_SIGMA * len(rows)), 1), dim=0).values
        return cls(NormalScores.fit(rows), middle, torch.where(spread > 0, spread, apart.mean(0)))

    def __call__(self, rows: Float64[Tensor, "rows width"]) -> Float32[Tensor, "rows features"]:
        values = (rows - self.middle) / self.spread
        scores = self.ranks(rows)
        return torch.cat([scores, _size(scores), values.asinh(), _size(values)], 1).float()


def _size(rows: Float64[Tensor, "rows width"]) -> Float64[Tensor, "rows 1"]:
    size: Tensor = torch.linalg.vector_norm(rows, dim=1, keepdim=True)
    return (size + 1e-2).log()
