"""Mean curves of norms that are known."""

import math

import numpy as np
import pytest

from seqprobe.estimators.curve import DecayCurve, SquaredNorms

SEQUENCES, TARGETS, DISTANCES = 64, 3, 12
MEANS = [DecayCurve.geometric, DecayCurve.root_mean_square]
both = pytest.mark.parametrize("mean", MEANS)


def exact(logs):
    """Norms (not squared) by (sequence, target, distance), known without projections."""
    logs = np.asarray(logs, dtype=np.float64)
    return SquaredNorms(2 * logs, np.zeros_like(logs))


def curve(mean, norms, floor=-math.inf):
    return mean(norms, floor, seed=0)


def lognormal(random, sigma=0.7, fall=0.3):
    """Each sequence and target has its own level and its own fall."""
    shape = (SEQUENCES, TARGETS, 1)
    steps = np.arange(DISTANCES)
    return random.normal(1, sigma, shape) - random.gamma(4, fall / 4, shape) * steps


def test_the_geometric_mean_is_the_mean_of_logarithms():
    logs = lognormal(np.random.default_rng(0))
    found = curve(DecayCurve.geometric, exact(logs))
    mean = logs.mean((0, 1))
    assert found.relative == pytest.approx(mean - mean[0], abs=1e-12)
    assert found.scale == pytest.approx(mean[0], abs=1e-12)


def test_the_root_mean_square_is_that_of_the_norms():
    logs = lognormal(np.random.default_rng(0))
    found = curve(DecayCurve.root_mean_square, exact(logs))
    norms = np.sqrt(np.square(np.exp(logs)).mean((0, 1)))
    assert found.relative == pytest.approx(np.log(norms / norms[0]), abs=1e-12)
    assert found.scale == pytest.approx(math.log(norms[0]), abs=1e-12)


def test_the_two_means_are_those_of_a_lognormal():
    """Of levels with deviation s the root mean square lies s^2 above the geometric mean."""
    sigma = np.linspace(0.1, 0.8, DISTANCES)
    levels = np.random.default_rng(1).normal(size=(200, 200, DISTANCES)) * sigma
    typical, strong = (curve(mean, exact(levels)) for mean in MEANS)
    assert typical.relative == pytest.approx(0, abs=0.03)
    assert strong.relative == pytest.approx(sigma**2 - sigma[0] ** 2, abs=0.03)


def projected(logs, r, vectors, random):
    """What is seen of these norms through chi-square projections, as the probe prepares it."""
    r = np.expand_dims(r, -1)
    squares = random.chisquare(r, (*logs.shape, vectors)) / r * np.exp(2 * logs)[..., None]
    spread = np.log(squares).var(-1, ddof=1)
    return SquaredNorms(np.log(squares.mean(-1)), spread, vectors)


@pytest.mark.parametrize("vectors", [2, 5])
def test_the_geometric_mean_is_freed_of_the_bias_of_its_projections(vectors):
    """The Jacobian has ten directions at first, one in the end: without correction the curve
    would fall too far."""
    random = np.random.default_rng(2)
    r = np.linspace(10, 1, DISTANCES)
    logs = random.normal(0, 0.5, (300, 10, 1)) - 0.2 * np.arange(DISTANCES)
    norms = projected(logs, r, vectors, random)
    truth = curve(DecayCurve.geometric, exact(logs))
    found = curve(DecayCurve.geometric, norms)
    biased = curve(DecayCurve.geometric, SquaredNorms(norms.logs, np.zeros_like(norms.logs)))
    error = norms.projection_error
    assert error.max() < 0.02
    assert (np.abs(found.relative - truth.relative) < 4 * np.hypot(error, error[0])).all()
    assert abs(found.scale - truth.scale) < 4 * error[0]
    assert truth.relative[-1] - biased.relative[-1] > 10 * error[-1]


def test_the_root_mean_square_needs_no_correction():
    random = np.random.default_rng(3)
    logs = np.broadcast_to(-0.2 * np.arange(DISTANCES), (200, 250, DISTANCES))
    found = curve(DecayCurve.root_mean_square, projected(logs, 1, 2, random))
    assert found.relative == pytest.approx(logs[0, 0], abs=0.03)
    assert found.scale == pytest.approx(0, abs=0.03)


def test_the_projection_error_is_that_of_simulated_means():
    random = np.random.default_rng(4)
    logs = np.zeros((16, TARGETS, 1))
    trials = [projected(logs, 3, 2, random) for _ in range(2000)]
    typical = [trial.logs.mean() / 2 for trial in trials]
    errors = [float(trial.projection_error[0]) for trial in trials]
    assert np.mean(errors) == pytest.approx(np.std(typical), rel=0.05)


