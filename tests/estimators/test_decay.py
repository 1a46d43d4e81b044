"""Crossings and laws of curves that are known."""

import math

import numpy as np
import pytest

from seqprobe.estimators.decay import (
    Fit,
    exponential_rate,
    first_crossings,
    fit_decay,
    last_crossings,
    steady_rate,
)

DISTANCE = np.arange(200.0)
EXPONENTIAL = -0.05 * DISTANCE
POWER = -1.5 * np.log1p(DISTANCE)
LAWS = [
    ("flat", np.full(200, -0.3), {}),
    ("exponential", 1 + EXPONENTIAL, {"rate": 0.05}),
    ("power law", 0.7 + POWER, {"exponent": 1.5}),
    ("stretched exponential", 0.2 - (DISTANCE / 20) ** 0.5, {"tau": 20, "beta": 0.5}),
    ("stretched exponential", -((DISTANCE / 60) ** 1.6), {"tau": 60, "beta": 1.6}),
    (
        "two exponentials",
        np.log(3 * (0.8 * np.exp(-0.5 * DISTANCE) + 0.2 * np.exp(-0.02 * DISTANCE))),
        {"rate_fast": 0.5, "rate_slow": 0.02, "share_slow": 0.2},
    ),
]


def noise(*shape: int) -> np.ndarray:
    """Of 1 %."""
    return 0.01 * np.random.default_rng(0).standard_normal(shape)


def by_law(logs: np.ndarray, floor: float = -np.inf) -> dict[str, Fit]:
    return {fit.law: fit for fit in fit_decay(logs, floor)}


def test_an_exponential_crosses_where_it_must():
    logs = -0.1 * DISTANCE
    assert first_crossings(logs[None], math.log(0.5)) == pytest.approx(math.log(2) / 0.1)
    assert last_crossings(logs[None], math.log(1e-3)) == pytest.approx(math.log(1000) / 0.1)


def test_a_bump_has_a_first_and_a_last_crossing():
    logs = np.log([1.0, 0.1, 0.1, 0.9, 0.1, 0.1])
    assert first_crossings(logs[None], math.log(0.5)) == pytest.approx(math.log(2) / math.log(10))
    assert last_crossings(logs[None], math.log(0.5)) == pytest.approx(
        3 + math.log(1.8) / math.log(9)
    )


def test_what_never_falls_never_crosses():
    assert first_crossings(np.zeros(9)[None], -1.0) == math.inf
    assert last_crossings(np.zeros(9)[None], -1.0) == math.inf


def test_a_curve_may_cross_at_the_last_distance():
    logs = np.array([0.0, 0.0, -2.0])
    assert first_crossings(logs[None], -2.0) == last_crossings(logs[None], -2.0) == 2


def test_a_drop_to_zero_crosses_at_the_last_distance_above():
    logs = np.array([0.0, 0.0, 0.0, -np.inf, -np.inf])
    assert first_crossings(logs[None], -1.0) == last_crossings(logs[None], -1.0) == 2
    assert last_crossings(np.full((1, 4), -np.inf), -1.0) == 0


def test_a_memoryless_curve_crosses_at_once_and_follows_no_law():
    logs = np.array([0.0] + 19 * [-np.inf])
    assert (
        first_crossings(logs[None], math.log(0.5))
        == last_crossings(logs[None], math.log(1e-3))
        == 0
    )
    assert np.isnan(exponential_rate(logs, -np.inf))
    assert fit_decay(logs, -np.inf) == []


def test_many_replicates_equal_the_single_ones():
    replicates = 0.7 * EXPONENTIAL * np.linspace(0, 2, 50)[:, None] + 10 * noise(50, 200)
    replicates[::7, 20:] = -np.inf
    replicates[3] = -np.inf
    first, last = first_crossings(replicates, -1.0), last_crossings(replicates, -1.0)
    rates = exponential_rate(replicates, -5.0)
    assert first.tolist() == [first_crossings(row[None], -1.0)[0] for row in replicates]
    assert last.tolist() == [last_crossings(row[None], -1.0)[0] for row in replicates]
    single = [float(exponential_rate(row, -5.0)) for row in replicates]
    assert rates == pytest.approx(single, nan_ok=True)
    assert math.inf in first
    assert math.inf in last
    assert np.any((first < last) & np.isfinite(last))
    assert np.isnan(rates).sum() == 1


def test_the_rate_is_the_slope_of_an_independent_line():
    logs = EXPONENTIAL + 10 * noise(200)
    kept = np.flatnonzero(logs > -6)[1:]
    slope = np.polyfit(DISTANCE[kept], logs[kept], 1)[0]
    assert exponential_rate(logs, -6.0) == pytest.approx(-slope)
    assert by_law(logs, -6.0)["exponential"].parameters["rate"] == pytest.approx(-slope)


@pytest.mark.parametrize("rate", [-0.2, 0.0, 0.05])
@pytest.mark.parametrize("power", [-1.5, 0.0, 3.0])
def test_the_steady_rate_is_what_a_power_of_the_distance_leaves(rate, power):
    """Of a stack of leaky integrators, (k + 1) .. (k + L - 1) a^k, it is all but -ln a."""
    logs = 2 + power * np.log1p(DISTANCE) - rate * DISTANCE
    logs[0] = 40  # a residual connection
    assert steady_rate(logs, -np.inf) == pytest.approx(rate, abs=1e-9)
    assert steady_rate(np.stack([logs, logs + noise(200)]), -np.inf) == pytest.approx(
        [rate, rate], abs=1e-3
    )


