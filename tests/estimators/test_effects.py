"""Effects of edits in bits, against scipy, torch and exact arithmetic."""

import math

import pytest
import torch
from scipy.special import rel_entr
from torch.nn import functional as F

from seqprobe.estimators.effects import kl_bits, surprisal_bits, top_changed


def test_kl_is_that_of_scipy():
    plain, changed = torch.randn(2, 5, 7, 11, dtype=torch.float64).unbind()
    p, q = plain.softmax(-1).numpy(), changed.softmax(-1).numpy()
    assert kl_bits(plain, changed).numpy() == pytest.approx(
        rel_entr(p, q).sum(-1) / math.log(2), rel=1e-10
    )


def test_kl_of_small_changes_does_not_drown_in_rounding():
    """In single precision, against double: a change of 1e-3 of a logit is 1e-7 bits."""
    plain = torch.randn(100, 50)
    changed = plain + 1e-3 * torch.randn(100, 50)
    truth = kl_bits(plain.double(), changed.double())
    assert truth.max() < 1e-5
    assert kl_bits(plain, changed).double().numpy() == pytest.approx(truth.numpy(), rel=1e-2)


def test_kl_of_what_does_not_change_is_exactly_zero():
    outputs = 30 * torch.randn(20, 9)
    assert (kl_bits(outputs, outputs) == 0).all()


def test_kl_with_impossible_classes():
    plain = torch.tensor([0.5, 0.5, 0.0]).log()
    assert kl_bits(plain, torch.tensor([0.25, 0.25, 0.5]).log()) == pytest.approx(1)
    assert kl_bits(plain, torch.tensor([1.0, 0.0, 0.0]).log()) == math.inf
    assert kl_bits(plain, plain) == 0


def test_surprisal_is_cross_entropy_in_bits():
    outputs, targets = torch.randn(6, 4, 9), torch.randint(9, (6, 4))
    truth = F.cross_entropy(outputs.flatten(0, 1), targets.flatten(), reduction="none")
    found = surprisal_bits(outputs, targets).flatten() * math.log(2)
    assert torch.allclose(found, truth, atol=1e-6)


def test_the_top_changes_where_another_class_is_the_likeliest():
    plain = torch.tensor([[1.0, 2.0], [1.0, 2.0]])
    assert top_changed(plain, torch.tensor([[3.0, 2.0], [0.0, 9.0]])).tolist() == [True, False]
