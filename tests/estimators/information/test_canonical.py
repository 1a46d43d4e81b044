"""Gaussian information against closed forms and a twin by determinants."""

import math

import pytest
import torch

from seqprobe.estimators.information import canonical_bits
from seqprobe.estimators.information.canonical import Canonical, gaussian_excess


def normal_pair(correlation, samples=20_000, width=1, seed=0):
    """Columns of x and y correlate one by one."""
    generator = torch.Generator().manual_seed(seed)
    x, noise = torch.randn(2, samples, width, generator=generator).double()
    return x, correlation * x + math.sqrt(1 - correlation**2) * noise


def gaussian_bits(correlation, width=1):
    return -width * math.log2(1 - correlation**2) / 2


@pytest.mark.parametrize("correlation", [0.0, 0.3, -0.75, 0.95])
def test_a_normal_pair_has_its_closed_form(correlation):
    found = canonical_bits(*normal_pair(correlation))
    assert found.value == pytest.approx(gaussian_bits(correlation), abs=0.03)
    assert found.low <= found.value <= found.high
    assert found.status == "estimate"


@pytest.mark.parametrize("normal", [True, False])
def test_many_columns_are_not_counted_as_information(normal):
    """Without the excess taken off, 40 + 40 columns of 2000 samples show 0.6 bits too much."""
    x, y = normal_pair(0.3, samples=2000, width=40)
    mix = torch.randn(2, 40, 40, generator=torch.Generator().manual_seed(5)).double()
    found = canonical_bits(x @ mix[0], y @ mix[1], normal=False)
    assert found.value == pytest.approx(gaussian_bits(0.3, 40), abs=0.15)
    assert found.null.value == pytest.approx(0, abs=0.1)
    assert canonical_bits(x, y, normal=normal).value == pytest.approx(
        gaussian_bits(0.3, 40), abs=0.15
    )


def test_agrees_with_determinants():
    x, y = normal_pair(0.6, samples=500, width=3)
    both = torch.cat([x, y], 1).T.cov()
    nats = (both[:3, :3].logdet() + both[3:, 3:].logdet() - both.logdet()) / 2
    theirs = float(nats - gaussian_excess(500, 3, 3)) / math.log(2)
    assert canonical_bits(x, y, normal=False).value == pytest.approx(theirs, abs=1e-6)


def test_the_excess_is_what_small_samples_show_on_average():
    found = [
        canonical_bits(*normal_pair(0.0, samples=40, width=3, seed=seed), normal=False).value
        for seed in range(40)
    ]
    assert sum(found) / len(found) == pytest.approx(0, abs=0.05)


def test_monotone_maps_of_columns_change_nothing():
    x, y = normal_pair(0.7, samples=2000, width=2)
    assert canonical_bits(x.exp(), y**3).value == pytest.approx(canonical_bits(x, y).value)


@pytest.mark.parametrize("lag", [0, 3])
def test_a_leaky_integrator_has_its_closed_form(lag):
    """h_t = a h_(t-1) + x_t holds x_(t-k) with the squared correlation (1 - a^2) a^2k."""
    sequences, steps, keep = 200, 100, 0.8
    x = torch.randn(sequences, steps, generator=torch.Generator().manual_seed(0)).double()
    states = [x[:, 0]]
    for step in range(1, steps):
        states.append(keep * states[-1] + x[:, step])
    h, rows = torch.stack(states, 1), sequences * (steps - 40)
    past, now = x[:, 40 - lag : steps - lag].reshape(rows, 1), h[:, 40:].reshape(rows, 1)
    labels = torch.arange(sequences).repeat_interleave(steps - 40)
    found = canonical_bits(past, now, sequences=labels)
    truth = -math.log2(1 - (1 - keep**2) * keep ** (2 * lag)) / 2
    assert found.n == sequences
    assert found.value == pytest.approx(truth, abs=0.02)
    assert found.low <= truth <= found.high


def test_unrelated_pairs_stay_with_the_null():
    found = canonical_bits(*normal_pair(0.0, samples=2000, width=5))
    assert found.value == pytest.approx(found.null.value, abs=0.02)


def test_axes_that_chance_explains_are_left_out():
    unrelated = Canonical.fit(*normal_pair(0.0, samples=500, width=10)).shrunk(500)
    related = Canonical.fit(*normal_pair(0.9, samples=500, width=10)).shrunk(500)
    assert len(unrelated.squared) == 0
    assert related.squared.tolist() == pytest.approx([0.81] * 10, abs=0.1)


def test_redundant_columns_do_no_harm():
    x, y = normal_pair(0.75, samples=5000)
    doubled = canonical_bits(torch.cat([x, -x, 2 * x], 1), y)
    assert doubled.value == pytest.approx(canonical_bits(x, y).value, abs=0.01)
