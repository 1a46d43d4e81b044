"""Bits about the whole past, against what a state can hold."""

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from seqprobe.estimators.information import decodable_bits, recalled_bits
from seqprobe.reference.channels import EnumeratedLSTM


def past(classes, lags, sequences=100, steps=60, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(classes, (sequences, steps, lags), generator=generator)


def test_symbols_of_one_number_are_recalled_one_given_the_other():
    """h = 2 a + b and noise: b alone is hard to read, given a it is easy."""
    symbols, generator = past(2, 2), torch.Generator().manual_seed(1)
    number = 2.0 * symbols[..., 0] + symbols[..., 1]
    state = number[..., None] + 0.1 * torch.randn(*number.shape, 1, generator=generator)
    chances = torch.full((2,), 0.5)
    found = recalled_bits(state, symbols, 2, chances=chances)
    assert found.lower == pytest.approx([1, 1], abs=0.02)
    alone = decodable_bits(state, symbols, 2, chances=chances, effort="linear")
    assert alone.lower[1] < 0.3


def test_all_of_it_is_never_more_than_the_truth():
    """A random LSTM whose contexts are all known."""
    lstm = EnumeratedLSTM(noise=0.1)
    drawn = lstm.draw(200, 50, seed=1)
    found = recalled_bits(drawn.states, drawn.labels, 4, chances=torch.full((4,), 0.25))
    truth = lstm.bits_of_all()
    each = found.held_out.sum(1)
    assert each.mean() < truth
    assert each.mean() > 0.7 * truth
    marginal = decodable_bits(drawn.states, drawn.labels, 4, chances=torch.full((4,), 0.25))
    assert each.mean() > marginal.lower.sum()  # given the others there is more to read


def test_parity_is_one_bit_that_no_single_symbol_tells():
    symbols = past(2, 6)
    state = F.one_hot(symbols.sum(-1) % 2, 2).float()
    found = recalled_bits(state, symbols, 2, chances=torch.full((2,), 0.5))
    assert np.abs(found.lower).max() < 0.02
    assert set(found.verdicts) == {"none detected"}


def test_noise_recalls_nothing_and_other_sequences_neither():
    symbols = past(4, 5, sequences=40)
    state = torch.randn(40, 60, 30, generator=torch.Generator().manual_seed(2))
    assert recalled_bits(state, symbols, 4).lower.max() < 0.01
    known = F.one_hot(symbols, 4).flatten(2).float()
    assert np.abs(recalled_bits(known, symbols, 4).null.mean(0)).max() < 0.02


def test_bad_states_are_refused():
    symbols = past(4, 2, sequences=10)
    found = recalled_bits(torch.zeros(10, 60, 3), symbols, 4)
    assert found.verdicts == ("not estimable",) * 2
    assert "never change" in found.reasons[0]
