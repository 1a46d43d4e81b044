"""How something is spread over distance; infinite where there is nothing to be spread."""

import numpy as np
from jaxtyping import Float

Curves = Float[np.ndarray, "rows distances"]
Numbers = Float[np.ndarray, " rows"]


def mean_distance(curves: Curves) -> Numbers:
    """The mean of the distribution that each curve is, once it is divided by its sum."""
    total = curves.sum(1)
    moment = curves @ np.arange(curves.shape[1])
    mean: np.ndarray = np.divide(moment, total, out=np.full(len(curves), np.inf), where=total > 0)
    return mean


def distance_of(curves: Curves, share: float) -> Numbers:
    """The distance within which a share of the total lies: a quantile."""
    within = shares_within(curves)
    found: np.ndarray = np.where(np.isfinite(within[:, 0]), (within < share).sum(1), np.inf)
    return found


def shares_within(curves: Curves) -> Curves:
    """Which share of the total lies at each distance or nearer."""
    sums = curves.cumsum(1)
    total = sums[:, -1:]
    shares: np.ndarray = np.divide(sums, total, out=np.full_like(sums, np.inf), where=total > 0)
    return shares
