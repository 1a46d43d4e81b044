"""A small network as a decoder; what it scores it has not seen."""

import math

import pytest
import torch

from seqprobe.estimators.information.folds import Folds
from seqprobe.estimators.information.perceptron import perceptron

BITS = math.log(2)


def folds_of(sequences, steps):
    return Folds.of(sequences, steps, 0, torch.device("cpu"))


def parity(noise=0.5, rows=4000):
    """The label is whether two coordinates have the same sign."""
    generator = torch.Generator().manual_seed(0)
    corner = torch.randint(2, (rows, 2), generator=generator)
    states = 2.0 * corner - 1 + noise * torch.randn(rows, 2, generator=generator)
    return states, corner[:, :1] ^ corner[:, 1:]


def parity_bits(states, noise=0.5):
    same = torch.tanh(states.double() / noise**2).prod(-1)
    chance = torch.stack([1 + same, 1 - same], -1) / 2
    return 1 - torch.special.entr(chance).sum(-1).mean().item() / BITS


def test_a_parity_has_its_exact_information():
    states, labels = parity()
    told = perceptron(states, labels, 2, folds_of(400, 10)).mean().item() / BITS + 1
    assert told == pytest.approx(parity_bits(states), abs=0.05)


def test_a_head_of_noise_does_no_harm_and_finds_nothing():
    states, labels = parity()
    noise = torch.randint(2, labels.shape, generator=torch.Generator().manual_seed(9))
    folds = folds_of(400, 10)
    both = perceptron(states, torch.cat([labels, noise], 1), 2, folds).mean(0) / BITS + 1
    assert both[0] == pytest.approx(parity_bits(states), abs=0.05)
    assert both[1] < 0.01


def test_labels_of_a_fold_do_not_bear_on_what_is_told_of_it():
    """Of two classes: the likelihoods of a label and of the other one sum to 1."""
    states, labels = parity(rows=500)
    folds = folds_of(50, 10)
    part = folds.parts[2]
    other = labels.clone()
    other[part] = 1 - labels[part]
    told, told_other = (perceptron(states, x, 2, folds)[part].exp() for x in (labels, other))
    assert told + told_other == pytest.approx(torch.ones(len(part), 1), abs=1e-5)


def test_folds_are_whole_sequences():
    """A mark of the sequence tells its label: only a network that saw the sequence can know."""
    generator = torch.Generator().manual_seed(0)
    marks = torch.randn(40, 1, 64, generator=generator).expand(40, 30, 64).flatten(0, 1)
    states = marks + 0.01 * torch.randn(1200, 64, generator=generator)
    labels = torch.randint(4, (40, 1, 1), generator=generator).expand(40, 30, 1).flatten(0, 1)
    told = perceptron(states, labels, 4, folds_of(40, 30)).mean().item() / BITS + 2
    assert told < 0.1


def test_it_leaves_random_numbers_of_others_alone():
    states, labels = parity(rows=100)
    torch.manual_seed(5)
    perceptron(states, labels, 2, folds_of(10, 10))
    drawn = torch.rand(1)
    torch.manual_seed(5)
    assert drawn == torch.rand(1)
