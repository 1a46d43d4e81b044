"""Intervals that hold the truth as often as they say."""

import numpy as np
import pytest

from seqprobe.estimators.bootstrap import curve_interval, number_interval, resampled_means


@pytest.mark.parametrize("sequences", [8, 32])
def test_the_interval_of_a_mean_covers_it(sequences):
    random = np.random.default_rng(0)
    hits = 0
    for trial in range(400):
        rows = random.normal(2, 1, (sequences, 1))
        low, high = number_interval(resampled_means(rows, seed=trial)[:, 0], sequences)
        hits += low <= 2 <= high
    assert 0.925 <= hits / 400 <= 0.98


def test_rows_are_drawn_whole():
    """Points of one row move together: their difference has no spread."""
    rows = np.random.default_rng(0).normal(size=(32, 1)) + np.zeros((32, 2))
    means = resampled_means(rows)
    assert np.abs(means[:, 0] - means[:, 1]).max() == 0
    assert means[:, 0].std() == pytest.approx(rows[:, 0].std() / np.sqrt(32), rel=0.2)


def test_infinite_replicates_are_kept():
    replicates = np.where(np.arange(999) % 2 == 0, np.inf, 1.0)
    assert number_interval(replicates, 32) == (1.0, np.inf)


def test_too_few_sequences_give_no_interval():
    assert number_interval(resampled_means(np.ones((7, 1)))[:, 0], 7) is None
    low, high = curve_interval(resampled_means(np.ones((7, 3))), 7)
    assert np.isnan(low).all()
    assert np.isnan(high).all()
