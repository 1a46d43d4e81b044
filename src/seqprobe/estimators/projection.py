"""Norms of a Jacobian from random projections: what the logarithm of a noisy square is off by.

For a vector v of random signs, ||v J||^2 estimates ||J||_F^2 without bias, but its logarithm lies
too low, the more so the fewer directions the Jacobian has. As far as a projection is distributed
like chi-square with r degrees of freedom, its logarithm has the variance psi'(r / 2), by which r
can be found from two projections of the same Jacobian.

A stochastic estimator of the trace of the influence matrix (Hutchinson, 1989)
"""

import numpy as np
from scipy.special import digamma, polygamma

_HALF_DEGREES = np.geomspace(1e-2, 1e8, 4001)
_VARIANCES = polygamma(1, _HALF_DEGREES)


def half_degrees(variance: np.ndarray) -> np.ndarray:
    """R / 2, from the variance of the logarithm of one projection."""
    found: np.ndarray = np.exp(
        np.interp(-np.log(np.maximum(variance, 1e-8)), -np.log(_VARIANCES), np.log(_HALF_DEGREES))
    )
    return found


def log_bias(variance: np.ndarray, vectors: int) -> np.ndarray:
    """By how much the mean logarithm lies below that of ||J||_F^2, with so many vectors each."""
    shape = vectors * half_degrees(variance)
    return np.asarray(digamma(shape) - np.log(shape))


def log_error(variance: np.ndarray, vectors: int) -> np.ndarray:
    """Standard deviation of the logarithm of one estimate of ||J||_F^2."""
    variance_of_mean: np.ndarray = polygamma(1, vectors * half_degrees(variance))
    return np.asarray(np.sqrt(variance_of_mean))
