"""Means of a curve over spans of positions that grow with the position."""

import math
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from jaxtyping import Float64

from seqprobe.estimators.bootstrap import curve_interval, resampled_means

Span = tuple[int, int]


def log_spaced(most: int, *, through: int = 1, per_octave: int = 4) -> list[Span]:
    """From start to before stop, so many per octave up to `most`; none goes across `through`.

    >>> log_spaced(12, through=6)
    [(0, 1), (1, 2), (2, 3), (3, 4), (4, 5), (5, 6), (6, 7), (7, 8), (8, 10), (10, 12)]
    """
    below = math.floor(per_octave * math.log2(through))
    above = math.ceil(per_octave * math.log2(max(most / through, 1)))
    edges = np.round(through * 2.0 ** (np.arange(-below, above + 1) / per_octave)).astype(int)
    inner = np.unique([0, *edges[edges < most], most]).tolist()
    return list(pairwise(inner))


def span_means(
    rows: Float64[np.ndarray, "sequences positions"], spans: Sequence[Span]
) -> Float64[np.ndarray, "sequences spans"]:
    """The mean of every row over every span."""
    return np.stack([rows[:, start:stop].mean(1) for start, stop in spans], axis=1)


def span_columns(
    rows: Float64[np.ndarray, "sequences positions"], spans: Sequence[Span], seed: int = 0
) -> dict[str, object]:
    """`first` and `last` position of each span, counted from 1; mean, interval, `n`."""
    means = span_means(rows, spans)
    low, high = curve_interval(resampled_means(means, seed), len(means))
    return {
        "first": [start + 1 for start, _ in spans],
        "last": [stop for _, stop in spans],
        "mean": means.mean(0),
        "low": low,
        "high": high,
        "n": [len(means)] * len(spans),
    }
