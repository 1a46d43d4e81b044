"""Contrast never shows more than the logarithm of its batch, and finds what is there."""

import math

import pytest
import torch

from seqprobe.estimators.information import contrastive_bits
from seqprobe.estimators.information.contrast import contrast


def normal_pair(correlation, samples=2000, width=1):
    generator = torch.Generator().manual_seed(0)
    x, noise = torch.randn(2, samples, width, generator=generator)
    return x, correlation * x + math.sqrt(1 - correlation**2) * noise


@pytest.mark.parametrize("correlation", [0.0, 0.75])
def test_a_normal_pair_has_nearly_its_closed_form(correlation):
    found = contrastive_bits(*normal_pair(correlation))
    assert found.value == pytest.approx(-math.log2(1 - correlation**2) / 2, abs=0.06)
    assert found.lower_bound
    assert found.null.high < 0.02


def test_never_above_its_ceiling():
    x, y = normal_pair(0.9999, width=8)
    found = contrastive_bits(x, y, batch=8)
    assert found.ceiling == 3
    assert 0.98 * 3 <= found.value <= 3
    assert found.status == "saturated"


def test_contrast_has_its_closed_form():
    """Knowing nothing is worth nothing, certainty the logarithm of the batch."""
    sure = torch.eye(16) * 100
    assert contrast(torch.zeros(16, 16)).tolist() == pytest.approx([0.0] * 16, abs=1e-6)
    assert contrast(sure).tolist() == pytest.approx([math.log(16)] * 16)
    assert (contrast(torch.randn(16, 16)) <= math.log(16)).all()


def test_too_little_to_hold_out():
    x, y = normal_pair(0.5, samples=300)
    assert contrastive_bits(x, y).reason == (
        "100 samples to hold out are too few for a batch of 128"
    )
