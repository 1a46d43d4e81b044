"""Where a curve has come close enough to its end."""

import math

import numpy as np
from jaxtyping import Float

MORE = 0.01
ALLOWED = math.log2(1 + MORE)
"""Bits of loss: perplexity may be one percent higher."""


def enough(
    curves: Float[np.ndarray, "*some points"], at: Float[np.ndarray, " points"], allowed: float
) -> Float[np.ndarray, "*some"]:
    """The first point from which on a curve is at most what is allowed; infinite if it never is.

    >>> enough(np.array([3.0, 0.1, 2.0, 0.0, 0.1]), np.array([1.0, 2.0, 4.0, 8.0, 16.0]), 0.5)
    array(8.)
    """
    points = curves.shape[-1]
    over = np.where(curves <= allowed, 0, np.arange(1, points + 1)).max(-1)
    return np.append(at, np.inf)[over, ...]