def test_the_steady_rate_is_that_of_least_squares_above_the_floor():
    logs = EXPONENTIAL + 10 * noise(200)
    kept = np.flatnonzero(logs > -6)[1:]
    design = np.stack([DISTANCE, np.log1p(DISTANCE), np.ones(200)], 1)[kept]
    slope = np.linalg.lstsq(design, logs[kept])[0][0]
    assert steady_rate(logs, -6.0) == pytest.approx(-slope)
    assert np.isnan(steady_rate(np.array([0.0] + 19 * [-np.inf]), -np.inf))


def test_a_rate_far_below_what_a_float_can_hold():
    logs = np.linspace(0, -5000, 200)
    logs[0] = 40  # a residual connection
    assert np.exp(logs[-1]) == 0
    assert exponential_rate(logs, -np.inf) == pytest.approx(5000 / 199)
    best = fit_decay(logs, -np.inf)[0]
    assert best.law == "exponential"
    assert best.logs[1:] == pytest.approx(logs[1:])


def test_a_rate_needs_five_distances_above_the_floor():
    assert np.isnan(exponential_rate(EXPONENTIAL, floor=-0.05 * 5))
    assert exponential_rate(EXPONENTIAL, floor=-0.05 * 5.5) == pytest.approx(0.05)


@pytest.mark.parametrize(("law", "logs", "parameters"), LAWS)
def test_aicc_names_the_law_that_made_the_curve(law, logs, parameters):
    exact, noisy = fit_decay(logs, -np.inf), fit_decay(logs + noise(200), -np.inf)
    assert len(exact) == len(noisy) == 5
    assert exact[0].law == noisy[0].law == law
    assert exact[0].parameters == pytest.approx(parameters, rel=1e-6)
    assert noisy[0].parameters == pytest.approx(parameters, rel=0.02)
    assert exact[0].logs[1:] == pytest.approx(logs[1:], abs=1e-6)


@pytest.mark.parametrize(
    ("fast", "slow", "knee"), [(1.05, 0.05, -3), (3.003, 0.003, 60), (0.5, 0.2, 185)]
)
def test_two_exponentials_are_found_wherever_they_meet(fast, slow, knee):
    logs = np.logaddexp(-fast * (DISTANCE - knee), -slow * (DISTANCE - knee))
    exact, noisy = by_law(logs)["two exponentials"], by_law(logs + noise(200))["two exponentials"]
    share = 1 / (1 + math.exp((fast - slow) * knee))
    assert exact.parameters == pytest.approx(
        {"rate_fast": fast, "rate_slow": slow, "share_slow": share}, rel=1e-4
    )
    assert noisy.logs[1:] == pytest.approx(logs[1:], abs=0.02)


def test_larger_laws_can_be_an_exponential_but_score_worse():
    fits = by_law(EXPONENTIAL)
    assert fits["stretched exponential"].parameters == pytest.approx({"tau": 20, "beta": 1})
    for law in ("stretched exponential", "two exponentials"):
        assert fits[law].logs == pytest.approx(EXPONENTIAL, abs=1e-6)
        assert fits[law].aicc > fits["exponential"].aicc + 1


def test_aicc_is_that_of_hurvich_and_tsai():
    """n log(RSS / n) + 2 p n / (n - p - 1), with scale and noise among the p parameters."""
    logs = EXPONENTIAL + noise(200)
    for fit in fit_decay(logs, -np.inf):
        squares, p = np.sum((fit.logs - logs)[1:] ** 2), len(fit.parameters) + 2
        assert fit.aicc == pytest.approx(199 * np.log(squares / 199) + 2 * p * 199 / (198 - p))


@pytest.mark.parametrize(("points", "laws"), [(4, 0), (5, 3), (6, 4), (7, 5)])
def test_a_law_with_too_many_parameters_for_the_points_is_left_out(points, laws):
    assert len(fit_decay(POWER[: points + 1], -np.inf)) == laws


@pytest.mark.parametrize("logs", [0.1 * DISTANCE, -((DISTANCE / 60) ** 3), 9e3 * noise(200)])
def test_what_does_not_decay_is_fitted_without_complaint(logs):
    """A rising curve, one that falls faster than any of the laws, and noise."""
    fits = fit_decay(logs, -np.inf)
    assert len(fits) == 5
    assert all(np.isfinite([fit.aicc, *fit.logs, *fit.parameters.values()]).all() for fit in fits)


def test_nothing_is_fitted_below_the_floor():
    """Under the floor the curve is flat; a fit through that would halve the rate."""
    logs = np.maximum(-0.2 * DISTANCE, -20)
    best = fit_decay(logs, floor=-19.9)[0]
    assert best.law == "exponential"
    assert best.parameters["rate"] == pytest.approx(0.2)
    assert best.logs == pytest.approx(-0.2 * DISTANCE)
    assert exponential_rate(logs, floor=-19.9) == pytest.approx(0.2)
    assert fit_decay(logs, floor=-0.5) == []


def test_gaps_at_zero_are_left_out():
    logs = np.where(DISTANCE % 3 == 1, -np.inf, POWER)
    best = fit_decay(logs, -np.inf)[0]
    assert best.parameters == pytest.approx({"exponent": 1.5})
    assert best.logs == pytest.approx(POWER)
