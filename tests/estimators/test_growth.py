"""Laws of growth against curves that are known."""

import numpy as np
import pytest

from seqprobe.estimators.bootstrap import number_interval
from seqprobe.estimators.growth import (
    cost,
    crossing,
    exponent,
    exponents,
    extrapolated,
    law,
    lengths_up_to,
    resampled_medians,
)

LENGTHS = np.array([64.0, 128.0, 256.0, 512.0, 1024.0])


def test_five_lengths_that_double():
    assert lengths_up_to(256) == [16, 32, 64, 128, 256]
    assert lengths_up_to(8) == [1, 2, 4, 8]


@pytest.mark.parametrize("power", [0.0, 0.5, 1.0, 2.0])
def test_a_power_law_has_its_exponent_and_no_interval(power):
    slope, low, high = exponent(LENGTHS, 7 * LENGTHS**power)
    assert slope == pytest.approx(power, abs=1e-12)
    assert high - low < 1e-6


def test_the_exponents_of_many_curves_are_those_of_each():
    curves = np.random.default_rng(0).lognormal(size=(20, 5)) * LENGTHS
    each = [exponent(LENGTHS, curve)[0] for curve in curves]
    assert exponents(LENGTHS, curves) == pytest.approx(each)


def test_a_mixture_has_a_wide_interval():
    slope, low, high = exponent(LENGTHS, 16 * LENGTHS**2 + 2560 * LENGTHS)
    assert 1 < slope < 2
    assert high - low > 0.3


@pytest.mark.parametrize("truth", [(0, 0, 3.0), (5.0, 2.0, 0), (0, 2560.0, 16.0), (7.0, 0, 0)])
def test_a_law_is_recovered_and_extrapolates(truth):
    found = law(LENGTHS, cost(np.array(truth, dtype=float), LENGTHS))
    far = np.array([65536.0])
    assert cost(found, far) == pytest.approx(cost(np.array(truth, dtype=float), far), rel=1e-6)


@pytest.mark.parametrize("values", [[1.0, 2.0], [1.0, 0.0, 2.0], [1.0, np.nan, 2.0]])
def test_too_few_costs_or_none_follow_no_law(values):
    lengths = LENGTHS[: len(values)]
    assert law(lengths, np.array(values)) is None
    assert extrapolated(lengths, np.array(values), LENGTHS) is None


def test_noise_does_not_make_a_cost_negative():
    rng = np.random.default_rng(0)
    noisy = (1 + 0.2 * rng.standard_normal((50, 5))) * (100 + LENGTHS)
    assert all((law(LENGTHS, values) >= 0).all() for values in noisy)


@pytest.mark.parametrize("d", [32, 64])
@pytest.mark.parametrize(("share", "factor"), [(4.0, 2), (2.0, 4)])
def test_lstm_and_attention_cross_at_twice_their_width_dense_and_four_times_causal(
    d, share, factor
):
    lstm = law(LENGTHS, 16 * LENGTHS * d**2)
    attention = law(LENGTHS, LENGTHS * (8 * d**2 + share * LENGTHS * d))
    found = crossing(lstm, attention, 8, 1024)
    assert found == pytest.approx(factor * d, rel=0.02)
    assert crossing(attention, lstm, 8, 1024) == pytest.approx(found)


def test_no_crossing_in_the_range():
    one, two = np.array([0, 1.0, 0]), np.array([0, 2.0, 0])
    assert crossing(one, two, 1, 1024) is None
    assert crossing(one, one, 1, 1024) is None
    quadratic = np.array([0, 0, 1e-3])
    assert crossing(one, quadratic, 1, 512) is None
    assert crossing(one, quadratic, 1, 2048) == pytest.approx(1000)


def test_medians_of_rounds_ignore_one_slow_round():
    rounds = np.ones((9, 2))
    rounds[4] = 100
    assert np.median(resampled_medians(rounds)) == 1


def test_the_interval_of_a_median_holds_it_about_as_often_as_it_says():
    rng = np.random.default_rng(1)
    held = 0
    for seed in range(300):
        about = number_interval(resampled_medians(rng.exponential(size=(9, 1)), seed)[:, 0], 9)
        held += about.low <= np.log(2) <= about.high
    assert 0.9 <= held / 300 <= 0.99
