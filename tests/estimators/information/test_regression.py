"""Bits about real-valued inputs against closed forms."""

import numpy as np
import pytest
import torch

from seqprobe.estimators.information import normal_bits

WIDTH, STEPS, SEQUENCES, BURN, NOISE = 256, 100, 100, 400, 0.3


def integrators(lags=48, seed=0):
    """Leaky integrators of one input, at many rates, rotated, with noise; and the exact bits."""
    generator = torch.Generator().manual_seed(seed)
    a = 1 - torch.logspace(-0.15, -2, WIDTH, dtype=torch.float64)
    gain = (1 - a**2).sqrt()
    rows = SEQUENCES * STEPS
    x = torch.randn(rows + BURN, generator=generator, dtype=torch.float64)
    h, states = torch.zeros(WIDTH, dtype=torch.float64), []
    for drive in x:
        h = a * h + gain * drive
        states.append(h)
    noise = NOISE * torch.randn(rows, WIDTH, generator=generator, dtype=torch.float64)
    rotation = torch.linalg.qr(torch.randn(WIDTH, WIDTH, generator=generator).double())[0]
    seen = torch.stack(states[BURN:]) @ rotation + noise
    past = torch.stack([x[BURN - k : BURN - k + rows] for k in range(lags)], dim=1)
    covariance = torch.outer(gain, gain) / (1 - torch.outer(a, a)) + NOISE**2 * torch.eye(WIDTH)
    response = torch.stack([gain * a**k for k in range(lags)], dim=1)
    squared = (response * torch.linalg.solve(covariance, response)).sum(0)
    shape = SEQUENCES, STEPS
    return (
        seen.float().unflatten(0, shape),
        past.float().unflatten(0, shape)[..., None],
        (-0.5 * torch.log2(1 - squared)).numpy(),
    )


def test_leaky_integrators_have_their_exact_bits():
    states, inputs, truth = integrators()
    found = normal_bits(states, inputs)
    assert np.abs(found.estimate - truth).mean() < 0.006
    assert (found.low > truth).mean() <= 0.05
    assert found.lower.max() < truth.max() + 0.02


@pytest.mark.parametrize("features", [1, 3])
def test_several_features_at_once(features):
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(100, 50, 1, features, generator=generator)
    states = x[:, :, 0] + torch.randn(100, 50, features, generator=generator)
    mixed = states @ torch.randn(features, 6, generator=generator)
    assert normal_bits(mixed, x).estimate[0] == pytest.approx(0.5 * features, abs=0.05)


def test_noise_shows_nothing():
    generator = torch.Generator().manual_seed(0)
    found = normal_bits(
        torch.randn(40, 25, 200, generator=generator),
        torch.randn(40, 25, 8, 2, generator=generator),
    )
    assert set(found.verdicts) <= {"none detected", "not estimable"}
    assert found.lower.max() < 0.02


def test_a_nonlinear_state_is_a_lower_bound():
    """A state that keeps the sign alone: at most one bit, and a line reads less."""
    x = torch.randn(100, 50, 1, 1, generator=torch.Generator().manual_seed(0))
    found = normal_bits(x[:, :, 0].sign(), x)
    assert 0.3 < found.lower[0] < 1
    assert found.low[0] < 1


def test_what_is_not_finite_has_no_bits():
    states, inputs = torch.randn(10, 10, 3), torch.randn(10, 10, 2, 1)
    states[3, 4, 1] = torch.inf
    found = normal_bits(states, inputs)
    assert found.verdicts == ("not estimable",) * 2
    assert found.estimates()[0].value is None
    assert "infinite" in found.reasons[0]


@pytest.mark.parametrize("features", [1, 2])
def test_a_state_that_holds_inputs_to_the_last_digit_holds_many_bits_of_each(features):
    """A shift register: more than any noise of a thousandth lets through, and nothing beyond it."""
    x = torch.randn(32, 108, features, generator=torch.Generator().manual_seed(0))
    past = torch.stack([x[:, 8 - k : 108 - k] for k in range(6)], dim=2)
    found = normal_bits(past[:, :, :3].flatten(2), past)
    assert (found.low[:3] > 5 * features).all()
    assert (found.estimate[:3] < 20 * features).all()
    assert (found.low[3:] <= found.band[3:]).all()
