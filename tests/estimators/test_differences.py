"""Differences of two estimates: against paired t-tests, naive twins, and identities."""

import math

import numpy as np
import pytest
from scipy import stats

from seqprobe.contracts import Estimate, Null
from seqprobe.estimators.bootstrap import number_interval, resampled_means
from seqprobe.estimators.decay import first_crossings
from seqprobe.estimators.differences import BOUNDS, clear, contrast

NULL = Null("nothing", 0.0)


def mean_of(rows, *, n=None):
    about = number_interval(resampled_means(rows[:, None])[:, 0], len(rows), seed=0)
    return Estimate.sampled(float(rows.mean()), "bits", about, n=n or len(rows), null=NULL)


def sampled(value, low, high, **more):
    return Estimate(value, "bits", low, high, **({"n": 32, "null": NULL} | more))


def apart(one, other, *, same_sequences=False):
    return contrast(one, other, same_sequences=same_sequences)


@pytest.fixture
def two():
    """Numbers of two models on the same sequences, which are hard for both."""
    random = np.random.default_rng(0)
    hard = random.exponential(size=40)
    return hard + 0.1 * random.normal(size=40), hard + 0.3 + 0.1 * random.normal(size=40)


def test_means_on_the_same_sequences_differ_as_in_a_paired_t_test(two):
    found = apart(*map(mean_of, two), same_sequences=True)
    twin = stats.ttest_rel(two[1], two[0])
    low, high = twin.confidence_interval()
    assert found.paired
    assert (found.estimate.low, found.estimate.high) == pytest.approx((low, high), rel=1e-3)
    assert math.log(found.chance) == pytest.approx(math.log(twin.pvalue), rel=1e-3)
    assert found.estimate.value == pytest.approx((two[1] - two[0]).mean())


def test_and_on_others_about_as_in_welchs(two):
    found = apart(*map(mean_of, two))
    low, high = stats.ttest_ind(two[1], two[0], equal_var=False).confidence_interval()
    assert not found.paired
    assert (found.estimate.low, found.estimate.high) == pytest.approx((low, high), rel=0.1, abs=0.1)
    assert found.chance > 0.1


def test_a_number_that_is_no_mean_against_both_models_drawn_again_together():
    """The naive twin: the same draws for both, and the spread of the difference."""
    random = np.random.default_rng(1)
    pace, distance = 1 + 0.3 * random.normal(size=(64, 1)), np.arange(40)
    rows = [-0.1 * pace * k * distance + 0.1 * random.normal(size=(64, 40)) for k in (1.0, 1.5)]

    def half_life(curves):
        return first_crossings(curves - curves[:, :1], -math.log(2))

    again = [half_life(resampled_means(each)) for each in rows]
    one, other = (
        Estimate.sampled(
            half_life(each.mean(0)[None]).item(), "bits", number_interval(drawn, 64, seed=0),
            n=64, null=NULL,
        )
        for each, drawn in zip(rows, again, strict=True)
    )  # fmt: skip
    found = apart(one, other, same_sequences=True)
    width = found.estimate.high - found.estimate.low
    twin = 2 * stats.t.ppf(0.975, 63) * (again[1] - again[0]).std() * math.sqrt(64 / 63)
    assert found.paired
    assert 0.95 < width / twin < 1.3
    unpaired = apart(one, other).estimate
    assert width < 0.8 * (unpaired.high - unpaired.low)


def test_sequences_that_only_one_has_seen_count_alone(two):
    one, other = mean_of(two[0][:30]), mean_of(two[1])
    found = apart(one, other, same_sequences=True).estimate
    moves = np.zeros(40)
    moves[:30] -= (two[0][:30] - two[0][:30].mean()) / 30
    moves += (two[1] - two[1].mean()) / 40
    half = stats.t.ppf(0.975, 29) * math.sqrt((moves**2).sum() * 30 / 29)
    assert (found.high - found.low) / 2 == pytest.approx(half, rel=1e-3)


def test_a_model_does_not_differ_from_itself(two):
    found = apart(mean_of(two[0]), mean_of(two[0]), same_sequences=True)
    assert found.estimate.value == 0
    assert found.chance == 1


