"""From local information, one term per sample, to an estimate with its interval over sequences.

Every estimator here is a mean of local terms, log p(x, y) / p(x) p(y) or what stands for it, in
nats; estimates are in bits.
"""

import math

import numpy as np
import torch
from jaxtyping import Float64
from torch import Tensor

from seqprobe.contracts import Estimate, Null
from seqprobe.estimators.bootstrap import number_interval, resampled_means
from seqprobe.estimators.information.pairs import Pairs

ELSEWHERE = "y of other sequences"
_GROUPS = 256  # more sequences are joined into so many groups, which are as independent


def replicates(
    pairs: Pairs, terms: Float64[Tensor, "samples kinds"], seed: int
) -> Float64[np.ndarray, "resamples kinds"]:
    """Means over samples when whole sequences are drawn again, however long each is."""
    groups = min(pairs.count, _GROUPS)
    group = pairs.sequences * groups // pairs.count
    counted = torch.cat([terms, torch.ones(len(terms), 1, dtype=terms.dtype)], 1)
    sums = terms.new_zeros(groups, counted.shape[1]).index_add_(0, group, counted)
    drawn = resampled_means(sums.numpy(), seed)
    means: np.ndarray = drawn[:, :-1] / drawn[:, -1:]
    return means


def averaged(
    pairs: Pairs,
    terms: Float64[Tensor, "samples kinds"],
    nowhere: Float64[Tensor, "samples kinds"],
    *,
    excess: float = 0.0,
    ceiling: float | None = None,
    lower_bound: bool = False,
    seed: int = 0,
) -> Estimate:
    """The largest mean of any kind of terms, in bits, beside the same one of unrelated pairs.

    `excess` is what the mean is known to have too much.
    """
    value, low, high = _largest_bits(pairs, terms - excess, seed)
    null = Null(ELSEWHERE, *_largest_bits(pairs, nowhere - excess, seed))
    return Estimate(
        value, "bits", low, high, n=pairs.count, null=null, ceiling=ceiling,
        lower_bound=lower_bound,
    )  # fmt: skip


def _largest_bits(
    pairs: Pairs, terms: Float64[Tensor, "samples kinds"], seed: int
) -> tuple[float, float, float]:
    bits = terms / math.log(2)
    interval = number_interval(replicates(pairs, bits, seed).max(1), pairs.count)
    assert interval is not None  # pairs of too few sequences are refused
    return float(bits.mean(0).max()), interval.low, interval.high
