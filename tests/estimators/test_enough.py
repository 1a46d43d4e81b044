"""The first point from which on a curve stays low, against a naive search."""

import numpy as np
import pytest

from seqprobe.estimators.enough import enough


def naive(curve, at, allowed):
    for index, point in enumerate(at):
        if all(value <= allowed for value in curve[index:]):
            return point
    return np.inf


def test_equals_a_naive_search():
    curves = np.random.default_rng(0).random((500, 7))
    at = np.array([1.0, 2.0, 4.0, 8.0, 9.0, 16.0, 32.0])
    truth = [naive(curve, at, 0.7) for curve in curves]
    assert {*truth} == {*at, np.inf}
    assert enough(curves, at, 0.7).tolist() == truth


@pytest.mark.parametrize("odd", [np.nan, np.inf])
def test_what_is_not_known_is_not_enough(odd):
    assert enough(np.array([0.0, odd, 0.0]), np.array([1.0, 2.0, 3.0]), 0.5) == 3
    assert enough(np.array([0.0, 0.0, odd]), np.array([1.0, 2.0, 3.0]), 0.5) == np.inf
