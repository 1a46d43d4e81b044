"""Mutual information from the distances to nearest neighbours, in bits, for few dimensions.

Estimating mutual information (Kraskov, Stoegbauer and Grassberger, 2004), its first estimator. It
is no bound; in more than about six dimensions it falls far below the truth.
"""

import math

import numpy as np
import torch
from jaxtyping import Float, Float64, Int, Int64
from scipy.spatial import cKDTree
from torch import Tensor

from seqprobe.contracts import Estimate
from seqprobe.estimators.information.local import averaged
from seqprobe.estimators.information.pairs import Pairs
from seqprobe.estimators.information.scores import normal_scores, standardised

MOST_DIMENSIONS = 20
_TREE_DIMENSIONS = 8  # beyond, a tree visits nearly all points
_BLOCK = 32


def ksg_bits(
    x: Float[Tensor, "samples x"],
    y: Float[Tensor, "samples_y y"],
    *,
    sequences: Int[Tensor, " labels"] | None = None,
    neighbours: int = 5,
    normal: bool = True,
    seed: int = 0,
) -> Estimate:
    """Kraskov-Stoegbauer-Grassberger estimate on `normal` scores, or on standardised values.

    Its ceiling is what it gives where every neighbour in x is one in y. Not estimable where
    `Pairs` refuses, and in many dimensions; shapes that do not match raise ValueError.
    """
    pairs = Pairs.of(x, y, sequences)
    width = pairs.x.shape[1] + pairs.y.shape[1]
    if because := pairs.refusal or too_wide(pairs, width, neighbours):
        return Estimate.missing("bits", because)
    terms, nowhere = (
        ksg_local(each, neighbours, normal)[:, None] for each in (pairs, pairs.elsewhere())
    )
    ceiling = ksg_ceiling(pairs.samples, neighbours)
    return averaged(pairs, terms, nowhere, ceiling=ceiling, seed=seed)


def ksg_ceiling(samples: int, neighbours: int) -> float:
    """The largest value of the estimator, in bits."""
    return float(digamma(samples) - digamma(neighbours)) / math.log(2)


def too_wide(pairs: Pairs, width: int, neighbours: int) -> str:
    """Why neighbours say nothing about these pairs, or nothing."""
    if width > MOST_DIMENSIONS:
        return f"{width} dimensions are too many for neighbours; at most {MOST_DIMENSIONS}"
    if pairs.samples <= neighbours:
        return f"{pairs.samples} samples are too few for {neighbours} neighbours"
    return ""


def ksg_local(pairs: Pairs, neighbours: int, normal: bool) -> Float64[Tensor, " samples"]:
    """Local information in nats, sample by sample."""
    scale = normal_scores if normal else standardised
    x, y = scale(pairs.x), scale(pairs.y)
    near_x, near_y = _near(x, y, neighbours)
    known = digamma(neighbours) + digamma(pairs.samples)
    return known - torch.digamma(near_x.double()) - torch.digamma(near_y.double())


def _near(
    x: Float64[Tensor, "samples x"], y: Float64[Tensor, "samples y"], neighbours: int
) -> tuple[Int64[Tensor, " samples"], Int64[Tensor, " samples"]]:
    """How many points, itself among them, are closer in x and in y than the k-th one in both."""
    if x.shape[1] + y.shape[1] > _TREE_DIMENSIONS:
        return _near_by_comparison(x, y, neighbours)
    both = torch.cat([x, y], 1).numpy()
    radius = np.asarray(cKDTree(both).query(both, [neighbours + 1], p=np.inf)[0])[:, 0]
    return within(x, radius), within(y, radius)


def within(
    points: Float64[Tensor, "samples width"], radius: Float64[np.ndarray, " samples"]
) -> Int64[Tensor, " samples"]:
    """Points that are strictly nearer than the radius."""
    tree = cKDTree(points.numpy())
    found = tree.query_ball_point(
        points.numpy(), np.nextafter(radius, 0), p=np.inf, return_length=True
    )
    return torch.from_numpy(found)


def _near_by_comparison(
    x: Float64[Tensor, "samples x"], y: Float64[Tensor, "samples y"], neighbours: int
) -> tuple[Int64[Tensor, " samples"], Int64[Tensor, " samples"]]:
    """The same by comparing all with all, a block at a time."""
    x, y = x.float(), y.float()
    counts = []
    for rows in torch.arange(len(x)).split(_BLOCK):
        from_x, from_y = _chebyshev(x[rows], x), _chebyshev(y[rows], y)
        both = torch.maximum(from_x, from_y)
        radius = both.topk(neighbours + 1, largest=False).values[:, -1:]
        counts.append(torch.stack([(from_x < radius).sum(1), (from_y < radius).sum(1)]))
    near_x, near_y = torch.cat(counts, 1)
    return near_x, near_y


def _chebyshev(
    rows: Float[Tensor, "rows width"], points: Float[Tensor, "samples width"]
) -> Float[Tensor, "rows samples"]:
    """Largest difference in any column; column by column, so that a block stays in the cache."""
    farthest = rows.new_zeros(len(rows), len(points))
    apart = torch.empty_like(farthest)
    for here, there in zip(rows.T, points.T.contiguous(), strict=True):
        torch.sub(here[:, None], there, out=apart)
        torch.maximum(farthest, apart.abs_(), out=farthest)
    return farthest


def digamma(count: int) -> float:
    return float(torch.digamma(torch.tensor(float(count), dtype=torch.float64)))
