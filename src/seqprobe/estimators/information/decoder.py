"""Bits about discrete symbols that a linear decoder can read from states, for all lags at once.

A held-out decoder bounds information from below: I(x; h) >= H(x) - cross-entropy of any decoder
that predicts x from h (The IM Algorithm, Barber and Agakov, 2003). H(x) is known here, because
the symbols are drawn by us. The decoder is linear discriminant analysis with one covariance for
all classes, in closed form: one Gram matrix and one Cholesky factor serve every lag. Its
canonical correlations are shrunk for the number of samples, and a temperature, chosen on the
other folds, keeps it from claiming more than it knows: at temperature zero it says nothing.
"""

import math
from dataclasses import dataclass
from functools import reduce

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F

FOLDS = 5
RIDGE = 1e-6
TEMPERATURES = (0.0, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 1.2, 1.5)
_ROWS_FOR_TEMPERATURE = 600


@dataclass(frozen=True)
class DecodedBits:
    """Bits per lag: `held_out` per sequence is a lower bound; `estimate` is no bound.

    `estimate` is the mean of the training and the held-out value: to first order the optimism of
    the one cancels the pessimism of the other.
    """

    held_out: Float[Tensor, "sequences lags"]
    estimate: Float[Tensor, " lags"]


def decodable_bits(
    states: Float[Tensor, "sequences steps width"],
    labels: Int[Tensor, "sequences steps lags"],
    classes: int,
    *,
    seed: int = 0,
) -> DecodedBits:
    """Cross-fitted information about equiprobable labels, in bits; folds are whole sequences."""
    sequences = len(states)
    folds = torch.randperm(sequences, generator=torch.Generator().manual_seed(seed)).chunk(FOLDS)
    states = _standardised(states)
    statistics = [
        _Sums.of(states[fold].flatten(0, 1), labels[fold].flatten(0, 1), classes) for fold in folds
    ]
    total = reduce(_Sums.plus, statistics)
    decoders = [_Decoder.fit(total.minus(own)) for own in statistics]
    held_out = [d.scores(states[fold]) for d, fold in zip(decoders, folds, strict=True)]
    losses = torch.stack(
        [_losses_by_temperature(s, labels[f], seed) for s, f in zip(held_out, folds, strict=True)]
    )
    bits = states.new_empty(sequences, labels.shape[-1])
    for index, fold in enumerate(folds):
        temperature = _best_temperature(losses.sum(0) - losses[index])
        bits[fold] = _bits(held_out[index] * temperature[:, None], labels[fold]).mean(1)
    train = torch.cat(list(folds[1:]))[: len(folds[0]) * 2]
    seen = decoders[0].scores(states[train]) * _best_temperature(losses.sum(0))[:, None]
    in_sample = _bits(seen, labels[train]).mean((0, 1))
    middle = (bits.mean(0).clamp(min=0) + in_sample.clamp(min=0)) / 2
    return DecodedBits(bits, middle.clamp(max=math.log2(classes)))


def _standardised(
    states: Float[Tensor, "sequences steps width"],
) -> Float[Tensor, "sequences steps width"]:
    """Every feature with mean 0 and variance 1; a constant one becomes 0."""
    centred = states - states.mean((0, 1))
    spread = centred.square().mean((0, 1)).sqrt()
    return centred / torch.where(spread > 0, spread, 1.0)


@dataclass(frozen=True)
class _Sums:
    """Sufficient statistics; batches, folds and ranks simply add.

    The Gram matrix is summed in double precision: redundant features leave it nearly singular.
    """

    count: int
    total: Float[Tensor, " width"]
    gram: Float[Tensor, "width width"]
    class_totals: Float[Tensor, "lags classes width"]
    class_counts: Float[Tensor, "lags classes"]

    @classmethod
    def of(
        cls, states: Float[Tensor, "rows width"], labels: Int[Tensor, "rows lags"], classes: int
    ) -> "_Sums":
        lags = labels.shape[1]
        totals = states.new_zeros(lags, classes, states.shape[1])
        for lag in range(lags):
            totals[lag].index_add_(0, labels[:, lag], states)
        counts = F.one_hot(labels.T, classes).sum(1).to(states.dtype)
        double = states.double()
        return cls(len(states), states.sum(0), double.T @ double, totals, counts)

    def plus(self, other: "_Sums") -> "_Sums":
        pairs = zip(self.__dict__.values(), other.__dict__.values(), strict=True)
        return _Sums(*(a + b for a, b in pairs))

    def minus(self, other: "_Sums") -> "_Sums":
        pairs = zip(self.__dict__.values(), other.__dict__.values(), strict=True)
        return _Sums(*(a - b for a, b in pairs))


