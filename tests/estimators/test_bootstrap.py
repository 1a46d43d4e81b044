"""Intervals that hold the truth as often as they say."""

import numpy as np
import pytest

from seqprobe.contracts import Interval
from seqprobe.estimators.bootstrap import curve_interval, number_interval, resampled_means


@pytest.mark.parametrize("sequences", [8, 32])
def test_the_interval_of_a_mean_covers_it(sequences):
    random = np.random.default_rng(0)
    hits = 0
    for trial in range(400):
        rows = random.normal(2, 1, (sequences, 1))
        about = number_interval(resampled_means(rows, seed=trial)[:, 0], sequences)
        hits += about.low <= 2 <= about.high
    assert 0.925 <= hits / 400 <= 0.98


def test_rows_are_drawn_whole():
    """Points of one row move together: their difference has no spread."""
    rows = np.random.default_rng(0).normal(size=(32, 1)) + np.zeros((32, 2))
    means = resampled_means(rows)
    assert np.abs(means[:, 0] - means[:, 1]).max() == 0
    assert means[:, 0].std() == pytest.approx(rows[:, 0].std() / np.sqrt(32), rel=0.2)


def test_infinite_replicates_are_kept():
    replicates = np.where(np.arange(999) % 2 == 0, np.inf, 1.0)
    assert number_interval(replicates, 32, seed=0) == Interval(1.0, np.inf)
    assert number_interval(np.full(999, np.inf), 32, seed=0) == Interval(np.inf, np.inf, spread=0.0)


@pytest.mark.parametrize("sequences", [8, 100])
def test_the_influence_on_a_mean_is_exact(sequences):
    rows = np.random.default_rng(2).exponential(size=(sequences, 1))
    about = number_interval(resampled_means(rows, seed=3)[:, 0], sequences, seed=3)
    assert about.influence == pytest.approx((rows - rows.mean())[:, 0].tolist(), rel=1e-3, abs=1e-9)
    assert about.spread == pytest.approx(rows.std() / np.sqrt(sequences), rel=1e-3)


def test_the_influence_on_a_ratio_is_that_of_its_gradient():
    """The delta method: of x / y it is (x_i - x / y * y_i) / y."""
    rows = 5 + np.random.default_rng(4).normal(size=(64, 2))
    means = resampled_means(rows, seed=1)
    about = number_interval(means[:, 0] / means[:, 1], 64, seed=1)
    x, y = rows.mean(0)
    gradient = (rows[:, 0] - x / y * rows[:, 1]) / y
    assert np.abs(np.array(about.influence) - gradient).max() < 0.03 * np.abs(gradient).max()


def test_what_else_is_drawn_again_or_too_many_sequences_have_no_influence():
    means = resampled_means(np.random.default_rng(0).normal(size=(32, 1)))[:, 0]
    assert number_interval(means, 32).influence == ()
    assert number_interval(means, 500, seed=0).influence == ()


def test_too_few_sequences_give_no_interval():
    assert number_interval(resampled_means(np.ones((7, 1)))[:, 0], 7) is None
    low, high = curve_interval(resampled_means(np.ones((7, 3))), 7)
    assert np.isnan(low).all()
    assert np.isnan(high).all()
