"""Decoded bits against exact information and another library."""

import math
from functools import cache

import numpy as np
import pytest
import torch
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from torch.nn import functional as F

from seqprobe.estimators.information import decodable_bits
from seqprobe.reference.channels import EnumeratedLSTM, FadingRegister

CHANNELS = {
    "fading register": FadingRegister(),
    "LSTM, little noise": EnumeratedLSTM(0.03),
    "LSTM, much noise": EnumeratedLSTM(0.1),
}


def uniform(classes):
    return torch.full((classes,), 1 / classes)


@cache
def decoded(name):
    """What is found in 10,000 rows, and what is there."""
    channel = CHANNELS[name]
    drawn = channel.draw(sequences=1000, steps=10, seed=1)
    found = decodable_bits(*drawn, channel.symbols, chances=uniform(channel.symbols))
    return found, channel.bits().numpy()


def gaussian_classes(separation, sequences=1000, steps=40, width=6, classes=4, *, even=True):
    """Classes with normal states of one covariance: a linear decoder is the best."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.randint(classes, (sequences, steps, 1), generator=generator)
    if not even:
        labels *= torch.randint(2, labels.shape, generator=generator)
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
    found = decodable_bits(states, labels, 4, chances=uniform(4), effort="linear")
    truth = exact_bits(means)
    assert found.lower[0] == pytest.approx(truth, abs=0.02)
    assert found.estimate[0] == pytest.approx(truth, abs=0.02)


def test_agrees_with_scikit_learns_discriminant():
    states, labels, _ = gaussian_classes(0.5, even=False)
    train, test = slice(0, 800), slice(800, 1000)
    other = LinearDiscriminantAnalysis().fit(states[train].flatten(0, 1), labels[train].flatten())
    told = other.predict_log_proba(states[test].flatten(0, 1).numpy())
    right = told[np.arange(len(told)), labels[test].flatten().numpy()]
    found = decodable_bits(states, labels, 4, effort="linear")
    theirs = found.entropy[0] + right.mean() / math.log(2)
    assert found.lower[0] == pytest.approx(theirs, abs=0.03)


@pytest.mark.parametrize(
    ("name", "error"),
    [("fading register", 0.02), ("LSTM, little noise", 0.15), ("LSTM, much noise", 0.05)],
)
def test_the_estimate_is_near_what_the_exact_posterior_gives(name, error):
    found, truth = decoded(name)
    assert np.abs(found.estimate - truth).mean() < error


def test_the_lower_limit_lies_below_the_truth():
    """Of the heads of all channels one in twenty may be above."""
    above = np.concatenate([found.low > truth + 1e-3 for found, truth in map(decoded, CHANNELS)])
    assert len(above) == 28
    assert above.mean() <= 0.05


def test_more_effort_finds_what_is_not_linear():
    channel = EnumeratedLSTM(0.1)
    drawn = channel.draw(sequences=100, steps=20)
    linear = decodable_bits(*drawn, 4, effort="linear").lower.sum()
    ensemble = decodable_bits(*drawn, 4, effort="ensemble").lower.sum()
    full = decodable_bits(*drawn, 4, effort="full").lower.sum()
    assert ensemble > linear + 0.5
    assert full > ensemble - 0.05


@pytest.mark.parametrize("effort", ["linear", "ensemble"])
def test_the_null_is_what_symbols_of_other_sequences_give(effort):
    states, labels, _ = gaussian_classes(1.0, sequences=100)
    found = decodable_bits(states, labels, 4, effort=effort)
    moved = decodable_bits(states, labels.roll(1, dims=0), 4, effort=effort)
    assert found.lower[0] > 0.5
    assert found.null == pytest.approx(moved.held_out, abs=1e-4)
    assert found.null.mean() < 0.005
    assert 0 <= found.band[0] < 0.02


def test_lags_are_independent_of_each_other():
    states, labels, _ = gaussian_classes(0.5)
    noise = torch.randint(4, labels.shape, generator=torch.Generator().manual_seed(9))
    both = decodable_bits(states, torch.cat([labels, noise], dim=-1), 4, effort="linear")
    alone = decodable_bits(states, labels, 4, effort="linear")
    assert both.held_out[:, 0] == pytest.approx(alone.held_out[:, 0], abs=1e-4)
    assert abs(both.lower[1]) < 0.01


@pytest.mark.parametrize("effort", ["linear", "ensemble", "full"])
@pytest.mark.parametrize("width", [2, 100, 400])
def test_labels_that_have_nothing_to_do_with_the_state_give_no_bits(width, effort):
    """Also with more numbers in the state than samples to fit them."""
    generator = torch.Generator().manual_seed(0)
    states = torch.randn(20, 20, width, generator=generator)
    labels = torch.randint(4, (20, 20, 3), generator=generator)
    found = decodable_bits(states, labels, 4, chances=uniform(4), effort=effort)
    assert found.lower.max() < 0.02
    assert (found.low <= found.band).all()
    assert found.estimate == pytest.approx(found.lower.clip(0))


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
    found = decodable_bits(states, labels, symbols, chances=uniform(symbols), effort="linear")
    assert found.lower[0] == pytest.approx(math.log2(symbols) + lost, abs=0.06)


@pytest.mark.parametrize("effort", ["linear", "ensemble"])
def test_folds_are_whole_sequences(effort):
    """A mark of the sequence tells its label: only a decoder that saw the sequence can know."""
    generator = torch.Generator().manual_seed(0)
    marks = torch.randn(40, 1, 64, generator=generator).expand(40, 30, 64)
    states = marks + 0.01 * torch.randn(40, 30, 64, generator=generator)
    labels = torch.randint(4, (40, 1, 1), generator=generator).expand(40, 30, 1)
    assert decodable_bits(states, labels, 4, effort=effort).lower[0] < 0.1


def test_scale_and_shift_of_the_state_change_nothing():
    states, labels, _ = gaussian_classes(0.5)
    scales = torch.logspace(-6, 6, 6)
    moved = decodable_bits(states * scales + 3 * scales, labels, 4, effort="linear")
    still = decodable_bits(states, labels, 4, effort="linear")
    assert moved.held_out == pytest.approx(still.held_out, abs=1e-2)


def test_known_chances_are_the_ceiling_and_counted_ones_come_from_these_rows():
    states, labels, _ = gaussian_classes(1.0, sequences=10, steps=20)
    known = decodable_bits(states, labels, 4, chances=uniform(4), effort="linear")
    counted = decodable_bits(states, labels, 4, effort="linear")
    share = labels.flatten().bincount().numpy() / labels.numel()
    assert known.entropy[0] == pytest.approx(2)
    assert counted.entropy[0] == pytest.approx(-(share * np.log2(share)).sum())
    gained = known.held_out.mean() - counted.held_out.mean()
    expected = known.entropy[0] - counted.entropy[0]
    assert expected - 0.0145 <= gained <= expected + 0.0145  # one percent goes to caution


def codes(classes, width, noise, sequences, steps):
    """Random codes and noise."""
    generator = torch.Generator().manual_seed(0)
    means = torch.randn(classes, width, generator=generator)
    order = torch.randperm(sequences * steps, generator=generator) % classes
    labels = order.view(sequences, steps, 1)
    drawn = torch.randn(sequences, steps, width, generator=generator)
    return means[order.view(sequences, steps)] + noise * drawn, labels


def verdict(classes, width, noise, sequences=50, steps=40, chances=None):
    states, labels = codes(classes, width, noise, sequences, steps)
    return decodable_bits(states, labels, classes, chances=chances).verdicts[0]


def test_a_state_without_the_symbol_has_none_detected():
    assert verdict(4, 8, noise=1000.0) == "none detected"


def test_a_state_that_tells_the_symbol_is_full():
    assert verdict(4, 8, noise=0.01) == "full"


def test_a_bound_near_the_estimate_brackets_the_information():
    assert verdict(4, 4, noise=1.0) == "bracketed"


def test_a_decoder_that_fits_far_better_than_it_predicts_is_undersampled():
    assert verdict(8, 200, noise=15.0) == "undersampled"


def test_a_bound_far_below_its_nearest_neighbours_is_loose():
    channel = EnumeratedLSTM(0.03)
    found = decodable_bits(*channel.draw(50, 20), 4, chances=uniform(4))
    assert "loose" in found.verdicts


def test_counted_entropy_of_too_many_symbols_is_undersampled():
    assert verdict(256, 32, noise=0.6, sequences=20) == "vocabulary undersampled"
    assert verdict(256, 32, noise=0.6, sequences=20, chances=uniform(256)) != (
        "vocabulary undersampled"
    )


def test_too_few_samples_for_so_many_numbers_are_not_estimable():
    states, labels = codes(16, 300, 1000.0, sequences=20, steps=20)
    found = decodable_bits(states, labels, 16)
    assert found.verdicts == ("not estimable",)
    assert found.reasons[0] == (
        "320 samples are too few to find anything with 4515 numbers to fit: up to 10.2 bits may be "
        "lost; 32483 samples would lose 0.1"
    )


def test_an_estimate_is_a_bound_with_its_ceiling_its_null_and_its_limits():
    states, labels, _ = gaussian_classes(1.0, sequences=50)
    found = decodable_bits(states, labels, 4, chances=uniform(4), effort="linear")
    (estimate,) = found.estimates()
    assert estimate.value == pytest.approx(found.lower[0])
    assert (estimate.low, estimate.high) == (found.low[0], found.high[0])
    assert estimate.low < estimate.value < estimate.high
    assert estimate.unit == "bits"
    assert estimate.n == 50
    assert estimate.ceiling == 2
    assert estimate.null.name == "symbols of other sequences"
    assert estimate.null.value == pytest.approx(found.null.mean())
    assert estimate.null.high == found.band[0]
    assert estimate.status == "bound"
    assert estimate.supports_findings


def test_an_estimate_of_all_there_is_to_know_is_saturated():
    states, labels = codes(4, 8, 0.01, sequences=20, steps=20)
    found = decodable_bits(states, labels, 4, chances=uniform(4), effort="linear")
    assert found.estimates()[0].status == "saturated"
