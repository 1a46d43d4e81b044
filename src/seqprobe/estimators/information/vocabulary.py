"""Large vocabularies: how likely tokens are that were never seen, and fewer classes instead."""

from typing import NamedTuple

import torch
from jaxtyping import Float, Float64, Int
from torch import Tensor

from seqprobe.estimators.seeded import seeded

DISCOUNTS = 0.1, 0.9


class Capped(NamedTuple):
    """Tokens as a few classes; `lost` is what the classes do not tell of the tokens, in bits."""

    classes: Int[Tensor, "..."]
    number: int
    lost: float


def capped(tokens: Int[Tensor, "..."], most: int) -> Capped:
    """The `most - 1` most frequent tokens, each a class, and one class for all the others.

    Classes are numbered by frequency, and each of them occurs. What is lost is the entropy of the
    tokens less that of the classes, both counted on these tokens; it is 0 where no more than `most`
    tokens occur, so that none needs to be thrown together.

    >>> capped(torch.tensor([7, 7, 7, 7, 2, 2, 5, 9]), 3)
    Capped(classes=tensor([0, 0, 0, 0, 1, 1, 2, 2]), number=3, lost=0.25)
    """
    if most < 1 or not tokens.numel():
        raise ValueError(f"{tokens.numel()} tokens as {most} classes: at least one of each needed")
    _, which, counts = tokens.unique(return_inverse=True, return_counts=True)
    order = counts.argsort(descending=True, stable=True)
    number = min(most, len(counts))
    classes = order.argsort().clamp(max=number - 1)[which]
    lost = counted_entropy(counts) - counted_entropy(classes.flatten().bincount())
    return Capped(classes, number, lost)


def counted_entropy(counts: Int[Tensor, " classes"]) -> float:
    """In bits."""
    shares = counts.double() / counts.sum()
    return float(torch.special.entr(shares).sum() / torch.tensor(2.0).double().log())


def discounted(counts: Int[Tensor, " vocab"]) -> Float64[Tensor, " vocab"]:
    """The share of each token, also of those that were never seen: all are above 0, their sum is 1.

    A little is taken off each count, as much as tokens seen once and twice tell, and shared evenly
    by the tokens that were not seen (On structuring probabilistic dependences in stochastic
    language modelling, Ney, Essen and Kneser, 1994).
    """
    seen, once, twice = counts > 0, (counts == 1).sum(), (counts == 2).sum()
    unseen = int((~seen).sum())
    if not unseen:
        return counts.double() / counts.sum()
    taken = (once / (once + 2 * twice).clamp(min=1)).clamp(*DISCOUNTS).double()
    freed = taken * seen.sum() / unseen
    return torch.where(seen, counts.double() - taken, freed) / counts.sum()


def principal(
    embedding: Float[Tensor, "vocab embedding"], axes: int, seed: int = 0
) -> Float[Tensor, "vocab axes"]:
    """The embedding along its first principal axes, if it has more; each of variance 1.

    Finding structure with randomness (Halko, Martinsson and Tropp, 2011).
    """
    centred = embedding - embedding.mean(0)
    if centred.shape[1] > axes:
        with seeded(seed):
            centred = centred @ torch.svd_lowrank(centred.cpu(), q=axes)[2].to(centred)
    spread = centred.square().mean(0).sqrt()
    scaled: Tensor = centred / torch.where(spread > 0, spread, 1.0)
    return scaled
