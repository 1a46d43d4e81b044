"""Projections whose distribution is known: chi-square with r degrees of freedom."""

import math

import numpy as np
import pytest
from scipy.special import digamma, polygamma

from seqprobe.estimators.projection import half_degrees, log_bias, log_error

DEGREES = [1, 2, 5, 50]
degrees = pytest.mark.parametrize("r", DEGREES)
some = pytest.mark.parametrize("vectors", [1, 2, 8])
MATRICES = 40_000


def one(number):
    return np.array([number])


def known(r):
    """The variance of the logarithm of one projection."""
    return polygamma(1, one(r / 2))


def measured(r, seed):
    singles = np.log(projections(r, 2, np.random.default_rng(seed)))
    return one(singles.var(1, ddof=1).mean())


def projections(r, vectors, random):
    """Squares of a Jacobian of norm one, whose expectation is one: (matrices, vectors)."""
    return random.chisquare(r, (MATRICES, vectors)) / r


@degrees
@some
def test_the_mean_logarithm_is_freed_of_its_bias(r, vectors):
    """The truth is log 1 = 0; the variance is that of the single logarithms, as measured."""
    logs = np.log(projections(r, vectors, np.random.default_rng(0)).mean(1))
    sampling = logs.std() / math.sqrt(MATRICES)
    bias = log_bias(measured(r, seed=1), vectors).item()
    assert logs.mean() - bias == pytest.approx(0, abs=4 * sampling + 0.02 * abs(bias))
    assert logs.mean() < -6 * sampling, "nothing would have to be corrected"


@degrees
def test_the_degrees_of_freedom_are_found(r):
    assert half_degrees(known(r)).item() == pytest.approx(r / 2, rel=1e-4)
    assert half_degrees(measured(r, seed=2)).item() == pytest.approx(r / 2, rel=0.05)


@degrees
@some
def test_the_bias_is_that_of_chi_square(r, vectors):
    shape = vectors * r / 2
    bias = log_bias(known(r), vectors).item()
    assert bias == pytest.approx(digamma(shape) - math.log(shape), rel=1e-3)


@degrees
@some
def test_the_error_is_the_spread_of_the_logarithm(r, vectors):
    logs = np.log(projections(r, vectors, np.random.default_rng(3)).mean(1))
    error = log_error(known(r), vectors).item()
    assert error == pytest.approx(logs.std(), rel=0.02)


@pytest.mark.parametrize("variance", [0.0, 1e-12])
def test_equal_projections_have_neither_bias_nor_error(variance):
    """As many degrees of freedom as are told apart: an error below a ten-thousandth."""
    assert abs(log_bias(one(variance), 2).item()) < 1e-7
    assert 0 <= log_error(one(variance), 2).item() < 2e-4


def test_arrays_go_through_element_by_element():
    variances = polygamma(1, np.array(DEGREES) / 2).reshape(2, 2)
    assert half_degrees(variances) == pytest.approx(np.array(DEGREES).reshape(2, 2) / 2, rel=1e-4)
    for function in (log_bias, log_error):
        found = function(variances, 2)
        assert found.shape == (2, 2)
        assert found[1, 0] == function(variances[1, :1], 2).item()


def test_more_spread_than_any_projection_has_is_still_finite():
    wide = one(1e9)
    assert half_degrees(wide).item() == pytest.approx(0.01)
    assert np.isfinite(log_bias(wide, 2)).all()
