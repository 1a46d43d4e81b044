"""Gaussian information between pairs: exact where x and y are normal together.

I(x; y) = -1/2 sum log(1 - r^2) over the canonical correlations r (Relations Between Two Sets of
Variates, Hotelling, 1936). Normal scores make that of a Gaussian copula: margins may be anything.
It is no bound: without a Gaussian copula it can lie on either side of the truth.
"""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float, Float64, Int
from torch import Tensor

from seqprobe.contracts import Estimate
from seqprobe.estimators.information.local import averaged
from seqprobe.estimators.information.pairs import Pairs
from seqprobe.estimators.information.scores import normal_scores

RIDGE = 1e-9
_LARGEST = 1 - 1e-9  # squared correlation of columns that determine each other


@dataclass(frozen=True)
class Canonical:
    """Centred x @ `to_x` and y @ `to_y` have unit variance and correlate column by column."""

    mean_x: Float64[Tensor, " x"]
    mean_y: Float64[Tensor, " y"]
    to_x: Float64[Tensor, "x axes"]
    to_y: Float64[Tensor, "y axes"]
    squared: Float64[Tensor, " axes"]

    @classmethod
    def fit(cls, x: Float64[Tensor, "samples x"], y: Float64[Tensor, "samples y"]) -> "Canonical":
        """Of the sample as it is; many columns make its correlations too large."""
        mean_x, mean_y = x.mean(0), y.mean(0)
        x, y = x - mean_x, y - mean_y
        white_x, white_y = _whitener(x), _whitener(y)
        left, correlation, right = torch.linalg.svd(
            (x @ white_x).T @ (y @ white_y) / len(x), full_matrices=False
        )
        squared = correlation.square().clamp(max=_LARGEST)
        return cls(mean_x, mean_y, white_x @ left, white_y @ right.T, squared)

    def shrunk(self, samples: int) -> "Canonical":
        """Squared correlations less what chance adds to them; the axes below its edge are left out.

        Adjusted as in multiple regression (Methods of Correlation Analysis, Ezekiel, 1930).
        """
        x, y = len(self.mean_x), len(self.mean_y)
        edge, noise = (math.sqrt(x) + math.sqrt(y)) / math.sqrt(samples), (x + y) / samples
        keep = self.squared.sqrt() > edge
        adjusted = (self.squared[keep] - noise) / (1 - noise)
        return Canonical(
            self.mean_x, self.mean_y, self.to_x[:, keep], self.to_y[:, keep],
            adjusted.clamp(min=0.0),
        )  # fmt: skip

    def variates(
        self, x: Float64[Tensor, "rows x"], y: Float64[Tensor, "rows y"]
    ) -> tuple[Float64[Tensor, "rows axes"], Float64[Tensor, "rows axes"]]:
        """Both sides on their axes."""
        return (x - self.mean_x) @ self.to_x, (y - self.mean_y) @ self.to_y

    def log_ratio(
        self, a: Float[Tensor, "rows axes"], b: Float[Tensor, "rows axes"]
    ) -> Float[Tensor, " rows"]:
        """Of the joint normal density of variates to the product of its margins, in nats.

        Over the sample that was fitted its mean is exactly -1/2 sum log(1 - r^2).
        """
        squared, rest = self.squared.to(a), 1 - self.squared
        both = squared.sqrt() * a * b - squared * (a.square() + b.square()) / 2
        return (both / rest.to(a)).sum(1) - rest.log().sum().to(a) / 2


def canonical_bits(
    x: Float[Tensor, "samples x"],
    y: Float[Tensor, "samples_y y"],
    *,
    sequences: Int[Tensor, " labels"] | None = None,
    normal: bool = True,
    seed: int = 0,
) -> Estimate:
    """Information of a Gaussian copula (or of a Gaussian, unless `normal` scores), in bits.

    The mean excess of a normal sample is known exactly and taken off. Not estimable where `Pairs`
    refuses; shapes that do not match raise ValueError.
    """
    pairs = Pairs.of(x, y, sequences)
    if pairs.refusal:
        return Estimate.missing("bits", pairs.refusal)
    excess = gaussian_excess(pairs.samples, pairs.x.shape[1], pairs.y.shape[1])
    unrelated = pairs.elsewhere()
    terms, nowhere = (_terms(each, normal) for each in (pairs, unrelated))
    return averaged(pairs, terms[:, None], nowhere[:, None], excess=excess, seed=seed)


def gaussian_excess(samples: int, x: int, y: int) -> float:
    """By how many nats a normal sample overstates its information on average.

    From the mean log-determinant of a Wishart matrix. Bayesian estimators of the Gaussian
    differential entropy are compared with it in Misra, Singh and Demchuk (2005), "Estimation of
    the entropy of a multivariate normal distribution".
    """
    halves = torch.digamma((samples - torch.arange(1, x + y + 1, dtype=torch.float64)) / 2)
    return float(halves[:x].sum() + halves[:y].sum() - halves.sum()) / 2


def _terms(pairs: Pairs, normal: bool) -> Float64[Tensor, " samples"]:
    x, y = (normal_scores(side) if normal else side for side in (pairs.x, pairs.y))
    fitted = Canonical.fit(x, y)
    return fitted.log_ratio(*fitted.variates(x, y))


def _whitener(centred: Float64[Tensor, "samples width"]) -> Float64[Tensor, "width width"]:
    """Columns to unit covariance; a ridge keeps redundant ones from harm."""
    scaled = centred.std(0, correction=0)
    covariance = (centred / scaled).T @ (centred / scaled) / len(centred)
    root = torch.linalg.cholesky(covariance + RIDGE * torch.eye(len(covariance)).to(covariance))
    inverse: Tensor = torch.linalg.solve_triangular(
        root, torch.eye(len(root)).to(root), upper=False
    )
    return inverse.T / scaled[:, None]
