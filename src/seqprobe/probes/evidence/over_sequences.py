"""Means over sequences, what can be said of them, and how sure that is."""

from collections.abc import Callable

import numpy as np
from jaxtyping import Float

from seqprobe.contracts import Estimate, Interval, Null
from seqprobe.estimators.bootstrap import (
    FEWEST_SEQUENCES,
    curve_interval,
    number_interval,
    resampled_means,
)
from seqprobe.estimators.log_means import geometric_mean


def estimated(
    rows: Float[np.ndarray, "sequences points"],
    statistic: Callable[[np.ndarray], np.ndarray],
    unit: str,
    null: Null,
    *,
    seed: int,
    beyond: str = "",
    longest: float | None = None,
) -> Estimate:
    """A statistic of the mean curve, (curves, points) to (curves).

    `beyond`, `longest`: where it is infinite.
    """
    rows = rows.astype(np.float64)  # single precision is enough for evidence, not for means
    value = float(statistic(rows.mean(0, keepdims=True))[0])
    interval = number_interval(statistic(resampled_means(rows, seed)), len(rows), seed)
    return Estimate.sampled(
        value, unit, interval, n=len(rows), null=null, beyond=beyond, longest=longest
    )


def estimated_mean(
    rows: Float[np.ndarray, " sequences"],
    unit: str,
    null: Null,
    *,
    seed: int,
    ceiling: float | None = None,
) -> Estimate:
    """The mean of one number per sequence."""
    interval = number_interval(resampled_means(rows[:, None], seed)[:, 0], len(rows), seed)
    return Estimate.sampled(
        float(rows.mean()), unit, interval, n=len(rows), null=null, ceiling=ceiling
    )


def columns(
    rows: Float[np.ndarray, "sequences points"], name: str, prefix: str, *, seed: int
) -> dict[str, np.ndarray]:
    """The mean curve and its interval, to be columns of a table."""
    low, high = curve_interval(resampled_means(rows, seed), len(rows))
    return {name: rows.mean(0), f"{prefix}low": low, f"{prefix}high": high}


def typical(values: Float[np.ndarray, " sequences"], null: Null, without: str) -> Estimate:
    """The geometric mean of one number per sequence; `without` says why there is none."""
    if not len(values):
        return Estimate.missing("", without, null=null)
    value, low, high = geometric_mean(values[:, None])[:, 0]
    interval = None if len(values) < FEWEST_SEQUENCES else Interval(float(low), float(high))
    return Estimate.sampled(float(value), "", interval, n=len(values), null=null)
