"""The closed-form decoder against exact information and another library."""

import math

import numpy as np
import pytest
import torch
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from torch.nn import functional as F

from seqprobe.estimators.information import decodable_bits


def gaussian_classes(separation, sequences=1000, steps=40, width=6, classes=4):
    """Equally likely classes with normal states of one covariance: a linear decoder is the best."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.randint(classes, (sequences, steps, 1), generator=generator)
    means = separation * torch.randn(classes, width, generator=generator)
    noise = torch.randn(sequences, steps, width, generator=generator)
    return means[labels[..., 0]] + noise, labels, means


def exact_bits(means, samples=200_000):
    """I(class; state) by Monte Carlo over the known density."""
    generator = torch.Generator().manual_seed(1)
    classes, width = means.shape
    label = torch.randint(classes, (samples,), generator=generator)
    state = means[label] + torch.randn(samples, width, generator=generator)
    log_density = -0.5 * (state[:, None] - means).square().sum(-1)
    posterior = log_density.log_softmax(-1)[torch.arange(samples), label]
    return math.log2(classes) + posterior.mean().item() / math.log(2)


@pytest.mark.parametrize("separation", [0.1, 0.4, 1.0])
def test_gaussian_classes_have_their_exact_information(separation):
    states, labels, means = gaussian_classes(separation)
    found = decodable_bits(states, labels, 4)
    truth = exact_bits(means)
    assert found.held_out.mean().item() == pytest.approx(truth, abs=0.02)
    assert found.estimate[0].item() == pytest.approx(truth, abs=0.02)


def test_agrees_with_scikit_learns_discriminant():
    states, labels, _ = gaussian_classes(0.5)
    train, test = slice(0, 800), slice(800, 1000)
    other = LinearDiscriminantAnalysis().fit(states[train].flatten(0, 1), labels[train].flatten())
    told = other.predict_log_proba(states[test].flatten(0, 1).numpy())
    right = told[np.arange(len(told)), labels[test].flatten().numpy()]
    theirs = math.log2(4) + right.mean() / math.log(2)
    assert decodable_bits(states, labels, 4).held_out.mean().item() == pytest.approx(
        theirs, abs=0.03
    )


def test_lags_are_independent_of_each_other():
    states, labels, _ = gaussian_classes(0.5)
    noise = torch.randint(4, labels.shape, generator=torch.Generator().manual_seed(9))
    both = decodable_bits(states, torch.cat([labels, noise], dim=-1), 4)
    alone = decodable_bits(states, labels, 4)
    assert torch.allclose(both.held_out[:, 0], alone.held_out[:, 0], atol=1e-4)
    assert both.held_out[:, 1].mean().abs() < 0.01


@pytest.mark.parametrize("width", [2, 100, 400])
def test_labels_that_have_nothing_to_do_with_the_state_give_no_bits(width):
    """Also with more numbers in the state than samples to fit them."""
    generator = torch.Generator().manual_seed(0)
    states = torch.randn(20, 20, width, generator=generator)
    labels = torch.randint(4, (20, 20, 3), generator=generator)
    assert decodable_bits(states, labels, 4).held_out.mean(0).max() < 0.02


@pytest.mark.parametrize("right", [0.5, 0.8])
def test_a_noisy_channel_has_its_closed_form(right):
    """The state names the symbol, or any one at random. Discriminant analysis alone is far too
    sure of itself here (it gives -3 bits); the temperature takes that back."""
    symbols, generator = 16, torch.Generator().manual_seed(0)
    labels = torch.randint(symbols, (400, 40, 1), generator=generator)
    named = torch.rand(labels.shape, generator=generator) < right
    other = torch.randint(symbols, labels.shape, generator=generator)
    states = F.one_hot(torch.where(named, labels, other)[..., 0], symbols).float()
    p = right + (1 - right) / symbols
    lost = p * math.log2(p) + (1 - p) * math.log2((1 - p) / (symbols - 1))
    bits = decodable_bits(states, labels, symbols).held_out.mean().item()
    assert bits == pytest.approx(math.log2(symbols) + lost, abs=0.06)


def test_folds_are_whole_sequences():
    """A mark of the sequence tells its label: only a decoder that saw the sequence can know."""
    generator = torch.Generator().manual_seed(0)
    marks = torch.randn(40, 1, 64, generator=generator).expand(40, 30, 64)
    states = marks + 0.01 * torch.randn(40, 30, 64, generator=generator)
    labels = torch.randint(4, (40, 1, 1), generator=generator).expand(40, 30, 1)
    assert decodable_bits(states, labels, 4).held_out.mean() < 0.1


def test_scale_and_shift_of_the_state_change_nothing():
    states, labels, _ = gaussian_classes(0.5)
    scales = torch.logspace(-6, 6, 6)
    moved = decodable_bits(states * scales + 3 * scales, labels, 4)
    assert torch.allclose(moved.held_out, decodable_bits(states, labels, 4).held_out, atol=1e-2)
