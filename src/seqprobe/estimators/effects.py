"""What an edit does to a prediction: in bits, and whether another token becomes the likeliest.

All functions take outputs before the softmax, or log-probabilities, which it leaves as they are.
"""

import math

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor


def kl_bits(
    plain: Float[Tensor, "*some classes"], changed: Float[Tensor, "*some classes"]
) -> Float[Tensor, "*some"]:
    """KL divergence from the plain to the changed prediction.

    Summed as q - p - p x = p (e^x - 1 - x), where x is the change of a log-probability: no term is
    negative, so that nothing cancels where the change is small.

    On information and sufficiency (Kullback and Leibler, 1951).
    """
    told, now = plain.log_softmax(-1), changed.log_softmax(-1)
    change = now - told
    pieces = told.exp() * (change.expm1() - change)
    return pieces.where(told > -math.inf, now.exp()).sum(-1) / math.log(2)


def surprisal_bits(
    outputs: Float[Tensor, "*some classes"], targets: Int[Tensor, "*some"]
) -> Float[Tensor, "*some"]:
    """The loss of each prediction."""
    told = outputs.gather(-1, targets.unsqueeze(-1)).squeeze(-1)
    return (outputs.logsumexp(-1) - told) / math.log(2)


def top_changed(
    plain: Float[Tensor, "*some classes"], changed: Float[Tensor, "*some classes"]
) -> Bool[Tensor, "*some"]:
    """Whether another class is the most likely one."""
    return torch.ne(plain.argmax(-1), changed.argmax(-1))
