"""Mutual information between a vector and a discrete label, from nearest neighbours, in bits.

Mutual Information between Discrete and Continuous Data Sets (Ross, 2014): how far is the k-th
neighbour of the same label, and how many of any label are nearer? It is no bound.
"""

import numpy as np
import torch
from jaxtyping import Float, Float64, Int
from scipy.spatial import cKDTree
from torch import Tensor

from seqprobe.contracts import Estimate
from seqprobe.estimators.information.local import averaged
from seqprobe.estimators.information.nearest import digamma, too_wide, within
from seqprobe.estimators.information.pairs import Pairs
from seqprobe.estimators.information.scores import normal_scores, standardised


def mixed_bits(
    x: Float[Tensor, "samples x"],
    labels: Int[Tensor, " samples_y"],
    *,
    sequences: Int[Tensor, " labels"] | None = None,
    neighbours: int = 3,
    normal: bool = True,
    seed: int = 0,
) -> Estimate:
    """Ross's estimate on `normal` scores of x, or on standardised values.

    A label that occurs once has no neighbour and is left out. The ceiling is the entropy of the
    labels. Not estimable where `Pairs` refuses x, and in many dimensions; shapes that do not match
    raise ValueError.
    """
    pairs = Pairs.of(x, labels[:, None], sequences, discrete_y=True)
    if not pairs.refusal:
        pairs = _of_repeated_labels(pairs)
    if because := pairs.refusal or too_wide(pairs, pairs.x.shape[1], neighbours):
        return Estimate.missing("bits", because)
    terms, nowhere = (
        _local(each, neighbours, normal)[:, None] for each in (pairs, pairs.elsewhere())
    )
    share = pairs.y.unique(return_counts=True)[1].double() / pairs.samples
    return averaged(pairs, terms, nowhere, ceiling=-float(share @ share.log2()), seed=seed)


def _of_repeated_labels(pairs: Pairs) -> Pairs:
    _, label, counts = pairs.y[:, 0].unique(return_inverse=True, return_counts=True)
    kept = counts[label] > 1
    return Pairs.of(pairs.x[kept], pairs.y[kept], pairs.sequences[kept], discrete_y=True)


def _local(pairs: Pairs, neighbours: int, normal: bool) -> Float64[Tensor, " samples"]:
    """Local information in nats, sample by sample."""
    x = normal_scores(pairs.x) if normal else standardised(pairs.x)
    radius = np.zeros(pairs.samples)
    of_label = torch.zeros(pairs.samples, dtype=torch.float64)
    for label in pairs.y.unique():
        rows = (pairs.y[:, 0] == label).nonzero()[:, 0]
        near, points = min(neighbours, len(rows) - 1), x[rows].numpy()
        radius[rows.numpy()] = np.asarray(cKDTree(points).query(points, [near + 1], p=np.inf)[0])[
            :, 0
        ]
        of_label[rows] = digamma(near) - digamma(len(rows))
    return digamma(pairs.samples) + of_label - torch.digamma(within(x, radius).double())
