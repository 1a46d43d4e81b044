"""One factor per lag that keeps a decoder from claiming more than it knows.

On calibration of modern neural networks (Guo et al., 2017). At temperature 0, here the factor of
the scores and not its inverse, a decoder says nothing but how often each class occurs.
"""

import math

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F

CAUTION = 0.01
TEMPERATURES = (0.0, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 1.2, 1.5)
ROWS = 150


def log_likelihood(
    scores: Float[Tensor, "rows lags classes"],
    temperature: Float[Tensor, " lags"] | float,
    log_share: Float[Tensor, "... lags classes"],
    labels: Int[Tensor, "rows lags"],
) -> Float[Tensor, "rows lags"]:
    """Of the labels, in nats."""
    factor = torch.as_tensor(temperature, dtype=scores.dtype, device=scores.device)
    logits = torch.addcmul(log_share, scores, factor[..., None])
    loss = F.cross_entropy(logits.flatten(0, 1), labels.flatten(), reduction="none")
    return -loss.view(labels.shape)


def mean_losses(
    scores: Float[Tensor, "rows lags classes"],
    log_share: Float[Tensor, "... lags classes"],
    labels: Int[Tensor, "rows lags"],
) -> Float[Tensor, "temperatures lags"]:
    """At each temperature."""
    each = [-log_likelihood(scores, t, log_share, labels).mean(0) for t in TEMPERATURES]
    return torch.stack(each)


def cautious(
    log_likelihoods: Float[Tensor, "rows lags"], guess: float
) -> Float[Tensor, "rows lags"]:
    """With a little weight on a guess that knows nothing, so that no row costs without bound.

    Natural data has rows like none before, of which a linear decoder is sure, and wrong.
    """
    sure = log_likelihoods + math.log(1 - CAUTION)
    return torch.logaddexp(sure, torch.full_like(sure, math.log(CAUTION * guess)))


def best(losses: Float[Tensor, "temperatures lags"]) -> Float[Tensor, " lags"]:
    """The temperature of the least loss."""
    chosen: Tensor = losses.new_tensor(TEMPERATURES)[losses.argmin(0)]
    return chosen