def test_exact_norms_have_no_projection_error():
    norms = exact(lognormal(np.random.default_rng(0)))
    assert (norms.projection_error == 0).all()
    assert norms.projection_error.shape == (DISTANCES,)


def test_one_zero_makes_the_geometric_mean_zero_and_not_the_root_mean_square():
    logs = np.zeros((SEQUENCES, TARGETS, DISTANCES))
    logs[5, 1, 7] = -math.inf
    typical, strong = (curve(mean, exact(logs)) for mean in MEANS)
    assert np.flatnonzero(np.isneginf(typical.relative)).tolist() == [7]
    assert np.delete(typical.relative, 7).tolist() == [0.0] * (DISTANCES - 1)
    left = SEQUENCES * TARGETS - 1
    assert strong.relative[7] == pytest.approx(math.log(left / (left + 1)) / 2, abs=1e-12)
    without = np.isfinite(typical.replicates[:, 7]).mean()
    assert without == pytest.approx((1 - 1 / SEQUENCES) ** SEQUENCES, abs=0.05)


@both
def test_intervals_hold_the_value_and_are_narrow(mean):
    logs = lognormal(np.random.default_rng(5))
    found = curve(mean, exact(logs))
    low, high = found.interval()
    value = np.exp(found.relative)
    assert (low <= value).all()
    assert (value <= high).all()
    assert low[0] == high[0] == 1
    assert (high / low)[1:].min() > 1.005
    assert (high / low).max() < 10
    last, about = found.sampled(lambda curves: curves[:, -1])
    assert last == found.relative[-1]
    assert (about.low, about.high) == pytest.approx((math.log(low[-1]), math.log(high[-1])))


def test_the_interval_of_a_geometric_mean_is_that_of_students_t():
    """Of sequences whose fall is normal: mean plus and minus 2 standard errors, about."""
    random = np.random.default_rng(6)
    logs = random.normal(0, 1, (SEQUENCES, 1, 1)) * np.arange(DISTANCES) * np.ones((1, TARGETS, 1))
    low, high = np.log(curve(DecayCurve.geometric, exact(logs)).interval())
    width = 2 * 2.0 * logs[:, 0].std(0, ddof=1) / math.sqrt(SEQUENCES)
    assert (high - low)[1:] == pytest.approx(width[1:], rel=0.1)


def test_sequences_move_a_geometric_mean_by_how_far_each_of_them_falls():
    logs = lognormal(np.random.default_rng(5))
    found = curve(DecayCurve.geometric, exact(logs))
    _, about = found.sampled(lambda curves: curves[:, -1])
    falls = (logs[:, :, -1] - logs[:, :, 0]).mean(1)
    assert about.influence == pytest.approx((falls - falls.mean()).tolist(), rel=1e-3, abs=1e-6)


@both
def test_few_sequences_have_no_interval(mean):
    found = curve(mean, exact(np.zeros((7, 1, 3))))
    assert np.isnan(found.interval()).all()
    assert found.sampled(lambda curves: curves[:, 1]) == (0, None)


@both
def test_logarithms_far_beyond_what_a_float_holds(mean):
    steps = np.arange(DISTANCES)
    for fall in (-5000, 5000):
        logs = np.broadcast_to(7000 + fall * steps, (SEQUENCES, TARGETS, DISTANCES))
        found = curve(mean, exact(logs))
        assert found.relative == pytest.approx(fall * steps, rel=1e-12)
        assert found.replicates == pytest.approx(np.tile(fall * steps, (len(found.replicates), 1)))
        assert found.scale == pytest.approx(7000)
        best = found.fits[0]
        assert best.parameters == pytest.approx({"rate": -fall})


@both
def test_nothing_at_distance_zero_is_not_alive(mean):
    dead = curve(mean, exact(np.full((SEQUENCES, TARGETS, DISTANCES), -math.inf)))
    assert not dead.alive
    assert dead.fits == []
    assert curve(mean, exact(np.zeros((SEQUENCES, TARGETS, DISTANCES)))).alive


def test_the_floor_counts_from_the_scale():
    """What lies below the smallest number is no part of any law: norms here are exp(20 - 3 k)."""
    fall = -3.0 * np.arange(DISTANCES)
    logs = np.maximum(20 + fall, -4.0) * np.ones((SEQUENCES, TARGETS, 1))
    for floor, holds in ((-4.0, True), (-5.0, False)):
        best = curve(DecayCurve.geometric, exact(logs), floor=floor).fits[0]
        assert (best.parameters == pytest.approx({"rate": 3})) == holds


def test_window_and_sequences():
    found = curve(DecayCurve.geometric, exact(np.zeros((9, 2, 5))))
    assert found.window == 4
    assert found.sequences == 9
