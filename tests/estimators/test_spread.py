"""How curves are spread over distance, against closed forms."""

import numpy as np
import pytest

from seqprobe.estimators.spread import distance_of, mean_distance, shares_within


@pytest.mark.parametrize("a", [0.3, 0.9])
def test_exponential_decay(a):
    """Mean a / (1 - a), and 1 - a^(w + 1) within distance w."""
    curve = a ** np.arange(2000.0)[None]
    assert mean_distance(curve) == pytest.approx(a / (1 - a))
    assert shares_within(curve)[0, [0, 5]] == pytest.approx([1 - a, 1 - a**6])
    ninety = np.ceil(np.log(0.1) / np.log(a)) - 1
    assert distance_of(curve, 0.9) == ninety


def test_all_at_one_distance():
    curves = np.eye(7)
    assert mean_distance(curves) == pytest.approx(range(7))
    assert distance_of(curves, 0.9) == pytest.approx(range(7))


def test_nothing_is_spread_nowhere():
    curves = np.zeros((2, 5))
    assert np.isinf(mean_distance(curves)).all()
    assert np.isinf(distance_of(curves, 0.5)).all()


def test_a_share_that_is_reached_exactly_is_reached():
    assert distance_of(np.array([[0.5, 0.25, 0.25]]), 0.5) == 0
    assert distance_of(np.array([[0.5, 0.25, 0.25]]), 0.75) == 1
