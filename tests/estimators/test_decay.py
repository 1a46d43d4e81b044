"""Crossings and laws of curves that are known."""

import math

import numpy as np
import pytest

from seqprobe.estimators.decay import first_crossing, fit_decay, last_crossing

DISTANCE = np.arange(200.0)


def test_an_exponential_crosses_where_it_must():
    curve = np.exp(-0.1 * DISTANCE)
    assert first_crossing(curve, 0.5) == pytest.approx(math.log(2) / 0.1)
    assert last_crossing(curve, 1e-3) == pytest.approx(math.log(1000) / 0.1)


def test_a_bump_has_a_first_and_a_last_crossing():
    curve = np.array([1.0, 0.1, 0.1, 0.9, 0.1, 0.1])
    assert 0 < first_crossing(curve, 0.5) < 1
    assert 3 < last_crossing(curve, 0.5) < 4


def test_what_never_falls_never_crosses():
    assert first_crossing(np.ones(9), 0.5) == math.inf
    assert last_crossing(np.ones(9), 0.5) == math.inf


def test_a_drop_to_zero_crosses_at_the_last_distance_above():
    curve = np.array([1.0, 1.0, 1.0, 0.0, 0.0])
    assert first_crossing(curve, 0.5) == last_crossing(curve, 0.5) == 2
    assert last_crossing(np.zeros(4), 0.5) == 0


@pytest.mark.parametrize(
    ("law", "curve"),
    [
        ("flat", np.full(200, 0.7)),
        ("exponential", 3 * np.exp(-0.05 * DISTANCE)),
        ("power law", 2 * (1 + DISTANCE) ** -1.5),
    ],
)
def test_aicc_names_the_law_that_made_the_curve(law, curve):
    noise = np.exp(0.01 * np.random.default_rng(0).standard_normal(200))
    for made in (curve, curve * noise):
        best = fit_decay(made, floor=0.0)[0]
        assert best.law == law
    assert fit_decay(curve, 0.0)[0].curve[1:] == pytest.approx(curve[1:], rel=1e-6)


def test_rates_are_recovered():
    rates = {fit.law: fit.rate for fit in fit_decay(np.exp(-0.05 * DISTANCE), 0.0)}
    assert rates["exponential"] == pytest.approx(0.05)
    power = {fit.law: fit.rate for fit in fit_decay((1 + DISTANCE) ** -1.5, 0.0)}
    assert power["power law"] == pytest.approx(1.5)


def test_nothing_is_fitted_below_the_floor():
    """Under the floor the curve is flat; a fit through that would halve the rate."""
    curve = np.maximum(np.exp(-0.2 * DISTANCE), 1e-9)
    fits = fit_decay(curve, floor=1.0001e-9)
    assert fits[0].law == "exponential"
    assert fits[0].rate == pytest.approx(0.2)
    assert fit_decay(curve, floor=0.5) == []
