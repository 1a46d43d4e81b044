"""Which noise real-valued outputs are read with, and when they are forecasts."""

import math

import numpy as np
import pytest
import torch

from seqprobe.estimators.readout import readout


def drawn(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def said_of(inputs: torch.Tensor, error: float) -> torch.Tensor:
    """Outputs that say the next inputs but for an error."""
    return inputs.roll(-1, dims=1) + error * drawn(*inputs.shape, seed=1)


def test_forecasts_have_their_own_errors_for_noise() -> None:
    inputs = drawn(16, 64, 2) * torch.tensor([1.0, 1000.0])
    outputs = said_of(inputs, 0.0) + torch.tensor([0.5, 300.0]) * drawn(16, 64, 2, seed=2)
    outputs[:, :32] = 1e6  # what comes before the second half has not been read yet
    found = readout(inputs, outputs)
    errors = (outputs[:, 32:-1] - inputs[:, 33:]).numpy()
    assert found.noise.numpy() == pytest.approx(np.sqrt((errors**2).mean((0, 1))))
    assert found.says == (0, 1)
    assert found.explained == pytest.approx(1 - (0.25 + 0.09) / 2, abs=0.02)


def test_other_outputs_have_their_own_spread() -> None:
    inputs, outputs = drawn(16, 64, 2), 7 + 3 * drawn(16, 64, 2, seed=1)
    found = readout(inputs, outputs)
    assert found.says == ()
    assert found.noise.numpy() == pytest.approx(outputs[:, 32:-1].numpy().std((0, 1)))
    assert math.isnan(found.explained)


@pytest.mark.parametrize(("says", "forecast"), [(None, True), ("next", True), ("values", False)])
def test_the_user_may_know_better(says, forecast) -> None:
    inputs = drawn(8, 64, 1)
    assert bool(readout(inputs, said_of(inputs, 0.5), says).says) is forecast


def test_the_feature_that_an_output_says_is_found() -> None:
    inputs = drawn(8, 64, 4)
    inputs[..., 3] = 5.0  # one that never changes is easily said
    outputs = said_of(inputs, 0.3)[..., [2, 0]]
    assert readout(inputs, outputs).says == (2, 0)
    assert readout(inputs, drawn(8, 64, 2, seed=3)).says == ()
    assert readout(inputs, drawn(8, 64, 5, seed=3), "next").says == (), "there is no such feature"


@pytest.mark.parametrize("size", [0.01, 0.1, 1.0])
def test_outputs_that_know_nothing_are_seldom_taken_for_forecasts(size) -> None:
    taken = [
        bool(readout(drawn(8, 32, 3, seed=2 * s), size * drawn(8, 32, 1, seed=2 * s + 1)).says)
        for s in range(100)
    ]
    assert sum(taken) <= 3


def test_noise_is_never_less_than_rounding_makes() -> None:
    inputs = drawn(8, 32, 1).float()
    outputs = 100 + 1e-5 * drawn(8, 32, 1, seed=1).float()
    assert readout(inputs, outputs).noise.item() == pytest.approx(64 * 2**-23 * 100, rel=1e-5)
    assert readout(inputs, torch.zeros_like(outputs)).noise.item() == 0
    one = readout(inputs[:1], said_of(inputs[:1].double(), 0.1))
    assert one.says == (), "a single sequence shows nothing"
