"""Shapes in annotations are checked while tests run: those of arguments, results and fields."""

import numpy as np
import pytest
import torch
from beartype.roar import BeartypeCallHintViolation

from seqprobe.contracts import Mixer
from seqprobe.estimators import growth


def test_axes_of_the_same_name_have_the_same_size():
    assert growth.law(np.ones(3), np.ones(3)) is not None
    with pytest.raises(BeartypeCallHintViolation, match="values"):
        growth.law(np.ones(3), np.ones(4))


def test_a_wrong_type_is_refused():
    with pytest.raises(BeartypeCallHintViolation):
        growth.lengths_up_to("long")
    assert growth.exponent(np.arange(1.0, 4), np.arange(1.0, 4))


def test_sizes_belong_to_one_call():
    for size in (3, 4):
        growth.law(np.ones(size), np.ones(size))


def test_fields_are_checked():
    Mixer("", "attention", torch.ones(3, 3, dtype=torch.bool))
    with pytest.raises(BeartypeCallHintViolation, match="support"):
        Mixer("", "attention", torch.ones(3, 4, dtype=torch.bool))


def test_results_are_checked(monkeypatch):
    monkeypatch.setattr(growth.polynomial, "polyval", lambda lengths, _law: lengths[1:])
    with pytest.raises(BeartypeCallHintViolation, match="return"):
        growth.cost(np.ones(3), np.ones(5))
