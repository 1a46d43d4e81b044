"""Linear discriminant analysis in closed form, for all lags from one Cholesky factor.

Its canonical correlations are shrunk for the number of rows: with d features and n rows, chance
alone gives each of them a square of about d / n.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Float64
from torch import Tensor

from seqprobe.estimators.information.moments import Moments

RIDGES = (1e-6, 1e-5, 1e-4, 1e-3)


@dataclass(frozen=True)
class Discriminant:
    """Log-likelihood ratios of the classes, linear in the state.

    The use of multiple measurements in taxonomic problems (Fisher, 1936).
    """

    mean: Float[Tensor, " width"]
    weight: Float[Tensor, "lags classes width"]
    bias: Float[Tensor, "lags classes"]
    log_share: Float[Tensor, "lags classes"]

    @classmethod
    def fit(cls, moments: Moments, ridge: float = 0.0, known: int = 0) -> "Discriminant":
        """With one covariance for all classes and lags.

        A `ridge` is added to all variances (Regularized discriminant analysis, Friedman, 1989); it
        helps where there are not many more rows than features. Of the first `known` features
        nothing is read, and their linear traces are taken out of the others: in the coordinates of
        the Cholesky factor the others come after them.
        """
        root, mean, share = cholesky(moments.covariance, ridge), moments.mean, moments.shares
        noise = (_freedom(root, ridge) - known) / moments.count
        centred = moments.class_totals - moments.class_counts[..., None] * mean
        root = root.to(mean)
        whitened = whiten(root, centred / moments.count / share.sqrt()[..., None])
        whitened[..., :known] = 0
        mix, bias = canonical(whitened, share, noise)
        weight = whiten(root.T.contiguous(), mix @ whitened, upper=True)
        return cls(mean, weight, bias, share.log())

    def scores(self, states: Float[Tensor, "rows width"]) -> Float[Tensor, "rows lags classes"]:
        """Of each class, up to a constant; the share of the class is not yet in them."""
        weight = self.weight.flatten(0, 1)
        flat = torch.addmm(self.bias.flatten(), states - self.mean, weight.T)
        scores: Tensor = flat.unflatten(-1, self.bias.shape)
        return scores


def canonical(
    whitened: Float[Tensor, "*lags classes width"],
    share: Float[Tensor, "*lags classes"],
    noise: float,
) -> tuple[Float[Tensor, "*lags classes classes"], Float[Tensor, "*lags classes"]]:
    """From whitened class sums to the scores of the classes: a matrix upon the sums, and a bias.

    The eigenvalues of their products are squared canonical correlations r^2. With u the canonical
    direction among classes, class c has the mean r u_c / sqrt(p_c) and all classes the variance
    1 - r^2 on that axis. `noise` is the r^2 that chance alone gives.
    """
    squared, axes = torch.linalg.eigh((whitened @ whitened.mT).double())
    squared, noise = squared.clamp(1e-12, 1 - 1e-7), min(noise, 0.99)
    shrunk = ((squared - noise) / (1 - noise)).clamp(0, 1 - 1e-5)
    means = axes / share.double().sqrt()[..., None]
    gain = (shrunk / squared).sqrt() / (1 - shrunk)
    mix = (means * gain[..., None, :]) @ axes.mT
    bias = -0.5 * (means**2 * (shrunk / (1 - shrunk))[..., None, :]).sum(-1)
    return mix.to(whitened), bias.to(whitened)


def cholesky(
    covariance: Float64[Tensor, "width width"], ridge: float = 0.0
) -> Float64[Tensor, "width width"]:
    """Of the covariance with a ridge, so that redundant or constant features do no harm.

    The ridge grows where rounding still leaves a direction without variance.
    """
    root, failed = covariance, True
    for least in RIDGES:
        if failed:
            added = torch.full_like(covariance.diagonal(), max(ridge, least)).diag()
            root, failed = torch.linalg.cholesky_ex(covariance + added)
    return root


def _freedom(root: Float64[Tensor, "width width"], ridge: float) -> float:
    """Degrees of freedom: as many as features, less what the ridge takes."""
    if not ridge:
        return len(root)
    return len(root) - ridge * float(torch.cholesky_inverse(root).trace())


def whiten(
    root: Float[Tensor, "width width"],
    rows: Float[Tensor, "lags classes width"],
    *,
    upper: bool = False,
) -> Float[Tensor, "lags classes width"]:
    """Apply the inverse of a triangular matrix to every row."""
    solved = torch.linalg.solve_triangular(root, rows.flatten(0, 1).T, upper=upper)
    unflat: Tensor = solved.T.unflatten(0, rows.shape[:2])
    return unflat