def test_numbers_that_jump_are_not_paired():
    rare = np.array([9.0, *31 * [0.0]])
    often = resampled_means(rare[:, None])[:, 0]
    grid = number_interval(np.where(often > often[0], 16.0, 8.0), 32, seed=0)
    one, other = (Estimate.sampled(v, "bits", grid, n=32, null=NULL) for v in (8.0, 16.0))
    found = apart(one, other, same_sequences=True)
    assert not found.paired
    assert (found.estimate.low, found.estimate.high) == pytest.approx((8 - 8 * 2**0.5, 8))


def test_the_side_of_an_interval_that_a_jump_makes_short_is_no_evidence():
    found = apart(sampled(8.0, 2.0, 8.0), sampled(9.0, 9.0, 15.0))
    assert found.estimate.low == 1
    assert found.chance > 0.5


def test_exact_values_differ_exactly_but_for_rounding():
    one, other = Estimate(2.0, "bits", exact=True), Estimate(5.0, "bits", exact=True)
    assert apart(one, other).estimate == Estimate(3.0, "bits", exact=True)
    assert apart(one, other).chance is None
    rounded = Estimate(2.0 + 4e-16, "bits", exact=True)
    assert apart(one, rounded).estimate.value == 0


def test_a_bound_gives_a_bound():
    beyond = Estimate.missing("bits", "never", low=192.0, n=32, spread=0.0)
    found = apart(sampled(46.0, 44.0, 49.0), beyond)
    assert (found.estimate.value, found.estimate.low, found.estimate.high) == (None, 143, None)
    assert found.estimate.reason == "never"
    assert found.chance < 1e-6
    assert apart(beyond, sampled(46.0, 44.0, 49.0)).estimate.high == -143
    assert apart(beyond, beyond).estimate.low is None


def test_a_bound_is_not_tested_where_sequences_disagree_about_it_nor_on_its_open_side():
    unsure = Estimate.missing("bits", "never", low=192.0, n=32)
    assert apart(sampled(46.0, 44.0, 49.0), unsure).chance is None
    beyond = Estimate.missing("bits", "never", low=192.0, n=32, spread=0.0)
    assert apart(sampled(400.0, 390.0, 410.0), beyond).chance == 1


def test_exact_bounds_differ_by_an_exact_bound():
    fails, never = (
        Estimate(257.0, "bits", exact=True),
        Estimate.missing("bits", "no length fails", low=1024.0, exact=True),
    )
    found = apart(never, fails).estimate
    assert (found.high, found.exact) == (-767, True)


def test_lower_bounds_are_said_to_be_such():
    both = [sampled(v, v - 1, v + 1, lower_bound=True) for v in (3.0, 9.0)]
    assert apart(*both).estimate.reason == BOUNDS


@pytest.mark.parametrize(
    ("one", "reason"),
    [
        (Estimate.missing("bits", "too few samples"), "too few samples"),
        (Estimate(1.0, "steps", 0.0, 2.0, n=32), "different units"),
        (Estimate(1.0, "bits", 0.0, 2.0, n=32, level=0.9), "different levels"),
    ],
)
def test_what_cannot_be_subtracted_says_why(one, reason):
    found = apart(one, sampled(1.0, 0.5, 1.5))
    assert found.estimate.value is None
    assert reason in found.estimate.reason
    assert found.chance is None


def test_no_interval_is_no_evidence():
    found = apart(sampled(1.0, None, None), sampled(90.0, 89.0, 91.0))
    assert found.estimate.reason == "one of them has no interval"
    assert found.chance == 1


def test_holms_steps():
    """By hand: 0.05 / 4, / 3, / 2; what comes after the first that fails, fails too."""
    assert clear([0.016, None, 0.001, 0.9, 0.0251]) == [True, False, True, False, False]
    assert clear([0.017, None, 0.001, 0.9, 0.0049]) == [True, False, True, False, True]
    assert clear([None, None]) == [False, False]


def test_equal_models_are_rarely_said_to_differ():
    """Twenty numbers of each of ten pairs; without a correction six pairs would."""
    random, alarms = np.random.default_rng(3), 0
    for _ in range(10):
        hard = random.normal(size=(20, 1, 16))
        pairs = hard + 0.5 * random.normal(size=(20, 2, 16))
        found = [apart(*map(mean_of, pair), same_sequences=True) for pair in pairs]
        alarms += any(clear([each.chance for each in found]))
    assert alarms <= 2
