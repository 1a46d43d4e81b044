"""What a state adds to nearer tokens, against exact conditional information."""

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from seqprobe.estimators.information import conditional_bits, decodable_bits

CLASSES, STAY = 4, 0.8


def chain(sequences=300, time=40, seed=0):
    """Stay, or draw anew."""
    generator = torch.Generator().manual_seed(seed)
    tokens = torch.randint(CLASSES, (sequences, time), generator=generator)
    stays = torch.rand(tokens.shape, generator=generator) < STAY
    for step in range(1, time):
        tokens[:, step] = torch.where(stays[:, step], tokens[:, step - 1], tokens[:, step])
    return tokens


def lagged(tokens, lags=12):
    time = tokens.shape[1]
    return tokens[:, torch.arange(lags, time)[:, None] - torch.arange(lags)]


def rate():
    """Entropy of a token given the next one, in bits."""
    step = np.full((CLASSES, CLASSES), (1 - STAY) / CLASSES) + STAY * np.eye(CLASSES)
    return -(step[0] * np.log2(step[0])).sum()


def test_what_the_neighbour_leaves_open_is_the_entropy_rate():
    past = lagged(chain())
    found = conditional_bits(F.one_hot(past[..., 0], CLASSES).float(), past, CLASSES, [0, 1, 5])
    assert found.entropy == pytest.approx([2.0, rate(), rate()], abs=0.03)


@pytest.mark.parametrize("depth", [1, 3])
def test_a_register_adds_what_its_neighbours_leave_open_and_nothing_beyond(depth):
    past = lagged(chain())
    state = F.one_hot(past[..., :depth], CLASSES).flatten(2).float()
    lags = [0, 1, 2, 3, 6, 10]
    found = conditional_bits(state, past, CLASSES, lags)
    truth = [2.0 if lag == 0 else rate() if lag < depth else 0.0 for lag in lags]
    assert found.lower == pytest.approx(truth, abs=0.045)
    plain = decodable_bits(state, past[..., lags], CLASSES, effort="linear")
    assert plain.low[3] > 0.2  # readable all the same
    assert (found.low > found.band).tolist() == [each > 0 for each in truth]


def test_half_of_a_memory_adds_its_part():
    """The state holds x_{t-3} half of the time, and else nothing; so says a flag."""
    past = lagged(chain(sequences=600))
    there = torch.rand(past.shape[:2], generator=torch.Generator().manual_seed(5)) < 0.5
    held = F.one_hot(past[..., 3], CLASSES).float() * there[..., None]
    found = conditional_bits(torch.cat([held, there[..., None].float()], -1), past, CLASSES, [3])
    assert 0.25 < found.lower[0] < rate() / 2 + 0.02


def test_other_sequences_add_nothing():
    past = lagged(chain())
    state = F.one_hot(past[..., :3], CLASSES).flatten(2).float()
    found = conditional_bits(state, past, CLASSES, [0, 2, 5])
    assert np.abs(found.null.mean(0)).max() < 0.01


def test_noise_in_many_dimensions_adds_nothing():
    """Who is scored on what it was fitted to would find bits here."""
    past = lagged(chain(sequences=40))
    found = conditional_bits(torch.randn(40, 28, 200), past, CLASSES, [0, 1, 5])
    assert found.lower.max() < 0.01


def test_too_few_sequences_are_refused():
    past = lagged(chain(sequences=5))
    found = conditional_bits(torch.randn(5, 28, 3), past, CLASSES, [0, 1])
    assert found.verdicts == ("not estimable",) * 2
    assert "5 sequences are too few" in found.reasons[0]
