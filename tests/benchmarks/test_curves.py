"""Planted laws come back; what depends on noise has an interval that holds the truth."""

import numpy as np
import pytest

from claims.costs import ROUNDS
from claims.curves import Curve, crossover, growth, times

LENGTHS = 64.0 * 2 ** np.arange(7)


def curve(law, *, noise=0.0, seed=0):
    drawn = np.random.default_rng(seed).normal(size=(ROUNDS, len(LENGTHS)))
    return Curve(LENGTHS, law(LENGTHS) * np.exp(noise * drawn))


@pytest.mark.parametrize("power", [0.0, 1.0, 2.0])
def test_the_exponent_of_a_power_law_is_its_power(power):
    exact = curve(lambda n: 3 * n**power)
    assert growth(exact).value == pytest.approx(power - 1)
    assert growth(exact, each=True).value == pytest.approx(power)
    noisy = growth(curve(lambda n: 3 * n**power, noise=0.1))
    assert noisy.low < power - 1 < noisy.high


def test_growth_is_that_of_the_upper_half():
    bent = curve(lambda n: np.where(n < 512, 512.0, n))
    assert growth(bent).value == pytest.approx(0)
    assert growth(Curve(LENGTHS[:4], bent.rounds[:, :4])).value is None


@pytest.mark.parametrize("border", [100.0, 1000.0])
def test_two_power_laws_cross_where_they_are_equal(border):
    steep, flat = curve(lambda n: n**2), curve(lambda n: border * n)
    found = crossover(steep, flat)
    assert (found.cheaper, found.times) == (1, pytest.approx(LENGTHS[-1] / border))
    assert found.start == found.low == found.high == pytest.approx(border)
    assert crossover(flat, steep).cheaper == 0
    noisy = crossover(
        curve(lambda n: n**2, noise=0.1), curve(lambda n: border * n, noise=0.1, seed=1)
    )
    assert noisy.low < border < noisy.high


def test_no_crossover_is_an_answer_and_so_is_not_knowing():
    never = crossover(curve(lambda n: n), curve(lambda n: 2 * n))
    assert (never.cheaper, never.start, never.high, never.times) == (0, -np.inf, -np.inf, 2)
    noisy = curve(lambda n: n, noise=0.1), curve(lambda n: n, noise=0.1, seed=1)
    assert not crossover(*noisy).sure


def test_what_slows_a_whole_round_moves_no_ratio():
    busy = np.random.default_rng(0).uniform(1, 3, size=(ROUNDS, 1))
    first, second = (Curve(LENGTHS, busy * a * LENGTHS) for a in (1, 3))
    found = times(first, second)
    assert found.value == pytest.approx(3)
    assert found.high - found.low < 1e-9
