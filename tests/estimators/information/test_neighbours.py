"""Nearest neighbours read codes that no linear decoder does."""

import math

import numpy as np
import pytest
import torch
from sklearn.feature_selection import mutual_info_classif

from seqprobe.estimators.information import decodable_bits
from seqprobe.estimators.information.folds import Folds
from seqprobe.estimators.information.neighbours import neighbours

BITS = math.log(2)


def folds_of(rows):
    return Folds.of(rows // 10, 10, 0, torch.device("cpu"))


def parity(noise, sequences=400, steps=10, dull=0):
    """The label is whether two coordinates have the same sign; each coordinate knows nothing."""
    generator = torch.Generator().manual_seed(0)
    corner = torch.randint(2, (sequences, steps, 2), generator=generator)
    noises = torch.randn(sequences, steps, 2 + dull, generator=generator) * noise
    noises[..., :2] += 2.0 * corner - 1
    return noises, (corner[..., :1] ^ corner[..., 1:])


def parity_bits(noise):
    """By Monte Carlo: h = (a, b) + noise has log-odds of each sign 2 h / noise^2."""
    state, _ = parity(noise, sequences=20_000)
    same = torch.tanh(state.double() / noise**2).prod(-1)
    chance = torch.stack([1 + same, 1 - same], -1) / 2
    return 1 - torch.special.entr(chance).sum(-1).mean().item() / BITS


def ring(sectors=8, rows=4000):
    """An angle; the label is whether its sector is odd. All of 1 bit is there."""
    angle = torch.rand(rows // 10, 10, generator=torch.Generator().manual_seed(0)) * 2 * math.pi
    states = torch.stack([angle.cos(), angle.sin()], -1)
    return states, (angle / (2 * math.pi) * sectors).long()[..., None] % 2


@pytest.mark.parametrize("noise", [0.2, 0.5, 1.0])
def test_a_parity_has_its_exact_information(noise):
    states, labels = parity(noise)
    truth, half = parity_bits(noise), torch.full((2,), 0.5)
    found = decodable_bits(states, labels, 2, chances=half)
    linear = decodable_bits(states, labels, 2, chances=half, effort="linear")
    assert linear.lower[0] < 0.01
    assert found.lower[0] <= truth + 0.02
    assert found.lower[0] == pytest.approx(truth, abs=0.1)
    assert found.estimate[0] == pytest.approx(truth, abs=0.1)


def test_a_ring_is_read_sector_by_sector():
    """A tenth is always left to the linear decoder, which costs 0.07 bits here."""
    states, labels = ring()
    found = decodable_bits(states, labels, 2, chances=torch.full((2,), 0.5))
    linear = decodable_bits(states, labels, 2, chances=torch.full((2,), 0.5), effort="linear")
    assert linear.lower[0] < 0.01
    assert 0.9 < found.lower[0] <= 1


@pytest.mark.parametrize("separation", [0.0, 1.0, 3.0])
def test_the_estimate_agrees_with_scikit_learn_and_with_the_truth(separation):
    generator = torch.Generator().manual_seed(0)
    labels = torch.randint(3, (10_000, 1), generator=generator)
    states = separation * labels + torch.randn(10_000, 1, generator=generator)
    found = neighbours(states, labels, 3, folds_of(10_000)).estimate.item() / BITS
    theirs = mutual_info_classif(states.numpy(), labels[:, 0].numpy(), random_state=0)[0] / BITS
    logits = -((states - separation * torch.arange(3)) ** 2) / 2
    lost = torch.special.entr(logits.double().softmax(1)).sum(1).mean().item() / BITS
    assert found == pytest.approx(theirs, abs=0.05)
    assert found == pytest.approx(math.log2(3) - lost, abs=0.05)


def test_weights_are_those_of_a_naive_loop():
    """Of fewer axes than are kept, so that distances are those of the states."""
    generator = torch.Generator().manual_seed(0)
    states = torch.randn(200, 3, generator=generator)
    labels = torch.randint(3, (200, 2), generator=generator)
    folds = folds_of(200)
    found = neighbours(states, labels, 3, folds).held_out
    for index, part in enumerate(folds.parts):
        others = folds.others(index).numpy()
        squares = (states[part, None] - states[others]).square().sum(-1).numpy()
        order = np.sort(squares, axis=1)
        scale = order[:, 1:9].mean()
        for query, row in enumerate(part.tolist()):
            near = squares[query] <= order[query, 63]
            weight = np.exp(-(squares[query] - order[query, 0]) / scale / 0.1) * near
            for lag in range(2):
                same = labels[others, lag].numpy() == labels[row, lag].item()
                share = weight[same].sum() / weight.sum()
                assert found[1, row, lag].item() == pytest.approx(share, abs=1e-4)


def test_labels_that_have_nothing_to_do_with_the_state_are_near_by_chance_alone():
    generator = torch.Generator().manual_seed(0)
    states = torch.randn(4000, 50, generator=generator)
    labels = torch.randint(16, (4000, 4), generator=generator)
    found = neighbours(states, labels, 16, folds_of(4000))
    assert found.estimate / BITS == pytest.approx(torch.zeros(4), abs=0.06)
    assert found.held_out.mean((0, 1)) == pytest.approx(torch.full((4,), 1 / 16), abs=0.01)


def test_a_sequence_is_no_neighbour_of_its_own():
    """A mark of the sequence tells its label; other sequences have other marks."""
    generator = torch.Generator().manual_seed(0)
    states = torch.randn(100, 1, 8, generator=generator).expand(100, 10, 8).flatten(0, 1)
    labels = torch.randint(4, (100, 1, 1), generator=generator).expand(100, 10, 1).flatten(0, 1)
    found = neighbours(states, labels, 4, folds_of(1000))
    assert found.held_out.mean() < 0.35
    assert found.estimate.item() / BITS < 0.2
