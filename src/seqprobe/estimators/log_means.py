"""Geometric means and shares over sequences, cheap enough for every step of a training."""

import numpy as np
from jaxtyping import Float64
from scipy import special

from seqprobe.estimators.bootstrap import FEWEST_SEQUENCES

LEVEL = 0.95


def geometric_mean(
    rows: Float64[np.ndarray, "sequences points"],
) -> Float64[np.ndarray, "3 points"]:
    """Of every point, with the ends of its interval: Student's t on the logarithms.

    Rows that are NaN at a point do not count there; the mean of none is NaN. There is no interval
    (NaN) from less than eight rows, nor where a row is zero.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        logs = np.log(rows)
        known = ~np.isnan(logs)
        count = known.sum(0)
        mean = np.where(known, logs, 0.0).sum(0) / count
        squares = np.where(known, logs - mean, 0.0) ** 2
        error = np.sqrt(squares.sum(0) / (count - 1) / count)
        half = special.stdtrit(count - 1.0, (1 + LEVEL) / 2) * error
        half[count < FEWEST_SEQUENCES] = np.nan
        return np.exp([mean, mean - half, mean + half])


def share_interval(hits: int, count: int) -> tuple[float, float]:
    """Of a share of independent cases, exact.

    The Use of Confidence or Fiducial Limits Illustrated in the Case of the Binomial (Clopper and
    Pearson, 1934).
    """
    tail = (1 - LEVEL) / 2
    low = special.betaincinv(hits, count - hits + 1, tail) if hits else 0.0
    high = special.betaincinv(hits + 1, count - hits, 1 - tail) if hits < count else 1.0
    return float(low), float(high)