@dataclass(frozen=True)
class _Decoder:
    """Log-likelihood ratios of the classes, linear in the state."""

    mean: Float[Tensor, " width"]
    weight: Float[Tensor, "lags classes width"]
    bias: Float[Tensor, "lags classes"]

    @classmethod
    def fit(cls, sums: _Sums) -> "_Decoder":
        """Project on the canonical axes and shrink each squared correlation for the sample size.

        With u the canonical direction among classes and r its correlation, class c has the mean
        r u_c / sqrt(p_c) and all classes the variance 1 - r^2 on that axis.
        """
        n, width = sums.count, len(sums.total)
        mean = sums.total / n
        root = _cholesky(sums.gram / n - torch.outer(mean.double(), mean.double())).to(mean)
        share = (sums.class_counts + 0.5) / (sums.class_counts + 0.5).sum(-1, keepdim=True)
        centred = (sums.class_totals - sums.class_counts[..., None] * mean) / n
        whitened = _solve(root, centred / share.sqrt()[..., None])
        squared, axes = torch.linalg.eigh((whitened @ whitened.mT).double())
        squared = squared.clamp(1e-12, 1 - 1e-7)
        noise = min(width / n, 0.99)
        shrunk = ((squared - noise) / (1 - noise)).clamp(0, 1 - 1e-5)
        means = axes / share.double().sqrt()[..., None]
        gain = (shrunk / squared).sqrt() / (1 - shrunk)
        mix = (means * gain[:, None, :]) @ axes.mT
        weight = _solve(root.T.contiguous(), mix.to(whitened) @ whitened, upper=True)
        bias = -0.5 * (means**2 * (shrunk / (1 - shrunk))[:, None, :]).sum(-1)
        return cls(mean, weight, bias.to(whitened) + share.log())

    def scores(
        self, states: Float[Tensor, "sequences steps width"]
    ) -> Float[Tensor, "sequences steps lags classes"]:
        flat = (states - self.mean) @ self.weight.flatten(0, 1).T
        scores: Tensor = flat.unflatten(-1, self.bias.shape) + self.bias
        return scores


def _cholesky(covariance: Float[Tensor, "width width"]) -> Float[Tensor, "width width"]:
    """Of the covariance with a ridge, so that redundant or constant features do no harm."""
    ridge = torch.full_like(covariance.diagonal(), RIDGE).diag()
    root: Tensor = torch.linalg.cholesky(covariance + ridge)
    return root


def _solve(
    root: Float[Tensor, "width width"],
    rows: Float[Tensor, "lags classes width"],
    *,
    upper: bool = False,
) -> Float[Tensor, "lags classes width"]:
    """Apply the inverse of a triangular matrix to every row."""
    solved = torch.linalg.solve_triangular(root, rows.flatten(0, 1).T, upper=upper)
    unflat: Tensor = solved.T.unflatten(0, rows.shape[:2])
    return unflat


def _bits(
    scores: Float[Tensor, "sequences steps lags classes"],
    labels: Int[Tensor, "sequences steps lags"],
) -> Float[Tensor, "sequences steps lags"]:
    """Entropy of the label minus the loss of the decoder, per sample."""
    loss = F.cross_entropy(scores.flatten(0, 2), labels.flatten(), reduction="none")
    return (math.log(scores.shape[-1]) - loss.view(labels.shape)) / math.log(2)


def _losses_by_temperature(
    scores: Float[Tensor, "sequences steps lags classes"],
    labels: Int[Tensor, "sequences steps lags"],
    seed: int,
) -> Float[Tensor, "temperatures lags"]:
    """On a few rows: choosing one number needs no more."""
    flat, wanted = scores.flatten(0, 1), labels.flatten(0, 1)
    generator = torch.Generator().manual_seed(seed)
    rows = torch.randperm(len(flat), generator=generator)[:_ROWS_FOR_TEMPERATURE]
    chosen = [_bits(flat[None, rows] * t, wanted[None, rows]).mean((0, 1)) for t in TEMPERATURES]
    return -torch.stack(chosen)


def _best_temperature(losses: Float[Tensor, "temperatures lags"]) -> Float[Tensor, " lags"]:
    best: Tensor = losses.new_tensor(TEMPERATURES)[losses.argmin(0)]
    return best
